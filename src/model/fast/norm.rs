//! Normalisation of rows: layer norm, softmax, unit length.

use pulp::{Simd, WithSimd};

use super::exp::exp;
use super::lanes;
use super::packing::{LANES, Norm};
use super::weights::Run;

/// Layer norm of some rows of every image.
#[derive(Debug)]
pub(super) struct LayerNorm<'a> {
    /// Where gains and biases are.
    pub(super) norm: Norm,
    /// The models of the images.
    pub(super) runs: &'a [Run<'a>],
    /// Rows of an image.
    pub(super) n_rows: usize,
    /// Values of a row; what lies between them and the whole row is padding.
    pub(super) width: usize,
    /// Added to the variance.
    pub(super) eps: f32,
    /// From a row to the next, of `x` and of `y`.
    pub(super) stride: usize,
    /// To read.
    pub(super) x: &'a [f32],
    /// To write.
    pub(super) y: &'a mut [f32],
    /// Two rows, for merged gains and biases.
    pub(super) scratch: (&'a mut [f32], &'a mut [f32]),
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut rows = self.x.chunks(self.stride).zip(self.y.chunks_mut(self.stride));
        let (gain_scratch, bias_scratch) = self.scratch;
        let row = gain_scratch.len();
        for run in self.runs {
            let gain = run.model.read(simd, self.norm.gain, row, gain_scratch);
            let bias = run.model.read(simd, self.norm.bias, row, bias_scratch);
            for (x, y) in rows.by_ref().take(run.n_images * self.n_rows) {
                layer_norm(simd, &x[..row], &mut y[..row], (self.width, self.eps), gain, bias);
            }
        }
    }
}

/// `(x - mean) / sqrt(variance + eps) * gain + bias`; padding stays zero, as its gain and bias are.
#[inline(always)]
fn layer_norm<S: Simd>(
    simd: S,
    x: &[f32],
    y: &mut [f32],
    (width, eps): (usize, f32),
    gain: &[f32],
    bias: &[f32],
) {
    let mean = lanes::sum(simd, x) / width as f32;
    // Padding is zero and adds nothing to the mean; to the squares each value of it would add the mean's. So the last
    // chunk is completed by the mean itself.
    let mut tail = [mean; LANES];
    let whole = width / LANES * LANES;
    tail[..width - whole].copy_from_slice(&x[whole..width]);
    let squares = lanes::sum_of_squares(simd, &x[..whole], mean) + lanes::sum_of_squares(simd, &tail, mean);
    let scale = 1.0 / (squares / width as f32 + eps).sqrt();
    let (mean, scale) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
    let (x, gain, bias) = (S::as_simd_f32s(x).0, S::as_simd_f32s(gain).0, S::as_simd_f32s(bias).0);
    for (((y, &x), &gain), &bias) in S::as_mut_simd_f32s(y).0.iter_mut().zip(x).zip(gain).zip(bias) {
        *y = simd.mul_add_f32s(simd.mul_f32s(simd.sub_f32s(x, mean), scale), gain, bias);
    }
}

/// Replaces the first `width` values of every row by `exp(scale * (x - max))` and the others by zeros.
///
/// The softmax is that times the reciprocal of the row's sum, which is left to apply: attention does so after its second
/// product, to fewer values.
#[derive(Debug)]
pub(super) struct Softmax<'a> {
    pub(super) scale: f32,
    /// Values of a row.
    pub(super) width: usize,
    /// From a row to the next, a multiple of [`LANES`].
    pub(super) stride: usize,
    pub(super) rows: &'a mut [f32],
    /// To write, one per row.
    pub(super) reciprocals: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = simd.splat_f32s(self.scale);
        for (row, reciprocal) in self.rows.chunks_exact_mut(self.stride).zip(self.reciprocals) {
            row[self.width..].fill(f32::NEG_INFINITY);
            let max = simd.splat_f32s(lanes::max(simd, row));
            for x in S::as_mut_simd_f32s(row).0 {
                *x = exp(simd, simd.mul_f32s(simd.sub_f32s(*x, max), scale));
            }
            row[self.width..].fill(0.0);
            *reciprocal = 1.0 / lanes::sum(simd, row);
        }
    }
}

