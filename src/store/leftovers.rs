//! What a killed process leaves of a half-written local file: `name#1`, which the client's own listings hide.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A half-written local file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Half-written files below `folder` that nobody has touched for `older_than` and that would have become what `is_ours`
/// knows; others may have names with numbers too.
#[must_use]
pub fn leftovers(folder: &Path, older_than: Duration, is_ours: &impl Fn(&Path) -> bool) -> Vec<Leftover> {
    let mut found = Vec::new();
    walk(folder, older_than, is_ours, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, older_than: Duration, is_ours: &impl Fn(&Path) -> bool, found: &mut Vec<Leftover>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Of the entry itself: a link is not followed out of the root.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            walk(&entry.path(), older_than, is_ours, found);
        } else if whole_name(&entry.path()).is_some_and(|whole| is_ours(&whole)) {
            let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.unwrap_or_default() >= older_than {
                found.push(Leftover { path: entry.path(), bytes: meta.len() });
            }
        }
    }
}

/// What a half-written file would have become; `None` for every other.
fn whole_name(path: &Path) -> Option<PathBuf> {
    let (whole, n) = path.file_name()?.to_str()?.rsplit_once('#')?;
    let is_numbered = !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit());
    is_numbered.then(|| path.with_file_name(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_names_are_half_written() {
        let whole = |name: &str| whole_name(Path::new(name));
        assert_eq!(whole("x/00001.ab.signals.parquet#1"), Some("x/00001.ab.signals.parquet".into()));
        assert!(whole("00001.json").is_none() && whole("a#b").is_none() && whole("a#").is_none());
    }
}
