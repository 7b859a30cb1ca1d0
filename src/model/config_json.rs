//! Hugging Face's `config.json` to and from [`ClipConfig`].

use serde_json::{Map, Value, json};

use super::{
    config::{Activation, ClipConfig, LAYER_NORM_EPS, TowerConfig, refused},
    error::ModelError,
};

/// No real CLIP has a dimension near it, and no product of the dimensions of one tensor overflows 64 bits below it.
pub(super) const MAX_DIMENSION: usize = 1 << 15;
pub(super) const MAX_VOCABULARY: usize = 1 << 16;
pub(super) const MAX_LAYERS: usize = 256;

impl ClipConfig {
    /// Reads a configuration of either kind: Hugging Face's or open_clip's, which has a `model_cfg`.
    ///
    /// # Errors
    /// As [`from_hf_json`](Self::from_hf_json) and [`from_open_clip_json`](Self::from_open_clip_json).
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let root = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        if root.contains_key("model_cfg") {
            Self::from_open_clip_json(text)
        } else {
            Self::from_hf_json(text)
        }
    }

    /// Whether a Hugging Face `config.json` is that of the image half alone.
    pub(super) fn is_vision_only(text: &str) -> bool {
        let root = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        root.get("model_type").and_then(Value::as_str) == Some("clip_vision_model")
    }

    /// Reads a Hugging Face `config.json`. A key that is absent or `null` has the default of
    /// `transformers.CLIPTextConfig` and `CLIPVisionConfig`; a `text_config_dict` or `vision_config_dict` wins over its
    /// `*_config`, as there. Keys that do not shape inference (dropout, initialisers) are not looked at.
    ///
    /// # Errors
    /// `W013` with the key, what was found and what is allowed: not JSON, another `model_type`, a size that is zero,
    /// absurd or not divisible as it must be, an unknown activation, another layer-norm epsilon, or an `eos_token_id` with
    /// which `transformers` would pool another token than end-of-text.
    pub fn from_hf_json(text: &str) -> Result<Self, ModelError> {
        let root: Value =
            serde_json::from_str(text).map_err(|_| refused("config.json", "no JSON", "a JSON object"))?;
        let root = root.as_object().ok_or_else(|| refused("config.json", "no object", "a JSON object"))?;
        let root = Section { name: "", keys: Some(root) };
        root.must_be("model_type", "clip")?;
        let vision = root.sub("vision_config")?;
        let text = root.sub("text_config")?;
        let checked = Self {
            vision: vision.tower(768, 3072, 12)?,
            text: text.tower(512, 2048, 8)?,
            image_px: vision.size("image_size", 224, MAX_DIMENSION)?,
            patch_px: vision.size("patch_size", 32, MAX_DIMENSION)?,
            context_tokens: text.size("max_position_embeddings", 77, MAX_DIMENSION)?,
            vocab_size: text.size("vocab_size", 49_408, MAX_VOCABULARY)?,
            projection: root.size("projection_dim", 512, MAX_DIMENSION)?,
        };
        vision.must_divide("patch_size", checked.patch_px, checked.image_px)?;
        if vision.size("num_channels", 3, MAX_DIMENSION)? != 3 {
            return Err(refused("vision_config.num_channels", "another number", "3"));
        }
        text.end_of_text_is_last(checked.vocab_size)?;
        Ok(checked)
    }

    /// The same architecture as a Hugging Face `config.json` with every key written out.
    #[must_use]
    pub fn to_hf_json(&self) -> String {
        let end_of_text = self.vocab_size - 1;
        let mut text = self.text.to_hf();
        text.extend([
            ("max_position_embeddings".to_owned(), json!(self.context_tokens)),
            ("vocab_size".to_owned(), json!(self.vocab_size)),
            ("projection_dim".to_owned(), json!(self.projection)),
            ("bos_token_id".to_owned(), json!(self.vocab_size.saturating_sub(2))),
            ("eos_token_id".to_owned(), json!(end_of_text)),
            ("pad_token_id".to_owned(), json!(end_of_text)),
        ]);
        let mut vision = self.vision.to_hf();
        vision.extend([
            ("image_size".to_owned(), json!(self.image_px)),
            ("patch_size".to_owned(), json!(self.patch_px)),
            ("num_channels".to_owned(), json!(3)),
            ("projection_dim".to_owned(), json!(self.projection)),
        ]);
        let root = json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": self.projection,
            "text_config": text,
            "vision_config": vision,
        });
        format!("{root:#}\n")
    }
}