/// Divides every row by its length. A row of length zero becomes NaN.
#[derive(Debug)]
pub(super) struct UnitLength<'a> {
    /// From a row to the next, a multiple of [`LANES`]; padding is zero.
    pub(super) stride: usize,
    pub(super) rows: &'a mut [f32],
}

impl WithSimd for UnitLength<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.stride) {
            let length = simd.splat_f32s(lanes::sum_of_squares(simd, row, 0.0).sqrt());
            for x in S::as_mut_simd_f32s(row).0 {
                *x = simd.div_f32s(*x, length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::tests::every_arch;
    use super::super::weights::Model;
    use super::*;

    #[test]
    fn layer_norm_ignores_padding_and_is_the_same_everywhere() {
        for width in [1, 15, 16, 40, 64] {
            let row = 64;
            let mut weights = vec![0.0; 2 * row];
            weights[..width].iter_mut().enumerate().for_each(|(i, gain)| *gain = 1.0 + i as f32 / 64.0);
            weights[row..row + width].fill(0.25);
            let mut x = vec![0.0; 3 * row];
            for (i, x) in x.iter_mut().enumerate().filter(|(i, _)| i % row < width) {
                *x = (i as f32 * 0.77).sin() + 5.0;
            }
            let y = every_arch(&vec![0.0; x.len()], |arch, y| {
                let (mut gain, mut bias) = (vec![0.0; row], vec![0.0; row]);
                arch.dispatch(LayerNorm {
                    norm: Norm { gain: 0, bias: row },
                    runs: &[Run { n_images: 3, model: Model::One(&weights) }],
                    n_rows: 1,
                    width,
                    eps: 1e-5,
                    stride: row,
                    x: &x,
                    y,
                    scratch: (&mut gain, &mut bias),
                });
            });
            for (x, y) in x.chunks(row).zip(y.chunks(row)) {
                let mean = x[..width].iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
                let variance =
                    x[..width].iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
                for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
                    let gain = if i < width { 1.0 + i as f64 / 64.0 } else { 0.0 };
                    let bias = if i < width { 0.25 } else { 0.0 };
                    let exact = (f64::from(x) - mean) / (variance + 1e-5).sqrt() * gain + bias;
                    assert!((f64::from(y) - exact).abs() < 1e-5, "width {width}, {i}: {y} is not {exact}");
                }
            }
        }
    }

    #[test]
    fn softmax_and_unit_length_are_right_and_the_same_everywhere() {
        let scores: Vec<f32> = (0..2 * 32).map(|i| (i as f32 * 1.3).sin() * 20.0).collect();
        let weights = every_arch(&scores, |arch, rows| {
            let mut reciprocals = [0.0; 2];
            arch.dispatch(Softmax { scale: 0.5, width: 19, stride: 32, rows, reciprocals: &mut reciprocals });
            for (row, reciprocal) in rows.chunks_mut(32).zip(reciprocals) {
                row.iter_mut().for_each(|x| *x *= reciprocal);
            }
        });
        for (scores, weights) in scores.chunks(32).zip(weights.chunks(32)) {
            let exponentials: Vec<f64> = scores[..19].iter().map(|&x| (f64::from(x) * 0.5).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            for (exact, &weight) in exponentials.iter().map(|e| e / sum).zip(weights) {
                assert!((f64::from(weight) - exact).abs() < 1e-6);
            }
            assert!(weights[19..].iter().all(|&weight| weight == 0.0));
        }
        let units = every_arch(&scores, |arch, rows| arch.dispatch(UnitLength { stride: 32, rows }));
        for row in units.chunks(32) {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
