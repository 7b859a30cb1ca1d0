//! Weights files become checked tensors.

use std::{collections::BTreeMap, fmt, path::Path};

use candle_core::Tensor;
use safetensors::Dtype;

use super::{
    adapter,
    config::ClipConfig,
    error::{Fault, ModelError},
    files::{self, Files, Weights},
    gather::{Gathered, Matches},
    header, layout,
    naming::Naming,
    shards::Shards,
};

/// Largest temperature accepted, as a logarithm: ln 100, where OpenAI clamps it, and 1 %.
pub const MAX_LOGIT_SCALE: f64 = 1.01 * 4.605_170_185_988_092;

/// Bounds for the small files, in bytes; the real ones have 4 KB and 0.5 MB.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_MERGES_BYTES: u64 = 16 << 20;

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
    /// Wanted [`Checkpoint::sha256`], 64 hex digits in any case; `None` accepts any.
    pub sha256: Option<String>,
}

/// The weights of one CLIP model, complete, finite and of the shapes its architecture wants.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    role: Role,
    config: ClipConfig,
    sha256: String,
    source: Source,
    tensors: BTreeMap<String, Tensor>,
    dtypes: BTreeMap<String, Dtype>,
    logit_scale: f64,
    merges: Option<Vec<u8>>,
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
        /// Linear layers that were updated.
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
        let merges = files.read_if_there("merges.txt", MAX_MERGES_BYTES)?;
        let checkpoint = match (weights, base) {
            (Weights::Adapter, Some(base)) => adapter::fold(files, base, spec.role, pin)?,
            (Weights::Adapter, None) => return Err(adapter::without_base()),
            (weights, _) => {
                let config = config_of(spec, base)?;
                let shards = Shards::read(files, &weights, largest_file(&config))?;
                Self::of_shards(spec.role, config, &shards, pin, base)?
            }
        };
        Ok(Self { merges, ..checkpoint })
    }

    /// Checks `file`, the content of a safetensors file with a complete model, against `config`.
    ///
    /// Floats of 16 and 32 bits are accepted and widened to f32, which changes no value. Names are those of any
    /// [`Naming`]; buffers of old files are ignored.
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
        Self::of_shards(role, config, &Shards::of(file), pin, None)
    }

    fn of_shards(
        role: Role,
        config: ClipConfig,
        shards: &Shards,
        pin: Option<&str>,
        base: Option<&Self>,
    ) -> Result<Self, ModelError> {
        let fault = |fault| ModelError::of(role, fault);
        let entries = shards.entries().map_err(fault)?;
        // The header is checked first because that takes microseconds and a sha256 a second or more.
        let matches = Matches::find(role, &config, &entries, base.is_some()).map_err(fault)?;
        let sha256 = pinned(shards.sha256(), pin).map_err(fault)?;
        let Gathered { naming, tensors, dtypes, logit_scale, vision_only } = matches.gather(base)?;
        let source = if vision_only { Source::VisionOnly(naming) } else { Source::Full(naming) };
        Ok(Self { role, config, sha256, source, tensors, dtypes, logit_scale, merges: None })
    }

    /// The base with some of its tensors replaced.
    pub(super) fn updated(&self, role: Role, sha256: String, updates: BTreeMap<String, Tensor>) -> Self {
        let source = Source::Adapter { n_layers: updates.len() };
        let mut tensors = self.tensors.clone();
        tensors.extend(updates);
        Self { role, sha256, source, tensors, ..self.clone() }
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

    /// Content of the `merges.txt` beside the weights, if there was one.
    #[must_use]
    pub fn merges(&self) -> Option<&[u8]> {
        self.merges.as_deref()
    }
}

/// The sha256, unless another one was pinned.
pub(super) fn pinned(sha256: String, pin: Option<&str>) -> Result<String, Fault> {
    match pin.filter(|pin| !pin.eq_ignore_ascii_case(&sha256)) {
        Some(pin) => Err(Fault::Sha256 { found: sha256, pinned: pin.to_owned() }),
        None => Ok(sha256),
    }
}

fn config_of(spec: &CheckpointSpec, base: Option<&Checkpoint>) -> Result<ClipConfig, ModelError> {
    match &spec.architecture {
        Some(path) if path.ends_with(".json") => {
            return ClipConfig::from_json(&text_of(&files::read(Path::new(path), MAX_CONFIG_BYTES)?));
        }
        Some(name) => return ClipConfig::named(name),
        None => {}
    }
    if let Some(text) = spec.files.read_if_there("open_clip_config.json", MAX_CONFIG_BYTES)? {
        return ClipConfig::from_open_clip_json(&text_of(&text));
    }
    let Some(base) = base else {
        return ClipConfig::from_json(&text_of(&spec.files.read("config.json", MAX_CONFIG_BYTES)?));
    };
    let text = spec.files.read_if_there("config.json", MAX_CONFIG_BYTES)?.map(|text| text_of(&text));
    // The image half alone is saved with a configuration that lacks the text half.
    match text.filter(|text| !ClipConfig::is_vision_only(text)) {
        Some(text) => ClipConfig::from_json(&text),
        None => Ok(base.config.clone()),
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes of the architecture in f32, the longest header, and room for the buffers.
fn largest_file(config: &ClipConfig) -> u64 {
    let weights: u64 = layout::tensors(config).iter().map(|spec| 4 * spec.elements() as u64).sum();
    weights + header::MAX_HEADER_BYTES + (1 << 20)
}

/// A shape without spaces, `[768,512]`.
pub(super) fn brackets(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
