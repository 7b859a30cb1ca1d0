//! Low-rank updates (LoRA) folded into the weights they update: `W + scale * B A`.
//!
//! Reference: PEFT, `tuners/lora/layer.py`, `Linear.get_delta_weight` and `merge`; `tests/it/layouts.rs` compares with
//! `merge_and_unload`.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    checkpoint::{Checkpoint, Role, pinned},
    error::{Fault, ModelError},
    files::{ADAPTER_CONFIG, Files},
    layout::{self, Kind},
    shards::{Entry, Shards},
    widen,
};

const WEIGHTS: &str = "adapter_model.safetensors";
/// Before every module name in PEFT's files.
const PREFIX: &str = "base_model.model.";
/// Bounds in bytes. An adapter as large as the largest CLIP is none.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_WEIGHTS_BYTES: u64 = 4 << 30;

/// The two factors of an update, `A` `[rank, in]` and `B` `[out, rank]`.
#[derive(Default)]
struct Factors<'a> {
    a: Option<&'a Entry<'a>>,
    b: Option<&'a Entry<'a>>,
}

/// Reads the adapter in `files` and folds it into `base`.
///
/// # Errors
/// As safetensors files; `W013` for anything that is not plain LoRA of linear layers of `base`; `W007`, `W008`.
pub(super) fn fold(
    files: &Files,
    base: &Checkpoint,
    role: Role,
    pin: Option<&str>,
) -> Result<Checkpoint, ModelError> {
    let config_bytes = files.read(ADAPTER_CONFIG, MAX_CONFIG_BYTES)?;
    let scaling = Scaling::read(&config_bytes)?;
    let weights = files.read(WEIGHTS, MAX_WEIGHTS_BYTES)?;
    let sha256 = hex::encode(Sha256::new().chain_update(&config_bytes).chain_update(&weights).finalize());
    let sha256 = pinned(sha256, pin)?;
    let shards = Shards::of(weights);
    let entries = shards.entries()?;
    let linear = linear_layers(base);
    let mut updates = BTreeMap::new();
    for (module, factors) in by_module(&entries)? {
        let name = format!("{module}.weight");
        let Some(shape) = linear.get(&name) else {
            return Err(refused(&module, "an update", "linear layers of the base"));
        };
        let (Some(a), Some(b)) = (factors.a, factors.b) else {
            return Err(refused(&module, "one factor", "lora_A and lora_B"));
        };
        let rank = scaling.rank(&module);
        if a.shape != [rank, shape[1]] || b.shape != [shape[0], rank] {
            let allowed = format!("[{rank},{}] and [{},{rank}]", shape[1], shape[0]);
            return Err(refused(&module, &format!("{:?} and {:?}", a.shape, b.shape), &allowed));
        }
        let update = (tensor(b)?.matmul(&tensor(a)?)? * scaling.scale(&module))?;
        updates.insert(name.clone(), (&base.tensors()[&name] + update)?);
    }
    if updates.is_empty() {
        return Err(refused(WEIGHTS, "no tensors", "at least one update"));
    }
    Ok(base.updated(role, sha256, updates))
}

/// The error for an adapter where a whole model is wanted.
pub(super) fn without_base() -> ModelError {
    refused(ADAPTER_CONFIG, "low-rank updates", "a whole model here; an adapter can be the expert")
}

/// Names and shapes of the matrices that belong to a linear layer.
fn linear_layers(base: &Checkpoint) -> BTreeMap<String, Vec<usize>> {
    let specs = layout::tensors(base.config()).into_iter();
    specs.filter(|s| s.kind == Kind::Matrix && s.shape.len() == 2).map(|s| (s.name, s.shape)).collect()
}

fn by_module<'a>(entries: &'a [Entry<'a>]) -> Result<BTreeMap<String, Factors<'a>>, ModelError> {
    let mut modules = BTreeMap::<String, Factors<'_>>::new();
    for entry in entries {
        let name = entry.name.strip_prefix(PREFIX).unwrap_or(&entry.name);
        let (module, is_a) = match (name.strip_suffix(".lora_A.weight"), name.strip_suffix(".lora_B.weight"))
        {
            (Some(module), _) => (module, true),
            (_, Some(module)) => (module, false),
            _ => return Err(refused(name, "a tensor", "lora_A.weight and lora_B.weight")),
        };
        if !widen::is_accepted(entry.dtype) {
            return Err(refused(name, &format!("{:?}", entry.dtype), "F32, F16 or BF16"));
        }
        let factors = modules.entry(module.to_owned()).or_default();
        *(if is_a { &mut factors.a } else { &mut factors.b }) = Some(entry);
    }
    Ok(modules)
}

fn tensor(entry: &Entry<'_>) -> Result<Tensor, ModelError> {
    let values = widen::to_f32(entry.dtype, entry.bytes);
    if let Some((count, first)) = widen::non_finite(&values) {
        return Err(Fault::NonFinite { name: entry.name.clone(), count, first, other_tensors: 0 }.into());
    }
    Ok(Tensor::from_vec(values, entry.shape.as_slice(), &Device::Cpu)?)
}

/// Rank and factor of every module.
struct Scaling {
    rank: f64,
    alpha: f64,
    /// Divides by the root of the rank.
    rank_stabilised: bool,
    ranks: Map<String, Value>,
    alphas: Map<String, Value>,
}

impl Scaling {
    fn read(json: &[u8]) -> Result<Self, ModelError> {
        let config: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|_| refused(ADAPTER_CONFIG, "no JSON object", "a JSON object"))?;
        must_be(&config, "peft_type", &[Value::from("LORA")], "LORA")?;
        must_be(&config, "bias", &[Value::from("none")], "none")?;
        // Every other variant (DoRA and its like) computes something else from the same factors.
        let variants = config.keys().filter(|key| key.starts_with("use_") && *key != "use_rslora");
        for key in variants.map(String::as_str).chain(["fan_in_fan_out", "lora_bias"]) {
            must_be(&config, key, &[Value::from(false)], "false")?;
        }
        for key in ["modules_to_save", "target_parameters", "layer_replication"] {
            must_be(&config, key, &[Value::Array(Vec::new())], "null")?;
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
        Ok(Self {
            rank: number("r")?,
            alpha: number("lora_alpha")?,
            rank_stabilised: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
            ranks: pattern("rank_pattern")?,
            alphas: pattern("alpha_pattern")?,
        })
    }

    fn rank(&self, module: &str) -> usize {
        of_module(&self.ranks, module).unwrap_or(self.rank) as usize
    }

    fn scale(&self, module: &str) -> f64 {
        let rank = self.rank(module) as f64;
        let divisor = if self.rank_stabilised { rank.sqrt() } else { rank };
        of_module(&self.alphas, module).unwrap_or(self.alpha) / divisor
    }
}

/// The value whose key is the module, or its end at a dot.
fn of_module(pattern: &Map<String, Value>, module: &str) -> Option<f64> {
    let is_end =
        |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    pattern.iter().find(|(key, _)| is_end(key)).and_then(|(_, value)| value.as_f64())
}

/// Absent and null are the default, which is always allowed.
fn must_be(config: &Map<String, Value>, key: &str, allowed: &[Value], text: &str) -> Result<(), ModelError> {
    match config.get(key) {
        Some(found) if !found.is_null() && !allowed.contains(found) => {
            Err(refused(key, &found.to_string(), text))
        }
        _ => Ok(()),
    }
}

fn refused(key: &str, found: &str, allowed: &str) -> ModelError {
    Fault::Adapter { key: key.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }.into()
}
