//! A weights file on disk becomes checked tensors.
//!
//! The file is read once; what was hashed is what is parsed. It is never mapped: a mapped file that someone truncates kills
//! the process with a signal.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, tensor::TensorInfo};
use sha2::{Digest, Sha256};

use super::{
    config::ClipConfig,
    error::{Disagreement, Fault, ModelError},
    files,
    header::{self, Header},
    layout::{self, BUFFERS, LOGIT_SCALE, TensorSpec},
    widen,
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
    /// A folder with `model.safetensors`, or the weights file itself.
    pub path: PathBuf,
    /// The parent it is loaded as.
    pub role: Role,
    /// Architecture by name (see [`ClipConfig::named`]); `None` reads the `config.json` beside the weights.
    pub architecture: Option<String>,
    /// Wanted sha256 of the weights file, 64 hex digits in any case; `None` accepts any.
    pub sha256: Option<String>,
}

/// The weights of one CLIP model, complete, finite and of the shapes its architecture wants.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    role: Role,
    config: ClipConfig,
    sha256: String,
    tensors: BTreeMap<String, Tensor>,
    dtypes: BTreeMap<String, Dtype>,
    logit_scale: f64,
    merges: Option<Vec<u8>>,
}

impl Checkpoint {
    /// Reads and checks a checkpoint. Nothing is computed with it; the time is that of reading and hashing the file, the
    /// memory twice its size while it lasts.
    ///
    /// # Errors
    /// `W001` a pickle; `W012` a file that cannot be read; `W013` the architecture; then as
    /// [`from_bytes`](Self::from_bytes).
    pub fn load(spec: &CheckpointSpec) -> Result<Self, ModelError> {
        Self::read(spec).map_err(|error| error.at(spec.role))
    }

    fn read(spec: &CheckpointSpec) -> Result<Self, ModelError> {
        let weights = files::weights_file(&spec.path)?;
        let config = match &spec.architecture {
            Some(name) => ClipConfig::named(name)?,
            None => {
                let text = files::read(&weights.with_file_name("config.json"), MAX_CONFIG_BYTES)?;
                ClipConfig::from_hf_json(&String::from_utf8_lossy(&text))?
            }
        };
        let merges = match files::read(&weights.with_file_name("merges.txt"), MAX_MERGES_BYTES) {
            Err(error) if files::is_missing(&error) => None,
            other => Some(other?),
        };
        let file = files::read(&weights, largest_file(&config))?;
        let checkpoint = Self::from_bytes(spec.role, config, &file, spec.sha256.as_deref())?;
        Ok(Self { merges, ..checkpoint })
    }

    /// Checks `file`, the content of a safetensors file, against `config`.
    ///
    /// Floats of 16 and 32 bits are accepted and widened to f32, which changes no value. The `position_ids` buffers of old
    /// files are ignored.
    ///
    /// # Errors
    /// In this order: `W002`, `W003`, `W004` for the container; `W011` without a `logit_scale`; `W005` for other missing and
    /// unknown tensors; `W006` for shapes and dtypes, all of them; `W008` when `pin` (hex) is given and not the sha256 of
    /// `file`; `W007` for values; `W011` for a temperature above [`MAX_LOGIT_SCALE`].
    pub fn from_bytes(
        role: Role,
        config: ClipConfig,
        file: &[u8],
        pin: Option<&str>,
    ) -> Result<Self, ModelError> {
        let fault = |fault| ModelError::of(role, fault);
        let header = header::read(file).map_err(fault)?;
        let wanted = layout::tensors(&config);
        let entries = matched(role, &wanted, &header).map_err(fault)?;
        // The header is checked first because that takes microseconds and a sha256 a second or more.
        let sha256 = hex::encode(Sha256::digest(file));
        if let Some(pinned) = pin.filter(|pin| !pin.eq_ignore_ascii_case(&sha256)) {
            return Err(fault(Fault::Sha256 { found: sha256, pinned: pinned.to_owned() }));
        }
        let values = widened(&wanted, &entries, &file[header.data_start..]).map_err(fault)?;
        let logit_scale = checked_scale(&wanted, &values).map_err(fault)?;

        let mut tensors = BTreeMap::new();
        for (spec, values) in wanted.iter().zip(values) {
            tensors.insert(spec.name.clone(), Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?);
        }
        let dtypes =
            wanted.into_iter().map(|spec| spec.name).zip(entries.iter().map(|info| info.dtype)).collect();
        Ok(Self { role, config, sha256, tensors, dtypes, logit_scale, merges: None })
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

    /// Sha256 of the weights file, 64 lower-case hex digits.
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

/// Bytes of the architecture in f32, the longest header, and room for the buffers.
fn largest_file(config: &ClipConfig) -> u64 {
    let weights: u64 = layout::tensors(config).iter().map(|spec| 4 * spec.elements() as u64).sum();
    weights + header::MAX_HEADER_BYTES + (1 << 20)
}

/// The header's entry for each wanted tensor, in the order of `wanted`.
fn matched<'a>(role: Role, wanted: &[TensorSpec], header: &'a Header) -> Result<Vec<&'a TensorInfo>, Fault> {
    let mut found: BTreeMap<&str, &TensorInfo> =
        header.entries.iter().map(|(name, info)| (name.as_str(), info)).collect();
    found.retain(|name, _| !BUFFERS.contains(name));

