//! A set of images through the layers.
//!
//! References: `transformers.CLIPVisionModelWithProjection`, `SiglipVisionModel`, timm's `VisionTransformer`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::block::{Block, Kept};
use super::dense::{Dense, Step};
use super::int8::Int8Layers;
use super::norm::UnitLength;
use super::packing::{Head, Layer, Linear, Packing};
use super::product::{Rows, RowsMut};
use super::weights::Run;
use super::workspace::Workspace;

/// One set of images on its way through the tower.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) packing: &'a Packing,
    pub(super) arch: Arch,
    /// The models of the set's images.
    pub(super) runs: &'a [Run<'a>],
    /// The blocks in integers, where the pass computes with them.
    pub(super) int8: Option<&'a Int8Layers>,
    pub(super) n_images: usize,
    /// Threads that share the work on the image, where the set is a single one; or 1.
    pub(super) n_threads: usize,
    /// With tools for each of them.
    pub(super) work: &'a mut Workspace,
}

impl<'a> Pass<'a> {
    /// Pixels to the input of the first block.
    ///
    /// `pixels`: `[images, 3, image_px, image_px]`.
    pub(super) fn embed(&mut self, pixels: &[f32]) {
        let (packing, tokens, stride) = (self.packing, self.packing.tokens, self.packing.patches.inputs);
        let rows = self.work.inner.chunks_exact_mut(tokens * stride);
        for (pixels, rows) in pixels.chunks_exact(packing.pixels()).zip(rows) {
            unfold(pixels, packing, rows, stride);
        }
        self.arch.dispatch(Positions {
            packing,
            runs: self.runs,
            rows: &mut self.work.residual,
            scratch: self.work.tools[0].vectors(),
        });
        // Their bias is not the class token's, so it came with the positions.
        let linear = Linear { bias: None, ..packing.patches };
        let x = Rows { values: &self.work.inner, stride, columns: 3 * packing.patch_px.pow(2) };
        let step = plain(linear, self.runs, tokens, x);
        let y = RowsMut { values: &mut self.work.residual, stride: packing.row, first: 0, keeps: true };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
        if let Some(norm) = packing.pre_norm {
            self.norm(self.all(), norm);
            std::mem::swap(&mut self.work.residual, &mut self.work.hidden);
        }
    }

    /// Some blocks in order, every token through each of them.
    pub(super) fn blocks(&mut self, layers: Range<usize>) {
        for index in layers {
            let block = self.nth(index);
            self.block(block);
        }
    }

    /// The blocks from number `first` on, up to where one row of every image goes on alone: nothing reads the patches behind what the
    /// class token mixes in the last block, or behind what the learned query does. Of each image the residual row and what was mixed:
    /// `[images, 2 * row]`, for [`finish`](Self::finish).
    pub(super) fn ends(&mut self, first: usize) -> Vec<f32> {
        let n_layers = self.packing.layers.len();
        match &self.packing.head {
            Head::Projection(_) => {
                self.blocks(first..n_layers - 1);
                let last = self.nth(n_layers - 1);
                self.mix_class(last);
            }
            Head::Attention { probe, layer } => {
                self.blocks(first..n_layers);
                self.mix_probe(*probe, layer);
            }
        }
        let (row, per_image) = (self.packing.row, self.packing.tokens * self.packing.row);
        let images = self.work.residual.chunks_exact(per_image).zip(self.work.hidden.chunks_exact(per_image));
        images
            .take(self.n_images)
            .flat_map(|(x, mixed)| x[..row].iter().chain(&mixed[..row]))
            .copied()
            .collect()
    }

    /// The last rows, of as many images as the pass has now, to unit features, written to `out: [images, projection width]`.
    pub(super) fn finish(&mut self, ends: &[f32], out: &mut [f32]) {
        let (packing, row, rows) = (self.packing, self.packing.row, Kept { n_rows: 1, step: 1 });
        let work = &mut *self.work;
        let places = work.residual.chunks_exact_mut(row).zip(work.hidden.chunks_exact_mut(row));
        for (end, (x, mixed)) in ends.chunks_exact(2 * row).zip(places) {
            x.copy_from_slice(&end[..row]);
            mixed.copy_from_slice(&end[row..]);
        }
        match &packing.head {
            Head::Projection(linear) => {
                let last = self.nth(packing.layers.len() - 1);
                self.behind_mix(rows, last, true);
                self.project(rows, *linear);
            }
            Head::Attention { layer, .. } => {
                self.behind_mix(rows, Block::of(layer, None), false);
                let pooled = &self.work.residual[..self.n_images * row];
                self.work.features[..pooled.len()].copy_from_slice(pooled);
            }
        }
        let stride = packing.feature_row();
        let rows = &mut self.work.features[..self.n_images * stride];
        self.arch.dispatch(UnitLength { stride, rows });
        let rows = out.chunks_exact_mut(packing.projection_width);
        for (out, row) in rows.zip(self.work.features.chunks_exact(stride)) {
            out.copy_from_slice(&row[..out.len()]);
        }
    }

