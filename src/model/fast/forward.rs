//! A set of images through the layers, on one thread.
//!
//! Reference: `transformers.CLIPVisionModelWithProjection`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::attention::Attention;
use super::norm::{LayerNorm, UnitLength};
use super::plan::{Linear, Norm, PANEL, Plan};
use super::product::{Product, Rows, RowsMut};
use super::weights::Run;
use super::workspace::Workspace;

/// One set of images on its way through the tower.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan,
    pub(super) arch: Arch,
    /// The models of the set's images.
    pub(super) runs: &'a [Run<'a>],
    pub(super) n_images: usize,
    pub(super) work: &'a mut Workspace,
}

/// The rows of each image that a step computes.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Rows of an image.
    n_rows: usize,
    /// From one to the next, in tokens.
    step: usize,
}

impl Pass<'_> {
    /// Pixels to the input of the first block.
    ///
    /// `pixels`: `[images, 3, image_px, image_px]`.
    pub(super) fn embed(&mut self, pixels: &[f32]) {
        let (plan, tokens, stride) = (self.plan, self.plan.tokens, self.plan.patches.inputs);
        let rows = self.work.inner.chunks_exact_mut(tokens * stride);
        for (pixels, rows) in pixels.chunks_exact(plan.pixels()).zip(rows) {
            unfold(pixels, plan.image_px, plan.patch_px, rows, stride);
        }
        self.arch.dispatch(Positions {
            plan,
            runs: self.runs,
            rows: &mut self.work.residual,
            scratch: (&mut self.work.vectors.0, &mut self.work.vectors.1),
        });
        self.arch.dispatch(Product {
            linear: plan.patches,
            panels: 0..plan.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: tokens,
            x: Rows { values: &self.work.inner, stride, columns: 3 * plan.patch_px.pow(2) },
            y: RowsMut { values: &mut self.work.residual, stride: plan.row, keeps: true },
            scratch: &mut self.work.product,
        });
        self.norm(plan.pre_norm, self.all());
        std::mem::swap(&mut self.work.residual, &mut self.work.hidden);
    }

    /// Some blocks in order. Nothing reads the patches behind the tower's last block, so there only the class token goes
    /// on, and of the patches keys and values are computed.
    pub(super) fn blocks(&mut self, layers: Range<usize>) {
        for index in layers {
            let is_last = index + 1 == self.plan.layers.len();
            self.block(index, if is_last { self.class() } else { self.all() });
        }
    }

    /// The pooled class tokens to unit rows, written to `out: [images, projection width]`.
    pub(super) fn project(&mut self, out: &mut [f32]) {
        let (linear, class) = (self.plan.projection, self.class());
        self.norm(self.plan.post_norm, class);
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: 1,
            x: Rows { values: &self.work.hidden, stride: self.stride(class), columns: self.plan.width },
            y: RowsMut { values: &mut self.work.features, stride: linear.outputs, keeps: false },
            scratch: &mut self.work.product,
        });
        let rows = &mut self.work.features[..self.n_images * linear.outputs];
        self.arch.dispatch(UnitLength { stride: linear.outputs, rows });
        let rows = out.chunks_exact_mut(self.plan.projection_width);
        for (out, row) in rows.zip(self.work.features.chunks_exact(linear.outputs)) {
            out.copy_from_slice(&row[..out.len()]);
        }
    }

    /// Attention and multilayer perceptron, each behind a layer norm and added to what is there.
    fn block(&mut self, index: usize, kept: Kept) {
        let (layer, stride) = (&self.plan.layers[index], self.stride(kept));
        self.norm(layer.attention_norm, self.all());
        self.attend(layer.qkv, kept);
        self.add(layer.out, kept);
        self.norm(layer.mlp_norm, kept);
        let inner = layer.rise.outputs;
        self.arch.dispatch(Product {
            linear: layer.rise,
            panels: 0..inner / PANEL,
            activation: Some(self.plan.activation),
            runs: self.runs,
            n_rows: kept.n_rows,
            x: Rows { values: &self.work.hidden, stride, columns: self.plan.width },
            y: RowsMut { values: &mut self.work.inner, stride: inner, keeps: false },
            scratch: &mut self.work.product,
        });
        self.arch.dispatch(Product {
            linear: layer.fall,
            panels: 0..self.plan.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: kept.n_rows,
            x: Rows { values: &self.work.inner, stride: inner, columns: self.plan.mlp_width },
            y: RowsMut { values: &mut self.work.residual, stride, keeps: true },
            scratch: &mut self.work.product,
        });
    }

    /// Queries of the kept rows, keys and values of all, and the mixtures of the kept rows, in place of the hidden rows.
    fn attend(&mut self, qkv: Linear, kept: Kept) {
        let third = self.plan.row / PANEL;
        self.project_hidden(qkv, 0..third, kept);
        self.project_hidden(qkv, third..3 * third, self.all());
        let (tokens, row) = (self.plan.tokens, self.plan.row);
        let attention = Attention::new(self.plan);
        let work = &mut *self.work;
        let images = work.qkv.chunks_exact(tokens * 3 * row).zip(work.hidden.chunks_exact_mut(tokens * row));
        for (qkv, hidden) in images.take(self.n_images) {
            attention.mix(self.arch, qkv, kept.n_rows, hidden, &mut work.head, &mut work.product);
        }
    }

    /// Some of the queries, keys and values of some of the hidden rows.
    fn project_hidden(&mut self, linear: Linear, panels: Range<usize>, rows: Kept) {
        let stride = self.stride(rows);
        self.arch.dispatch(Product {
            linear,
            panels,
            activation: None,
            runs: self.runs,
            n_rows: rows.n_rows,
            x: Rows { values: &self.work.hidden, stride, columns: self.plan.width },
            y: RowsMut { values: &mut self.work.qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.work.product,
        });
    }

    /// Adds a layer's outputs for the hidden rows to the residual rows.
    fn add(&mut self, linear: Linear, rows: Kept) {
        let stride = self.stride(rows);
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: rows.n_rows,
            x: Rows { values: &self.work.hidden, stride, columns: self.plan.width },
            y: RowsMut { values: &mut self.work.residual, stride, keeps: true },
            scratch: &mut self.work.product,
        });
    }

    /// Layer norm of residual rows into the hidden rows.
    fn norm(&mut self, norm: Norm, rows: Kept) {
        self.arch.dispatch(LayerNorm {
            norm,
            runs: self.runs,
            n_rows: rows.n_rows,
            width: self.plan.width,
            stride: self.stride(rows),
            x: &self.work.residual,
            y: &mut self.work.hidden,
            scratch: (&mut self.work.vectors.0, &mut self.work.vectors.1),
        });
    }

    fn all(&self) -> Kept {
        Kept { n_rows: self.plan.tokens, step: 1 }
    }

    fn class(&self) -> Kept {
        Kept { n_rows: 1, step: self.plan.tokens }
    }

    fn stride(&self, rows: Kept) -> usize {
        rows.step * self.plan.row
    }
}

