//! `preprocess_cfg` as open_clip saves it.
//!
//! Reference: open_clip 3, `transform.py`, `PreprocessCfg` and `image_transform` with `is_train` false. open_clip looks at no
//! other keys, and so does this.

use serde_json::Value;

use super::{PER_BYTE, Preprocess, channels, must_be_native, refused, side};
use crate::model::error::ModelError;
use crate::model::normalize::{MEAN, STD};
use t3b_image::resize::{CropRule, Filter, Framing, Scale};

/// Reads the object.
///
/// # Errors
/// `W015` for a value that open_clip itself would refuse, or a size that is not the model's.
pub(super) fn read(file: &Value, native_px: usize) -> Result<Preprocess, ModelError> {
    let get = |key: &str| file.get(key).filter(|value| !value.is_null());
    let text = |key: &str, default: &str| match get(key) {
        None => Ok(default.to_owned()),
        Some(found) => found.as_str().map(str::to_owned).ok_or_else(|| bad(key, found, "a text")),
    };
    let native = u32::try_from(native_px).unwrap_or(u32::MAX);
    let side_px = match get("size") {
        None => native,
        Some(Value::Array(sides)) if sides.len() == 2 && sides[0] == sides[1] => {
            side("preprocess_cfg.size", &sides[0])?
        }
        Some(found) => side("preprocess_cfg.size", found)?,
    };
    must_be_native("preprocess_cfg.size", side_px, native_px)?;
    match text("mode", "RGB")?.as_str() {
        "RGB" => {}
        other => return Err(bad("mode", &other.into(), "RGB")),
    }
    // `random` is for training; when nothing is random, open_clip takes bicubic for it.
    let filter = match text("interpolation", "bicubic")?.as_str() {
        "bicubic" | "random" => Filter::Bicubic,
        "bilinear" => Filter::Bilinear,
        other => return Err(bad("interpolation", &other.into(), "bicubic or bilinear")),
    };
    let scale = match text("resize_mode", "shortest")?.as_str() {
        "shortest" => Scale::ShortSide(side_px),
        "longest" => Scale::LongSide(side_px),
        "squash" => Scale::Square(side_px),
        other => return Err(bad("resize_mode", &other.into(), "shortest, longest or squash")),
    };
    let normal = |key: &str, default, positive| {
        get(key).map_or(Ok(default), |found| channels(&format!("preprocess_cfg.{key}"), found, positive))
    };
    let fill = get("fill_color").map_or(Ok([0; 3]), colour)?;
    let framing = Framing { scale, filter, crop: CropRule::HalfToEven, fill, side_px };
    let (mean, std) = (normal("mean", MEAN, false)?, normal("std", STD, true)?);
    Ok(Preprocess { framing, rescale: PER_BYTE, mean, std })
}

/// A grey level, or three.
fn colour(found: &Value) -> Result<[u8; 3], ModelError> {
    let level = |value: &Value| value.as_u64().and_then(|level| u8::try_from(level).ok());
    let fill = match found {
        // Pillow takes a number for the first channel of an RGB picture and torchvision for all; open_clip pads by torchvision.
        Value::Number(_) => level(found).map(|level| [level; 3]),
        Value::Array(levels) => {
            levels.iter().map(level).collect::<Option<Vec<u8>>>().and_then(|l| l.try_into().ok())
        }
        _ => None,
    };
    fill.ok_or_else(|| bad("fill_color", found, "a level from 0 to 255, or three"))
}

fn bad(key: &str, found: &Value, allowed: &str) -> ModelError {
    refused(&format!("preprocess_cfg.{key}"), &found.to_string(), allowed)
}
