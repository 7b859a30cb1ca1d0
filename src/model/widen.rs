//! Bytes of a tensor become f32, and every value is looked at once.

use half::{bf16, f16};
use safetensors::Dtype;

/// Exponent bits of an f32: all set means NaN or infinite.
const EXPONENT: u32 = 0x7f80_0000;

/// Whether weights of that type are read.
pub(super) fn is_accepted(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The values of a tensor, little-endian in `bytes`. Both 16-bit formats are subsets of f32, so no value changes. A double is
/// rounded to the nearest f32; one beyond its range becomes infinite, which [`non_finite`] then finds.
///
/// # Panics
/// On a type that is not [accepted](is_accepted).
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F64 => each(bytes, |eight| f64::from_le_bytes(eight) as f32),
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |two| f16::from_le_bytes(two).to_f32()),
        Dtype::BF16 => each(bytes, |two| bf16::from_le_bytes(two).to_f32()),
        other => unreachable!("dtype {other:?} was refused before"),
    }
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "the header's check made it a whole number of values");
    values.iter().map(|bytes| value(*bytes)).collect()
}

/// How many values are NaN or infinite and the index of the first; `None` when all are finite.
pub(super) fn non_finite(values: &[f32]) -> Option<(usize, usize)> {
    let is_bad = |value: &f32| value.to_bits() & EXPONENT == EXPONENT;
    // Counting has no early exit, so it runs at the speed of memory; looking for the first does not.
    let count = values.iter().filter(|value| is_bad(value)).count();
    if count == 0 {
        return None;
    }
    values.iter().position(is_bad).map(|first| (count, first))
}
