//! `adapter_config.json`: what the factors mean.

use serde_json::{Map, Value};

use super::{initial::Initial, refused::refused};
use crate::model::error::ModelError;
use crate::model::files::ADAPTER_CONFIG;

/// Keys that say nothing about the merged weights, or are read elsewhere here.
const SILENT: [&str; 27] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
];

/// Rank and factor of every module, and what else decides the weights.
#[derive(Debug)]
pub(super) struct Settings {
    rank: f64,
    alpha: f64,
    /// Divides by the root of the rank.
    rank_stabilised: bool,
    ranks: Map<String, Value>,
    alphas: Map<String, Value>,
    /// What the initialisation took out of the base.
    pub(super) initial: Initial,
    /// The half of the model whose class has no prefix before its names: `vision_model.` or `text_model.`.
    pub(super) half: Option<&'static str>,
}

impl Settings {
    /// Reads the file. A key this does not know, with a value that is not empty, may change the weights and is refused.
    pub(super) fn read(json: &[u8]) -> Result<Self, ModelError> {
        let config: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|_| refused(ADAPTER_CONFIG, "no JSON object", "a JSON object"))?;
        match config.get("peft_type") {
            Some(found) if found.as_str() != Some("LORA") => {
                return Err(refused("peft_type", &found.to_string(), "LORA"));
            }
            _ => {}
        }
        let unknown = config.iter().find(|(key, value)| {
            !SILENT.contains(&key.as_str()) && key.as_str() != "peft_type" && !is_empty(value)
        });
        if let Some((key, value)) = unknown {
            let allowed = if matches!(value, Value::Bool(_)) { "false" } else { "null" };
            return Err(refused(key, &value.to_string(), allowed));
        }
        let number = |key: &str| {
            let value = config.get(key).and_then(Value::as_f64).filter(|value| *value > 0.0);
            value.ok_or_else(|| refused(key, "no number", "a positive number"))
        };
        let pattern = |key: &str| {
            let found = config.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
            let plain =
                |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            match found.keys().find(|name| !plain(name)) {
                Some(name) => Err(refused(key, name, "the ends of module names")),
                None => Ok(found),
            }
        };
        let class = config.get("auto_mapping").and_then(|mapping| mapping.get("base_model_class"));
        let class = class.and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            rank: number("r")?,
            alpha: number("lora_alpha")?,
            rank_stabilised: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
            ranks: pattern("rank_pattern")?,
            alphas: pattern("alpha_pattern")?,
            initial: Initial::named(config.get("init_lora_weights"))?,
            half: match class {
                class if class.contains("Vision") => Some("vision_model."),
                class if class.contains("Text") => Some("text_model."),
                _ => None,
            },
        })
    }

    pub(super) fn rank(&self, module: &str) -> usize {
        of_module(&self.ranks, module).unwrap_or(self.rank) as usize
    }

    pub(super) fn scale(&self, module: &str) -> f64 {
        let rank = self.rank(module) as f64;
        let divisor = if self.rank_stabilised { rank.sqrt() } else { rank };
        of_module(&self.alphas, module).unwrap_or(self.alpha) / divisor
    }
}

/// Null, false, and what has nothing in it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// The value whose key is the module, or its end at a dot.
fn of_module(pattern: &Map<String, Value>, module: &str) -> Option<f64> {
    let is_end =
        |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    pattern.iter().find(|(key, _)| is_end(key)).and_then(|(_, value)| value.as_f64())
}
