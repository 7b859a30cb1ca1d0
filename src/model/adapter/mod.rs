//! Low-rank updates (LoRA and its relatives) folded into the weights they update.
//!
//! [`settings`] reads `adapter_config.json`, [`names`] sorts the tensors of the file, [`initial`] undoes initialisations that
//! change the base, [`linear_algebra`] is what that needs. Reference: PEFT 0.21, `tuners/lora`, whose `merge_and_unload`
//! `tests/it/checkpoints_as_found/layouts.rs` compares with.

mod initial;
mod linear_algebra;
mod names;
mod refused;
mod settings;

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use sha2::{Digest, Sha256};

use super::{
    checkpoint::{Checkpoint, pinned},
    error::{CheckpointFault, ModelError},
    files::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Files},
    layout::{self, TensorSpec},
    role::Role,
    shards::{Held, Shards},
    widen,
};
use names::{Module, Sorted};
use refused::refused;
use settings::Settings;

/// Bounds in bytes. An adapter as large as the largest CLIP is none.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_WEIGHTS_BYTES: u64 = 4 << 30;

/// Reads the adapter in `files` and folds it into `base`.
///
/// # Errors
/// As safetensors files; `W013` for anything that is not LoRA of tensors of `base` as PEFT merges it; `W007`, `W008`.
pub(super) fn fold(
    files: &Files,
    base: &Checkpoint,
    role: Role,
    pin: Option<&str>,
) -> Result<Checkpoint, ModelError> {
    let config = files.read(ADAPTER_CONFIG, MAX_CONFIG_BYTES)?;
    let settings = Settings::read(&config)?;
    let weights = files.read(ADAPTER_WEIGHTS, MAX_WEIGHTS_BYTES)?;
    let sha256 = hex::encode(Sha256::new().chain_update(&config).chain_update(&weights).finalize());
    let sha256 = pinned(sha256, pin)?;
    let entries = Shards::of(weights)?.held()?;
    let specs: BTreeMap<String, TensorSpec> =
        layout::tensors(base.config()).into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    let Sorted { modules, replaced } = Sorted::of(&entries, &specs, &settings)?;
    let mut updates = BTreeMap::new();
    for (name, entry) in replaced {
        let spec = &specs[&name];
        if entry.shape != spec.shape {
            return Err(refused(&name, &format!("{:?}", entry.shape), &format!("{:?}", spec.shape)));
        }
        updates.insert(name, tensor(entry)?);
    }
    let fold = Fold { settings: &settings, base };
    for (name, module) in &modules {
        updates.insert(format!("{name}.weight"), fold.weight(name, module)?);
        if let Some(bias) = module.bias {
            let name = format!("{name}.bias");
            let old = updates.get(&name).or_else(|| base.tensors().get(&name));
            let old = old.ok_or_else(|| refused(&name, "an update", "a layer with a bias"))?;
            let new = (old + (tensor(bias)? * settings.scale(module.key))?)?;
            updates.insert(name, new);
        }
    }
    if updates.is_empty() {
        return Err(refused(ADAPTER_WEIGHTS, "no tensors", "at least one update"));
    }
    Ok(base.updated(role, sha256, modules.len(), updates))
}

/// The error for an adapter where a whole model is wanted.
pub(super) fn without_base() -> ModelError {
    refused(ADAPTER_CONFIG, "low-rank updates", "a whole model here; an adapter can be the expert")
}

/// The error for an adapter of a base whose blocks are in a file.
pub(super) fn without_blocks() -> ModelError {
    refused(ADAPTER_CONFIG, "low-rank updates", "a whole model where memory.weights = \"spilled\"")
}

struct Fold<'a> {
    settings: &'a Settings,
    base: &'a Checkpoint,
}

impl Fold<'_> {
    /// `W0 + s B A`, its rows brought to the learned lengths where there are some; `W0` is the base's weight, less what the
    /// initialisation took out of it. Kernels and tables are matrices here, one row per output.
    fn weight(&self, name: &str, module: &Module<'_>) -> Result<Tensor, ModelError> {
        let old = &self.base.tensors()[&format!("{name}.weight")];
        let (Some(a), Some(b)) = (module.a, module.b) else {
            return Err(refused(module.key, "one factor", "lora_A and lora_B"));
        };
        let (rank, scale) = (self.settings.rank(module.key), self.settings.scale(module.key));
        let shape = old.dims();
        let (outputs, inputs) = (shape[0], old.elem_count() / shape[0]);
        let flat = old.reshape((outputs, inputs))?;
        if module.is_table {
            if module.lengths.is_some() || a.shape != [rank, outputs] || b.shape != [inputs, rank] {
                let found = format!("{:?} and {:?}", a.shape, b.shape);
                let allowed = format!("[{rank},{outputs}] and [{inputs},{rank}], and no magnitudes");
                return Err(refused(module.key, &found, &allowed));
            }
            let update = (tensor(b)?.matmul(&tensor(a)?)?.t()? * scale)?;
            return Ok((&flat + update)?.reshape(shape)?);
        }
        let is_kernel = |entry: &Held, rows: usize, columns: usize| {
            entry.shape[0] == rows && entry.shape.iter().product::<usize>() == rows * columns
        };
        let same_rank = a.shape.len() == shape.len() && b.shape.len() == shape.len();
        if !(same_rank && is_kernel(a, rank, inputs) && is_kernel(b, outputs, rank)) {
            let allowed = format!("[{rank},{inputs}] and [{outputs},{rank}]");
            return Err(refused(module.key, &format!("{:?} and {:?}", a.shape, b.shape), &allowed));
        }
        let (a, b) = (tensor(a)?.reshape((rank, inputs))?, tensor(b)?.reshape((outputs, rank))?);
        let flat = initial::without(self.settings.initial, &flat, (rank, scale), module.key)?;
        let mut new = (flat + (b.matmul(&a)? * scale)?)?;
        if let Some(lengths) = module.lengths {
            if lengths.shape.iter().product::<usize>() != outputs {
                let allowed = format!("{outputs} magnitudes");
                return Err(refused(module.key, &format!("{:?}", lengths.shape), &allowed));
            }
            let found = new.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
            let factor = (tensor(lengths)?.reshape((outputs, 1))? / found)?;
            new = new.broadcast_mul(&factor)?;
        }
        Ok(new.reshape(shape)?)
    }
}

fn tensor(entry: &Held) -> Result<Tensor, ModelError> {
    let values = widen::to_f32(entry.dtype, &entry.bytes);
    if let Some((count, first)) = widen::non_finite(&values) {
        return Err(
            CheckpointFault::NonFinite { name: entry.name.clone(), count, first, other_tensors: 0 }.into()
        );
    }
    Ok(Tensor::from_vec(values, entry.shape.as_slice(), &Device::Cpu)?)
}
