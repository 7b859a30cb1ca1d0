//! Settings files: read within a limit, parsed, and told apart by what they hold; whatever is wrong with one is a message
//! with its place.

use std::fs;
use std::io::Read;
use std::path::Path;

use toml::Table;

use super::{FileKind, MAX_FILE_BYTES};
use crate::error::{Exit, Problem, may_be_secret};

/// Most characters of a line that a message repeats.
const MAX_SHOWN_CHARS: usize = 80;

/// A file of one kind.
///
/// # Errors
/// `C007` unreadable, too large or no TOML; `C006` a file of the other kind.
pub(super) fn read_kind(path: &Path, kind: FileKind) -> Result<Table, Problem> {
    let table = read_table(path)?;
    match of_other_kind(&table, &display(path), kind) {
        Some(problem) => Err(problem),
        None => Ok(table),
    }
}

/// A file, whatever it holds.
///
/// # Errors
/// `C007` unreadable, too large or no TOML.
pub(super) fn read_table(path: &Path) -> Result<Table, Problem> {
    let unusable = |why: &str| {
        let what = format!("{}: {why}", display(path));
        Problem::new("C007", Exit::Config, what).hint(
            "name a TOML file; t3b config show --default=pipeline (or =config) prints one to begin with",
        )
    };
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::InvalidData => unusable("found bytes that are no text, allowed UTF-8"),
        kind => unusable(&format!("cannot be read ({kind})")),
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable(&format!("over {MAX_FILE_BYTES} bytes, more than settings need")));
    }
    parse(&text, &display(path))
}

/// A text as TOML; messages call it `name`.
///
/// # Errors
/// `C007` with file, line and column, the line itself and what was expected there.
pub(super) fn parse(text: &str, name: &str) -> Result<Table, Problem> {
    text.parse::<Table>().map_err(|source| {
        let at = source.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        // Where the text ends too early, the last line that says something is shown.
        let before = if before.len() == text.len() { before.trim_end() } else { before };
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let (n_line, n_column) = (before.matches('\n').count() + 1, before[start..].chars().count() + 1);
        let expected: Vec<&str> = source.message().lines().map(str::trim).collect();
        let what =
            format!("{name}:{n_line}:{n_column}: {}, in the line {}", expected.join("; "), shown(line));
        Problem::new("C007", Exit::Config, what)
            .hint("settings are TOML: [section], below it key = value, one a line, texts in double quotes")
    })
}

/// A line as messages repeat it: the start of it, or its length alone where it could hold a secret.
fn shown(line: &str) -> String {
    let n_chars = line.chars().count();
    if may_be_secret(line) {
        return format!("of {n_chars} characters");
    }
    let start: String = line.trim().chars().take(MAX_SHOWN_CHARS).collect();
    format!("`{start}{}`", if n_chars > MAX_SHOWN_CHARS { "..." } else { "" })
}

/// Says which is which where a file holds sections of the other kind and none of its own.
fn of_other_kind(table: &Table, name: &str, kind: FileKind) -> Option<Problem> {
    let own = kind.sections();
    let other = kind.other();
    let others = other.sections();
    let found: Vec<String> = table
        .keys()
        .filter(|key| others.contains(key.as_str()))
        .take(4)
        .map(|key| format!("[{key}]"))
        .collect();
    if found.is_empty() || table.keys().any(|key| own.contains(key.as_str())) {
        return None;
    }
    let what = format!(
        "{name}: {} in the place of {}: it holds {}",
        other.described(),
        kind.described(),
        found.join(", ")
    );
    let hint = match other {
        FileKind::Pipeline => format!("give it in the place of PIPELINE.toml, without --config: {name}"),
        FileKind::Config => {
            format!("give it behind the pipeline file: PIPELINE.toml --config {name}")
        }
    };
    Some(Problem::new("C006", Exit::Config, what).hint(hint))
}

/// A path as messages name it.
pub(super) fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_has_file_line_column_the_line_and_what_is_expected() {
        for (text, place, words) in [
            ("[run]\nname = \"x\nseed = 1", "p.toml:2:", "`name = \"x`"),
            ("[run]\nname = \"x\"\nname = \"y\"\n", "p.toml:3:1:", "duplicate key"),
            ("run = [1,\n", "p.toml:1:", "expected `]`"),
            ("a = 1 b = 2\n", "p.toml:1:", "expected newline"),
            ("a = abc\n", "p.toml:1:5:", "quoted"),
        ] {
            let problem = parse(text, "p.toml").unwrap_err();
            assert_eq!((problem.code, problem.exit), ("C007", Exit::Config));
            assert!(problem.what.starts_with(place) && problem.what.contains(words), "{problem}");
            assert!(problem.hint.is_some() && !problem.what.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_line_that_could_hold_a_secret_is_not_repeated() {
        let problem = parse("[output]\nroot = \"s3://KEY:PASS@b\" x\n", "p.toml").unwrap_err();
        assert!(!problem.what.contains("PASS") && problem.what.contains("characters"), "{problem}");
    }
}
