//! The register kernel in integers: as the `f32` one, with four inputs in a step.

use pulp::Simd;

use super::super::activation::activate;
use super::super::packing::{LANES, PANEL};
use super::super::prefetch;
use super::super::tile::{NARROW, WIDE, fewest_rows, places};
use super::quads::{Lanes, Quads};
use super::rows::Scale;
use crate::model::config::Activation;

/// Some rows times one panel of weights, over one block of inputs, joined with the output:
/// `y = f((y + bias) + (sum - zero * weights) * scale)`, the last product and addition in one rounding, without the `y +` when it is not
/// kept. What is in the brackets behind the bias is a whole number and exact.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiply<'a> {
    /// Rows of quads, from [`pack_rows`](super::rows::pack_rows).
    pub(super) tile: &'a [i32],
    /// The strips of the panel, each `[quads, LANES]`.
    pub(super) panel: &'a [i32],
    /// Of the rows in use, at most those of a tile.
    pub(super) row_scales: &'a [Scale],
    /// One per output of the panel.
    pub(super) scales: &'a [f32],
    /// The sum of the weights of each output of the panel.
    pub(super) weights: &'a [f32],
    /// One per output of the panel.
    pub(super) bias: &'a [f32],
    /// From a row of `y` to the next.
    pub(super) stride: usize,
    /// Whether what is in `y` is added to.
    pub(super) keeps: bool,
    /// `f`, after the last block of inputs.
    pub(super) activation: Option<Activation>,
}

impl Multiply<'_> {
    /// Computes two vectors of the panel's outputs, from number `column` on, of each row of `y`.
    #[inline(always)]
    pub(super) fn run<Q: Quads>(&self, quads: Q, column: usize, y: &mut [f32]) {
        fewest_rows!(self.rows::<Q>(quads, column, y), self.row_scales.len())
    }

    /// The first `R` rows of a tile of `T`. Rows behind the last in use are computed and dropped.
    #[inline(always)]
    fn rows<Q: Quads, const T: usize, const R: usize>(&self, quads: Q, column: usize, y: &mut [f32]) {
        let (simd, columns) = (quads.simd(), column..column + 2 * Q::F32_LANES);
        let sums: [_; R] = self.sums::<Q, T, R>(quads, column, y);
        let bias = Q::Simd::as_simd_f32s(&self.bias[columns.clone()]).0;
        let scales = Q::Simd::as_simd_f32s(&self.scales[columns.clone()]).0;
        let weights = Q::Simd::as_simd_f32s(&self.weights[columns.clone()]).0;
        for ((y, sums), row) in y.chunks_mut(self.stride).zip(sums).zip(self.row_scales) {
            let (below, row_scale) = (simd.splat_f32s(-row.zero), simd.splat_f32s(row.scale));
            let y = Q::Simd::as_mut_simd_f32s(&mut y[columns.clone()]).0;
            let outputs = bias.iter().zip(scales).zip(weights);
            for ((y, sum), ((&bias, &scale), &weights)) in y.iter_mut().zip(sums).zip(outputs) {
                let base = if self.keeps { simd.add_f32s(*y, bias) } else { bias };
                let sum = simd.mul_add_f32s(below, weights, quads.floats(sum));
                *y = simd.mul_add_f32s(sum, simd.mul_f32s(scale, row_scale), base);
            }
        }
        if let Some(f) = self.activation {
            for y in y.chunks_mut(self.stride).take(self.row_scales.len()) {
                let y = Q::Simd::as_mut_simd_f32s(&mut y[columns.clone()]).0;
                y.iter_mut().for_each(|y| *y = activate(simd, f, *y));
            }
        }
    }

    /// The sums of products over the block. Meanwhile what they go to comes near, a row with every quad.
    #[inline(always)]
    fn sums<Q: Quads, const T: usize, const R: usize>(
        &self,
        quads: Q,
        column: usize,
        y: &[f32],
    ) -> [[Lanes<Q>; 2]; R] {
        let simd = quads.simd();
        let mut sums = [[simd.splat_i32s(0); 2]; R];
        let rows = self.tile.as_chunks::<T>().0;
        let (low, high) = (self.strip(column), self.strip(column + Q::F32_LANES));
        let vector = |column: usize| column % LANES / Q::F32_LANES;
        let (in_low, in_high) = (vector(column), vector(column + Q::F32_LANES));
        let mut places = places(y, self.stride, self.row_scales.len(), column..column + 2 * Q::F32_LANES);
        // One step a turn: over several, the compiler would add products to each other first, in registers that it does not have.
        for ((x, low), high) in rows.iter().zip(low).zip(high) {
            places.next().into_iter().for_each(prefetch::at_once);
            let low = Q::Simd::as_simd_i32s(low).0[in_low];
            let high = Q::Simd::as_simd_i32s(high).0[in_high];
            for (sums, &x) in sums.iter_mut().zip(x) {
                let x = simd.splat_i32s(x);
                sums[0] = quads.add_products(sums[0], x, low);
                sums[1] = quads.add_products(sums[1], x, high);
            }
        }
        sums
    }

    /// The strip that an output of the panel is in, by quads of inputs.
    #[inline(always)]
    fn strip(&self, column: usize) -> &[[i32; LANES]] {
        let len = self.panel.len() / (PANEL / LANES);
        self.panel[column / LANES * len..][..len].as_chunks::<LANES>().0
    }
}
