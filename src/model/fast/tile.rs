//! The register kernel: a few rows times some outputs of one panel of weights, over one block of inputs.

use std::{ops::Range, slice::Chunks};

use pulp::Simd;

use super::activation::activate;
use super::packing::{LANES, PANEL};
use super::prefetch;
use crate::model::config::Activation;

/// Rows of a tile for vectors of [`LANES`] values: twelve rows of two vectors fill the 32 registers of AVX-512.
pub(super) const WIDE: usize = 12;
/// Rows of a tile for shorter vectors: six rows of two vectors fill 16 registers.
pub(super) const NARROW: usize = 6;

/// Copies `n_rows` rows into a tile of `R`: for every [`LANES`] inputs, the rows one behind the other. The kernel then reads
/// one stream, whatever the distance between rows.
///
/// `rows` starts at the first row, `stride` values apart. An incomplete last chunk of inputs is filled with zeros.
#[inline(always)]
pub(super) fn pack_rows<const R: usize>(
    rows: &[f32],
    stride: usize,
    n_rows: usize,
    inputs: Range<usize>,
    tile: &mut [f32],
) {
    let tile = tile.as_chunks_mut::<LANES>().0.as_chunks_mut::<R>().0;
    for (index, row) in rows.chunks(stride).take(n_rows).enumerate() {
        let (whole, rest) = row[inputs.clone()].as_chunks::<LANES>();
        let mut chunks = tile.iter_mut();
        for (values, chunk) in whole.iter().zip(chunks.by_ref()) {
            chunk[index] = *values;
        }
        if let (false, Some(chunk)) = (rest.is_empty(), chunks.next()) {
            chunk[index] = [0.0; LANES];
            chunk[index][..rest.len()].copy_from_slice(rest);
        }
    }
}

/// Weights to bring near, in at most `n` parts of whole lines of the cache: many lines at once would keep those that sums wait for
/// from coming.
#[inline(always)]
fn in_parts(values: &[f32], n: usize) -> Chunks<'_, f32> {
    values.chunks(values.len().div_ceil(n.max(1)).next_multiple_of(LANES).max(LANES))
}

/// Calls a kernel's `rows` with the tile of the instruction set, and of its rows the fewest that hold those in use.
macro_rules! fewest_rows {
    ($kernel:ident.rows::<$simd:ty>($($argument:ident),*), $n_rows:expr) => {
        match (<$simd>::F32_LANES == LANES, $n_rows) {
            (true, 9..) => $kernel.rows::<$simd, WIDE, 12>($($argument),*),
            (true, 5..) => $kernel.rows::<$simd, WIDE, 8>($($argument),*),
            (true, _) => $kernel.rows::<$simd, WIDE, 4>($($argument),*),
            (false, 6..) => $kernel.rows::<$simd, NARROW, 6>($($argument),*),
            (false, 5) => $kernel.rows::<$simd, NARROW, 5>($($argument),*),
            (false, 3..) => $kernel.rows::<$simd, NARROW, 4>($($argument),*),
            (false, _) => $kernel.rows::<$simd, NARROW, 2>($($argument),*),
        }
    };
}
pub(super) use fewest_rows;

/// What the sums of a tile go to, row by row.
#[inline(always)]
pub(super) fn places(
    y: &[f32],
    stride: usize,
    n_rows: usize,
    columns: Range<usize>,
) -> impl Iterator<Item = &[f32]> {
    y.chunks(stride).take(n_rows).map(move |y| &y[columns.clone()])
}

/// Some rows times one panel of weights, over one block of inputs, joined with the output:
/// `y = f((y + bias) + chain)`, without the `y +` when it is not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiply<'a> {
    /// From [`pack_rows`].
    pub(super) tile: &'a [f32],
    /// The strips of the panel, each `[inputs, LANES]`.
    pub(super) panel: &'a [f32],
    /// Rows in use, at most those of a tile.
    pub(super) n_rows: usize,
    /// From a row of `y` to the next.
    pub(super) stride: usize,
    /// Weights that are brought near meanwhile.
    pub(super) ahead: [&'a [f32]; 2],
    /// One per output of the panel.
    pub(super) bias: &'a [f32],
    /// Whether what is in `y` is added to.
    pub(super) keeps: bool,
    /// `f`, after the last block of inputs.
    pub(super) activation: Option<Activation>,
}

