//! Weights files become checked tensors.

use std::{collections::BTreeMap, fmt};

use candle_core::Tensor;
use safetensors::Dtype;

use super::{
    adapter,
    architecture::Architecture,
    config::ClipConfig,
    error::{CheckpointFault, ModelError, ModelWarning},
    files::{Files, Weights},
    gather::{Gathered, Leniency, Matches},
    header, layout,
    naming::Naming,
    prefix::Renaming,
    preprocess::Preprocess,
    shards::Shards,
    vocabulary::VocabularyFiles,
};

/// Largest temperature accepted, as a logarithm: logits 22,026 times the cosine. What is stored as it is and not as a
/// logarithm, 14 or 100, lies above.
pub const MAX_LOGIT_SCALE: f64 = 10.0;

/// Largest temperature of CLIP's own training, as a logarithm: ln 100, and 1 %. A larger one deserves a word.
pub const CLAMPED_LOGIT_SCALE: f64 = 1.01 * 4.605_170_185_988_092;

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

/// The weights of one CLIP model, complete, finite and of the shapes its architecture wants.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    role: Role,
    config: ClipConfig,
    native_px: usize,
    sha256: String,
    source: Source,
    renaming: Renaming,
    tensors: BTreeMap<String, Tensor>,
    dtypes: BTreeMap<String, Dtype>,
    logit_scale: f64,
    logit_bias: f64,
    vocabulary: VocabularyFiles,
    preprocess: Option<Preprocess>,
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
    /// Reads and checks a complete checkpoint. Nothing is computed with it; the time is that of reading and hashing the
    /// files, the memory twice their size while it lasts.
    ///
    /// # Errors
    /// `W001` a pickle; `W012` a file that cannot be read; `W013` the architecture, or low-rank updates without a base;
    /// then as [`from_bytes`](Self::from_bytes).
    pub fn load(spec: &CheckpointSpec) -> Result<Self, ModelError> {
        Self::read(spec, None).map_err(|error| error.at(spec.role))
    }

    /// As [`load`](Self::load), for an expert that may be less than a whole model: the image half alone, or low-rank
    /// updates (LoRA, as PEFT saves it). What it leaves out is that of `base`, which is also its architecture where no
    /// configuration lies beside the weights.
    ///
    /// # Errors
    /// As [`load`](Self::load); `W013` for updates that are not plain LoRA of linear layers of `base`.
    pub fn load_over(spec: &CheckpointSpec, base: &Self) -> Result<Self, ModelError> {
        Self::read(spec, Some(base)).map_err(|error| error.at(spec.role))
    }

    fn read(spec: &CheckpointSpec, base: Option<&Self>) -> Result<Self, ModelError> {
        let (files, pin) = (&spec.files, spec.sha256.as_deref());
        let weights = files.weights()?;
        let vocabulary = VocabularyFiles::read(files)?;
        let (checkpoint, native_px) = match (weights, base) {
            (Weights::Adapter, Some(base)) => (adapter::fold(files, base, spec.role, pin)?, base.native_px),
            (Weights::Adapter, None) => return Err(adapter::without_base()),
            (weights, _) => {
                let Architecture { config, native_px } = Architecture::of(spec, base)?;
                let may_resize = spec.image_px.is_some();
                let shards = Shards::read(files, &weights, largest_file(&config, may_resize))?;
                let leniency = Leniency { may_inherit: base.is_some(), may_resize };
                (Self::of_shards(spec.role, config, &shards, pin, base, leniency)?, native_px)
            }
        };
        let preprocess = Preprocess::beside(files, &checkpoint.config, native_px)?;
        let image_px = checkpoint.config.image_px;
        let preprocess = preprocess.map(|preprocess| preprocess.at(native_px, image_px)).transpose()?;
        Ok(Self { vocabulary, preprocess, native_px, ..checkpoint })
    }

    /// Checks `file`, the content of a safetensors file with a complete model, against `config`.
    ///
    /// Floats of 16, 32 and 64 bits are accepted; those of 16 are widened to f32, which changes no value, those of 64 rounded
    /// to it. Names are those of any [`Naming`], a wrapper's prefix before them; buffers of old files are ignored.
    ///
    /// # Errors
    /// In this order: `W002`, `W003`, `W004` for the container; `W011` without a `logit_scale`; `W005` for other missing and
    /// unknown tensors; `W006` for shapes and dtypes, all of them; `W008` when `pin` (hex) is given and not the sha256 of
    /// `file`; `W007` for values; `W011` for a temperature above [`MAX_LOGIT_SCALE`].
    pub fn from_bytes(
        role: Role,
        config: ClipConfig,
        file: Vec<u8>,
        pin: Option<&str>,
    ) -> Result<Self, ModelError> {
        Self::of_shards(role, config, &Shards::of(file), pin, None, Leniency::default())
    }

    fn of_shards(
        role: Role,
        config: ClipConfig,
        shards: &Shards,
        pin: Option<&str>,
        base: Option<&Self>,
        leniency: Leniency,
    ) -> Result<Self, ModelError> {
        let fault = |fault| ModelError::of(role, fault);
        let mut entries = shards.entries().map_err(fault)?;
        let renaming = Renaming::of(entries.iter().map(|entry| entry.name.as_str())).map_err(fault)?;
        renaming.apply(&mut entries);
        // The header is checked first because that takes microseconds and a sha256 a second or more.
        let matches = Matches::find(role, &config, &entries, leniency).map_err(fault)?;
        let sha256 = pinned(shards.sha256(), pin).map_err(fault)?;
        let Gathered { naming, tensors, dtypes, logit_scale, logit_bias, vision_only } =
            matches.gather(base)?;
        let source = if vision_only { Source::VisionOnly(naming) } else { Source::Full(naming) };
        Ok(Self {
            role,
            native_px: config.image_px,
            config,
            sha256,
            source,
            renaming,
            tensors,
            dtypes,
            logit_scale,
            logit_bias,
            vocabulary: VocabularyFiles::default(),
            preprocess: None,
        })
    }

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

    /// Every tensor of the architecture, f32 on the CPU, contiguous, by name; [`layout::tensors`] lists them.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Gives the tensors up, to be moved to a device or merged.
    #[must_use]
    pub fn into_tensors(self) -> BTreeMap<String, Tensor> {
        self.tensors
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

/// Bytes of the architecture in f64, the longest header, and room for the buffers and for positions of a larger image.
fn largest_file(config: &ClipConfig, may_resize: bool) -> u64 {
    let weights: u64 = layout::tensors(config).iter().map(|spec| 8 * spec.elements() as u64).sum();
    weights + header::MAX_HEADER_BYTES + if may_resize { 1 << 28 } else { 1 << 20 }
}

/// A shape without spaces, `[768,512]`.
pub(super) fn brackets(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
