//! Linear layers in integers: rows of activations times quantised weights.

use pulp::{Arch, Scalar, bytemuck};

use super::super::packing::PANEL;
use super::super::product::{Product, tiles_of};
use super::super::tile::NARROW;
#[cfg(target_arch = "x86_64")]
use super::super::tile::WIDE;
use super::quads::Quads;
use super::rows::{Scale, pack_rows};
use super::tile::Multiply;
#[cfg(target_arch = "x86_64")]
use super::vnni::{NarrowVnni, WideVnni};
use super::weights::Int8Linear;
use super::{INT8_BLOCK, QUAD};

/// A product with the int8 form of its layer: `y = f(x W^T + b)`, or `y = f(y + x W^T + b)`, where every block of [`INT8_BLOCK`]
/// inputs is summed in integers and joins the output in one rounding, the first with the bias.
#[derive(Debug)]
pub(in super::super) struct Int8Product<'a> {
    /// The layer's.
    pub(in super::super) weights: &'a Int8Linear,
    /// What is multiplied, and the biases.
    pub(in super::super) product: Product<'a>,
}

impl Int8Product<'_> {
    /// Multiplies with the instructions of `arch`, and with VNNI where the processor has it for such vectors.
    pub(in super::super) fn run(self, arch: Arch) {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(vnni) = WideVnni::of(arch) {
                return vnni.vectorize(
                    #[inline(always)]
                    || self.blocks::<_, WIDE>(vnni),
                );
            }
            if let Some(vnni) = NarrowVnni::of(arch) {
                return vnni.vectorize(
                    #[inline(always)]
                    || self.blocks::<_, NARROW>(vnni),
                );
            }
        }
        self.without_vnni(arch);
    }

    /// Multiplies with those of `arch` alone; other architectures than x86-64 take the plain ones.
    pub(super) fn without_vnni(self, arch: Arch) {
        match arch {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(simd) => simd.vectorize(
                #[inline(always)]
                || self.blocks::<_, WIDE>(simd),
            ),
            #[cfg(target_arch = "x86_64")]
            Arch::V3(simd) => simd.vectorize(
                #[inline(always)]
                || self.blocks::<_, NARROW>(simd),
            ),
            _ => self.blocks::<_, NARROW>(Scalar),
        }
    }

    /// Multiplies block by block, in tiles of `T` rows.
    #[inline(always)]
    pub(super) fn blocks<Q: Quads, const T: usize>(mut self, quads: Q) {
        let scales = self.row_scales();
        for start in (0..self.weights.inputs()).step_by(INT8_BLOCK) {
            self.pack::<T>(start, &scales);
            for panel in self.product.panels.clone() {
                self.panel::<Q, T>(quads, start, panel, &scales);
            }
        }
    }

    /// One for each row, over all of its inputs.
    #[inline(always)]
    fn row_scales(&self) -> Vec<Scale> {
        let Product { x, runs, n_rows, .. } = &self.product;
        let n_rows = runs.iter().map(|run| run.n_images).sum::<usize>() * n_rows;
        let mut scales = Vec::with_capacity(n_rows);
        // A closure that an iterator calls would be compiled apart, without the vectors of this function.
        for row in x.values.chunks(x.stride).take(n_rows) {
            scales.push(Scale::of(&row[..x.columns]));
        }
        scales
    }

    /// Packs the block of inputs from `start` on, every run in tiles of its own.
    #[inline(always)]
    fn pack<const T: usize>(&mut self, start: usize, scales: &[Scale]) {
        let Product { x, runs, n_rows, scratch, .. } = &mut self.product;
        let depth = self.weights.depth(start);
        let tiles: &mut [u8] = bytemuck::cast_slice_mut(&mut scratch.tiles);
        let mut tiles = tiles.chunks_exact_mut(T * depth);
        let columns = x.columns.min(start + depth);
        let mut first = 0;
        for run in *runs {
            let end = first + run.n_images * *n_rows;
            for (row, n_rows) in tiles_of::<T>(first..end) {
                let (rows, scales) = (&x.values[row * x.stride..], &scales[row..row + n_rows]);
                if let Some(tile) = tiles.next() {
                    pack_rows::<T>(rows, x.stride, scales, start..columns, tile);
                }
            }
            first = end;
        }
    }

    /// Multiplies all rows by one panel.
    #[inline(always)]
    fn panel<Q: Quads, const T: usize>(&mut self, quads: Q, start: usize, panel: usize, scales: &[Scale]) {
        let Product { linear, activation, runs, n_rows, y, scratch, .. } = &mut self.product;
        let depth = self.weights.depth(start);
        let is_last = start + depth == self.weights.inputs();
        let mut tiles: &[i32] = bytemuck::cast_slice(&scratch.tiles);
        let mut first = 0;
        for run in *runs {
            let mut merged_bias = [0.0; PANEL];
            let bias = match linear.bias {
                Some(bias) if start == 0 => {
                    run.model.read(quads.simd(), bias + panel * PANEL, PANEL, &mut merged_bias)
                }
                _ => &[0.0; PANEL],
            };
            let end = first + run.n_images * *n_rows;
            let per_tile = T * depth / QUAD;
            let (own, behind) = tiles.split_at((end - first).div_ceil(T) * per_tile);
            for column in (0..PANEL).step_by(2 * Q::F32_LANES) {
                for ((row, n_rows), tile) in tiles_of::<T>(first..end).zip(own.chunks_exact(per_tile)) {
                    let multiply = Multiply {
                        tile,
                        panel: bytemuck::cast_slice(self.weights.panel(start, panel)),
                        row_scales: &scales[row..row + n_rows],
                        scales: self.weights.scales(panel),
                        weights: self.weights.sums(start, panel),
                        bias,
                        stride: y.stride,
                        keeps: y.keeps || start > 0,
                        activation: activation.filter(|_| is_last),
                    };
                    multiply.run(quads, column, &mut y.values[row * y.stride + (panel - y.first) * PANEL..]);
                }
            }
            (tiles, first) = (behind, end);
        }
    }
}
