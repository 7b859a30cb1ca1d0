//! Attention of a single query of an image, without its keys and values.
//!
//! A score is `q . (K x + k) = (K^T q) . x + q . k`, of which the last part is the same for every token and has no part in a softmax; a
//! mixture is `sum p (V x + v) = V (sum p x) + v`, for the `p` sum to 1. So the matrices meet one row a head and not every token: of the
//! last block, where the class token alone goes on, 2 million multiplications are left of 59 (ViT-B/32), and 1 % of a pass is saved.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::aligned::Aligned;
use super::lanes;
use super::norm::Softmax;
use super::packing::{K_BLOCK, LANES, Linear, PANEL};
use super::weights::Model;

/// Memory of a head.
#[derive(Debug)]
pub(super) struct QueryScratch {
    /// One merged panel.
    panel: Aligned,
    /// What tokens are scored by, a row.
    direction: Aligned,
    /// One for each token, in whole lanes.
    scores: Aligned,
    /// The mixture of tokens, a row.
    mixture: Aligned,
}

impl QueryScratch {
    /// For rows of so many values, padding included, of so many tokens.
    pub(super) fn of(row: usize, tokens: usize) -> Self {
        Self {
            panel: Aligned::zeros(K_BLOCK * PANEL),
            direction: Aligned::zeros(row),
            scores: Aligned::zeros(tokens.next_multiple_of(LANES)),
            mixture: Aligned::zeros(row),
        }
    }
}

/// One head of an image.
#[derive(Debug)]
pub(super) struct OneQuery<'a> {
    /// Queries, keys and values as one layer; keys begin at output `row`, values at `2 * row`.
    pub(super) qkv: Linear,
    /// The model of the image.
    pub(super) model: Model<'a>,
    /// Outputs of the head, among a third of the layer's.
    pub(super) channels: Range<usize>,
    /// Its query.
    pub(super) query: &'a [f32],
    /// Tokens of the image.
    pub(super) tokens: usize,
    /// The normalised tokens, `[tokens, row]`.
    pub(super) x: &'a [f32],
    /// Values of a row, padding included.
    pub(super) row: usize,
    /// To write: what the head mixed, as many as `channels`.
    pub(super) out: &'a mut [f32],
    pub(super) scratch: &'a mut QueryScratch,
}

impl WithSimd for OneQuery<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.direction(simd);
        self.score(simd);
        self.mix(simd);
        self.value(simd);
    }
}

