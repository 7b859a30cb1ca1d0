//! Products of four 8-bit integers in one instruction, where others take three: VNNI, of vectors of 512 bits (AVX-512) and of 256
//! (AVX-VNNI, which processors without AVX-512 have).
//!
//! Unsafe code, for the library that our vectors come from has neither the instruction nor a way to compile a function for it.
//! `cargo bench --bench tower` shows what it is worth (docs/performance.md); every sum is the one of the other instruction sets.
#![expect(unsafe_code, reason = "VNNI has no safe form; a bench shows that it pays")]

use std::arch::is_x86_feature_detected;
#[cfg(test)]
use std::arch::x86_64::_mm256_dpbusd_epi32;
use std::arch::x86_64::{_mm256_dpbusd_avx_epi32, _mm512_dpbusd_epi32};

use pulp::x86::{V3, V4};
use pulp::{Arch, Simd, cast};

use super::quads::{Lanes, Quads};

/// Defines the proof that a processor has the vectors of `$simd` and the `$product` of VNNI: there is none without its `of`.
macro_rules! vnni {
    ($(#[$doc:meta])* $name:ident, $simd:ident, $product:ident, $($feature:tt),+; $others:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name($simd);

        impl $name {
            /// Where `arch` is the path of these vectors and the processor has VNNI for them.
            pub(super) fn of(arch: Arch) -> Option<Self> {
                let Arch::$simd(simd) = arch else { return None };
                [$(is_x86_feature_detected!($feature)),+].into_iter().all(|has| has).then_some(Self(simd))
            }

            /// Calls `f`, compiled with these instructions.
            #[inline]
            pub(super) fn vectorize(self, f: impl FnOnce()) {
                #[target_feature($(enable = $feature),+)]
                #[target_feature(enable = $others)]
                fn with(f: impl FnOnce()) {
                    f();
                }
                // SAFETY: `self` exists, so this processor has what was asked for, and the others are those of `$simd`.
                unsafe { with(f) }
            }
        }

        impl Quads for $name {
            type Simd = $simd;

            #[inline(always)]
            fn simd(self) -> $simd {
                self.0
            }

            #[inline(always)]
            fn add_products(self, sums: Lanes<Self>, x: Lanes<Self>, w: Lanes<Self>) -> Lanes<Self> {
                // SAFETY: `self` exists, so this processor has the instruction.
                cast(unsafe { $product(cast(sums), cast(x), cast(w)) })
            }

            #[inline(always)]
            fn floats(self, values: Lanes<Self>) -> <$simd as Simd>::f32s {
                self.0.floats(values)
            }
        }
    };
}

vnni!(
    /// AVX-512 and its VNNI.
    WideVnni, V4, _mm512_dpbusd_epi32, "avx512vnni";
    "avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"
);
vnni!(
    /// AVX2 and AVX-VNNI.
    NarrowVnni, V3, _mm256_dpbusd_avx_epi32, "avxvnni";
    "avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt"
);
#[cfg(test)]
vnni!(
    /// The same sums from AVX-512's instruction for vectors of 256 bits, which differs from that of AVX-VNNI in its encoding alone: so
    /// what is made of it is tested on processors that have either.
    EncodedVnni, V3, _mm256_dpbusd_epi32, "avx512vnni", "avx512vl";
    "avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt"
);
