//! Which of the two parents something belongs to.

use std::fmt;

/// Which of the two parents a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The generalist.
    Pretrained,
    /// The same architecture, fine-tuned.
    Expert,
}

impl Role {
    /// `pretrained` or `expert`, as in messages and columns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrained => "pretrained",
            Self::Expert => "expert",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
