//! open_clip's `open_clip_config.json` to [`ClipConfig`].
//!
//! Reference: open_clip 3, `model.py`, `CLIPVisionCfg` and `CLIPTextCfg`. A key that is not listed here may change what the
//! model computes, so it is refused and not ignored, unless it has open_clip's own default.

use serde_json::{Map, Value};

use super::{
    config::{Activation, ClipConfig, LAYER_NORM_EPS, TextKind, TowerConfig, VisionKind, refused},
    config_bert,
    config_json::{MAX_DIMENSION, MAX_LAYERS, MAX_VOCABULARY},
    config_timm,
    error::ModelError,
};

/// Keys that say nothing about inference.
const SILENT: [&str; 17] = [
    "attn_pooler_heads",
    "attn_pooler_queries",
    "custom_text",
    "eos_id",
    "hf_hub_id",
    "hf_model_pretrained",
    "hf_tokenizer_name",
    "init_logit_scale",
    "nonscalar_logit_scale",
    "output_tokens",
    "pad_id",
    "patch_dropout",
    "timm_drop",
    "timm_drop_path",
    "timm_model_pretrained",
    "tokenizer_kwargs",
    "tokenizer_mode",
];

/// Keys that are carried at open_clip's default alone.
const DEFAULTS: [(&str, &str); 3] =
    [("pos_embed_type", "learnable"), ("block_type", "default"), ("proj_type", "linear")];

const VISION: [&str; 9] = [
    "act_kwargs",
    "head_width",
    "image_size",
    "layers",
    "mlp_ratio",
    "norm_kwargs",
    "patch_size",
    "pool_type",
    "width",
];
const TIMM: [&str; 9] = [
    "timm_model_name",
    "timm_pool",
    "timm_proj",
    "image_size",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
];
const TEXT: [&str; 11] = [
    "act_kwargs",
    "context_length",
    "heads",
    "layers",
    "mlp_ratio",
    "no_causal_mask",
    "norm_kwargs",
    "pool_type",
    "proj_bias",
    "vocab_size",
    "width",
];
const BERT: [&str; 5] = ["context_length", "hf_model_name", "hf_pooler_type", "hf_proj_type", "vocab_size"];

impl ClipConfig {
    /// Reads an `open_clip_config.json`. Absent keys have open_clip's defaults; `quick_gelu` is false there. `config_json` is
    /// the `config.json` beside it, which may be that of a BERT text tower.
    ///
    /// # Errors
    /// `W013` with the key, what was found and what is allowed: not JSON, a size that is impossible, a key that would change
    /// the architecture, a `ResNet`, or a tower of a family that is not carried.
    pub fn from_open_clip_json(text: &str, config_json: Option<&str>) -> Result<Self, ModelError> {
        let name = "open_clip_config.json";
        let root: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| refused(name, "no JSON object", "a JSON object"))?;
        let model = Keys::of(root.get("model_cfg"), "model_cfg")?;
        let quick_gelu = model.bool("quick_gelu")?;
        model.knows(&["embed_dim", "init_logit_bias", "quick_gelu", "vision_cfg", "text_cfg"])?;
        let projection = model.bounded("embed_dim", 0, MAX_DIMENSION)?;
        let vision = Keys::of(model.keys.get("vision_cfg"), "vision_cfg")?.vision(quick_gelu)?;
        if vision.kind.pools_by_attention() && vision.tower.width != projection {
            let allowed = format!("{}, the image tower's width", vision.tower.width);
            return Err(refused("model_cfg.embed_dim", &projection.to_string(), &allowed));
        }
        let text =
            Keys::of(model.keys.get("text_cfg"), "text_cfg")?.text(quick_gelu, projection, config_json)?;
        Ok(Self {
            vision: vision.tower,
            text: text.tower,
            vision_kind: vision.kind,
            text_kind: text.kind,
            image_px: vision.image_px,
            patch_px: vision.patch_px,
            context_tokens: text.context_tokens,
            vocab_size: text.vocab_size,
            projection,
            logit_bias: model.keys.get("init_logit_bias").is_some_and(|bias| !bias.is_null()),
        })
    }
}

