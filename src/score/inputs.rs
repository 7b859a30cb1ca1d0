//! What a lane is given: two checked checkpoints and what the classes are as text.

use candle_core::Device;
use sha2::{Digest, Sha256};

use crate::model::pair::PairReport;
use crate::model::prompts::Tokens;
use crate::model::tower::TextTower;
use crate::model::{Checkpoint, ModelError, Preprocess, TextBank};

/// Two checked checkpoints and the prompts they are asked. A clone shares the tensors.
#[derive(Debug, Clone)]
pub struct ModelPair {
    /// The pretrained model.
    pub pretrained: Checkpoint,
    /// The expert, of the same architecture.
    pub expert: Checkpoint,
    /// Where they differ.
    pub report: PairReport,
    /// What the classes are as text.
    pub text: TextSource,
    /// How pictures are prepared for both.
    pub preprocess: Preprocess,
}

impl ModelPair {
    /// The pretrained model's class vectors, on the CPU.
    ///
    /// # Errors
    /// `W010` when they cannot be a class bank.
    pub fn bank(&self) -> Result<TextBank, ModelError> {
        let (tensors, config) = (self.pretrained.tensors(), self.pretrained.config());
        self.text.bank(|| TextTower::new(tensors, config, &Device::Cpu))
    }
}

/// Where the class vectors come from.
#[derive(Debug, Clone)]
pub enum TextSource {
    /// The class prompts as token ids, encoded by every distinct text tower.
    Prompts(Tokens),
    /// Class vectors encoded elsewhere, the same for every model; no text tower is used or merged.
    Features(TextBank),
}

impl TextSource {
    /// Prompts that were longer than the text tower reads.
    #[must_use]
    pub fn n_truncated(&self) -> usize {
        match self {
            Self::Prompts(tokens) => tokens.cut().len(),
            Self::Features(_) => 0,
        }
    }

    /// Content hash, 64 hex digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        let bytes: Vec<u8> = match self {
            Self::Prompts(tokens) => tokens.ids().iter().flat_map(|id| id.to_le_bytes()).collect(),
            Self::Features(bank) => bank
                .values()
                .expect("a bank that a job holds is on the CPU")
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect(),
        };
        hex::encode(Sha256::digest(bytes))
    }

    /// The class vectors of a model with this text tower.
    pub(super) fn bank(
        &self,
        tower: impl FnOnce() -> Result<TextTower, ModelError>,
    ) -> Result<TextBank, ModelError> {
        match self {
            Self::Prompts(tokens) => TextBank::encode(&tower()?, tokens),
            Self::Features(bank) => Ok(bank.clone()),
        }
    }
}
