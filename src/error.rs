//! What a run can end with: documented exit codes and one-line problems that suggest their fix.
//!
//! A bad sample is a quarantined row ([`crate::flow::Reject`]), a bad run is a [`RunError`], and a bug is a
//! panic that the edge of its stage turns into exit code 70.

use std::fmt;

/// Process exit codes, stable across versions (sysexits where one fits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is done.
    Done = 0,
    /// The command line could not be understood.
    Usage = 2,
    /// Done, but over a limit: more samples quarantined than `run.max_quarantine` allows, or drift found.
    OverQuarantine = 3,
    /// The manifest or a checkpoint is unusable.
    BadData = 65,
    /// The output store does not give what the commit needs.
    StoreUnfit = 69,
    /// A bug of ours: a stage panicked.
    Bug = 70,
    /// The store gave up; running the same command again resumes.
    StoreIo = 74,
    /// Stopped by a signal; running the same command again resumes.
    Preempted = 75,
    /// Another worker finished this work with different bytes.
    Fenced = 76,
    /// The store refused access.
    Permission = 77,
    /// The settings are wrong, or differ from those the run was started with.
    Config = 78,
}

impl Exit {
    /// The number given to the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}] {}", self.code, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, ". hint: {hint}"),
            None => Ok(()),
        }
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
