//! The module's one error: a fault, where it is, its code and a hint.

use std::fmt;

use super::role::Role;

pub use super::checkpoint_fault::{CheckpointFault, Disagreement};

/// A fault in weights, vocabulary, prompts or a tensor operation.
///
/// `Display` is the code and the message on one line, without the hint: `W004 tensor 'visual.proj' appears twice`.
/// [`report`](Self::report) is the full form for a terminal.
#[derive(Debug)]
pub struct ModelError {
    role: Option<Role>,
    fault: Box<CheckpointFault>,
}

impl ModelError {
    /// A fault of one of the two checkpoints.
    pub(crate) fn of(role: Role, fault: CheckpointFault) -> Self {
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
    pub fn fault(&self) -> &CheckpointFault {
        &self.fault
    }

    /// The stable code, one per kind of fault: `W001` ... `W016`, `C001`, `N002`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &*self.fault {
            CheckpointFault::Pickle => "W001",
            CheckpointFault::Truncated { .. }
            | CheckpointFault::Trailing { .. }
            | CheckpointFault::TooLarge { .. } => "W002",
            CheckpointFault::NotSafetensors(_) | CheckpointFault::Index(_) => "W003",
            CheckpointFault::Duplicate(_) => "W004",
            CheckpointFault::Names { .. } | CheckpointFault::Several(_) => "W005",
            CheckpointFault::Disagree(_) => "W006",
            CheckpointFault::NonFinite { .. } => "W007",
            CheckpointFault::Sha256 { .. } => "W008",
            CheckpointFault::Bank(_) => "W010",
            CheckpointFault::LogitScale(_) => "W011",
            CheckpointFault::Unreadable { .. } => "W012",
            CheckpointFault::Config { .. }
            | CheckpointFault::Conflict { .. }
            | CheckpointFault::Adapter { .. } => "W013",
            CheckpointFault::Vocabulary { .. } => "W014",
            CheckpointFault::Preprocess { .. } => "W015",
            CheckpointFault::PreprocessPair { .. } => "W016",
            CheckpointFault::Prompt { .. } => "C001",
            CheckpointFault::Tensor(_) | CheckpointFault::Card { .. } => "N002",
        }
    }

    /// Whether a card had no memory for what was asked of it, so that less may succeed.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        matches!(*self.fault, CheckpointFault::Card { no_memory: true, .. })
    }

    /// What is wrong, one line, without code and hint.
    #[must_use]
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// The message and which checkpoint it is about.
    #[must_use]
    pub fn located(&self) -> String {
        let place = self.role.map_or_else(String::new, |role| format!(" (in {role})"));
        format!("{}{place}", self.fault)
    }

    /// What to do about it, one line; empty when the message says all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match &*self.fault {
            CheckpointFault::Truncated { .. } | CheckpointFault::Trailing { .. } => {
                "copy the file again and compare its sha256"
            }
            CheckpointFault::TooLarge { .. } => "check that the configuration belongs to this file",
            CheckpointFault::NotSafetensors(_)
            | CheckpointFault::Index(_)
            | CheckpointFault::Duplicate(_) => "write the file again with safetensors",
            CheckpointFault::Names { .. } | CheckpointFault::Disagree(_) => {
                "pretrained and expert must be the architecture that config.json describes"
            }
            CheckpointFault::NonFinite { .. } => {
                "the training run that wrote it diverged, or the file is damaged"
            }
            CheckpointFault::Sha256 { .. } => {
                "the file changed since the pipeline was written; change the pin only on purpose"
            }
            CheckpointFault::LogitScale(_) => {
                "logit_scale is stored as a logarithm, ln 100 = 4.6052 for most CLIP models"
            }
            CheckpointFault::Config { .. } => {
                "see the pipeline's model section for the architectures that run"
            }
            CheckpointFault::Adapter { .. } => {
                "an adapter holds LoRA updates of linear layers, as PEFT saves them, and nothing else"
            }
            CheckpointFault::Vocabulary { .. } => "put the merges.txt of the model beside its weights",
            CheckpointFault::Tensor(_) | CheckpointFault::Card { .. } => {
                "check the device's memory and lower the batch size"
            }
            CheckpointFault::Pickle => {
                "t3b models convert writes a safetensors copy; it runs no code of the file"
            }
            CheckpointFault::Several(_) => {
                "keep one of them: t3b models convert takes a file whose other dictionaries are gone"
            }
            CheckpointFault::Conflict { .. } => {
                "remove the file that is not about these weights; models.arch and models.preprocess say it by hand"
            }
            CheckpointFault::Preprocess { .. } => {
                "[models.preprocess] says by hand how pictures are prepared"
            }
            CheckpointFault::PreprocessPair { .. } => {
                "a merged model has one input: [models.preprocess] says by hand which way both are fed"
            }
            CheckpointFault::Unreadable { file, .. } if file == "config.json" => {
                "put the model's config.json beside its weights, or set models.arch"
            }
            CheckpointFault::Unreadable { .. } => {
                "copy the whole folder of the checkpoint; models.pretrained and models.expert name it"
            }
            CheckpointFault::Bank(_) => {
                "t3b models encode writes models.text_features anew from the pipeline"
            }
            CheckpointFault::Prompt { .. } => "",
        }
    }

    /// `error[CODE] message: where. hint: ...`, the form every part of the program uses on a terminal.
    #[must_use]
    pub fn report(&self) -> String {
        let hint = self.hint();
        let hint = if hint.is_empty() { String::new() } else { format!(". hint: {hint}") };
        format!("error[{}] {}{hint}", self.code(), self.located())
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

impl From<CheckpointFault> for ModelError {
    fn from(fault: CheckpointFault) -> Self {
        Self { role: None, fault: Box::new(fault) }
    }
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        CheckpointFault::Tensor(error).into()
    }
}
