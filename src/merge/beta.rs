//! The Beta distribution: logarithms of the Gamma function, of the Beta function and of the density.
//!
//! Written so that large parameters keep their digits: a tight cluster of coefficients has parameters in the
//! thousands, and there the difference of three large log-Gammas would lose what the likelihood needs.

/// Above this argument the Stirling series below is exact to the last digit or two of an `f64`.
const STIRLING_FROM: f64 = 10.0;

/// `ln(2 pi) / 2`.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// `ln Gamma(x)` for `x > 0`, within 1e-12 absolutely or relatively, whichever is more.
///
/// Stirling's series from 10 upward; below, the recurrence `Gamma(x + 1) = x Gamma(x)` lifts the argument.
///
/// # Panics
/// When `x` is not positive.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    assert!(x > 0.0, "ln_gamma is defined here for positive arguments, got {x}");
    let (mut lifted, mut product) = (x, 1.0);
    while lifted < STIRLING_FROM {
        product *= lifted;
        lifted += 1.0;
    }
    (lifted - 0.5) * lifted.ln() - lifted + HALF_LN_TAU + stirling_rest(lifted) - product.ln()
}

/// `ln B(a, b) = ln Gamma(a) + ln Gamma(b) - ln Gamma(a + b)` for positive `a` and `b`.
///
/// Where a parameter is large its log-Gamma is never formed: the large terms of the Stirling series are
/// cancelled on paper, so the error stays near rounding of the parameters themselves.
///
/// # Panics
/// When a parameter is not positive.
#[must_use]
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    let sum = small + large;
    if large < STIRLING_FROM {
        return ln_gamma(small) + ln_gamma(large) - ln_gamma(sum);
    }
    // ln Gamma(large) - ln Gamma(sum) + small ln sum - small, the terms of order large ln large gone.
    let ratio = stirling_rest(large) - stirling_rest(sum) - (large - 0.5) * (small / large).ln_1p();
    if small < STIRLING_FROM {
        return ln_gamma(small) - small * sum.ln() + small + ratio;
    }
    // Both large: the series of the small one joins in, and its `small ln small - small` goes too.
    small * (small / sum).ln() - 0.5 * small.ln() + HALF_LN_TAU + stirling_rest(small) + ratio
}

/// Logarithm of the Beta density, `(a - 1) ln x + (b - 1) ln(1 - x) - ln B(a, b)`, from the two logarithms.
///
/// The logarithms are arguments because a fit evaluates many parameters on the same data.
#[must_use]
pub fn ln_density(ln_x: f64, ln_one_minus_x: f64, a: f64, b: f64) -> f64 {
    (a - 1.0) * ln_x + (b - 1.0) * ln_one_minus_x - ln_beta(a, b)
}

/// `ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi)/2)` for `x >= 10`: Stirling's series, seven terms.
fn stirling_rest(x: f64) -> f64 {
    const TERMS: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let inverse_square = 1.0 / (x * x);
    TERMS.iter().rev().fold(0.0, |rest, term| rest * inverse_square + term) / x
}
