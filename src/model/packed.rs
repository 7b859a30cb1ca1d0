//! A packed image tower as a tensor, so that it is merged like any other.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, Device, Result, Storage, Tensor, bail};

use super::fast::Plan;

/// Name of a packed image tower among the tensors of a model; no architecture has it.
pub const PACKED: &str = "vision.packed";

/// Bytes of a cache line, which is also the widest vector.
const LINE_BYTES: usize = 64;
const LINE_VALUES: usize = LINE_BYTES / size_of::<f32>();

/// Packs the image tower among `tensors`, all of them there, f32 and contiguous on the CPU.
///
/// # Errors
/// `N002` for tensors that are elsewhere.
///
/// # Panics
/// When a tensor is missing or not of the plan's architecture.
pub fn pack(plan: &Plan, tensors: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    let mut values = BTreeMap::new();
    for (name, tensor) in tensors {
        values.insert(name.as_str(), tensor.flatten_all()?.to_vec1::<f32>()?);
    }
    let packed = plan.pack(|name| &values[name]);
    on_a_line(&packed)
}

/// The values as a tensor whose first one starts a cache line: a vector that straddles two lines costs two loads.
///
/// # Errors
/// Never on a machine with memory.
pub fn on_a_line(values: &[f32]) -> Result<Tensor> {
    let mut padded = vec![0.0; values.len() + LINE_VALUES];
    // The storage takes the vector as it is, so its values stay where they are now.
    let start = padded.as_ptr().align_offset(LINE_BYTES).min(LINE_VALUES);
    padded[start..start + values.len()].copy_from_slice(values);
    let len = padded.len();
    Tensor::from_vec(padded, len, &Device::Cpu)?.narrow(0, start, values.len())
}

/// Lends `look` the values of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// When it is another kind of tensor.
pub fn with_values<R>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(look(&values[start..end])),
        _ => bail!("the fast tower reads contiguous f32 tensors on the CPU"),
    }
}