impl Multiply<'_> {
    /// Computes two vectors of the panel's outputs, from number `column` on, of each row of `y`.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, simd: S, column: usize, y: &mut [f32]) {
        fewest_rows!(self.rows::<S>(simd, column, y), self.n_rows)
    }

    /// The first `R` rows of a tile of `T`. Rows behind the last in use are computed and dropped.
    #[inline(always)]
    fn rows<S: Simd, const T: usize, const R: usize>(&self, simd: S, column: usize, y: &mut [f32]) {
        let columns = column..column + 2 * S::F32_LANES;
        // By value: sums that are looped over by reference live in memory, not in registers.
        let sums: [_; R] = self.chains::<S, T, R>(simd, column, y);
        let bias = S::as_simd_f32s(&self.bias[columns.clone()]).0;
        for (y, sums) in y.chunks_mut(self.stride).zip(sums).take(self.n_rows) {
            let y = S::as_mut_simd_f32s(&mut y[columns.clone()]).0;
            for ((y, sum), &bias) in y.iter_mut().zip(sums).zip(bias) {
                let base = if self.keeps { simd.add_f32s(*y, bias) } else { bias };
                *y = simd.add_f32s(base, sum);
            }
        }
        if let Some(f) = self.activation {
            for y in y.chunks_mut(self.stride).take(self.n_rows) {
                let y = S::as_mut_simd_f32s(&mut y[columns.clone()]).0;
                y.iter_mut().for_each(|y| *y = activate(simd, f, *y));
            }
        }
    }

    /// The sums of products over the block, in ascending order of inputs. Meanwhile what they go to comes near, a row with every chunk:
    /// a whole block has more chunks than a tile has rows.
    #[inline(always)]
    fn chains<S: Simd, const T: usize, const R: usize>(
        &self,
        simd: S,
        column: usize,
        y: &[f32],
    ) -> [[S::f32s; 2]; R] {
        let mut sums = [[simd.splat_f32s(0.0); 2]; R];
        let rows = self.tile.as_chunks::<LANES>().0.as_chunks::<T>().0;
        let (low, high) = (self.strip(column), self.strip(column + S::F32_LANES));
        let vector = |column: usize| column % LANES / S::F32_LANES;
        let (in_low, in_high) = (vector(column), vector(column + S::F32_LANES));
        let mut places = places(y, self.stride, self.n_rows, column..column + 2 * S::F32_LANES);
        let mut ahead = self.ahead.map(|values| in_parts(values, rows.len()));
        // One chunk of inputs after the other; within it every index is a constant, so none is checked.
        for ((x, low), high) in rows.iter().zip(low).zip(high) {
            ahead.iter_mut().filter_map(Iterator::next).for_each(prefetch::soon);
            places.next().into_iter().for_each(prefetch::at_once);
            for input in 0..LANES {
                let low = S::as_simd_f32s(&low[input]).0[in_low];
                let high = S::as_simd_f32s(&high[input]).0[in_high];
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = simd.splat_f32s(x[input]);
                    sums[0] = simd.mul_add_f32s(x, low, sums[0]);
                    sums[1] = simd.mul_add_f32s(x, high, sums[1]);
                }
            }
        }
        sums
    }

    /// The strip that an output of the panel is in, in chunks of [`LANES`] inputs.
    #[inline(always)]
    fn strip(&self, column: usize) -> &[[[f32; LANES]; LANES]] {
        let len = self.panel.len() / (PANEL / LANES);
        self.panel[column / LANES * len..][..len].as_chunks::<LANES>().0.as_chunks::<LANES>().0
    }
}
