//! One (corruption, severity) of an evaluation.

use std::sync::Arc;

use crate::kind::Corruption;
use crate::severity::Severity;

/// One (corruption, severity) of an evaluation; `clean/0` has no corruption.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Corruption name, `clean` for none.
    pub corruption: Arc<str>,
    /// 1 to 5, 0 for `clean`.
    pub severity: u8,
    kind: Option<(Severity, Corruption)>,
}

impl Cell {
    /// The untouched image.
    #[must_use]
    pub fn clean() -> Self {
        Self { corruption: "clean".into(), severity: 0, kind: None }
    }

    /// One corruption at one severity.
    #[must_use]
    pub fn corrupted(name: &str, severity: Severity, kind: Corruption) -> Self {
        Self { corruption: name.into(), severity: severity.get(), kind: Some((severity, kind)) }
    }

    /// Images that somebody else corrupted already: nothing is applied.
    #[must_use]
    pub fn declared(name: &str, severity: u8) -> Self {
        Self { corruption: name.into(), severity, kind: None }
    }

    /// What to apply; `None` for `clean` and for a declared cell.
    #[must_use]
    pub fn kind(&self) -> Option<&(Severity, Corruption)> {
        self.kind.as_ref()
    }
}
