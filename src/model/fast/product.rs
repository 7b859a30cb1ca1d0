//! Linear layers: rows of activations times packed weights.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::aligned::Aligned;
use super::packing::{K_BLOCK, LANES, Linear, PANEL};
use super::tile::{Multiply, NARROW, WIDE, pack_rows};
use super::weights::Run;
use crate::model::config::Activation;

/// Memory that a product needs beside its operands.
#[derive(Debug)]
pub(super) struct ProductScratch {
    /// One block of inputs of all rows, as tiles.
    pub(super) tiles: Aligned,
    /// One merged panel.
    panel: Aligned,
}

impl ProductScratch {
    /// For products of up to `n_rows` rows an image and `n_images` images.
    pub(super) fn new(n_rows: usize, n_images: usize) -> Self {
        // Whole wide tiles hold the narrow ones too.
        let n_rows = n_rows.next_multiple_of(WIDE) * n_images;
        Self { tiles: Aligned::zeros(n_rows * K_BLOCK), panel: Aligned::zeros(K_BLOCK * PANEL) }
    }
}

/// Rows of activations to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first row on.
    pub(super) values: &'a [f32],
    /// From a row to the next.
    pub(super) stride: usize,
    /// Values to read of a row; inputs behind them count as zeros.
    pub(super) columns: usize,
}

/// Rows of activations to write: output `i` of row `j` goes to `values[j * stride + i - first * PANEL]`.
#[derive(Debug)]
pub(super) struct RowsMut<'a> {
    /// From the first row on.
    pub(super) values: &'a mut [f32],
    /// From a row to the next.
    pub(super) stride: usize,
    /// The panel with which rows begin.
    pub(super) first: usize,
    /// Whether the product is added to what is there.
    pub(super) keeps: bool,
}

/// `y = f(x W^T + b)`, or `y = f(y + x W^T + b)`, for some rows of every image and some panels of the layer.
///
/// Each output is `y` (or nothing) plus bias plus the chain of the first block of inputs, plus the chains of the others in
/// order; it depends on its row, its weights and nothing else.
#[derive(Debug)]
pub(super) struct Product<'a> {
    /// Where the weights are.
    pub(super) linear: Linear,
    /// Outputs, in panels.
    pub(super) panels: Range<usize>,
    /// `f`.
    pub(super) activation: Option<Activation>,
    /// The models of the images.
    pub(super) runs: &'a [Run<'a>],
    /// Rows of an image.
    pub(super) n_rows: usize,
    /// The rows of the images one behind the other.
    pub(super) x: Rows<'a>,
    /// As many.
    pub(super) y: RowsMut<'a>,
    /// Large enough for these rows.
    pub(super) scratch: &'a mut ProductScratch,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES == LANES {
            self.blocks::<S, WIDE>(simd);
        } else {
            self.blocks::<S, NARROW>(simd);
        }
    }
}

impl Product<'_> {
    /// Multiplies block by block, in tiles of `T` rows.
    #[inline(always)]
    fn blocks<S: Simd, const T: usize>(mut self, simd: S) {
        for start in (0..self.linear.inputs).step_by(K_BLOCK) {
            self.pack::<T>(start);
            for panel in self.panels.clone() {
                self.panel::<S, T>(simd, start, panel);
            }
        }
    }

    /// Packs the block of inputs from `start` on, every run in tiles of its own.
    #[inline(always)]
    fn pack<const T: usize>(&mut self, start: usize) {
        let depth = self.linear.depth(start);
        let mut tiles = self.scratch.tiles.chunks_exact_mut(T * depth);
        let columns = self.x.columns.min(start + depth);
        let mut first = 0;
        for run in self.runs {
            let end = first + run.n_images * self.n_rows;
            for (row, n_rows) in tiles_of::<T>(first..end) {
                let rows = &self.x.values[row * self.x.stride..];
                if let Some(tile) = tiles.next() {
                    pack_rows::<T>(rows, self.x.stride, n_rows, start..columns, tile);
                }
            }
            first = end;
        }
    }

    /// Multiplies all rows by one panel. What the kernel reads of it stays in the nearest cache while the rows pass.
    #[inline(always)]
    fn panel<S: Simd, const T: usize>(&mut self, simd: S, start: usize, panel: usize) {
        let depth = self.linear.depth(start);
        let is_last = start + depth == self.linear.inputs;
        let at = self.linear.panel(start, panel);
        let column_of_panel = (panel - self.y.first) * PANEL;
        let mut tiles = &self.scratch.tiles[..];
        let mut first = 0;
        for run in self.runs {
            let mut merged_bias = [0.0; PANEL];
            let bias = match self.linear.bias {
                Some(bias) if start == 0 => {
                    run.model.read(simd, bias + panel * PANEL, PANEL, &mut merged_bias)
                }
                _ => &[0.0; PANEL],
            };
            let weights = run.model.read(simd, at, depth * PANEL, &mut self.scratch.panel);
            let end = first + run.n_images * self.n_rows;
            let (own, behind) = tiles.split_at((end - first).div_ceil(T) * T * depth);
            let (n_parts, mut part) = (PANEL / (2 * S::F32_LANES) * (end - first).div_ceil(T), 0);
            for column in (0..PANEL).step_by(2 * S::F32_LANES) {
                for ((row, n_rows), tile) in tiles_of::<T>(first..end).zip(own.chunks_exact(T * depth)) {
                    let multiply = Multiply {
                        tile,
                        panel: weights,
                        n_rows,
                        stride: self.y.stride,
                        // The next panel lies behind this one, in this layer or the next.
                        ahead: run.model.ahead(at + depth * PANEL, depth * PANEL, part, n_parts),
                        bias,
                        keeps: self.y.keeps || start > 0,
                        activation: self.activation.filter(|_| is_last),
                    };
                    multiply.run(simd, column, &mut self.y.values[row * self.y.stride + column_of_panel..]);
                    part += 1;
                }
            }
            (tiles, first) = (behind, end);
        }
    }
}

