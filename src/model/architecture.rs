//! Which architecture a checkpoint is, from the files beside its weights; all that speak must agree.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    checkpoint::{Checkpoint, CheckpointSpec},
    config::{ClipConfig, refused},
    error::{CheckpointFault, Disagreement, ModelError},
    files::{self, Files},
};

/// Bound for a configuration, in bytes; the real ones have 4 KB.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const HUGGING_FACE: &str = "config.json";
const OPEN_CLIP: &str = "open_clip_config.json";

/// An architecture and the size its files are about.
#[derive(Debug, Clone)]
pub(super) struct Architecture {
    /// With the input size in force.
    pub(super) config: ClipConfig,
    /// Side of the input image as the files say.
    pub(super) native_px: usize,
}

impl Architecture {
    /// The architecture that `spec` names, or the one beside the weights; `base`'s where there is none.
    ///
    /// # Errors
    /// `W013` for a configuration that is refused, two that disagree, or an image size that is no multiple of the patch;
    /// `W006` for an image half whose configuration is not the base's; `W012` without any.
    pub(super) fn of(spec: &CheckpointSpec, base: Option<&Checkpoint>) -> Result<Self, ModelError> {
        let named = match &spec.architecture {
            Some(path) if path.ends_with(".json") => {
                Some(ClipConfig::from_json(&text_of(&files::read(Path::new(path), MAX_CONFIG_BYTES)?))?)
            }
            Some(name) => Some(ClipConfig::named(name)?),
            None => beside(&spec.files, base)?,
        };
        let (mut config, native_px) = match (named, base) {
            (Some(config), _) => {
                let native_px = config.image_px;
                (config, native_px)
            }
            (None, Some(base)) => (base.config().clone(), base.native_px()),
            // The error that says which file is wanted.
            (None, None) => {
                let text = spec.files.read(HUGGING_FACE, MAX_CONFIG_BYTES)?;
                let config = ClipConfig::from_json(&text_of(&text))?;
                let native_px = config.image_px;
                (config, native_px)
            }
        };
        if let Some(image_px) = spec.image_px {
            if image_px == 0 || !image_px.is_multiple_of(config.patch_px) {
                let allowed = format!("a multiple of the patch, {}", config.patch_px);
                return Err(refused("models.image_px", &image_px.to_string(), &allowed));
            }
            config.image_px = image_px;
        }
        Ok(Self { config, native_px })
    }
}

/// What the configurations in the folder say, together.
fn beside(files: &Files, base: Option<&Checkpoint>) -> Result<Option<ClipConfig>, ModelError> {
    let read =
        |name: &str| Ok::<_, ModelError>(files.read_if_there(name, MAX_CONFIG_BYTES)?.map(|t| text_of(&t)));
    let (hugging_face, open_clip) = (read(HUGGING_FACE)?, read(OPEN_CLIP)?);
    let open_clip =
        open_clip.map(|text| ClipConfig::from_open_clip_json(&text, hugging_face.as_deref())).transpose()?;
    if let (Some(text), Some(base)) = (&hugging_face, base)
        && let Some(half) = ClipConfig::of_vision_half(text)?
    {
        half_is_the_base(text, &half, open_clip.as_ref().unwrap_or(base.config()))?;
        return Ok(open_clip);
    }
    // Beside an open_clip configuration a config.json may be that of the text tower alone.
    let is_ours = |text: &String| open_clip.is_none() || ClipConfig::is_clip_like(text);
    let hugging_face = hugging_face.filter(is_ours).map(|text| ClipConfig::from_json(&text)).transpose()?;
    match (hugging_face, open_clip) {
        (Some(left), Some(right)) => {
            if let Some((key, left, right)) = left.differs(&right) {
                let (left, right) = (format!("{HUGGING_FACE} {left}"), format!("{OPEN_CLIP} {right}"));
                return Err(CheckpointFault::Conflict { key: key.to_owned(), left, right }.into());
            }
            Ok(Some(left))
        }
        (left, right) => Ok(left.or(right)),
    }
}

/// An image half is used with the base's sizes, so its own configuration must not say otherwise. Keys that are not in it say
/// nothing.
fn half_is_the_base(text: &str, half: &ClipConfig, base: &ClipConfig) -> Result<(), ModelError> {
    let said = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let is_said = |key: &str| key.strip_prefix("vision_config.").is_some_and(|key| said.contains_key(key));
    let pairs = half.told().into_iter().zip(base.told());
    let wrong = pairs.filter(|((key, left), (_, right))| is_said(key) && left != right);
    let wrong: Vec<Disagreement> = wrong
        .map(|((key, left), (_, right))| Disagreement {
            name: key.to_owned(),
            left: format!("image half {left}"),
            right: format!("base {right}"),
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(CheckpointFault::Disagree(wrong).into()) }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
