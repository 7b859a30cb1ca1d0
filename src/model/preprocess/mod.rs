//! What is done to a picture before a model sees it: part of the checkpoint, as its authors' files say.
//!
//! [`hugging_face`] reads `preprocessor_config.json` and the `image_processor` of `processor_config.json`, [`open_clip`] the
//! `preprocess_cfg` of `open_clip_config.json`. A key that asks for something this program does not do is refused by its
//! name; keys that change no pixel are not looked at.

mod by_hand;
mod hugging_face;
mod open_clip;

pub use by_hand::{ByHand, ResizeMode};

use serde_json::{Value, json};

use super::{
    config::{ClipConfig, VisionKind},
    error::{CheckpointFault, ModelError},
    files::Files,
    normalize::{MEAN, STD},
    role::Role,
};
use t3b_image::resize::{CropRule, Filter, Framing, Scale};

/// Bound for each of the files, in bytes; the real ones have 1 KB.
const MAX_BYTES: u64 = 1 << 20;

/// From a picture to the values a model takes: a square of bytes, then `(byte * rescale - mean) / std`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// From the picture to the square.
    pub framing: Framing,
    /// What bytes are multiplied by first: 1/255, or 1 where they are left as they are.
    pub rescale: f64,
    /// Mean of each channel, red first.
    pub mean: [f64; 3],
    /// Standard deviation of each channel.
    pub std: [f64; 3],
}

/// One channel-wise constant of SigLIP's processors and of timm's.
const HALF: [f64; 3] = [0.5; 3];
const PER_BYTE: f64 = 1.0 / 255.0;

impl Preprocess {
    /// What a model of this family was trained with, where no file says otherwise: CLIP's short side, centre crop and
    /// normalisation; SigLIP's square and 0.5.
    #[must_use]
    pub fn of_family(config: &ClipConfig) -> Self {
        let side_px = u32::try_from(config.image_px).unwrap_or(u32::MAX);
        let clip = Framing::clip(side_px);
        match config.vision_kind {
            VisionKind::Clip | VisionKind::Timm => {
                Self { framing: clip, rescale: PER_BYTE, mean: MEAN, std: STD }
            }
            VisionKind::Siglip => {
                let framing = Framing { scale: Scale::Square(side_px), ..clip };
                Self { framing, rescale: PER_BYTE, mean: HALF, std: HALF }
            }
        }
    }

    /// What the files beside the weights say; `None` where there are none. `native_px` is the input size they are about.
    ///
    /// # Errors
    /// `W015` for a key that is not carried, or whose size is not the model's; `W013` where two files disagree; `W012` a file
    /// that cannot be read.
    pub(super) fn beside(
        files: &Files,
        config: &ClipConfig,
        native_px: usize,
    ) -> Result<Option<Self>, ModelError> {
        let read = |name: &str| -> Result<Option<Value>, ModelError> {
            let bytes = files.read_if_there(name, MAX_BYTES)?;
            let parsed = bytes.map(|bytes| {
                serde_json::from_slice(&bytes).map_err(|_| refused(name, "no JSON", "a JSON object"))
            });
            parsed.transpose()
        };
        let mut said: Vec<(&str, Self)> = Vec::new();
        let nested = read("processor_config.json")?.and_then(|mut file| {
            let section = file.get_mut("image_processor").map(Value::take);
            section.filter(Value::is_object)
        });
        let is_siglip = config.vision_kind == VisionKind::Siglip;
        for (name, value) in [
            ("processor_config.json", nested),
            ("preprocessor_config.json", read("preprocessor_config.json")?),
        ] {
            if let Some(value) = value {
                said.push((name, hugging_face::read(&value, native_px, is_siglip)?));
            }
        }
        let open_clip = read("open_clip_config.json")?;
        if let Some(value) = open_clip.as_ref().and_then(|file| file.get("preprocess_cfg")) {
            said.push(("open_clip_config.json", open_clip::read(value, native_px)?));
        }
        for pair in said.windows(2) {
            // Where an odd pixel of the crop goes is a difference of programs, not of models.
            let (left, mut right) = (&pair[0].1, pair[1].1.clone());
            right.framing.crop = left.framing.crop;
            if let Some((key, left, right)) = left.differs(&right) {
                let (left, right) = (format!("{} {left}", pair[0].0), format!("{} {right}", pair[1].0));
                return Err(
                    CheckpointFault::Conflict { key: format!("preprocessing: {key}"), left, right }.into()
                );
            }
        }
        Ok(said.into_iter().next().map(|(_, preprocess)| preprocess))
    }

    /// The same for a model whose input has another size: `native_px` becomes `image_px` wherever it stands.
    ///
    /// # Errors
    /// `W015` when a picture is scaled to another size than the model's and then cropped: nothing says to which.
    pub(super) fn at(mut self, native_px: usize, image_px: usize) -> Result<Self, ModelError> {
        if native_px == image_px {
            return Ok(self);
        }
        let [native, wanted] = [native_px, image_px].map(|px| u32::try_from(px).unwrap_or(u32::MAX));
        let sized = |px: u32| if px == native { Some(wanted) } else { None };
        let scale = match self.framing.scale {
            Scale::Keep => Some(Scale::Keep),
            Scale::ShortSide(px) => sized(px).map(Scale::ShortSide),
            Scale::LongSide(px) => sized(px).map(Scale::LongSide),
            Scale::Square(px) => sized(px).map(Scale::Square),
        };
        let found = format!("models.image_px {image_px}");
        let allowed = format!("a size equal to the crop ({native_px}), or models.preprocess");
        self.framing.scale = scale.ok_or_else(|| refused("size", &found, &allowed))?;
        self.framing.side_px = wanted;
        Ok(self)
    }