struct Vision {
    tower: TowerConfig,
    kind: VisionKind,
    image_px: usize,
    patch_px: usize,
}

struct Text {
    tower: TowerConfig,
    kind: TextKind,
    context_tokens: usize,
    vocab_size: usize,
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

    fn vision(&self, quick_gelu: bool) -> Result<Vision, ModelError> {
        if let Some(name) = self.get("timm_model_name") {
            return self.timm(name);
        }
        self.knows(&VISION)?;
        self.must_be("pool_type", "tok")?;
        let width = self.size("width", 768)?;
        let head_width = self.size("head_width", 64)?;
        self.divides("head_width", head_width, width)?;
        let (image_px, patch_px) = (self.size("image_size", 224)?, self.size("patch_size", 16)?);
        self.divides("patch_size", patch_px, image_px)?;
        let tower = self.tower(width, width / head_width, quick_gelu)?;
        Ok(Vision { tower, kind: VisionKind::Clip, image_px, patch_px })
    }

    fn timm(&self, name: &Value) -> Result<Vision, ModelError> {
        let known = name.as_str().and_then(config_timm::named).ok_or_else(|| {
            let allowed = "vit_SIZE_patchN_PX with a class token, or vit_SIZE_patchN_siglip_PX";
            self.refused("timm_model_name", name, allowed)
        })?;
        self.knows(&TIMM)?;
        if known.kind == VisionKind::Siglip {
            self.must_be("timm_pool", "map")?;
            self.must_have("timm_proj", "none", &["none"])?;
        } else {
            // An empty pool leaves timm's own, which is the class token.
            self.must_have("timm_pool", "avg", &["", "token"])?;
            self.must_have("timm_proj", "linear", &["linear"])?;
        }
        let image_px = self.size("image_size", known.image_px)?;
        Ok(Vision { tower: known.tower, kind: known.kind, image_px, patch_px: known.patch_px })
    }

    fn text(
        &self,
        quick_gelu: bool,
        projection: usize,
        config_json: Option<&str>,
    ) -> Result<Text, ModelError> {
        if let Some(name) = self.get("hf_model_name") {
            return self.bert(name, projection, config_json);
        }
        self.knows(&TEXT)?;
        let is_siglip = self.bool("no_causal_mask")?;
        let (pool, bias) = if is_siglip { ("last", true) } else { ("argmax", false) };
        self.must_have("pool_type", "argmax", &[pool])?;
        if self.bool("proj_bias")? != bias {
            return Err(self.refused("proj_bias", &Value::Bool(!bias), &bias.to_string()));
        }
        let (width, heads) = (self.size("width", 512)?, self.size("heads", 8)?);
        self.divides("heads", heads, width)?;
        Ok(Text {
            tower: self.tower(width, heads, quick_gelu)?,
            kind: if is_siglip { TextKind::Siglip } else { TextKind::Clip },
            context_tokens: self.size("context_length", 77)?,
            vocab_size: self.bounded("vocab_size", 49_408, MAX_VOCABULARY)?,
        })
    }

