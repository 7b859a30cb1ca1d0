//! What a file is, also where it is no whole model: for `t3b models inspect`.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use super::{
    checkpoint::{Checkpoint, CheckpointSpec},
    convert::{self, Converted},
    error::ModelError,
    files::{ADAPTER_CONFIG, Files, Weights},
    prefix::Renaming,
    shards::Shards,
};

/// Bounds: an image half is at most so long, and a configuration.
const MAX_BYTES: u64 = 16 << 30;
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// What was found.
#[derive(Debug)]
pub enum Look {
    /// A whole model, checked.
    Whole(Box<Checkpoint>),
    /// The image half of one; its names and types are known, its sizes are the base's.
    Half(Tensors),
    /// Low-rank updates, with the keys of their configuration that decide the weights.
    Adapter(Tensors, Vec<(String, String)>),
}

/// Tensors that are no model by themselves.
#[derive(Debug)]
pub struct Tensors {
    /// How many.
    pub n_tensors: usize,
    /// How many of each type.
    pub dtypes: BTreeMap<String, usize>,
    /// What their names lacked or had too much.
    pub renaming: Renaming,
    /// Whether they stand in a pickle, which jobs do not read.
    pub is_pickled: bool,
}

/// Looks at a folder or file; pickles too.
///
/// # Errors
/// As [`Checkpoint::load`] where it is neither a whole model nor a part that a base completes.
pub fn at(path: &Path, spec: &CheckpointSpec) -> Result<Look, ModelError> {
    match convert::read(path, spec) {
        Ok(Converted::Whole(checkpoint)) => Ok(Look::Whole(checkpoint)),
        Ok(Converted::Half(part)) => Ok(Look::Half(tensors_of(&part))),
        Ok(Converted::Adapter(part)) => Ok(Look::Adapter(tensors_of(&part), adapter_keys(&spec.files)?)),
        Err(error) => part(spec)?.ok_or(error),
    }
}

fn tensors_of(part: &convert::Part) -> Tensors {
    Tensors {
        n_tensors: part.n_tensors(),
        dtypes: part.dtypes(),
        renaming: part.renaming.clone(),
        is_pickled: true,
    }
}

/// A part of a model in safetensors.
fn part(spec: &CheckpointSpec) -> Result<Option<Look>, ModelError> {
    let Ok(weights) = spec.files.weights() else { return Ok(None) };
    let Ok(shards) = Shards::open(&spec.files, &weights, MAX_BYTES) else { return Ok(None) };
    let mut entries = shards.entries();
    let renaming = Renaming::of(entries.iter().map(|entry| entry.name.as_str())).unwrap_or_default();
    renaming.apply(&mut entries);
    let mut dtypes = BTreeMap::new();
    for entry in &entries {
        *dtypes.entry(format!("{:?}", entry.dtype)).or_default() += 1;
    }
    let is_half = convert::is_image_half(entries.iter().map(|entry| entry.name.as_str()));
    let tensors = Tensors { n_tensors: entries.len(), dtypes, renaming, is_pickled: false };
    Ok(match weights {
        Weights::Adapter => Some(Look::Adapter(tensors, adapter_keys(&spec.files)?)),
        _ if is_half => Some(Look::Half(tensors)),
        _ => None,
    })
}

/// The keys that decide what is folded.
fn adapter_keys(files: &Files) -> Result<Vec<(String, String)>, ModelError> {
    const KEYS: [&str; 10] = [
        "peft_type",
        "r",
        "lora_alpha",
        "use_rslora",
        "use_dora",
        "bias",
        "init_lora_weights",
        "target_modules",
        "modules_to_save",
        "base_model_name_or_path",
    ];
    let config: Map<String, Value> = files
        .read_if_there(ADAPTER_CONFIG, MAX_CONFIG_BYTES)?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let said = KEYS.iter().filter_map(|key| Some((*key, config.get(*key).filter(|value| !value.is_null())?)));
    Ok(said.map(|(key, value)| (key.to_owned(), value.to_string())).collect())
}
