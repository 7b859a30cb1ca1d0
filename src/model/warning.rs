//! What deserves a word and stops nothing.

use std::fmt;

use super::{prefix::Renaming, role::Role};

/// Something to tell the operator that does not stop the run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelWarning {
    /// `W009`: both files hold the same bytes.
    SameFile,
    /// `W017`: a temperature above OpenAI's clamp; it is used as it is, as the references do.
    LargeScale {
        /// Whose.
        role: Role,
        /// As a logarithm.
        logit_scale: f64,
    },
    /// `W018`: the pipeline says how pictures are prepared, against the checkpoint's own files.
    PreprocessOverridden {
        /// The first key that differs.
        key: &'static str,
        /// What the checkpoint says.
        said: String,
        /// What is in force.
        used: String,
    },
    /// `W019`: names had a wrapper's prefix, or lacked their own.
    Renamed {
        /// Whose.
        role: Role,
        /// What was done.
        renaming: Renaming,
    },
}

impl fmt::Display for ModelWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameFile => f.write_str("W009 pretrained and expert are the same file: JS = 0, λ constant"),
            Self::LargeScale { role, logit_scale } => write!(
                f,
                "W017 {role}: logit_scale {logit_scale:.4} is above ln 100, where CLIP's training clamps it; used as it is"
            ),
            Self::PreprocessOverridden { key, said, used } => write!(
                f,
                "W018 models.preprocess: {key} {used} is used, where the checkpoint's files say {said}"
            ),
            Self::Renamed { role, renaming } => write!(f, "W019 {role}: tensor names, {renaming}"),
        }
    }
}