    /// A block in the form in which the pass computes with it.
    fn nth(&self, index: usize) -> Block<'a> {
        Block::of(&self.packing.layers[index], self.int8.and_then(|int8| int8.layer(index)))
    }

    fn project(&mut self, rows: Kept, linear: Linear) {
        self.norm(rows, self.packing.post_norm);
        let x = Rows { values: &self.work.hidden, stride: self.packing.row, columns: self.packing.width };
        let step = plain(linear, self.runs, rows.n_rows, x);
        let y = RowsMut { values: &mut self.work.features, stride: linear.outputs, first: 0, keeps: false };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
    }

    /// Attention of the learned query to all patches.
    fn mix_probe(&mut self, probe: usize, layer: &Layer) {
        let (row, first, third) = (self.packing.row, self.class(), self.third());
        let stride = first.step * row;
        self.norm(self.all(), self.packing.post_norm);
        self.arch.dispatch(Probe {
            start: probe,
            row,
            runs: self.runs,
            rows: &mut self.work.features,
            scratch: self.work.tools[0].vectors().0,
        });
        let x = Rows { values: &self.work.features, stride: row, columns: self.packing.width };
        let step = Step { panels: 0..third, ..plain(layer.qkv, self.runs, 1, x) };
        let y = RowsMut { values: &mut self.work.qkv, stride: 3 * stride, first: 0, keeps: false };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
        self.mix_first(Block::of(layer, None).qkv);
    }
}

/// A layer in f32 outside of the blocks.
fn plain<'a>(linear: Linear, runs: &'a [Run<'a>], n_rows: usize, x: Rows<'a>) -> Step<'a> {
    let dense = Dense { linear, int8: None };
    Step { dense, panels: dense.panels(), activation: None, runs, n_rows, x }
}

/// The patches of an image as rows, behind a row of zeros where there is a class token: `[3, side, side]` to
/// `[tokens, 3 * patch * patch]`. A convolution whose stride is its kernel is a linear layer on each patch; pixels behind the
/// last whole patch have no part in it.
fn unfold(pixels: &[f32], packing: &Packing, rows: &mut [f32], stride: usize) {
    let (side, patch) = (packing.image_px, packing.patch_px);
    let (per_line, first) = (side / patch, usize::from(packing.class.is_some()));
    rows[..first * stride].fill(0.0);
    for (line, pixels) in pixels.chunks_exact(side).enumerate() {
        let (channel, y) = (line / side, line % side);
        let column = (channel * patch + y % patch) * patch;
        if y / patch == per_line {
            continue;
        }
        for (x, values) in pixels.chunks_exact(patch).enumerate() {
            let row = first + y / patch * per_line + x;
            rows[row * stride + column..][..patch].copy_from_slice(values);
        }
    }
}

/// Starts every image's rows with their positions, the class token's with its embedding too, the patches' with the bias of their
/// convolution where there is one.
struct Positions<'a> {
    packing: &'a Packing,
    runs: &'a [Run<'a>],
    /// `[images * tokens, row]`.
    rows: &'a mut [f32],
    scratch: (&'a mut [f32], &'a mut [f32]),
}

impl WithSimd for Positions<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (row, tokens) = (self.packing.row, self.packing.tokens);
        let n_before_patches = usize::from(self.packing.class.is_some());
        let mut rest = self.rows;
        for run in self.runs {
            let (images, behind) = rest.split_at_mut(run.n_images * tokens * row);
            rest = behind;
            for image in images.chunks_exact_mut(tokens * row) {
                for (token, x) in image.chunks_exact_mut(row).enumerate() {
                    let start = self.packing.positions + token * row;
                    x.copy_from_slice(run.model.read(simd, start, row, self.scratch.1));
                }
            }
            if let Some(class) = self.packing.class {
                let class = run.model.read(simd, class, row, self.scratch.0);
                for image in images.chunks_exact_mut(tokens * row) {
                    image.iter_mut().zip(class).for_each(|(x, class)| *x += class);
                }
            }
            if let Some(bias) = self.packing.patches.bias {
                let bias = run.model.read(simd, bias, row, self.scratch.0);
                for image in images.chunks_exact_mut(tokens * row) {
                    for x in image.chunks_exact_mut(row).skip(n_before_patches) {
                        x.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
                    }
                }
            }
        }
    }
}

/// Writes the learned query of every image's model.
struct Probe<'a> {
    start: usize,
    row: usize,
    runs: &'a [Run<'a>],
    /// `[images, row]`.
    rows: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl WithSimd for Probe<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut rows = self.rows.chunks_exact_mut(self.row);
        for run in self.runs {
            let probe = run.model.read(simd, self.start, self.row, self.scratch);
            rows.by_ref().take(run.n_images).for_each(|row| row.copy_from_slice(probe));
        }
    }
}
