//! open_clip's `open_clip_config.json` to [`ClipConfig`].
//!
//! Reference: open_clip 3, `model.py`, `CLIPVisionCfg` and `CLIPTextCfg`. A key that is not listed here may change what the
//! model computes, so it is refused and not ignored.

use serde_json::{Map, Value};

use super::{
    config::{Activation, ClipConfig, TowerConfig, refused},
    config_json::{MAX_DIMENSION, MAX_LAYERS, MAX_VOCABULARY},
    error::ModelError,
    normalize::{MEAN, STD},
};

/// Keys that say nothing about inference.
const SILENT: [&str; 2] = ["hf_hub_id", "custom_text"];
/// Another kind of image tower, or of text tower with a tokenizer of its own.
const OTHER_TOWERS: [&str; 2] = ["timm_model_name", "hf_model_name"];

impl ClipConfig {
    /// Reads an `open_clip_config.json`. Absent keys have open_clip's defaults; `quick_gelu` is false there.
    ///
    /// # Errors
    /// `W013` with the key, what was found and what is allowed: not JSON, a size that is impossible, a key that would change
    /// the architecture, another normalisation than OpenAI's, a `ResNet`, or a tower of another family (BiomedCLIP's are
    /// timm's ViT and a BERT: ARCHITECTURE.md says what carrying them would take).
    pub fn from_open_clip_json(text: &str) -> Result<Self, ModelError> {
        let name = "open_clip_config.json";
        let root: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| refused(name, "no JSON object", "a JSON object"))?;
        if let Some(preprocess) = root.get("preprocess_cfg") {
            normalisation_is_openai(preprocess)?;
        }
        let model = Keys::of(root.get("model_cfg"), "model_cfg")?;
        let quick_gelu = model.bool("quick_gelu")?;
        let activation = if quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        model.knows(&["embed_dim", "quick_gelu", "vision_cfg", "text_cfg"])?;
        let vision = Keys::of(model.keys.get("vision_cfg"), "vision_cfg")?;
        let text = Keys::of(model.keys.get("text_cfg"), "text_cfg")?;
        vision.knows(&["image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"])?;
        text.knows(&["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"])?;
        let width = vision.size("width", 768)?;
        let head_width = vision.size("head_width", 64)?;
        if !width.is_multiple_of(head_width) {
            return Err(refused(
                "vision_cfg.head_width",
                &head_width.to_string(),
                &format!("a divisor of {width}"),
            ));
        }
        let config = Self {
            vision: vision.tower(width, width / head_width, activation)?,
            text: text.tower(text.size("width", 512)?, text.size("heads", 8)?, activation)?,
            image_px: vision.size("image_size", 224)?,
            patch_px: vision.size("patch_size", 16)?,
            context_tokens: text.size("context_length", 77)?,
            vocab_size: text.bounded("vocab_size", 49_408, MAX_VOCABULARY)?,
            projection: model.bounded("embed_dim", 0, MAX_DIMENSION)?,
        };
        let sides = [
            ("vision_cfg.patch_size", config.patch_px, config.image_px),
            ("text_cfg.heads", config.text.heads, config.text.width),
        ];
        match sides.into_iter().find(|(_, part, whole)| !whole.is_multiple_of(*part)) {
            Some((key, part, whole)) => {
                Err(refused(key, &part.to_string(), &format!("a divisor of {whole}")))
            }
            None => Ok(config),
        }
    }
}

fn normalisation_is_openai(preprocess: &Value) -> Result<(), ModelError> {
    for (key, wanted) in [("mean", MEAN), ("std", STD)] {
        let wanted: Vec<Value> = wanted.into_iter().map(Value::from).collect();
        match preprocess.get(key) {
            Some(found) if found.as_array() != Some(&wanted) => {
                return Err(refused(&format!("preprocess_cfg.{key}"), &found.to_string(), "OpenAI's"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An object of the file and its name.
struct Keys<'a> {
    name: &'static str,
    keys: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn of(found: Option<&'a Value>, name: &'static str) -> Result<Self, ModelError> {
        match found.and_then(Value::as_object) {
            Some(keys) => Ok(Self { name, keys }),
            None => Err(refused(name, "no object", "an object")),
        }
    }

    fn refused(&self, key: &str, found: &Value, allowed: &str) -> ModelError {
        refused(&format!("{}.{key}", self.name), &found.to_string(), allowed)
    }

    fn knows(&self, known: &[&str]) -> Result<(), ModelError> {
        for (key, found) in self.keys {
            if OTHER_TOWERS.contains(&key.as_str()) {
                return Err(self.refused(
                    key,
                    found,
                    "CLIP's own ViT and text transformer; no timm or BERT towers",
                ));
            }
            // Null and false switch a feature off, which is what this program computes.
            let off = found.is_null() || found == &Value::Bool(false);
            if !off && !known.contains(&key.as_str()) && !SILENT.contains(&key.as_str()) {
                return Err(self.refused(key, found, "no such key"));
            }
        }
        Ok(())
    }

    fn bool(&self, key: &str) -> Result<bool, ModelError> {
        match self.keys.get(key) {
            None => Ok(false),
            Some(found) => found.as_bool().ok_or_else(|| self.refused(key, found, "true or false")),
        }
    }

    fn size(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        self.bounded(key, default, MAX_DIMENSION)
    }

    /// The number under `key`; a default of 0 means that there is none.
    fn bounded(&self, key: &str, default: usize, most: usize) -> Result<usize, ModelError> {
        let found = match self.keys.get(key) {
            None if default > 0 => return Ok(default),
            None => &Value::Null,
            Some(Value::Array(_)) if key == "layers" => {
                return Err(self.refused(
                    key,
                    &Value::from("stages of a ResNet"),
                    "a number: no ResNet image towers",
                ));
            }
            Some(found) => found,
        };
        let size = found.as_u64().and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (1..=most).contains(size));
        size.ok_or_else(|| self.refused(key, found, &format!("1 to {most}")))
    }

    fn tower(&self, width: usize, heads: usize, activation: Activation) -> Result<TowerConfig, ModelError> {
        let ratio = self.keys.get("mlp_ratio").map_or(Some(4.0), Value::as_f64);
        let ratio = ratio.filter(|ratio| (0.1..=64.0).contains(ratio));
        let ratio = ratio.ok_or_else(|| self.refused("mlp_ratio", &self.keys["mlp_ratio"], "0.1 to 64"))?;
        let layers = self.bounded("layers", 12, MAX_LAYERS)?;
        Ok(TowerConfig { width, mlp_width: (width as f64 * ratio) as usize, layers, heads, activation })
    }
}