/// Cuts rows into tiles of at most `T`: first row and number of each. Narrow tiles are as even as they can be, for one of a few rows
/// takes as long as a full one.
#[inline(always)]
pub(super) fn tiles_of<const T: usize>(rows: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let n_tiles = rows.len().div_ceil(T);
    let start = move |n: usize| {
        let at = if T == NARROW { n * rows.len() / n_tiles } else { (n * T).min(rows.len()) };
        rows.start + at
    };
    (0..n_tiles).map(move |n| (start(n), start(n + 1) - start(n)))
}

#[cfg(test)]
mod tests {
    use super::super::lanes::tests::archs;
    use super::super::weights::Model;
    use super::*;

    /// `x W^T + b + y`, every output on its own, in the documented order of operations.
    fn expected(x: &[f32], weights: &[f32], bias: f32, y: f32) -> f32 {
        let blocks = x.chunks(K_BLOCK).zip(weights.chunks(K_BLOCK));
        blocks.fold(y + bias, |sum, (x, weights)| {
            sum + x.iter().zip(weights).fold(0.0, |chain, (x, weight)| x.mul_add(*weight, chain))
        })
    }

    #[test]
    fn every_shape_has_the_documented_bits_on_every_instruction_set() {
        let wave = |i: usize| (i as f32 * 0.731).sin();
        for (inputs, outputs) in [(1, 1), (20, 33), (256, 32), (257, 64), (600, 5)] {
            let shape = Linear::alone(inputs, outputs);
            let linear = Linear { bias: Some(shape.len()), ..shape };
            let mut buffer = Aligned::zeros(shape.len() + shape.outputs);
            let weights: Vec<f32> = (0..inputs * outputs).map(wave).collect();
            for (output, weights) in weights.chunks(inputs).enumerate() {
                linear.put_output(&mut buffer, output, weights);
                buffer[shape.len() + output] = wave(output + 9);
            }
            for n_rows in 1..=26 {
                let x: Vec<f32> = (0..n_rows * (inputs + 3)).map(|i| wave(i * 7)).collect();
                let start: Vec<f32> = (0..n_rows * shape.outputs).map(wave).collect();
                for arch in archs() {
                    let mut y = start.clone();
                    arch.dispatch(Product {
                        linear,
                        panels: 0..linear.outputs / PANEL,
                        activation: None,
                        runs: &[Run { n_images: 1, model: Model::One(&buffer) }],
                        n_rows,
                        x: Rows { values: &x, stride: inputs + 3, columns: inputs },
                        y: RowsMut { values: &mut y, stride: linear.outputs, first: 0, keeps: true },
                        scratch: &mut ProductScratch::new(n_rows, 1),
                    });
                    for (at, value) in y.iter().enumerate().filter(|(at, _)| at % linear.outputs < outputs) {
                        let (row, output) = (at / linear.outputs, at % linear.outputs);
                        let (x, weights) =
                            (&x[row * (inputs + 3)..][..inputs], &weights[output * inputs..][..inputs]);
                        let expected = expected(x, weights, wave(output + 9), start[at]);
                        assert_eq!(
                            value.to_bits(),
                            expected.to_bits(),
                            "{arch:?} {n_rows} {inputs} {outputs} {at}"
                        );
                    }
                }
            }
        }
    }
}
