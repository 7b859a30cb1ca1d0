//! Hugging Face's `config.json` to and from [`ClipConfig`].

use serde_json::{Map, Value, json};

use super::{
    config::{Activation, ClipConfig, LAYER_NORM_EPS, TextKind, TowerConfig, VisionKind, refused},
    error::ModelError,
};

/// No real CLIP has a dimension near it, and no product of the dimensions of one tensor overflows 64 bits below it.
pub(super) const MAX_DIMENSION: usize = 1 << 15;
pub(super) const MAX_VOCABULARY: usize = 1 << 20;
pub(super) const MAX_LAYERS: usize = 256;

impl ClipConfig {
    /// Reads a configuration of either kind: Hugging Face's or open_clip's, which has a `model_cfg`.
    ///
    /// # Errors
    /// As [`from_hf_json`](Self::from_hf_json) and [`from_open_clip_json`](Self::from_open_clip_json).
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let root = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        if root.contains_key("model_cfg") {
            Self::from_open_clip_json(text, None)
        } else {
            Self::from_hf_json(text)
        }
    }

    /// Whether a Hugging Face `config.json` is about a whole model and not about some tower of it.
    pub(super) fn is_clip_like(text: &str) -> bool {
        let root = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        match root.get("model_type").and_then(Value::as_str) {
            None => root.contains_key("vision_config") || root.contains_key("text_config"),
            Some(kind) => kind.starts_with("clip") || kind.starts_with("siglip"),
        }
    }

    /// The architecture that a `config.json` of the image half alone describes, its text half a default; `None` for others.
    ///
    /// # Errors
    /// As [`from_hf_json`](Self::from_hf_json).
    pub(super) fn of_vision_half(text: &str) -> Result<Option<Self>, ModelError> {
        let root = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let whole = match root.get("model_type").and_then(Value::as_str) {
            Some("clip_vision_model") => "clip",
            Some("siglip_vision_model") => "siglip",
            _ => return Ok(None),
        };
        let width = root.get("hidden_size").cloned().unwrap_or_else(|| 768.into());
        let root = json!({
            "model_type": whole,
            "vision_config": root,
            "text_config": { "projection_size": width },
        });
        Self::from_hf_json(&root.to_string()).map(Some)
    }

    /// Reads a Hugging Face `config.json`. A key that is absent or `null` has the default of
    /// `transformers.CLIPTextConfig` and `CLIPVisionConfig`; a `text_config_dict` or `vision_config_dict` wins over its
    /// `*_config`, as there. Keys that do not shape inference (dropout, initialisers) are not looked at.
    ///
    /// # Errors
    /// `W013` with the key, what was found and what is allowed: not JSON, another `model_type`, a size that is zero,
    /// absurd or not divisible as it must be, an unknown activation, or an `eos_token_id` with
    /// which `transformers` would pool another token than end-of-text.
    pub fn from_hf_json(text: &str) -> Result<Self, ModelError> {
        let root: Value =
            serde_json::from_str(text).map_err(|_| refused("config.json", "no JSON", "a JSON object"))?;
        let root = root.as_object().ok_or_else(|| refused("config.json", "no object", "a JSON object"))?;
        let root = Section { name: "", keys: Some(root) };
        match root.get("model_type").and_then(Value::as_str) {
            Some("siglip") => return Self::from_siglip(&root),
            Some("clip_vision_model" | "siglip_vision_model") => {
                let allowed = "clip or siglip; an image half can be the expert of a whole model";
                return Err(refused("model_type", "the image half alone", allowed));
            }
            _ => root.must_be("model_type", "clip")?,
        }
        let vision = root.sub("vision_config")?;
        let text = root.sub("text_config")?;
        let defaults = (Activation::QuickGelu, LAYER_NORM_EPS);
        let checked = Self {
            vision: vision.tower(768, 3072, 12, defaults)?,
            text: text.tower(512, 2048, 8, defaults)?,
            vision_kind: VisionKind::Clip,
            text_kind: TextKind::Clip,
            image_px: vision.size("image_size", 224, MAX_DIMENSION)?,
            patch_px: vision.size("patch_size", 32, MAX_DIMENSION)?,
            context_tokens: text.size("max_position_embeddings", 77, MAX_DIMENSION)?,
            vocab_size: text.size("vocab_size", 49_408, MAX_VOCABULARY)?,
            projection: root.size("projection_dim", 512, MAX_DIMENSION)?,
            logit_bias: false,
        };
        vision.is_picture(&checked)?;
        text.end_of_text_is_last(checked.vocab_size)?;
        Ok(checked)
    }

    /// SigLIP's, and that of SigLIP 2 at a fixed size, which is the same class.
    fn from_siglip(root: &Section<'_>) -> Result<Self, ModelError> {
        let vision = root.sub("vision_config")?;
        let text = root.sub("text_config")?;
        let defaults = (Activation::GeluTanh, 1e-6);
        let towers = (vision.tower(768, 3072, 12, defaults)?, text.tower(768, 3072, 12, defaults)?);
        let checked = Self {
            vision_kind: VisionKind::Siglip,
            text_kind: TextKind::Siglip,
            image_px: vision.size("image_size", 224, MAX_DIMENSION)?,
            patch_px: vision.size("patch_size", 16, MAX_DIMENSION)?,
            context_tokens: text.size("max_position_embeddings", 64, MAX_DIMENSION)?,
            vocab_size: text.size("vocab_size", 32_000, MAX_VOCABULARY)?,
            projection: text.size("projection_size", towers.1.width, MAX_DIMENSION)?,
            vision: towers.0,
            text: towers.1,
            logit_bias: true,
        };
        // A side that is no multiple of the patch leaves pixels out, as a convolution does (384 px in patches of 14).
        vision.has_three_channels()?;
        if vision.get("vision_use_head").is_some_and(|found| *found != Value::Bool(true)) {
            return Err(refused("vision_config.vision_use_head", "false", "true"));
        }
        if checked.projection != checked.vision.width {
            let found = checked.projection.to_string();
            let allowed = format!("{}, the image tower's width", checked.vision.width);
            return Err(refused("text_config.projection_size", &found, &allowed));
        }
        Ok(checked)
    }

    /// The same architecture as a Hugging Face `config.json` with every key written out. What transformers has no class for is
    /// a flat list of the same keys, which names the architecture and is no file of theirs.
    #[must_use]
    pub fn to_hf_json(&self) -> String {
        match (self.vision_kind, &self.text_kind) {
            (VisionKind::Clip, TextKind::Clip) => self.to_clip_json(),
            (VisionKind::Siglip, TextKind::Siglip) => self.to_siglip_json(),
            _ => {
                let keys = self.told().into_iter().map(|(key, value)| (key.to_owned(), Value::from(value)));
                format!("{:#}\n", Value::Object(keys.collect()))
            }
        }
    }

    fn to_siglip_json(&self) -> String {
        let mut text = self.text.to_hf();
        text.extend([
            ("max_position_embeddings".to_owned(), json!(self.context_tokens)),
            ("vocab_size".to_owned(), json!(self.vocab_size)),
            ("projection_size".to_owned(), json!(self.projection)),
        ]);
        let mut vision = self.vision.to_hf();
        vision.extend([
            ("image_size".to_owned(), json!(self.image_px)),
            ("patch_size".to_owned(), json!(self.patch_px)),
            ("num_channels".to_owned(), json!(3)),
        ]);
        let root = json!({
            "architectures": ["SiglipModel"],
            "model_type": "siglip",
            "text_config": text,
            "vision_config": vision,
        });
        format!("{root:#}\n")
    }

    fn to_clip_json(&self) -> String {
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
            ("layer_norm_eps".to_owned(), json!(self.norm_eps)),
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

    fn tower(
        &self,
        width: usize,
        mlp_width: usize,
        heads: usize,
        (activation, norm_eps): (Activation, f64),
    ) -> Result<TowerConfig, ModelError> {
        let activation = match self.get("hidden_act") {
            None => activation,
            Some(found) => activation_named(found.as_str().unwrap_or_default()).ok_or_else(|| {
                let allowed = "quick_gelu, gelu or gelu_pytorch_tanh";
                refused(&self.dotted("hidden_act"), &found.to_string(), allowed)
            })?,
        };
        let norm_eps = match self.get("layer_norm_eps") {
            None => norm_eps,
            Some(found) => {
                let eps = found.as_f64().filter(|eps| (1e-15..=1e-2).contains(eps));
                eps.ok_or_else(|| {
                    refused(&self.dotted("layer_norm_eps"), &found.to_string(), "1e-15 to 0.01")
                })?
            }
        };
        let tower = TowerConfig {
            width: self.size("hidden_size", width, MAX_DIMENSION)?,
            mlp_width: self.size("intermediate_size", mlp_width, MAX_DIMENSION)?,
            layers: self.size("num_hidden_layers", 12, MAX_LAYERS)?,
            heads: self.size("num_attention_heads", heads, MAX_DIMENSION)?,
            activation,
            norm_eps,
        };
        self.must_divide("num_attention_heads", tower.heads, tower.width)?;
        Ok(tower)
    }

    /// Patches fill the picture, and it has three channels.
    fn is_picture(&self, config: &ClipConfig) -> Result<(), ModelError> {
        self.must_divide("patch_size", config.patch_px, config.image_px)?;
        self.has_three_channels()
    }

    fn has_three_channels(&self) -> Result<(), ModelError> {
        if self.size("num_channels", 3, MAX_DIMENSION)? != 3 {
            return Err(refused("vision_config.num_channels", "another number", "3"));
        }
        Ok(())
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

/// The activation of that name; transformers has three names for the tanh approximation.
pub(super) fn activation_named(name: &str) -> Option<Activation> {
    match name {
        "quick_gelu" => Some(Activation::QuickGelu),
        "gelu" => Some(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Some(Activation::GeluTanh),
        _ => None,
    }
}
