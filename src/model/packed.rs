//! A packed image tower as a tensor, so that it is merged like any other.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, Device, Layout, Result, Storage, Tensor, bail};

use super::fast::{Aligned, Packing};
use super::layout::is_vision;

/// Name of a packed image tower among the tensors of a model; no architecture has it.
pub const PACKED: &str = "vision.packed";

/// Packs the image tower among `tensors`, all of it there, f32 and contiguous on the CPU; others are not looked at.
///
/// # Errors
/// When a tensor of the tower is elsewhere.
///
/// # Panics
/// When a tensor is missing or not of the packing's architecture.
pub fn pack(packing: &Packing, tensors: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    with_vision(tensors, |named| packing.pack(|name| named[name]))
}

/// Packs the image tower without the matrices of its blocks, as [`Packing::pack_outside`].
///
/// # Errors
/// As [`pack`].
///
/// # Panics
/// As [`pack`].
pub fn pack_outside(packing: &Packing, tensors: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    with_vision(tensors, |named| packing.pack_outside(|name| named[name]))
}

fn with_vision(
    tensors: &BTreeMap<String, Tensor>,
    pack: impl FnOnce(&BTreeMap<&str, &[f32]>) -> Aligned,
) -> Result<Tensor> {
    let vision = tensors.iter().filter(|(name, _)| is_vision(name));
    let held: Vec<_> = vision.map(|(name, tensor)| (name, tensor.storage_and_layout())).collect();
    let mut named = BTreeMap::new();
    for (name, (storage, layout)) in &held {
        named.insert(name.as_str(), values(storage, layout)?);
    }
    of_aligned(pack(&named))
}

/// The values as a tensor that starts a cache line, see [`Aligned`].
///
/// # Errors
/// Never on a machine with memory.
pub fn on_a_line(values: &[f32]) -> Result<Tensor> {
    let mut aligned = Aligned::zeros(values.len());
    aligned.copy_from_slice(values);
    of_aligned(aligned)
}

/// The storage takes the vector as it is, so its values stay where they are.
pub(crate) fn of_aligned(aligned: Aligned) -> Result<Tensor> {
    let (values, place) = aligned.into_parts();
    let len = values.len();
    Tensor::from_vec(values, len, &Device::Cpu)?.narrow(0, place.start, place.len())
}

/// Lends `look` the values of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// When it is another kind of tensor.
pub fn with_values<R>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(look(values(&storage, layout)?))
}

/// The values behind a contiguous f32 layout on the CPU.
///
/// # Errors
/// When it is another kind of tensor.
pub(crate) fn values<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("tensors must be contiguous f32 on the CPU"),
    }
}
