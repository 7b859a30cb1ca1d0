//! The register kernel: a few rows times one panel of weights, over one block of inputs.

use std::ops::Range;

use pulp::Simd;

use super::activation::activate;
use super::packing::{LANES, PANEL};
use crate::model::config::Activation;

/// Rows of a packed tile. Twelve rows of two vectors of sixteen fill the registers of AVX-512.
pub(super) const TILE: usize = 12;

/// Values of a tile for [`LANES`] inputs.
const X_CHUNK: usize = TILE * LANES;
/// Values of a panel for [`LANES`] inputs.
const W_CHUNK: usize = LANES * PANEL;

/// Copies `n_rows` rows into a tile: for every [`LANES`] inputs, the rows one behind the other. The kernel then reads one
/// stream, whatever the distance between rows.
///
/// `rows` starts at the first row, `stride` values apart. An incomplete last chunk of inputs is filled with zeros.
#[inline(always)]
pub(super) fn pack_rows(rows: &[f32], stride: usize, n_rows: usize, inputs: Range<usize>, tile: &mut [f32]) {
    for (index, row) in rows.chunks(stride).take(n_rows).enumerate() {
        let row = &row[inputs.clone()];
        let (whole, rest) = row.as_chunks::<LANES>();
        let mut chunks = tile.as_chunks_mut::<X_CHUNK>().0.iter_mut();
        for (values, chunk) in whole.iter().zip(chunks.by_ref()) {
            chunk.as_chunks_mut::<LANES>().0[index] = *values;
        }
        if let (false, Some(chunk)) = (rest.is_empty(), chunks.next()) {
            let mut values = [0.0; LANES];
            values[..rest.len()].copy_from_slice(rest);
            chunk.as_chunks_mut::<LANES>().0[index] = values;
        }
    }
}

/// Some rows times one panel of weights, over one block of inputs, joined with the output:
/// `y = f((y + bias) + chain)`, without the `y +` when it is not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiply<'a> {
    /// From [`pack_rows`].
    pub(super) tile: &'a [f32],
    /// `[inputs, PANEL]`.
    pub(super) panel: &'a [f32],
    /// Rows in use, at most [`TILE`].
    pub(super) n_rows: usize,
    /// From a row of `y` to the next.
    pub(super) stride: usize,
    /// One per output of the panel.
    pub(super) bias: &'a [f32],
    /// Whether what is in `y` is added to.
    pub(super) keeps: bool,
    /// `f`, after the last block of inputs.
    pub(super) activation: Option<Activation>,
}

impl Multiply<'_> {
    /// Computes the [`PANEL`] outputs at the start of each row of `y`.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, y: &mut [f32]) {
        if S::F32_LANES == LANES {
            match self.n_rows {
                9.. => self.rows::<S, 12>(simd, 0, 0, y),
                5.. => self.rows::<S, 8>(simd, 0, 0, y),
                _ => self.rows::<S, 4>(simd, 0, 0, y),
            }
            return;
        }
        // With shorter vectors half a tile and two vectors of the panel fill the registers.
        for column in (0..PANEL).step_by(2 * S::F32_LANES) {
            for first in (0..self.n_rows).step_by(TILE / 2) {
                self.rows::<S, { TILE / 2 }>(simd, first, column, y);
            }
        }
    }

    /// Rows `first..first + R` and two vectors from `column` on. Rows behind the last are computed and dropped.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&self, simd: S, first: usize, column: usize, y: &mut [f32]) {
        // By value: sums that are looped over by reference live in memory, not in registers.
        let sums: [_; R] = self.chains(simd, first, column);
        let bias = S::as_simd_f32s(&self.bias[column..column + 2 * S::F32_LANES]).0;
        let in_use = self.n_rows - first;
        for (y, sums) in y[first * self.stride..].chunks_mut(self.stride).zip(sums).take(in_use) {
            let y = S::as_mut_simd_f32s(&mut y[column..column + 2 * S::F32_LANES]).0;
            for ((y, sum), &bias) in y.iter_mut().zip(sums).zip(bias) {
                let base = if self.keeps { simd.add_f32s(*y, bias) } else { bias };
                let value = simd.add_f32s(base, sum);
                *y = self.activation.map_or(value, |f| activate(simd, f, value));
            }
        }
    }

    /// The sums of products over the block, in ascending order of inputs.
    #[inline(always)]
    fn chains<S: Simd, const R: usize>(&self, simd: S, first: usize, column: usize) -> [[S::f32s; 2]; R] {
        let mut sums = [[simd.splat_f32s(0.0); 2]; R];
        let x_chunks = self.tile.as_chunks::<X_CHUNK>().0;
        for (x, w) in x_chunks.iter().zip(self.panel.as_chunks::<W_CHUNK>().0) {
            for (input, w) in w.as_chunks::<PANEL>().0.iter().enumerate() {
                let w = S::as_simd_f32s(&w[column..column + 2 * S::F32_LANES]).0;
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(x[(first + row) * LANES + input]);
                    sums[0] = simd.mul_add_f32s(x, w[0], sums[0]);
                    sums[1] = simd.mul_add_f32s(x, w[1], sums[1]);
                }
            }
        }
        sums
    }
}
