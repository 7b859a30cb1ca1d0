//! Elementary functions from basic IEEE arithmetic only.
//!
//! The platform's `ln` and `exp` differ in the last bit between libraries and even between processors. These
//! do not, so images made on two machines agree. They are within 1 unit in the last place of the true value.

/// Split so that whole multiples of the high part are exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Natural logarithm of a positive, finite, normal number.
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    debug_assert!(x >= f64::MIN_POSITIVE && x.is_finite(), "ln of {x}");
    // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let k = (shifted as i64) >> 52;
    let f = f64::from_bits(bits.wrapping_sub((k as u64) << 52)) - 1.0;
    // ln(1+f) = 2 atanh(s) with s = f/(2+f), arranged so that the leading f - f²/2 is exact to the last bit.
    let s = f / (2.0 + f);
    let z = s * s;
    let series = horner(z, &ATANH_SERIES) * z;
    let half_square = 0.5 * f * f;
    let k = k as f64;
    k * LN2_HIGH - ((half_square - (s * (half_square + series) + k * LN2_LOW)) - f)
}

/// Exponential of a number up to 700; below -700 it is 0.
pub(super) fn exp(x: f64) -> f64 {
    debug_assert!(x <= 700.0, "exp of {x}");
    if x < -700.0 {
        return 0.0;
    }
    // Adding 1.5 * 2^52 leaves no room for fraction bits, so the addition itself rounds.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let k = (x * std::f64::consts::LOG2_E + SHIFT) - SHIFT;
    let (high, low) = (x - k * LN2_HIGH, k * LN2_LOW);
    let r = high - low;
    let lost = (high - r) - low;
    // exp(r) = 1 + r + r² (...), with what 1 + r rounds away carried along.
    let sum = 1.0 + r;
    let carried = (1.0 - sum) + r;
    let scale = f64::from_bits(((1023 + k as i64) as u64) << 52);
    scale * (sum + (carried + (lost + r * r * horner(r, &EXP_SERIES))))
}

/// `x` to the power `y`, for `x` in `(0, 1]` and moderate `y`; within a few units in the last place.
pub(super) fn pow(x: f64, y: f64) -> f64 {
    exp(y * ln(x))
}

/// Sine and cosine of an angle in radians, at most a few turns from 0.
pub(super) fn sin_cos(x: f64) -> (f64, f64) {
    let quarter_turns = (x / std::f64::consts::FRAC_PI_2).round();
    let r = x - quarter_turns * std::f64::consts::FRAC_PI_2;
    let z = r * r;
    let sin = r * horner(z, &SIN_SERIES);
    let cos = horner(z, &COS_SERIES);
    match (quarter_turns as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// `coefficients[0] + x (coefficients[1] + x (...))`.
#[inline(always)]
fn horner<const N: usize>(x: f64, coefficients: &[f64; N]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// `2/(2n+1)` for n = 1, 2, ...: the series of `2 atanh(s)/s - 2` in `s²`, less one power.
const ATANH_SERIES: [f64; 10] = [
    2.0 / 3.0,
    2.0 / 5.0,
    2.0 / 7.0,
    2.0 / 9.0,
    2.0 / 11.0,
    2.0 / 13.0,
    2.0 / 15.0,
    2.0 / 17.0,
    2.0 / 19.0,
    2.0 / 21.0,
];

/// `1/n!` for n = 2, 3, ...: the series of `(exp(r) - 1 - r)/r²`.
const EXP_SERIES: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// `(-1)^n/(2n+1)!`: the series of `sin(r)/r` in `r²`.
const SIN_SERIES: [f64; 9] = [
    1.0,
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5040.0,
    1.0 / 362_880.0,
    -1.0 / 39_916_800.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 355_687_428_096_000.0,
];

/// `(-1)^n/(2n)!`: the series of `cos(r)` in `r²`.
const COS_SERIES: [f64; 9] = [
    1.0,
    -1.0 / 2.0,
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40320.0,
    -1.0 / 3_628_800.0,
    1.0 / 479_001_600.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 20_922_789_888_000.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn worst_ulps(points: impl Iterator<Item = f64>, ours: fn(f64) -> f64, platform: fn(f64) -> f64) -> u64 {
        points.map(|x| ours(x).to_bits().abs_diff(platform(x).to_bits())).max().unwrap_or(0)
    }

    #[test]
    fn ln_and_exp_are_within_one_unit_of_the_platform() {
        let grid = || (1..200_000).map(|i| f64::from(i) * 1.0e-5 + 1.0e-13);
        assert!(worst_ulps(grid(), ln, f64::ln) <= 1);
        assert!(worst_ulps(grid().map(|x| x * 1e4), ln, f64::ln) <= 1);
        assert!(worst_ulps(grid().map(|x| -10.0 * x), exp, f64::exp) <= 1);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sine_and_cosine_agree_with_the_platform() {
        for i in -2000..2000 {
            let x = f64::from(i) * 0.003;
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() < 1e-15 && (cos - x.cos()).abs() < 1e-15, "{x}");
        }
    }
}
