//! Asks for weights before they are needed. Without it the first rows of every panel wait for the memory: 7 to 13 % of a pass, and
//! a quarter of one of a single image.
//!
//! Unsafe code, for the standard library has no safe prefetch. The instruction reads nothing that the program sees and cannot fault, so
//! that a pass has the same bits with it and without.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "a prefetch has no safe form; a bench shows that it pays")
)]

/// Values of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 16;

/// Begins to bring `values` into the second-level cache; the first belongs to the panel that is in use.
#[inline(always)]
pub(super) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: SSE is part of every x86-64, any address may be prefetched, and this one is of a live slice.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: &[f32] = values;
}
