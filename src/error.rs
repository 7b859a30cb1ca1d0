//! What a run can end with: documented exit codes and one-line problems that suggest their fix.
//!
//! A bad sample is a quarantined row ([`crate::messages::Reject`]), a bad run is a [`RunError`], and a bug is a
//! panic that the edge of its stage turns into exit code 70.

use std::borrow::Cow;
use std::fmt;

/// Process exit codes, stable across versions (sysexits where one fits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done.
    Done,
    /// The command line could not be understood.
    Usage,
    /// Done, but over a limit: more samples quarantined than `run.max_quarantine` allows, or drift found.
    OverQuarantine,
    /// The manifest or a checkpoint is unusable.
    BadData,
    /// The output store does not give what the commit needs.
    StoreUnfit,
    /// A bug of ours: a stage panicked.
    Bug,
    /// The store gave up; running the same command again resumes.
    StoreIo,
    /// Stopped by a signal; running the same command again resumes.
    Preempted,
    /// Another worker finished this work with different bytes.
    Fenced,
    /// The store refused access.
    Permission,
    /// The settings are wrong, or differ from those the run was started with.
    Config,
    /// Nothing was there to do, and the caller said what to end with then: `--exit-when-empty`.
    Empty(u8),
}

impl Exit {
    /// Every code that is always the same, ascending; what schedulers are told of them is made from this list.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Usage,
        Self::OverQuarantine,
        Self::BadData,
        Self::StoreUnfit,
        Self::Bug,
        Self::StoreIo,
        Self::Preempted,
        Self::Fenced,
        Self::Permission,
        Self::Config,
    ];

    /// Whether the same command, called again, goes on where this one stood.
    #[must_use]
    pub fn is_mended_by_repeating(self) -> bool {
        matches!(self, Self::StoreIo | Self::Preempted)
    }

    /// The number given to the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::OverQuarantine => 3,
            Self::BadData => 65,
            Self::StoreUnfit => 69,
            Self::Bug => 70,
            Self::StoreIo => 74,
            Self::Preempted => 75,
            Self::Fenced => 76,
            Self::Permission => 77,
            Self::Config => 78,
            Self::Empty(code) => code,
        }
    }
}

/// One thing that is wrong, printed as `error[CODE] what. hint: ...`.
///
/// `what` says where (a row number, a key, an id), what was found and what is allowed. It never holds a
/// source key, a credential or foreign error text that could carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, such as `M003`; listed in `docs/errors.md`.
    pub code: &'static str,
    /// The exit code this problem leads to when it ends the run.
    pub exit: Exit,
    /// What is wrong, where, what was found, what is allowed.
    pub what: String,
    /// What to do about it, when there is something.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    #[must_use]
    pub fn new(code: &'static str, exit: Exit, what: impl Into<String>) -> Self {
        Self { code, exit, what: what.into(), hint: None }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    /// One line: control characters are escaped, and a text over [`MAX_CHARS`] is cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}] {}", self.code, printable(&self.what))?;
        match &self.hint {
            Some(hint) => write!(f, ". hint: {}", printable(hint)),
            None => Ok(()),
        }
    }
}

/// Most characters of one text in a message.
const MAX_CHARS: usize = 2000;

/// `text` in one line that a terminal only prints: control characters and those that turn or hide text are escaped, and
/// what is over [`MAX_CHARS`] is cut.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.len() <= MAX_CHARS && !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars().take(MAX_CHARS) {
        if acts(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push_str("...");
    }
    Cow::Owned(shown)
}

/// Whether a setting's text could be a location with a credential in it, in any spelling of one.
#[must_use]
pub fn may_be_secret(text: &str) -> bool {
    ["@", ":/", "?", "sig=", "://"].iter().any(|sign| text.contains(sign))
        || text.to_lowercase().contains("signature")
}

/// A setting's text as messages quote it: in quotes and escaped, or its length alone where it is long or
/// [could be a secret](may_be_secret).
#[must_use]
pub fn quoted(text: &str) -> String {
    let n_chars = text.chars().count();
    if n_chars > 60 || may_be_secret(text) {
        format!("a text of {n_chars} characters")
    } else {
        format!("{text:?}")
    }
}

/// A root or another place as messages show it: as the user gave it, or its length alone where it could hold a credential.
///
/// A URI has none when nothing in it is what a user, a password or a signature is written with.
#[must_use]
pub fn shown_place(place: &str) -> String {
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let authority = rest.split('/').next().unwrap_or_default();
    // A port is the one thing that may follow a colon.
    let is_port = |(_, port): (&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let has_plain_host = !place.contains("://") || authority.split_once(':').is_none_or(is_port);
    if is_scheme && has_plain_host && !place.contains('#') && !may_be_secret(rest) {
        place.to_owned()
    } else {
        quoted(place)
    }
}

/// Why a command ended without doing what was asked: at least one problem, the deciding one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    problems: Vec<Problem>,
}

impl RunError {
    /// Wraps problems found together; the first decides the exit code.
    ///
    /// # Panics
    /// When `problems` is empty.
    #[must_use]
    pub fn all(problems: Vec<Problem>) -> Self {
        assert!(!problems.is_empty(), "an error has at least one problem");
        Self { problems }
    }

    /// The code the process ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.problems[0].exit
    }

    /// The deciding problem alone.
    #[must_use]
    pub fn into_first(mut self) -> Problem {
        self.problems.swap_remove(0)
    }

    /// Everything that was wrong, the deciding problem first.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for RunError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RunError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_a_terminal_only_prints() {
        let what = format!("found \u{1b}[31m\r\n\u{202e}{}", "x".repeat(100_000));
        let text = Problem::new("C001", Exit::Config, what).to_string();
        assert!(
            text.len() < 2100 && !text.contains(char::is_control) && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(text.contains("\\u{1b}[31m"), "{text}");
    }

    #[test]
    fn what_could_be_a_secret_is_not_quoted() {
        for text in ["s3://k:PASS@b", "https:/PASS", "PASS@x", "x?X-Amz-Signature=PASS", "a//PASS@b"] {
            assert!(!quoted(text).contains("PASS"), "{text}");
        }
        assert_eq!(quoted("dice"), "\"dice\"");
        let with_secret = [
            "s3://k:PASS@b",
            "s3://k:PASS/b",
            "https:/PASS",
            "az://c/x?sig=PASS",
            "PASS@x://h",
            "https://h/x#PASS",
        ];
        for place in with_secret {
            assert!(!shown_place(place).contains("PASS"), "{place}");
        }
        for place in ["s3://archive/2026", "az://box/a b", "http://127.0.0.1:9000/x", "/data/x", "wrong"] {
            assert_eq!(shown_place(place), place);
        }
    }
}
