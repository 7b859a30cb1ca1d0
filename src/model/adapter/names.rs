//! Which tensor of an adapter belongs to which weight of the base.

use std::collections::BTreeMap;

use super::{refused::refused, settings::Settings};
use crate::model::error::ModelError;
use crate::model::layout::{TensorRole, TensorSpec};
use crate::model::shards::Held;
use crate::model::widen;

/// Before every module name in PEFT's files.
const PREFIX: &str = "base_model.model.";
/// Wrappers that PEFT puts around a module, and old files leave in its name.
const WRAPPERS: [&str; 2] = ["base_layer", "modules_to_save"];
/// Names of classes around the model that are looked for at most.
const MAX_OUTER: usize = 3;

/// The tensors of one updated weight.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    /// As in the file, for patterns and messages.
    pub(super) key: &'a str,
    /// `[rank, in]`, for a table `[rank, rows]`.
    pub(super) a: Option<&'a Held>,
    /// `[out, rank]`.
    pub(super) b: Option<&'a Held>,
    /// Of `B`.
    pub(super) bias: Option<&'a Held>,
    /// Learned lengths of the rows (`DoRA`).
    pub(super) lengths: Option<&'a Held>,
    /// Whether the weight is an embedding, whose factors are the other way round.
    pub(super) is_table: bool,
}

/// Every tensor of the file by the weight it is for.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    /// Updates, by the base's name of the module.
    pub(super) modules: BTreeMap<String, Module<'a>>,
    /// Trained as a whole, by the base's name of the tensor: biases and `modules_to_save`.
    pub(super) replaced: BTreeMap<String, &'a Held>,
}

impl<'a> Sorted<'a> {
    pub(super) fn of(
        entries: &'a [Held],
        specs: &BTreeMap<String, TensorSpec>,
        settings: &Settings,
    ) -> Result<Self, ModelError> {
        let mut sorted = Self { modules: BTreeMap::new(), replaced: BTreeMap::new() };
        let mut adapter = None;
        for entry in entries {
            let name = entry.name.strip_prefix(PREFIX).unwrap_or(&entry.name);
            if !widen::is_accepted(entry.dtype) {
                return Err(refused(name, &format!("{:?}", entry.dtype), "F64, F32, F16 or BF16"));
            }
            let Some((key, part)) = name.split_once(".lora_") else {
                sorted.replace(name, entry, specs, settings)?;
                continue;
            };
            let segments: Vec<&str> = part.split('.').collect();
            let (part, of, ends) = match segments.as_slice() {
                [part] => (*part, None, ""),
                [part, end @ ("weight" | "bias")] => (*part, None, *end),
                [part, of] => (*part, Some(*of), ""),
                [part, of, end] => (*part, Some(*of), *end),
                _ => return Err(refused(name, "a tensor", "lora_A, lora_B or lora_magnitude_vector")),
            };
            if *adapter.get_or_insert(of) != of {
                return Err(refused(name, "a second adapter", "one in a file"));
            }
            let base = resolved(key, "weight", specs, settings)
                .ok_or_else(|| refused(key, "an update", "linear layers, kernels or tables of the base"))?;
            let module = sorted.modules.entry(base).or_default();
            module.key = key;
            let place = match (part, ends) {
                ("A", "weight") => &mut module.a,
                ("B", "weight") => &mut module.b,
                ("B", "bias") => &mut module.bias,
                ("embedding_A", _) => &mut module.a,
                ("embedding_B", _) => &mut module.b,
                ("magnitude_vector", _) => &mut module.lengths,
                _ => return Err(refused(name, "a tensor", "lora_A, lora_B or lora_magnitude_vector")),
            };
            *place = Some(entry);
            module.is_table |= part.starts_with("embedding_");
        }
        Ok(sorted)
    }

    fn replace(
        &mut self,
        name: &'a str,
        entry: &'a Held,
        specs: &BTreeMap<String, TensorSpec>,
        settings: &Settings,
    ) -> Result<(), ModelError> {
        let parts: Vec<&str> = name.split('.').collect();
        // `visual_projection.modules_to_save.default.weight` is `visual_projection.weight`.
        let mut plain = Vec::new();
        let mut rest = parts.as_slice();
        while let [part, tail @ ..] = rest {
            let is_wrapper = WRAPPERS.contains(part);
            if !is_wrapper {
                plain.push(*part);
            }
            rest = if *part == "modules_to_save" && tail.len() > 1 { &tail[1..] } else { tail };
        }
        let kind = plain.pop().unwrap_or_default();
        let found = resolved(&plain.join("."), kind, specs, settings);
        let module = found.ok_or_else(|| refused(name, "a tensor", "updates and tensors of the base"))?;
        self.replaced.insert(format!("{module}.{kind}"), entry);
        Ok(())
    }
}

/// The base's name of a module that has a tensor `kind`: as it is, without classes around the model, or in the half that a
/// class without its prefix is.
fn resolved(
    key: &str,
    kind: &str,
    specs: &BTreeMap<String, TensorSpec>,
    settings: &Settings,
) -> Option<String> {
    let is_there = |module: &String| {
        let spec = specs.get(&format!("{module}.{kind}"))?;
        let is_foldable = kind != "weight"
            || matches!(spec.kind, TensorRole::Matrix | TensorRole::Embedding | TensorRole::Gain);
        is_foldable.then(|| module.clone())
    };
    let mut name = key;
    for _ in 0..=MAX_OUTER {
        if let Some(found) = is_there(&name.to_owned()) {
            return Some(found);
        }
        let half = settings.half.map(|half| format!("{half}{name}"));
        if let Some(found) = half.as_ref().and_then(is_there) {
            return Some(found);
        }
        name = name.split_once('.')?.1;
    }
    None
}
