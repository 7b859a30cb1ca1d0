//! Products of four 8-bit integers at a time, the one thing that [`Simd`] does not have.

use pulp::{Scalar, Simd, cast};

/// Instruction sets with such products. A lane of 32 bits holds four integers of 8.
pub(super) trait Quads: Copy {
    /// The vectors.
    type Simd: Simd;

    /// Lanes of a vector.
    const F32_LANES: usize = <Self::Simd as Simd>::F32_LANES;

    /// What else vectors can do.
    fn simd(self) -> Self::Simd;

    /// `sums + x.0 * w.0 + .. + x.3 * w.3` in every lane, modulo `2^32`: `x` without sign, `w` with one and from -64 to 64.
    fn add_products(self, sums: Lanes<Self>, x: Lanes<Self>, w: Lanes<Self>) -> Lanes<Self>;

    /// Every lane as a float, rounded to nearest.
    fn floats(self, values: Lanes<Self>) -> <Self::Simd as Simd>::f32s;
}

/// A vector of integers of 32 bits.
pub(super) type Lanes<Q> = <<Q as Quads>::Simd as Simd>::i32s;

impl Quads for Scalar {
    type Simd = Self;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

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
    type Simd = Self;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn add_products(self, sums: Lanes<Self>, x: Lanes<Self>, w: Lanes<Self>) -> Lanes<Self> {
        let pairs = self.avx2._mm256_maddubs_epi16(cast(x), cast(w));
        let ones = self.avx._mm256_set1_epi16(1);
        self.add_i32s(sums, cast(self.avx2._mm256_madd_epi16(pairs, ones)))
    }

    #[inline(always)]
    fn floats(self, values: Lanes<Self>) -> <Self as Simd>::f32s {
        cast(self.avx._mm256_cvtepi32_ps(cast(values)))
    }
}

#[cfg(target_arch = "x86_64")]
impl Quads for pulp::x86::V4 {
    type Simd = Self;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn add_products(self, sums: Lanes<Self>, x: Lanes<Self>, w: Lanes<Self>) -> Lanes<Self> {
        let pairs = self.avx512bw._mm512_maddubs_epi16(cast(x), cast(w));
        let ones = self.avx512f._mm512_set1_epi16(1);
        self.add_i32s(sums, cast(self.avx512bw._mm512_madd_epi16(pairs, ones)))
    }

    #[inline(always)]
    fn floats(self, values: Lanes<Self>) -> <Self as Simd>::f32s {
        cast(self.avx512f._mm512_cvtepi32_ps(cast(values)))
    }
}
