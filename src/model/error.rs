//! The module's one error: a fault, where it is, its code and a hint.

use std::fmt;

use super::checkpoint::Role;

pub use super::fault::{Disagreement, Fault};

/// A fault in weights, vocabulary, prompts or a tensor operation.
///
/// `Display` is the code and the message on one line, without the hint: `W004 tensor 'visual.proj' appears twice`.
/// [`report`](Self::report) is the full form for a terminal.
#[derive(Debug)]
pub struct ModelError {
    role: Option<Role>,
    fault: Box<Fault>,
}

impl ModelError {
    /// A fault of one of the two checkpoints.
    pub(crate) fn of(role: Role, fault: Fault) -> Self {
        Self { role: Some(role), fault: Box::new(fault) }
    }

    /// Names the checkpoint, unless that is known.
    pub(crate) fn at(self, role: Role) -> Self {
        Self { role: self.role.or(Some(role)), fault: self.fault }
    }

    /// The checkpoint at fault; `None` for prompts, banks and tensor operations.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// The typed fault.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The stable code, one per kind of fault: `W001` ... `W014`, `C001`, `N002`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &*self.fault {
            Fault::Pickle => "W001",
            Fault::Truncated { .. } | Fault::Trailing { .. } | Fault::TooLarge { .. } => "W002",
            Fault::NotSafetensors(_) | Fault::Index(_) => "W003",
            Fault::Duplicate(_) => "W004",
            Fault::Names { .. } => "W005",
            Fault::Disagree(_) => "W006",
            Fault::NonFinite { .. } => "W007",
            Fault::Sha256 { .. } => "W008",
            Fault::Bank(_) => "W010",
            Fault::LogitScale(_) => "W011",
            Fault::Unreadable { .. } => "W012",
            Fault::Config { .. } | Fault::Adapter { .. } => "W013",
            Fault::Vocabulary { .. } => "W014",
            Fault::Prompt { .. } => "C001",
            Fault::Tensor(_) => "N002",
        }
    }

    /// What is wrong, one line, without code and hint.
    #[must_use]
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// What to do about it, one line; empty when the message says all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match &*self.fault {
            Fault::Truncated { .. } | Fault::Trailing { .. } => "copy the file again and compare its sha256",
            Fault::TooLarge { .. } => "check that the configuration belongs to this file",
            Fault::NotSafetensors(_) | Fault::Index(_) | Fault::Duplicate(_) => {
                "write the file again with safetensors"
            }
            Fault::Names { .. } | Fault::Disagree(_) => {
                "pretrained and expert must be the architecture that config.json describes"
            }
            Fault::NonFinite { .. } => "the training run that wrote it diverged, or the file is damaged",
            Fault::Sha256 { .. } => {
                "the file changed since the pipeline was written; change the pin only on purpose"
            }
            Fault::LogitScale(_) => {
                "logit_scale is stored as a logarithm, ln 100 = 4.6052 for most CLIP models"
            }
            Fault::Config { .. } => "see the pipeline's model section for the architectures that run",
            Fault::Adapter { .. } => {
                "an adapter holds LoRA updates of linear layers, as PEFT saves them, and nothing else"
            }
            Fault::Vocabulary { .. } => "put the merges.txt of the model beside its weights",
            Fault::Tensor(_) => "check the device's memory and lower the batch size",
            Fault::Pickle => "t3b models convert writes a safetensors copy; it runs no code of the file",
            Fault::Bank(_) | Fault::Unreadable { .. } | Fault::Prompt { .. } => "",
        }
    }

    /// `error[CODE] message: where. hint: ...`, the form every part of the program uses on a terminal.
    #[must_use]
    pub fn report(&self) -> String {
        let place = self.role.map_or_else(String::new, |role| format!(" (in {role})"));
        let hint = self.hint();
        let hint = if hint.is_empty() { String::new() } else { format!(". hint: {hint}") };
        format!("error[{}] {}{place}{hint}", self.code(), self.fault)
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.fault)
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

impl From<Fault> for ModelError {
    fn from(fault: Fault) -> Self {
        Self { role: None, fault: Box::new(fault) }
    }
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        Fault::Tensor(error).into()
    }
}

/// Something to tell the operator that does not stop the run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelWarning {
    /// `W009`: both files hold the same bytes.
    SameFile,
}

impl fmt::Display for ModelWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameFile => f.write_str("W009 pretrained and expert are the same file: JS = 0, λ constant"),
        }
    }
}
