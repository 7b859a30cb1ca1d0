//! An image processor's configuration as `transformers` saves it.
//!
//! Reference: transformers 5, `image_processing_backends.py` and the `image_processing_*.py` of CLIP, SigLIP and ViT. The
//! resize is Pillow's (`PilBackend`); torchvision's on tensors, the other backend, differs from it by 1 in some bytes.

use serde_json::{Map, Value};

use super::{HALF, PER_BYTE, Preprocess, channels, must_be_native, refused, side};
use crate::model::error::ModelError;
use crate::model::normalize::{MEAN, STD};
use t3b_image::resize::{CropRule, Filter, Framing, Scale};

/// Keys that change no pixel of one RGB picture at a time.
const SILENT: [&str; 18] = [
    "_processor_class",
    "_valid_processor_keys",
    "auto_map",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "feature_extractor_type",
    "image_processor_type",
    "image_seq_length",
    "input_data_format",
    "model_input_names",
    "processor_class",
    "return_tensors",
    "size_divisor",
    "transformers_version",
    "use_fast",
];

/// The processors whose defaults are known.
#[derive(Clone, Copy, PartialEq)]
enum Processor {
    Clip,
    Siglip,
    Vit,
}

/// Reads one processor.
///
/// # Errors
/// `W015` for a key that is not carried.
pub(super) fn read(file: &Value, native_px: usize, is_siglip: bool) -> Result<Preprocess, ModelError> {
    let keys =
        file.as_object().ok_or_else(|| refused("preprocessor_config.json", "no object", "an object"))?;
    let keys = Keys(keys);
    let processor = keys.processor(is_siglip)?;
    let known = |key: &str| SILENT.contains(&key) || KNOWN.contains(&key);
    let is_off = |value: &Value| value.is_null() || *value == Value::Bool(false);
    if let Some((key, value)) = keys.0.iter().find(|(key, value)| !known(key) && !is_off(value)) {
        return Err(refused(key, &value.to_string(), "no such key"));
    }
    let filter = keys.filter(processor)?;
    let scale = if keys.switch("do_resize", true)? { keys.scale(processor, native_px)? } else { Scale::Keep };
    let side_px = keys.square(processor, scale, native_px)?;
    let normal = |key: &str, own: [f64; 3], positive| match keys.get(key) {
        None if processor == Processor::Clip => Ok(own),
        None => Ok(HALF),
        Some(found) => channels(key, found, positive),
    };
    let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
    if keys.switch("do_normalize", true)? {
        (mean, std) = (normal("image_mean", MEAN, false)?, normal("image_std", STD, true)?);
    }
    let framing = Framing { scale, filter, crop: CropRule::Floor, fill: [0; 3], side_px };
    Ok(Preprocess { framing, rescale: keys.rescale()?, mean, std })
}

const KNOWN: [&str; 11] = [
    "crop_size",
    "do_center_crop",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "image_mean",
    "image_std",
    "resample",
    "rescale_factor",
    "size",
    "use_square_size",
];

struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn switch(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(found) => found.as_bool().ok_or_else(|| refused(key, &found.to_string(), "true or false")),
        }
    }

    fn processor(&self, is_siglip: bool) -> Result<Processor, ModelError> {
        let Some(found) = self.get("image_processor_type").or_else(|| self.get("feature_extractor_type"))
        else {
            return Ok(if is_siglip { Processor::Siglip } else { Processor::Clip });
        };
        let stem = found.as_str().unwrap_or_default();
        let stem = ["ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor"]
            .iter()
            .find_map(|end| stem.strip_suffix(end));
        match stem {
            Some("CLIP") => Ok(Processor::Clip),
            Some("Siglip") => Ok(Processor::Siglip),
            Some("ViT") => Ok(Processor::Vit),
            _ => Err(refused("image_processor_type", &found.to_string(), "CLIP's, SigLIP's or ViT's")),
        }
    }

    fn filter(&self, processor: Processor) -> Result<Filter, ModelError> {
        let Some(found) = self.get("resample") else {
            return Ok(if processor == Processor::Vit { Filter::Bilinear } else { Filter::Bicubic });
        };
        let by_name = || Filter::named(&found.as_str()?.to_ascii_lowercase());
        let filter = found.as_u64().and_then(Filter::numbered).or_else(by_name);
        filter.ok_or_else(|| refused("resample", &found.to_string(), "0 to 5, a filter of Pillow's"))
    }

    fn scale(&self, processor: Processor, native_px: usize) -> Result<Scale, ModelError> {
        let native = u32::try_from(native_px).unwrap_or(u32::MAX);
        let square = self.switch("use_square_size", false)? || processor != Processor::Clip;
        let Some(found) = self.get("size") else {
            // The defaults are 224 for every model; a processor saved without a size meant its own.
            return Ok(if square { Scale::Square(native) } else { Scale::ShortSide(native) });
        };
        match found {
            Value::Object(keys) => {
                let given: Vec<&str> =
                    keys.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str()).collect();
                match given.as_slice() {
                    ["shortest_edge"] => {
                        Ok(Scale::ShortSide(side("size.shortest_edge", &keys["shortest_edge"])?))
                    }
                    ["height", "width"] => self.rectangle("size", keys).map(Scale::Square),
                    _ => Err(refused("size", &found.to_string(), "shortest_edge alone, or height and width")),
                }
            }
            // Old files hold a number: SigLIP's and ViT's are squares there, CLIP's the short side.
            _ if square => side("size", found).map(Scale::Square),
            _ => side("size", found).map(Scale::ShortSide),
        }
    }

    fn rectangle(&self, key: &str, sides: &Map<String, Value>) -> Result<u32, ModelError> {
        let [height, width] = ["height", "width"]
            .map(|name| side(&format!("{key}.{name}"), sides.get(name).unwrap_or(&Value::Null)));
        let (height, width) = (height?, width?);
        if height == width {
            Ok(height)
        } else {
            Err(refused(key, &format!("{height} x {width}"), "a square"))
        }
    }

    /// The side of what comes out.
    fn square(&self, processor: Processor, scale: Scale, native_px: usize) -> Result<u32, ModelError> {
        if self.switch("do_center_crop", processor == Processor::Clip)? {
            let side_px = match self.get("crop_size") {
                None => u32::try_from(native_px).unwrap_or(u32::MAX),
                Some(Value::Object(sides)) => self.rectangle("crop_size", sides)?,
                Some(found) => side("crop_size", found)?,
            };
            must_be_native("crop_size", side_px, native_px)?;
            return Ok(side_px);
        }
        match scale {
            Scale::Square(side_px) => {
                must_be_native("size", side_px, native_px)?;
                Ok(side_px)
            }
            _ => {
                let allowed = "true, or a size of height and width: else pictures keep their shape";
                Err(refused("do_center_crop", "false", allowed))
            }
        }
    }

    fn rescale(&self) -> Result<f64, ModelError> {
        if !self.switch("do_rescale", true)? {
            return Ok(1.0);
        }
        let Some(found) = self.get("rescale_factor") else { return Ok(PER_BYTE) };
        let factor = found.as_f64().filter(|factor| factor.is_finite() && *factor > 0.0);
        factor.ok_or_else(|| refused("rescale_factor", &found.to_string(), "a positive number"))
    }
}
