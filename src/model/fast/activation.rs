//! The nonlinearities between the two linear layers of a block.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use pulp::Simd;

use super::exp::exp;
use crate::model::config::Activation;

/// Slope of the sigmoid in `quick_gelu`.
const QUICK_GELU_SLOPE: f32 = 1.702;

/// Of `x` and of `x^3` in the tanh approximation of `gelu`, doubled: `1 / 2 (1 + tanh u)` is the sigmoid of `2 u`.
const TANH_SLOPE: f32 = SQRT_2 * FRAC_2_SQRT_PI;
const TANH_CUBIC: f32 = TANH_SLOPE * 0.044_715;

/// Beyond, the error function is 1 in `f32`.
const ERF_RANGE: f32 = 4.0;
/// Numerator and denominator of `erf(x) / x` in powers of `x^2`, highest first (Eigen, `generic_fast_erf_float`).
const ERF_NUMERATOR: [f32; 7] = [
    -2.726_142_3e-10,
    2.770_681_4e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_3e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];
const ERF_DENOMINATOR: [f32; 5] =
    [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];

/// The activation of every lane.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, activation: Activation, x: S::f32s) -> S::f32s {
    match activation {
        Activation::QuickGelu => quick_gelu(simd, x),
        Activation::Gelu => gelu(simd, x),
        Activation::GeluTanh => gelu_tanh(simd, x),
    }
}

/// `x / (1 + e^(-1.702 x))`.
#[inline(always)]
fn quick_gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let e = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-QUICK_GELU_SLOPE)));
    simd.div_f32s(x, simd.add_f32s(e, simd.splat_f32s(1.0)))
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, to 4e-7 of `|x|`.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let square = simd.mul_f32s(x, x);
    let slope = simd.mul_add_f32s(square, simd.splat_f32s(-TANH_CUBIC), simd.splat_f32s(-TANH_SLOPE));
    let e = exp(simd, simd.mul_f32s(x, slope));
    simd.div_f32s(x, simd.add_f32s(e, simd.splat_f32s(1.0)))
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, to 4e-7 of `|x|`.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    simd.mul_add_f32s(half, erf(simd, simd.mul_f32s(x, simd.splat_f32s(FRAC_1_SQRT_2))), half)
}

#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (low, high) = (simd.splat_f32s(-ERF_RANGE), simd.splat_f32s(ERF_RANGE));
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    let x = simd.select_f32s(simd.less_than_f32s(high, x), high, x);
    let square = simd.mul_f32s(x, x);
    let numerator = polynomial(simd, square, &ERF_NUMERATOR);
    simd.div_f32s(simd.mul_f32s(x, numerator), polynomial(simd, square, &ERF_DENOMINATOR))
}

#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for coefficient in coefficients {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

#[cfg(test)]
mod tests {
    use candle_core::cpu::erf::erf_f64;
    use pulp::WithSimd;

    use super::super::lanes::tests::every_arch;
    use super::*;

    struct Map<'a>(&'a mut [f32], Activation);

    impl WithSimd for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            S::as_mut_simd_f32s(self.0).0.iter_mut().for_each(|x| *x = activate(simd, self.1, *x));
        }
    }

    #[test]
    fn activations_are_accurate_and_the_same_everywhere() {
        let arguments: Vec<f32> = (-120_000..120_000).map(|i| i as f32 / 10_000.0).collect();
        for activation in [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh] {
            let values = every_arch(&arguments, |arch, values| arch.dispatch(Map(values, activation)));
            for (&x, &y) in arguments.iter().zip(&values) {
                let wide = f64::from(x);
                let exact = match activation {
                    Activation::QuickGelu => wide / (1.0 + (-1.702 * wide).exp()),
                    Activation::GeluTanh => {
                        let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
                        0.5 * wide * (1.0 + u.tanh())
                    }
                    Activation::Gelu => 0.5 * wide * (1.0 + erf_f64(wide / 2.0_f64.sqrt())),
                };
                let allowed = 4e-7 * wide.abs();
                assert!(
                    (f64::from(y) - exact).abs() <= allowed,
                    "{activation:?}({x}) = {y}, exactly {exact}"
                );
            }
        }
    }
}
