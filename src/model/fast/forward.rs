//! A set of images through the layers.
//!
//! References: `transformers.CLIPVisionModelWithProjection`, `SiglipVisionModel`, timm's `VisionTransformer`.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::int8::Int8Layers;
use super::norm::UnitLength;
use super::packing::{Head, Layer, Linear, PANEL, Packing};
use super::part::{Block, Kept, Part};
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
    /// The blocks in integers, where the pass computes with them.
    pub(super) int8: Option<&'a Int8Layers>,
    pub(super) n_images: usize,
    /// Threads that share the rows of the image, where the set is a single one; or 1.
    pub(super) n_parts: usize,
    /// With tools for every part.
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
        self.arch.dispatch(Product {
            linear,
            panels: 0..packing.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: tokens,
            x: Rows { values: &self.work.inner, stride, columns: 3 * packing.patch_px.pow(2) },
            y: RowsMut { values: &mut self.work.residual, stride: packing.row, keeps: true },
            scratch: &mut self.work.tools[0].product,
        });
        if let Some(norm) = packing.pre_norm {
            self.whole(self.all()).0.norm(norm);
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

    /// Attention and multilayer perceptron, each behind a layer norm and added to what is there. The parts wait for each other
    /// once, for every query meets the keys and values of all rows.
    fn block(&mut self, block: Block<'_>) {
        let (mut parts, qkv) = self.projected(block, 0..3 * self.third());
        let qkv = &*qkv;
        parts.par_iter_mut().for_each(|part| part.finish(block, qkv));
    }

    /// The same of which only the class token goes on, too little for more than one thread.
    fn class_block(&mut self, block: Block<'_>) {
        let third = self.third();
        self.projected(block, third..3 * third);
        let (mut class, qkv) = self.whole(self.class());
        class.project(block.qkv, 0..third, qkv);
        class.finish(block, qkv);
    }

    /// The set in parts whose rows are normalised and projected to some panels of queries, keys and values, and these.
    fn projected(&mut self, block: Block<'_>, panels: Range<usize>) -> (Vec<Part<'_>>, &mut [f32]) {
        let (mut parts, qkv) = self.parts();
        let own = qkv.par_chunks_mut(3 * parts[0].residual.len());
        parts.par_iter_mut().zip(own).for_each(|(part, qkv)| {
            part.norm(block.attention_norm);
            part.project(block.qkv, panels.clone(), qkv);
        });
        (parts, qkv)
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
        let norm = self.packing.post_norm;
        self.whole(class).0.norm(norm);
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: 1,
            x: Rows {
                values: &self.work.hidden,
                stride: class.step * self.packing.row,
                columns: self.packing.width,
            },
            y: RowsMut { values: &mut self.work.features, stride: linear.outputs, keeps: false },
            scratch: &mut self.work.tools[0].product,
        });
    }

    /// Attention of the learned query to all patches and the perceptron behind it, in every image's first row.
    fn pool(&mut self, probe: usize, layer: &Layer) {
        let (row, first, third) = (self.packing.row, self.class(), self.third());
        let block = Block::of(layer, None);
        let stride = first.step * row;
        let norm = self.packing.post_norm;
        self.whole(self.all()).0.norm(norm);
        self.arch.dispatch(Probe {
            start: probe,
            row,
            runs: self.runs,
            rows: &mut self.work.features,
            scratch: self.work.tools[0].vectors().0,
        });
        self.arch.dispatch(Product {
            linear: layer.qkv,
            panels: 0..third,
            activation: None,
            runs: self.runs,
            n_rows: 1,
            x: Rows { values: &self.work.features, stride: row, columns: self.packing.width },
            y: RowsMut { values: &mut self.work.qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.work.tools[0].product,
        });
        let (mut all, qkv) = self.whole(self.all());
        all.project(block.qkv, third..3 * third, qkv);
        let (mut query, qkv) = self.whole(first);
        query.mix(qkv);
        query.out(block.out, false);
        query.perceptron(block);
        let rows = self.work.residual.chunks(stride).zip(self.work.features.chunks_exact_mut(row));
        for (pooled, feature) in rows.take(self.n_images) {
            feature.copy_from_slice(&pooled[..row]);
        }
    }

    /// Some rows of every image as one part, and the queries, keys and values of all rows.
    fn whole(&mut self, rows: Kept) -> (Part<'_>, &mut [f32]) {
        let n_rows = self.n_images * self.packing.tokens;
        let (mut parts, qkv) = self.cut(n_rows);
        let part = parts.swap_remove(0);
        (Part { rows, ..part }, qkv)
    }

    /// All rows in as many parts as the pass has, and the queries, keys and values of all rows.
    fn parts(&mut self) -> (Vec<Part<'_>>, &mut [f32]) {
        self.cut((self.n_images * self.packing.tokens).div_ceil(self.n_parts))
    }

    /// All rows in parts of `per_part`.
    fn cut(&mut self, per_part: usize) -> (Vec<Part<'_>>, &mut [f32]) {
        let (packing, row) = (self.packing, self.packing.row);
        let (n_rows, inner) = (self.n_images * packing.tokens, packing.inner());
        let work = &mut *self.work;
        let residual = work.residual[..n_rows * row].chunks_mut(per_part * row);
        let hidden = work.hidden[..n_rows * row].chunks_mut(per_part * row);
        let inner = work.inner[..n_rows * inner].chunks_mut(per_part * inner);
        let buffers = residual.zip(hidden).zip(inner).zip(&mut work.tools).enumerate();
        let parts = buffers.map(|(index, (((residual, hidden), inner), tools))| Part {
            packing,
            arch: self.arch,
            runs: self.runs,
            rows: Kept { n_rows: residual.len() / row / self.n_images, step: 1 },
            first: index * per_part,
            residual,
            hidden,
            inner,
            tools,
        });
        (parts.collect(), &mut work.qkv[..n_rows * 3 * row])
    }

    /// Panels of the queries of a layer, and of its keys and its values.
    fn third(&self) -> usize {
        self.packing.row / PANEL
    }

    fn all(&self) -> Kept {
        Kept { n_rows: self.packing.tokens, step: 1 }
    }

    fn class(&self) -> Kept {
        Kept { n_rows: 1, step: self.packing.tokens }
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
