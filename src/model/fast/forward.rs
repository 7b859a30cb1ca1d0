//! A set of images through the layers, on one thread.
//!
//! References: `transformers.CLIPVisionModelWithProjection`, `SiglipVisionModel`, timm's `VisionTransformer`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::attention::Attention;
use super::norm::{LayerNorm, UnitLength};
use super::packing::{Head, Layer, Linear, Norm, PANEL, Packing};
use super::product::{Product, Rows, RowsMut};
use super::weights::Run;
use super::workspace::Workspace;

/// One set of images on its way through the tower.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) packing: &'a Packing,
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
        let (packing, tokens, stride) = (self.packing, self.packing.tokens, self.packing.patches.inputs);
        let rows = self.work.inner.chunks_exact_mut(tokens * stride);
        for (pixels, rows) in pixels.chunks_exact(packing.pixels()).zip(rows) {
            unfold(pixels, packing, rows, stride);
        }
        self.arch.dispatch(Positions {
            packing,
            runs: self.runs,
            rows: &mut self.work.residual,
            scratch: (&mut self.work.vectors.0, &mut self.work.vectors.1),
        });
        // Their bias is not the class token's, so it came with the positions.
        let linear = Linear { bias: None, ..packing.patches };
        self.arch.dispatch(Product {
            linear,
            panels: 0..packing.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: tokens,
            x: Rows { values: &self.work.inner, stride, columns: 3 * packing.patch_px.pow(2) },
            y: RowsMut { values: &mut self.work.residual, stride: packing.row, keeps: true },
            scratch: &mut self.work.product,
        });
        if let Some(norm) = packing.pre_norm {
            self.norm(norm, self.all());
            std::mem::swap(&mut self.work.residual, &mut self.work.hidden);
        }
    }

    /// Some blocks in order. Where the class token alone is projected, nothing reads the patches behind the tower's last block,
    /// so there only that goes on, and of the patches keys and values are computed.
    pub(super) fn blocks(&mut self, layers: Range<usize>) {
        let projects = matches!(self.packing.head, Head::Projection(_));
        for index in layers {
            let is_last = index + 1 == self.packing.layers.len();
            self.block(index, if is_last && projects { self.class() } else { self.all() });
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
        self.norm(self.packing.post_norm, class);
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: 1,
            x: Rows { values: &self.work.hidden, stride: self.stride(class), columns: self.packing.width },
            y: RowsMut { values: &mut self.work.features, stride: linear.outputs, keeps: false },
            scratch: &mut self.work.product,
        });
    }

    /// Attention of the learned query to all patches and the perceptron behind it, in every image's first row.
    fn pool(&mut self, probe: usize, layer: &Layer) {
        let (row, first, third) = (self.packing.row, self.class(), self.packing.row / PANEL);
        let stride = self.stride(first);
        self.norm(self.packing.post_norm, self.all());
        self.arch.dispatch(Probe {
            start: probe,
            row,
            runs: self.runs,
            rows: &mut self.work.features,
            scratch: &mut self.work.vectors.0,
        });
        self.arch.dispatch(Product {
            linear: layer.qkv,
            panels: 0..third,
            activation: None,
            runs: self.runs,
            n_rows: 1,
            x: Rows { values: &self.work.features, stride: row, columns: self.packing.width },
            y: RowsMut { values: &mut self.work.qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.work.product,
        });
        self.project_hidden(layer.qkv, third..3 * third, self.all());
        self.mix(first);
        self.out(layer.out, first, false);
        self.perceptron(layer, first);
        let rows = self.work.residual.chunks(stride).zip(self.work.features.chunks_exact_mut(row));
        for (pooled, feature) in rows.take(self.n_images) {
            feature.copy_from_slice(&pooled[..row]);
        }
    }

    /// Attention and multilayer perceptron, each behind a layer norm and added to what is there.
    fn block(&mut self, index: usize, kept: Kept) {
        let layer = &self.packing.layers[index];
        self.norm(layer.attention_norm, self.all());
        self.attend(layer.qkv, kept);
        self.out(layer.out, kept, true);
        self.perceptron(layer, kept);
    }

    /// The multilayer perceptron behind its norm, added to what is there.
    fn perceptron(&mut self, layer: &Layer, kept: Kept) {
        let stride = self.stride(kept);
        self.norm(layer.mlp_norm, kept);
        let inner = layer.rise.outputs;
        self.arch.dispatch(Product {
            linear: layer.rise,
            panels: 0..inner / PANEL,
            activation: Some(self.packing.activation),
            runs: self.runs,
            n_rows: kept.n_rows,
            x: Rows { values: &self.work.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: &mut self.work.inner, stride: inner, keeps: false },
            scratch: &mut self.work.product,
        });
        self.arch.dispatch(Product {
            linear: layer.fall,
            panels: 0..self.packing.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: kept.n_rows,
            x: Rows { values: &self.work.inner, stride: inner, columns: self.packing.mlp_width },
            y: RowsMut { values: &mut self.work.residual, stride, keeps: true },
            scratch: &mut self.work.product,
        });
    }

    /// Queries of the kept rows, keys and values of all, and the mixtures of the kept rows, in place of the hidden rows.
    fn attend(&mut self, qkv: Linear, kept: Kept) {
        let third = self.packing.row / PANEL;
        self.project_hidden(qkv, 0..third, kept);
        self.project_hidden(qkv, third..3 * third, self.all());
        self.mix(kept);
    }

    /// The mixtures of the kept rows' queries, in place of the hidden rows.
    fn mix(&mut self, kept: Kept) {
        let (tokens, row) = (self.packing.tokens, self.packing.row);
        let attention = Attention::new(self.packing);
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
            x: Rows { values: &self.work.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: &mut self.work.qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.work.product,
        });
    }

    /// A layer's outputs for the hidden rows, added to the residual rows or in their place.
    fn out(&mut self, linear: Linear, rows: Kept, keeps: bool) {
        let stride = self.stride(rows);
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: rows.n_rows,
            x: Rows { values: &self.work.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: &mut self.work.residual, stride, keeps },
            scratch: &mut self.work.product,
        });
    }

    /// Layer norm of residual rows into the hidden rows.
    fn norm(&mut self, norm: Norm, rows: Kept) {
        self.arch.dispatch(LayerNorm {
            norm,
            runs: self.runs,
            n_rows: rows.n_rows,
            width: self.packing.width,
            eps: self.packing.norm_eps as f32,
            stride: self.stride(rows),
            x: &self.work.residual,
            y: &mut self.work.hidden,
            scratch: (&mut self.work.vectors.0, &mut self.work.vectors.1),
        });
    }

    fn all(&self) -> Kept {
        Kept { n_rows: self.packing.tokens, step: 1 }
    }

    fn class(&self) -> Kept {
        Kept { n_rows: 1, step: self.packing.tokens }
    }

    fn stride(&self, rows: Kept) -> usize {
        rows.step * self.packing.row
    }
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
