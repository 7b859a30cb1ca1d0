//! Self-attention of one image, a head at a time, on the fused queries, keys and values.

use std::ops::Range;

use pulp::Arch;

use super::aligned::Aligned;
use super::norm::Softmax;
use super::packing::{Linear, PANEL, Packing};
use super::product::{Product, ProductScratch, Rows, RowsMut};
use super::weights::{Model, Run};

/// Memory of one head.
#[derive(Debug)]
pub(super) struct HeadScratch {
    /// Keys as the weights of a layer from a query to its scores.
    keys: Aligned,
    /// Values as the weights of a layer from scores to a mixture.
    values: Aligned,
    /// `[tokens, tokens in whole panels]`.
    scores: Aligned,
    /// `[tokens, head width in whole panels]`.
    mixed: Aligned,
    /// One per query.
    reciprocals: Vec<f32>,
}

/// The sizes of an attention layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    tokens: usize,
    heads: usize,
    head_width: usize,
    /// From the queries of a token to its keys, and on to its values.
    third: usize,
    /// From a query to its scores.
    to_scores: Linear,
    /// From scores to a mixture of values.
    to_mixture: Linear,
}

impl Attention {
    pub(super) fn new(packing: &Packing) -> Self {
        let head_width = packing.width / packing.heads;
        Self {
            tokens: packing.tokens,
            heads: packing.heads,
            head_width,
            third: packing.row,
            to_scores: Linear::alone(head_width, packing.tokens),
            to_mixture: Linear::alone(packing.tokens, head_width),
        }
    }

    pub(super) fn scratch(&self) -> HeadScratch {
        HeadScratch {
            keys: Aligned::zeros(self.to_scores.len()),
            values: Aligned::zeros(self.to_mixture.len()),
            scores: Aligned::zeros(self.tokens * self.to_scores.outputs),
            mixed: Aligned::zeros(self.tokens * self.to_mixture.outputs),
            reciprocals: vec![0.0; self.tokens],
        }
    }

    /// Attention of some tokens of an image to all of its tokens.
    ///
    /// `qkv`: `[tokens, 3 * third]`; row `i` of the result goes to `out[i * third..]`, head by head.
    pub(super) fn mix(
        &self,
        arch: Arch,
        qkv: &[f32],
        queries: Range<usize>,
        out: &mut [f32],
        scratch: &mut HeadScratch,
        product: &mut ProductScratch,
    ) {
        let n_queries = queries.len();
        for head in 0..self.heads {
            let offset = head * self.head_width;
            self.pack(&qkv[offset..], scratch);
            let first = &qkv[queries.start * 3 * self.third + offset..];
            self.mix_head(arch, first, n_queries, scratch, product);
            let mixed = scratch.mixed.chunks_exact(self.to_mixture.outputs).zip(&scratch.reciprocals);
            let rows = mixed.zip(out.chunks_mut(self.third)).take(n_queries);
            arch.dispatch(
                #[inline(always)]
                || {
                    for ((mixed, &reciprocal), out) in rows {
                        for (out, &x) in out[offset..][..self.head_width].iter_mut().zip(mixed) {
                            *out = x * reciprocal;
                        }
                    }
                },
            );
        }
    }

    /// Packs a head's keys and values. What is padding stays zero from the start.
    fn pack(&self, head: &[f32], scratch: &mut HeadScratch) {
        for (token, row) in head.chunks(3 * self.third).enumerate() {
            let (key, value) =
                (&row[self.third..][..self.head_width], &row[2 * self.third..][..self.head_width]);
            self.to_scores.put_output(&mut scratch.keys, token, key);
            self.to_mixture.put_input(&mut scratch.values, token, value);
        }
    }

    /// Mixtures of a head's values for some queries, the first of which starts `head`; their division by the sum of weights is left to do.
    fn mix_head(
        &self,
        arch: Arch,
        head: &[f32],
        n_queries: usize,
        scratch: &mut HeadScratch,
        product: &mut ProductScratch,
    ) {
        let stride = self.to_scores.outputs;
        let queries = Rows { values: head, stride: 3 * self.third, columns: self.head_width };
        let scores = RowsMut { values: &mut scratch.scores, stride, first: 0, keeps: false };
        apply(arch, self.to_scores, &scratch.keys, n_queries, queries, scores, product);
        arch.dispatch(Softmax {
            scale: (self.head_width as f32).sqrt().recip(),
            width: self.tokens,
            stride,
            rows: &mut scratch.scores[..n_queries * stride],
            reciprocals: &mut scratch.reciprocals,
        });
        let scores = Rows { values: &scratch.scores, stride, columns: self.tokens };
        let mixed =
            RowsMut { values: &mut scratch.mixed, stride: self.to_mixture.outputs, first: 0, keeps: false };
        apply(arch, self.to_mixture, &scratch.values, n_queries, scores, mixed, product);
    }
}

/// A whole layer whose weights were made on the spot.
fn apply(
    arch: Arch,
    linear: Linear,
    weights: &[f32],
    n_rows: usize,
    x: Rows<'_>,
    y: RowsMut<'_>,
    scratch: &mut ProductScratch,
) {
    let runs = &[Run { n_images: 1, model: Model::One(weights) }];
    let panels = 0..linear.outputs / PANEL;
    arch.dispatch(Product { linear, panels, activation: None, runs, n_rows, x, y, scratch });
}