    /// The first key in which two ways differ, with both values.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let (left, right) = (self.told(), other.told());
        let different = left.into_iter().zip(right).find(|((_, left), (_, right))| left != right);
        different.map(|((key, left), (_, right))| (key, left, right))
    }

    /// Key by key, as it is printed and compared.
    #[must_use]
    pub fn told(&self) -> [(&'static str, String); 8] {
        let Framing { scale, filter, crop, fill, side_px } = self.framing;
        let (mode, size_px) = match scale {
            Scale::Keep => ("none", side_px),
            Scale::ShortSide(px) => ("shortest", px),
            Scale::LongSide(px) => ("longest", px),
            Scale::Square(px) => ("squash", px),
        };
        // Neither matters where the picture is the square.
        let is_exact = scale == Scale::Square(side_px);
        let may_pad = !is_exact && scale != Scale::ShortSide(side_px);
        let three = |values: [f64; 3]| format!("{values:?}");
        [
            ("resize_mode", mode.to_owned()),
            ("size", size_px.to_string()),
            ("interpolation", if scale == Scale::Keep { "none" } else { filter.name() }.to_owned()),
            (
                "crop",
                match crop {
                    _ if is_exact => "none",
                    CropRule::HalfToEven => "torchvision",
                    CropRule::Floor => "huggingface",
                }
                .to_owned(),
            ),
            ("fill_color", if may_pad { format!("{fill:?}") } else { "none".to_owned() }),
            ("rescale", if self.rescale == PER_BYTE { "1/255".to_owned() } else { self.rescale.to_string() }),
            ("mean", three(self.mean)),
            ("std", three(self.std)),
        ]
    }

    /// As a JSON object, for the plan's fingerprint.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = json!({ "crop_size": self.framing.side_px });
        for (key, value) in self.told() {
            object[key] = value.into();
        }
        object
    }

    /// As a `preprocessor_config.json` that transformers reads. What it has no words for, open_clip's padding, is left to
    /// [`open_clip`]'s file.
    #[must_use]
    pub fn to_hugging_face(&self) -> String {
        let Framing { scale, filter, side_px, .. } = self.framing;
        let size = match scale {
            Scale::Keep | Scale::LongSide(_) => Value::Null,
            Scale::ShortSide(px) => json!({ "shortest_edge": px }),
            Scale::Square(px) => json!({ "height": px, "width": px }),
        };
        let numbers = [
            Filter::Nearest,
            Filter::Lanczos,
            Filter::Bilinear,
            Filter::Bicubic,
            Filter::Box,
            Filter::Hamming,
        ];
        let resample = numbers.iter().position(|known| *known == filter);
        let root = json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": scale != Scale::Keep, "size": size, "resample": resample,
            "do_center_crop": scale != Scale::Square(side_px), "crop_size": { "height": side_px, "width": side_px },
            "do_rescale": true, "rescale_factor": self.rescale,
            "do_normalize": true, "image_mean": self.mean, "image_std": self.std,
        });
        format!("{root:#}\n")
    }

    /// `shortest 224 bicubic, crop torchvision, mean ..., std ...` on one line.
    #[must_use]
    pub fn line(&self) -> String {
        let said = self.told();
        let keys =
            said.iter().filter(|(_, value)| value != "none").map(|(key, value)| format!("{key} {value}"));
        format!("{} px: {}", self.framing.side_px, keys.collect::<Vec<_>>().join(", "))
    }

    /// Checks that both parents want the same pixels.
    ///
    /// # Errors
    /// `W016` with the first key that differs. A merged model has one input, so two cannot both be fed.
    pub fn same(pretrained: &Self, expert: &Self) -> Result<(), ModelError> {
        match pretrained.differs(expert) {
            None => Ok(()),
            Some((key, left, right)) => {
                let fault = CheckpointFault::PreprocessPair { key, left, right };
                Err(ModelError::of(Role::Expert, fault))
            }
        }
    }
}

fn refused(key: &str, found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Preprocess { key: key.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }
        .into()
}

/// Three numbers, or one for all channels; deviations are positive.
fn channels(key: &str, found: &Value, positive: bool) -> Result<[f64; 3], ModelError> {
    let allowed = if positive { "three positive numbers" } else { "three numbers" };
    let bad = || refused(key, &found.to_string(), allowed);
    let values: Vec<f64> = match found {
        Value::Array(values) => values.iter().filter_map(Value::as_f64).collect(),
        Value::Number(value) => value.as_f64().into_iter().cycle().take(3).collect(),
        _ => Vec::new(),
    };
    let values: [f64; 3] = values.try_into().map_err(|_| bad())?;
    let fits = values.iter().all(|value| value.is_finite() && (!positive || *value > 0.0));
    if fits { Ok(values) } else { Err(bad()) }
}

/// The side of a square, 1 to 2^15.
fn side(key: &str, found: &Value) -> Result<u32, ModelError> {
    let side =
        found.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| (1..=1 << 15).contains(side));
    side.ok_or_else(|| refused(key, &found.to_string(), "1 to 32768"))
}

/// The size the files ask for must be the model's.
fn must_be_native(key: &str, side_px: u32, native_px: usize) -> Result<(), ModelError> {
    if side_px as usize == native_px {
        return Ok(());
    }
    Err(refused(key, &side_px.to_string(), &format!("{native_px}, the model's image size")))
}
