//! A set of images through the layers.
//!
//! References: `transformers.CLIPVisionModelWithProjection`, `SiglipVisionModel`, timm's `VisionTransformer`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::block::Block;
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

impl Pass<'_> {
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

    /// Some blocks in order. Where the class token alone is projected, nothing reads the patches behind the tower's last block,
    /// so there only that goes on, and of the patches keys and values are computed.
    pub(super) fn blocks(&mut self, layers: Range<usize>) {
        let projects = matches!(self.packing.head, Head::Projection(_));
        for index in layers {
            let int8 = self.int8.and_then(|int8| int8.layer(index));
            let block = Block::of(&self.packing.layers[index], int8);
            if projects && index + 1 == self.packing.layers.len() {
                self.class_block(block);
            } else {
                self.block(block);
            }
        }
    }

    /// The tokens behind the last block to unit rows, written to `out: [images, projection width]`.
    pub(super) fn project(&mut self, out: &mut [f32]) {
        let packing = self.packing;
        match &packing.head {
            Head::Projection(linear) => self.project_class(*linear),
            Head::Attention { probe, layer } => self.pool(*probe, layer),
        }
        let stride = packing.feature_row();
        let rows = &mut self.work.features[..self.n_images * stride];
        self.arch.dispatch(UnitLength { stride, rows });
        let rows = out.chunks_exact_mut(packing.projection_width);
        for (out, row) in rows.zip(self.work.features.chunks_exact(stride)) {
            out.copy_from_slice(&row[..out.len()]);
        }
    }

    fn project_class(&mut self, linear: Linear) {
        let class = self.class();
        self.norm(class, self.packing.post_norm);
        let stride = class.step * self.packing.row;
        let x = Rows { values: &self.work.hidden, stride, columns: self.packing.width };
        let step = plain(linear, self.runs, 1, x);
        let y = RowsMut { values: &mut self.work.features, stride: linear.outputs, first: 0, keeps: false };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
    }

    /// Attention of the learned query to all patches and the perceptron behind it, in every image's first row.
    fn pool(&mut self, probe: usize, layer: &Layer) {
        let (row, first, third) = (self.packing.row, self.class(), self.third());
        let block = Block::of(layer, None);
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
        self.project_qkv(self.all(), block.qkv, third..3 * third);
        self.mix(first);
        self.out(first, block.out, false);
        self.perceptron(first, block);
        let rows = self.work.residual.chunks(stride).zip(self.work.features.chunks_exact_mut(row));
        for (pooled, feature) in rows.take(self.n_images) {
            feature.copy_from_slice(&pooled[..row]);
        }
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