/// The patches of an image as rows behind a row of zeros, the class token's: `[3, side, side]` to
/// `[1 + patches, 3 * patch * patch]`. A convolution whose stride is its kernel is a linear layer on each patch.
fn unfold(pixels: &[f32], side: usize, patch: usize, rows: &mut [f32], stride: usize) {
    let per_line = side / patch;
    rows[..stride].fill(0.0);
    for (line, pixels) in pixels.chunks_exact(side).enumerate() {
        let (channel, y) = (line / side, line % side);
        let column = (channel * patch + y % patch) * patch;
        for (x, values) in pixels.chunks_exact(patch).enumerate() {
            let row = 1 + y / patch * per_line + x;
            rows[row * stride + column..][..patch].copy_from_slice(values);
        }
    }
}

/// Starts every image's rows with their positions, the first with the class embedding too.
struct Positions<'a> {
    plan: &'a Plan,
    runs: &'a [Run<'a>],
    /// `[images * tokens, row]`.
    rows: &'a mut [f32],
    scratch: (&'a mut [f32], &'a mut [f32]),
}

impl WithSimd for Positions<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (row, tokens) = (self.plan.row, self.plan.tokens);
        let mut images = self.rows.chunks_exact_mut(tokens * row);
        for run in self.runs {
            let class = run.model.read(simd, self.plan.class, row, self.scratch.0);
            for image in images.by_ref().take(run.n_images) {
                for (token, x) in image.chunks_exact_mut(row).enumerate() {
                    let start = self.plan.positions + token * row;
                    x.copy_from_slice(run.model.read(simd, start, row, self.scratch.1));
                }
                image.iter_mut().zip(class).for_each(|(x, class)| *x += class);
            }
        }
    }
}
