//! Asks for memory before it is needed. Without it the first rows of every panel wait for their weights, 7 to 13 % of a pass and a
//! quarter of one of a single image, and every tile for what its sums are added to, 8 %.
//!
//! Unsafe code, for the standard library has no safe prefetch. The instruction reads nothing that the program sees and cannot fault, so
//! that a pass has the same bits with it and without.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "a prefetch has no safe form; a bench shows that it pays")
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0 as FIRST_LEVEL, _MM_HINT_T1 as SECOND_LEVEL};

/// Where there is no such instruction, nothing is asked for.
#[cfg(not(target_arch = "x86_64"))]
const FIRST_LEVEL: i32 = 0;
#[cfg(not(target_arch = "x86_64"))]
const SECOND_LEVEL: i32 = 0;

/// Begins to bring `values` into the second-level cache: weights of the next panel, for the first belongs to the one that is in use.
#[inline(always)]
pub(super) fn soon(values: &[f32]) {
    bring::<SECOND_LEVEL>(values);
}

/// Begins to bring `values` into the first-level cache: what the sums of this tile are added to.
///
/// To read a value would do as well, but that such a read holds up the multiplications behind it once the processor's window is full.
#[inline(always)]
pub(super) fn at_once(values: &[f32]) {
    bring::<FIRST_LEVEL>(values);
}

#[inline(always)]
fn bring<const LEVEL: i32>(values: &[f32]) {
    /// Values of a cache line.
    #[cfg(target_arch = "x86_64")]
    const LINE: usize = 16;
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE) {
        // SAFETY: SSE is part of every x86-64, any address may be prefetched, and this one is of a live slice.
        unsafe { std::arch::x86_64::_mm_prefetch::<LEVEL>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: &[f32] = values;
}
