//! The weights of one model as they are once they have been checked; [`load`](super::load) reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use safetensors::Dtype;

use super::{
    config::ClipConfig, error::CheckpointFault, files::Files, layout, layout::Part, naming::Naming,
    prefix::Renaming, preprocess::Preprocess, role::Role, spill::SpilledBlocks,
    vocabulary_files::VocabularyFiles, warning::ModelWarning,
};

pub use super::checkpoint_fault::MAX_LOGIT_SCALE;

/// Largest temperature of CLIP's own training, as a logarithm: ln 100, and 1 %. A larger one deserves a word.
pub const CLAMPED_LOGIT_SCALE: f64 = 1.01 * 4.605_170_185_988_092;

/// What the pipeline says of one checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointSpec {
    /// Its files.
    pub files: Files,
    /// The parent it is loaded as.
    pub role: Role,
    /// Architecture by name (see [`ClipConfig::named`]) or the path of a configuration; `None` reads the `config.json` or
    /// `open_clip_config.json` beside the weights.
    pub architecture: Option<String>,
    /// Side of the input image in force; `None` takes the architecture's. Position embeddings are resized to it.
    pub image_px: Option<usize>,
    /// Wanted [`Checkpoint::sha256`], 64 hex digits in any case; `None` accepts any.
    pub sha256: Option<String>,
}

/// The weights of one CLIP model, complete unless its text tower was [taken out](Self::without_text) or its blocks were
/// [spilled](Self::spill), finite and of the shapes its architecture wants.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(super) role: Role,
    pub(super) config: ClipConfig,
    pub(super) native_px: usize,
    pub(super) sha256: String,
    pub(super) source: Source,
    pub(super) renaming: Renaming,
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) spilled: Option<Arc<SpilledBlocks>>,
    pub(super) dtypes: BTreeMap<String, Dtype>,
    pub(super) logit_scale: f64,
    pub(super) logit_bias: f64,
    pub(super) vocabulary: VocabularyFiles,
    pub(super) preprocess: Option<Preprocess>,
}

/// What the files held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Every tensor.
    Full(Naming),
    /// The image half; the rest is the base's.
    VisionOnly(Naming),
    /// Low-rank updates, folded into the base's weights.
    Adapter {
        /// Layers with an update of low rank.
        n_layers: usize,
    },
}

impl Checkpoint {
    /// The base with some of its tensors replaced.
    pub(super) fn updated(
        &self,
        role: Role,
        sha256: String,
        n_layers: usize,
        updates: BTreeMap<String, Tensor>,
    ) -> Self {
        let source = Source::Adapter { n_layers };
        let mut tensors = self.tensors.clone();
        tensors.extend(updates);
        let renaming = Renaming::default();
        Self { role, sha256, source, renaming, tensors, ..self.clone() }
    }

    /// The parent it was loaded as.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The architecture.
    #[must_use]
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Side of the input image that the files are about, before any other was asked for.
    #[must_use]
    pub fn native_px(&self) -> usize {
        self.native_px
    }

    /// What the names lacked or had too much.
    #[must_use]
    pub fn renaming(&self) -> &Renaming {
        &self.renaming
    }

    /// How its files say that pictures are prepared; `None` where none says.
    #[must_use]
    pub fn preprocess(&self) -> Option<&Preprocess> {
        self.preprocess.as_ref()
    }

    /// What deserves a word.
    #[must_use]
    pub fn warnings(&self) -> Vec<ModelWarning> {
        let (role, logit_scale) = (self.role, self.logit_scale);
        let scale =
            (logit_scale > CLAMPED_LOGIT_SCALE).then_some(ModelWarning::LargeScale { role, logit_scale });
        let renaming = self.renaming.clone();
        let renamed = renaming.is_some().then_some(ModelWarning::Renamed { role, renaming });
        scale.into_iter().chain(renamed).collect()
    }

    /// What the files held.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Sha256 of what it was read from, 64 lower-case hex digits: the weights file; the files of sharded weights one after
    /// the other, in the order of their names; or `adapter_config.json` followed by `adapter_model.safetensors`.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every tensor of the architecture that is in memory, f32 on the CPU, contiguous, by name; [`tensors`](super::layout::tensors) lists
    /// them.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Gives the tensors up, to be moved to a device or merged.
    #[must_use]
    pub fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }

    /// The matrices of the image tower's blocks, where they are in a file and not among the tensors.
    #[must_use]
    pub fn spilled(&self) -> Option<&Arc<SpilledBlocks>> {
        self.spilled.as_ref()
    }

    /// Without the text tower, for who has class vectors.
    #[must_use]
    pub fn without_text(mut self) -> Self {
        for spec in layout::tensors(&self.config).into_iter().filter(|spec| spec.part == Part::Text) {
            self.tensors.remove(&spec.name);
        }
        self
    }

    /// Dtype of a tensor in the file, `None` for a name that is not of the architecture.
    #[must_use]
    pub fn file_dtype(&self, name: &str) -> Option<Dtype> {
        self.dtypes.get(name).copied()
    }

    /// The temperature as a logarithm: logits are `exp(logit_scale) * cos`. At most [`MAX_LOGIT_SCALE`].
    #[must_use]
    pub fn logit_scale(&self) -> f64 {
        self.logit_scale
    }

    /// What is added to every logit: SigLIP's bias, 0 for other models.
    #[must_use]
    pub fn logit_bias(&self) -> f64 {
        self.logit_bias
    }

    /// The files of its tokenizer.
    #[must_use]
    pub fn vocabulary(&self) -> &VocabularyFiles {
        &self.vocabulary
    }
}

/// The sha256, unless another one was pinned.
pub(super) fn pinned(sha256: String, pin: Option<&str>) -> Result<String, CheckpointFault> {
    match pin.filter(|pin| !pin.eq_ignore_ascii_case(&sha256)) {
        Some(pin) => Err(CheckpointFault::Sha256 { found: sha256, pinned: pin.to_owned() }),
        None => Ok(sha256),
    }
}

/// A shape without spaces, `[768,512]`.
pub(super) fn brackets(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
