//! The exponential function, the same bits on every machine.

use pulp::Simd;

/// Below, the result would need a denormal; above, it would overflow.
const RANGE: (f32, f32) = (-86.0, 88.0);
/// `ln 2` in two parts: products of the first with exponents are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// Added to a small number, leaves its nearest integer in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Of `(e^r - 1 - r) / r^2` on `|r| <= ln 2 / 2`, highest power first (Cephes, `expf`).
const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x` to 1.2e-7 of its value, for `x` from -86 to 88; arguments beyond are taken as the nearer end. NaN stays NaN.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (low, high) = (simd.splat_f32s(RANGE.0), simd.splat_f32s(RANGE.1));
    // Selections, as minimum and maximum treat NaN differently from machine to machine.
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    let x = simd.select_f32s(simd.less_than_f32s(high, x), high, x);
    let shifted = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_f32s(n, simd.splat_f32s(-LN_2.0), x);
    let r = simd.mul_add_f32s(n, simd.splat_f32s(-LN_2.1), r);
    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = simd.mul_add_f32s(p, r, simd.splat_f32s(*coefficient));
    }
    let p = simd.add_f32s(simd.mul_add_f32s(simd.mul_f32s(r, r), p, r), simd.splat_f32s(1.0));
    // Times 2^n: n, in the lowest bits of `shifted`, is added to the exponent.
    let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), n))
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::super::lanes::tests::every_arch;
    use super::*;

    struct Map<'a>(&'a mut [f32]);

    impl WithSimd for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            S::as_mut_simd_f32s(self.0).0.iter_mut().for_each(|x| *x = exp(simd, *x));
        }
    }

    #[test]
    fn the_exponential_is_accurate_and_the_same_everywhere() {
        let arguments: Vec<f32> = (-86 * 4096..88 * 4096).map(|i| i as f32 / 4096.0 + 1e-5).collect();
        let reference = every_arch(&arguments, |arch, values| arch.dispatch(Map(values)));
        for (&x, &y) in arguments.iter().zip(&reference) {
            let exact = f64::from(x.clamp(RANGE.0, RANGE.1)).exp();
            assert!((f64::from(y) / exact - 1.0).abs() < 1.2e-7, "exp({x}) = {y}, exactly {exact}");
        }
    }

    #[test]
    fn arguments_beyond_the_range_are_clamped_and_nan_stays() {
        let arguments = [-1e30, f32::NEG_INFINITY, 1e30, f32::INFINITY, f32::NAN, 0.0, -0.0, 1.0];
        let values = every_arch(&arguments.repeat(2), |arch, values| arch.dispatch(Map(values)));
        assert!(values[0] > 0.0 && values[0] < 1e-37 && values[0] == values[1]);
        assert!(values[2] > 1e38 && values[2].is_finite() && values[2] == values[3]);
        assert!(values[4].is_nan());
        assert_eq!((values[5], values[6]), (1.0, 1.0));
    }
}
