//! Products of four 8-bit integers at a time, the one thing that [`Simd`] does not have.

use pulp::{Scalar, Simd, cast};

/// Instruction sets with such products. A lane of 32 bits holds four integers of 8.
pub(super) trait Quads: Simd {
    /// `sums + x.0 * w.0 + .. + x.3 * w.3` in every lane, modulo `2^32`: `x` without sign, `w` with one and from -64 to 64.
    fn add_products(self, sums: Self::i32s, x: Self::i32s, w: Self::i32s) -> Self::i32s;

    /// Every lane as a float, rounded to nearest.
    fn floats(self, values: Self::i32s) -> Self::f32s;
}

impl Quads for Scalar {
    #[inline(always)]
    fn add_products(self, sums: i32, x: i32, w: i32) -> i32 {
        let (x, w): ([u8; 4], [i8; 4]) = (cast(x), cast(w));
        let products = x.into_iter().zip(w).map(|(x, w)| i32::from(x) * i32::from(w));
        sums.wrapping_add(products.sum())
    }

    #[inline(always)]
    fn floats(self, values: i32) -> f32 {
        values as f32
    }
}

#[cfg(target_arch = "x86_64")]
impl Quads for pulp::x86::V3 {
    #[inline(always)]
    fn add_products(self, sums: Self::i32s, x: Self::i32s, w: Self::i32s) -> Self::i32s {
        let pairs = self.avx2._mm256_maddubs_epi16(cast(x), cast(w));
        let ones = self.avx._mm256_set1_epi16(1);
        self.add_i32s(sums, cast(self.avx2._mm256_madd_epi16(pairs, ones)))
    }

    #[inline(always)]
    fn floats(self, values: Self::i32s) -> Self::f32s {
        cast(self.avx._mm256_cvtepi32_ps(cast(values)))
    }
}

#[cfg(target_arch = "x86_64")]
impl Quads for pulp::x86::V4 {
    #[inline(always)]
    fn add_products(self, sums: Self::i32s, x: Self::i32s, w: Self::i32s) -> Self::i32s {
        let pairs = self.avx512bw._mm512_maddubs_epi16(cast(x), cast(w));
        let ones = self.avx512f._mm512_set1_epi16(1);
        self.add_i32s(sums, cast(self.avx512bw._mm512_madd_epi16(pairs, ones)))
    }

    #[inline(always)]
    fn floats(self, values: Self::i32s) -> Self::f32s {
        cast(self.avx512f._mm512_cvtepi32_ps(cast(values)))
    }
}