impl OneQuery<'_> {
    /// `K^T q`: each input's weights for the keys times the query. The sum over a panel is one of lanes, panels follow each other.
    #[inline(always)]
    fn direction<S: Simd>(&mut self, simd: S) {
        let QueryScratch { panel: scratch, direction, .. } = &mut *self.scratch;
        direction.fill(0.0);
        let keys = self.row + self.channels.start..self.row + self.channels.end;
        for start in (0..self.qkv.inputs).step_by(K_BLOCK) {
            let len = self.qkv.depth(start) * PANEL;
            for panel in keys.start / PANEL..keys.end.div_ceil(PANEL) {
                let mut query = [0.0; PANEL];
                for (channel, value) in keys.clone().zip(self.query).filter(|(at, _)| at / PANEL == panel) {
                    query[channel % PANEL] = *value;
                }
                let weights = self.model.read(simd, self.qkv.panel(start, panel), len, scratch);
                let (low, high) = weights.split_at(len / 2);
                let inputs = low.as_chunks::<LANES>().0.iter().zip(high.as_chunks::<LANES>().0);
                for (sum, (low, high)) in direction[start..].iter_mut().zip(inputs) {
                    *sum += lanes::dot(simd, &[*low, *high], &query);
                }
            }
        }
    }

    /// The softmax of every token's product with the direction, still to be divided by its sum.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S) {
        let QueryScratch { direction, scores, .. } = &mut *self.scratch;
        for (score, x) in scores.iter_mut().zip(self.x.chunks_exact(self.row)).take(self.tokens) {
            *score = lanes::dot(simd, x.as_chunks::<LANES>().0, direction);
        }
    }

    /// The tokens' mixture.
    #[inline(always)]
    fn mix<S: Simd>(&mut self, simd: S) {
        let QueryScratch { scores, mixture, .. } = &mut *self.scratch;
        let mut reciprocal = [0.0];
        Softmax {
            scale: (self.channels.len() as f32).sqrt().recip(),
            width: self.tokens,
            stride: scores.len(),
            rows: scores,
            reciprocals: &mut reciprocal,
        }
        .with_simd(simd);
        let reciprocal = simd.splat_f32s(reciprocal[0]);
        for (at, sum) in S::as_mut_simd_f32s(mixture).0.iter_mut().enumerate() {
            *sum = simd.splat_f32s(0.0);
            for (score, x) in scores.iter().zip(self.x.chunks_exact(self.row)).take(self.tokens) {
                *sum = simd.mul_add_f32s(simd.splat_f32s(*score), S::as_simd_f32s(x).0[at], *sum);
            }
            *sum = simd.mul_f32s(*sum, reciprocal);
        }
    }

    /// `V m + v`: bias, then a chain for each block of inputs.
    #[inline(always)]
    fn value<S: Simd>(&mut self, simd: S) {
        let QueryScratch { panel: scratch, mixture, .. } = &mut *self.scratch;
        let values = 2 * self.row + self.channels.start..2 * self.row + self.channels.end;
        for panel in values.start / PANEL..values.end.div_ceil(PANEL) {
            let mut sums = [0.0; PANEL];
            if let Some(bias) = self.qkv.bias {
                sums.copy_from_slice(self.model.read(simd, bias + panel * PANEL, PANEL, scratch));
            }
            for start in (0..self.qkv.inputs).step_by(K_BLOCK) {
                let len = self.qkv.depth(start) * PANEL;
                let weights = self.model.read(simd, self.qkv.panel(start, panel), len, scratch);
                for (sums, strip) in sums.chunks_exact_mut(LANES).zip(weights.chunks_exact(len / 2)) {
                    lanes::add_products(simd, &mixture[start..], strip.as_chunks::<LANES>().0, sums);
                }
            }
            for (out, channel) in
                self.out.iter_mut().zip(values.clone()).filter(|(_, at)| at / PANEL == panel)
            {
                *out = sums[channel % PANEL];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::tests::every_arch;
    use super::*;

    /// Heads of 20 channels, so that panels and strips belong to several.
    const WIDTH: usize = 60;
    const ROW: usize = 64;
    const HEAD: usize = 20;
    const TOKENS: usize = 7;

    fn wave(n: usize, rate: f64) -> f32 {
        (n as f64 * rate).sin() as f32
    }

    /// With keys and values, in double precision.
    fn attended(qkv: Linear, weights: &[f32], x: &[f32], query: &[f32], channel: usize) -> Vec<f64> {
        let weight = |input: usize, output: usize| {
            f64::from(qkv.weights(weights, input, output / LANES)[output % LANES])
        };
        let projected = |token: usize, output: usize| {
            let bias = f64::from(weights[qkv.bias.expect("a bias") + output]);
            (0..WIDTH)
                .fold(bias, |sum, input| sum + f64::from(x[token * ROW + input]) * weight(input, output))
        };
        let score = |token| {
            let parts = (0..HEAD).map(|n| f64::from(query[n]) * projected(token, ROW + channel + n));
            (parts.sum::<f64>() / (HEAD as f64).sqrt()).exp()
        };
        let scores: Vec<f64> = (0..TOKENS).map(score).collect();
        let mixed = |n| {
            let parts =
                scores.iter().enumerate().map(|(token, p)| p * projected(token, 2 * ROW + channel + n));
            parts.sum::<f64>() / scores.iter().sum::<f64>()
        };
        (0..HEAD).map(mixed).collect()
    }

    #[test]
    fn a_query_mixes_what_it_would_of_keys_and_values_and_the_same_everywhere() {
        let shape = Linear::alone(WIDTH, 3 * ROW);
        let qkv = Linear { bias: Some(shape.len()), ..shape };
        let mut weights = Aligned::zeros(shape.len() + shape.outputs);
        for output in 0..3 * ROW {
            let of_output: Vec<f32> = (0..WIDTH).map(|input| wave(output * WIDTH + input, 0.731)).collect();
            qkv.put_output(&mut weights, output, &of_output);
            weights[shape.len() + output] = wave(output, 0.377);
        }
        let mut x = Aligned::zeros(TOKENS * ROW);
        for (n, row) in x.chunks_exact_mut(ROW).enumerate() {
            row[..WIDTH].iter_mut().enumerate().for_each(|(i, x)| *x = wave(n * WIDTH + i, 0.113));
        }
        let query: Vec<f32> = (0..HEAD).map(|n| wave(n, 1.9)).collect();
        for channel in [0, HEAD, 2 * HEAD] {
            let mixed = every_arch(&[0.0; HEAD], |arch, out| {
                arch.dispatch(OneQuery {
                    qkv,
                    model: Model::One(&weights),
                    channels: channel..channel + HEAD,
                    query: &query,
                    tokens: TOKENS,
                    x: &x,
                    row: ROW,
                    out,
                    scratch: &mut QueryScratch::of(ROW, TOKENS),
                });
            });
            for (ours, exact) in mixed.iter().zip(attended(qkv, &weights, &x, &query, channel)) {
                assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} is not {exact}");
            }
        }
    }
}
