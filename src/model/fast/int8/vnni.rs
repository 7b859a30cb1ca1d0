//! Products of four 8-bit integers in one instruction, where AVX-512 takes three: VNNI.
//!
//! Unsafe code, for the library that our vectors come from has neither the instruction nor a way to compile a function for it.
//! `cargo bench --bench tower` shows what it is worth (docs/performance.md); every sum is the one of the other instruction sets.
#![expect(unsafe_code, reason = "VNNI has no safe form; a bench shows that it pays")]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::_mm512_dpbusd_epi32;

use pulp::x86::V4;
use pulp::{Simd, cast};

use super::quads::{Lanes, Quads};

/// A processor with AVX-512 and VNNI: there is none of these without [`Vnni::of`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Vnni(V4);

impl Vnni {
    /// Where this processor has it.
    pub(super) fn of(simd: V4) -> Option<Self> {
        is_x86_feature_detected!("avx512vnni").then_some(Self(simd))
    }

    /// Calls `f`, compiled with these instructions.
    #[inline]
    pub(super) fn vectorize(self, f: impl FnOnce()) {
        // Those of `V4` and VNNI.
        #[target_feature(enable = "avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt")]
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
        fn with(f: impl FnOnce()) {
            f();
        }
        // SAFETY: `self` exists, so this processor has all of them.
        unsafe { with(f) }
    }
}

impl Quads for Vnni {
    type Simd = V4;

    #[inline(always)]
    fn simd(self) -> V4 {
        self.0
    }

    #[inline(always)]
    fn add_products(self, sums: Lanes<Self>, x: Lanes<Self>, w: Lanes<Self>) -> Lanes<Self> {
        // SAFETY: `self` exists, so this processor has the instruction.
        cast(unsafe { _mm512_dpbusd_epi32(cast(sums), cast(x), cast(w)) })
    }

    #[inline(always)]
    fn floats(self, values: Lanes<Self>) -> <V4 as Simd>::f32s {
        self.0.floats(values)
    }
}