    fn bert(&self, name: &Value, projection: usize, config_json: Option<&str>) -> Result<Text, ModelError> {
        self.knows(&BERT)?;
        self.must_have("hf_pooler_type", "cls_pooler", &["cls_last_hidden_state_pooler"])?;
        self.must_have("hf_proj_type", "mlp", &["mlp", "linear"])?;
        let mut bert = config_bert::read(name.as_str().unwrap_or_default(), config_json)?;
        let is_mlp = self.get("hf_proj_type").is_none_or(|kind| kind == "mlp");
        bert.shape.projection_hidden = is_mlp.then_some(usize::midpoint(bert.tower.width, projection));
        let context_tokens = self.size("context_length", 77)?;
        if context_tokens > bert.shape.positions {
            let allowed = format!("at most {}, the positions of the text tower", bert.shape.positions);
            return Err(self.refused("context_length", &context_tokens.into(), &allowed));
        }
        Ok(Text {
            tower: bert.tower,
            kind: TextKind::Bert(bert.shape),
            context_tokens,
            vocab_size: bert.vocab_size,
        })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    fn refused(&self, key: &str, found: &Value, allowed: &str) -> ModelError {
        refused(&format!("{}.{key}", self.name), &found.to_string(), allowed)
    }

    fn knows(&self, known: &[&str]) -> Result<(), ModelError> {
        for (key, found) in self.keys {
            // Null and false switch a feature off, which is what this program computes.
            let off = found.is_null() || found == &Value::Bool(false);
            let is_default = DEFAULTS.iter().any(|(name, default)| name == key && found == default);
            if !(off || is_default || known.contains(&key.as_str()) || SILENT.contains(&key.as_str())) {
                return Err(self.refused(key, found, "no such key"));
            }
        }
        Ok(())
    }

    fn must_be(&self, key: &str, wanted: &str) -> Result<(), ModelError> {
        self.must_have(key, wanted, &[wanted])
    }

    /// The text under `key`, or open_clip's default, is one of the allowed.
    fn must_have(&self, key: &str, default: &str, allowed: &[&str]) -> Result<(), ModelError> {
        let found = self.get(key).map_or_else(|| Value::from(default), Value::clone);
        if found.as_str().is_some_and(|found| allowed.contains(&found)) {
            return Ok(());
        }
        let listed: Vec<String> = allowed.iter().map(|text| format!("{text:?}")).collect();
        Err(self.refused(key, &found, &listed.join(" or ")))
    }

    fn bool(&self, key: &str) -> Result<bool, ModelError> {
        match self.get(key) {
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
                let stages = Value::from("stages of a ResNet");
                return Err(self.refused(key, &stages, "a number: no ResNet image towers"));
            }
            // A square may be written as both of its sides.
            Some(Value::Array(sides)) if sides.len() == 2 && sides[0] == sides[1] => &sides[0],
            Some(found) => found,
        };
        let size = found.as_u64().and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (1..=most).contains(size));
        size.ok_or_else(|| self.refused(key, found, &format!("1 to {most}")))
    }

    fn divides(&self, key: &str, part: usize, whole: usize) -> Result<(), ModelError> {
        if whole.is_multiple_of(part) {
            return Ok(());
        }
        Err(self.refused(key, &part.into(), &format!("a divisor of {whole}")))
    }

    /// One number of an object of keyword arguments, whose other keys are refused.
    fn only(&self, key: &str, inner: &str) -> Result<Option<&'a Value>, ModelError> {
        let Some(found) = self.get(key) else { return Ok(None) };
        match found.as_object() {
            Some(keys) if keys.keys().all(|name| name == inner) => Ok(keys.get(inner)),
            _ => Err(self.refused(key, found, &format!("an object with {inner} alone"))),
        }
    }

    fn tower(&self, width: usize, heads: usize, quick_gelu: bool) -> Result<TowerConfig, ModelError> {
        let ratio = self.keys.get("mlp_ratio").map_or(Some(4.0), Value::as_f64);
        let ratio = ratio.filter(|ratio| (0.1..=64.0).contains(ratio));
        let ratio = ratio.ok_or_else(|| self.refused("mlp_ratio", &self.keys["mlp_ratio"], "0.1 to 64"))?;
        let layers = self.bounded("layers", 12, MAX_LAYERS)?;
        let activation = match self.only("act_kwargs", "approximate")? {
            None if quick_gelu => Activation::QuickGelu,
            None => Activation::Gelu,
            Some(found) => match (found.as_str(), quick_gelu) {
                (Some("tanh"), false) => Activation::GeluTanh,
                (Some("none"), false) => Activation::Gelu,
                _ => {
                    return Err(self.refused(
                        "act_kwargs.approximate",
                        found,
                        "tanh or none, without quick_gelu",
                    ));
                }
            },
        };
        let norm_eps = self.only("norm_kwargs", "eps")?.map_or(Some(LAYER_NORM_EPS), Value::as_f64);
        let norm_eps = norm_eps.filter(|eps| (1e-15..=1e-2).contains(eps));
        let norm_eps = norm_eps.ok_or_else(|| {
            self.refused("norm_kwargs", &self.keys["norm_kwargs"], "an eps of 1e-15 to 0.01")
        })?;
        let mlp_width = (width as f64 * ratio) as usize;
        Ok(TowerConfig { width, mlp_width, layers, heads, activation, norm_eps })
    }
}