    let missing: Vec<String> = wanted
        .iter()
        .filter(|spec| !found.contains_key(spec.name.as_str()))
        .map(|spec| spec.name.clone())
        .collect();
    let entries: Vec<&TensorInfo> =
        wanted.iter().filter_map(|spec| found.remove(spec.name.as_str())).collect();
    let unknown: Vec<String> = found.into_keys().map(str::to_owned).collect();
    if missing == [LOGIT_SCALE] && unknown.is_empty() {
        return Err(Fault::LogitScale(None));
    }
    if !missing.is_empty() || !unknown.is_empty() {
        return Err(Fault::Names { owner: role.name(), missing, unknown });
    }
    let wrong: Vec<Disagreement> =
        wanted.iter().zip(&entries).filter_map(|(spec, info)| disagreement(role, spec, info)).collect();
    if wrong.is_empty() { Ok(entries) } else { Err(Fault::Disagree(wrong)) }
}

/// The values of every tensor, in the order of `wanted`.
fn widened(wanted: &[TensorSpec], entries: &[&TensorInfo], data: &[u8]) -> Result<Vec<Vec<f32>>, Fault> {
    let values: Vec<Vec<f32>> = entries
        .iter()
        .map(|info| widen::to_f32(info.dtype, &data[info.data_offsets.0..info.data_offsets.1]))
        .collect();
    let mut bad = wanted.iter().zip(&values).filter_map(|(spec, v)| Some((spec, widen::non_finite(v)?)));
    let Some((spec, (count, first))) = bad.next() else { return Ok(values) };
    Err(Fault::NonFinite { name: spec.name.clone(), count, first, other_tensors: bad.count() })
}

fn checked_scale(wanted: &[TensorSpec], values: &[Vec<f32>]) -> Result<f64, Fault> {
    let place = wanted.iter().position(|spec| spec.name == LOGIT_SCALE);
    let scale = place.and_then(|place| values[place].first()).map(|scale| f64::from(*scale));
    match scale {
        Some(scale) if scale <= MAX_LOGIT_SCALE => Ok(scale),
        other => Err(Fault::LogitScale(other)),
    }
}

fn disagreement(role: Role, spec: &TensorSpec, info: &TensorInfo) -> Option<Disagreement> {
    if info.shape == spec.shape && widen::is_accepted(info.dtype) {
        return None;
    }
    let left = format!("{role} {} {:?}", brackets(&info.shape), info.dtype);
    let right = format!("architecture {} F32, F16 or BF16", brackets(&spec.shape));
    Some(Disagreement { name: spec.name.clone(), left, right })
}

/// A shape without spaces, `[768,512]`.
pub(super) fn brackets(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