impl TowerConfig {
    fn to_hf(&self) -> Map<String, Value> {
        Map::from_iter([
            ("hidden_size".to_owned(), json!(self.width)),
            ("intermediate_size".to_owned(), json!(self.mlp_width)),
            ("num_hidden_layers".to_owned(), json!(self.layers)),
            ("num_attention_heads".to_owned(), json!(self.heads)),
            ("hidden_act".to_owned(), json!(self.activation.name())),
            ("layer_norm_eps".to_owned(), json!(LAYER_NORM_EPS)),
        ])
    }
}

/// One JSON object of the file, with the dotted name its keys are reported under.
struct Section<'a> {
    name: &'static str,
    keys: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.keys.and_then(|keys| keys.get(key)).filter(|value| !value.is_null())
    }

    fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn sub(&self, name: &'static str) -> Result<Section<'a>, ModelError> {
        let Some(found) = self.get(&format!("{name}_dict")).or_else(|| self.get(name)) else {
            return Ok(Section { name, keys: None });
        };
        let keys = found.as_object().ok_or_else(|| refused(name, &found.to_string(), "an object"))?;
        Ok(Section { name, keys: Some(keys) })
    }

    fn must_be(&self, key: &str, wanted: &str) -> Result<(), ModelError> {
        match self.get(key) {
            Some(found) if found.as_str() != Some(wanted) => {
                Err(refused(&self.dotted(key), &found.to_string(), wanted))
            }
            _ => Ok(()),
        }
    }

    fn size(&self, key: &str, default: usize, most: usize) -> Result<usize, ModelError> {
        let Some(found) = self.get(key) else { return Ok(default) };
        found
            .as_u64()
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| (1..=most).contains(value))
            .ok_or_else(|| refused(&self.dotted(key), &found.to_string(), &format!("1 to {most}")))
    }

    fn tower(&self, width: usize, mlp_width: usize, heads: usize) -> Result<TowerConfig, ModelError> {
        let activation = match self.get("hidden_act").map(|found| (found.as_str(), found)) {
            None | Some((Some("quick_gelu"), _)) => Activation::QuickGelu,
            Some((Some("gelu"), _)) => Activation::Gelu,
            Some((_, found)) => {
                return Err(refused(&self.dotted("hidden_act"), &found.to_string(), "quick_gelu or gelu"));
            }
        };
        let eps = self.get("layer_norm_eps");
        if let Some(found) = eps.filter(|found| found.as_f64() != Some(LAYER_NORM_EPS)) {
            return Err(refused(&self.dotted("layer_norm_eps"), &found.to_string(), "1e-5"));
        }
        let tower = TowerConfig {
            width: self.size("hidden_size", width, MAX_DIMENSION)?,
            mlp_width: self.size("intermediate_size", mlp_width, MAX_DIMENSION)?,
            layers: self.size("num_hidden_layers", 12, MAX_LAYERS)?,
            heads: self.size("num_attention_heads", heads, MAX_DIMENSION)?,
            activation,
        };
        self.must_divide("num_attention_heads", tower.heads, tower.width)?;
        Ok(tower)
    }

    fn must_divide(&self, key: &str, part: usize, whole: usize) -> Result<(), ModelError> {
        if whole.is_multiple_of(part) {
            return Ok(());
        }
        Err(refused(&self.dotted(key), &part.to_string(), &format!("a divisor of {whole}")))
    }

    /// `transformers` pools at the first `eos_token_id`, or at the largest id when that is 2 (an old mistake it keeps);
    /// any other value than the last id would silently pool the start token.
    fn end_of_text_is_last(&self, vocab_size: usize) -> Result<(), ModelError> {
        let found = self.get("eos_token_id").map_or(Some(49_407), Value::as_u64);
        let last = vocab_size as u64 - 1;
        if found == Some(2) || found == Some(last) {
            return Ok(());
        }
        let found = self.get("eos_token_id").map_or("49407 (default)".to_owned(), ToString::to_string);
        Err(refused(&self.dotted("eos_token_id"), &found, &format!("{last} (the last id) or 2")))
    }
}
