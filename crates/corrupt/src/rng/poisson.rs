//! Poisson numbers as NumPy draws them.

use std::sync::LazyLock;

use crate::math::{exp, ln};

/// A Poisson distribution, prepared for many draws.
#[derive(Clone, Debug)]
pub struct Poisson {
    lambda: f64,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    /// Always 0; no random number is used.
    Zero,
    /// Multiply uniforms until the product falls below `exp(-lambda)` (Knuth).
    Product { floor: f64 },
    /// Transformed rejection (Hörmann, 1993, "PTRS").
    Rejection { a: f64, b: f64, ln_lambda: f64, ln_inverse_alpha: f64, v_r: f64 },
}

impl Poisson {
    /// A distribution of mean `lambda`, which is finite and not negative.
    ///
    /// Reference: numpy `random_poisson`, which changes method at 10.
    #[must_use]
    pub fn new(lambda: f64) -> Self {
        let method = if lambda >= 10.0 {
            let b = 0.931 + 2.53 * lambda.sqrt();
            Method::Rejection {
                a: -0.059 + 0.02483 * b,
                b,
                ln_lambda: ln(lambda),
                ln_inverse_alpha: ln(1.1239 + 1.1328 / (b - 3.4)),
                v_r: 0.9277 - 3.6224 / (b - 2.0),
            }
        } else if lambda == 0.0 {
            Method::Zero
        } else {
            Method::Product { floor: exp(-lambda) }
        };
        Self { lambda, method }
    }

    /// Draws one number, taking as many uniforms in `[0, 1)` as it needs.
    #[inline]
    pub fn draw(&self, mut uniform: impl FnMut() -> f64) -> u32 {
        match self.method {
            Method::Zero => 0,
            Method::Product { floor } => {
                let (mut n, mut product) = (0, 1.0);
                loop {
                    product *= uniform();
                    if product <= floor {
                        return n;
                    }
                    n += 1;
                }
            }
            Method::Rejection { a, b, ln_lambda, ln_inverse_alpha, v_r } => loop {
                let u = uniform() - 0.5;
                let v = uniform();
                let u_s = 0.5 - u.abs();
                let k = floor((2.0 * a / u_s + b) * u + self.lambda + 0.43);
                if u_s >= 0.07 && v <= v_r {
                    return k as u32;
                }
                if k < 0.0 || (u_s < 0.013 && v > u_s) {
                    continue;
                }
                // A zero v has logarithm minus infinity, which always passes.
                let reached = v == 0.0
                    || ln(v) + ln_inverse_alpha - ln(a / (u_s * u_s) + b)
                        <= -self.lambda + k * ln_lambda - ln_factorial(k);
                if reached {
                    return k as u32;
                }
            },
        }
    }
}

/// The floor of a number; far below zero, any negative number.
///
/// Without SSE4.1, which the baseline x86-64 lacks, `f64::floor` is a library call.
fn floor(x: f64) -> f64 {
    let truncated = f64::from(x as i32);
    if truncated > x { truncated - 1.0 } else { truncated }
}

/// Logarithm of `k!` for a whole `k`, looked up where counts usually are.
fn ln_factorial(k: f64) -> f64 {
    static TABLE: LazyLock<[f64; 512]> = LazyLock::new(|| std::array::from_fn(|k| ln_gamma(k as f64 + 1.0)));
    TABLE.get(k as usize).copied().unwrap_or_else(|| ln_gamma(k + 1.0))
}

/// Logarithm of the gamma function for `x >= 1`.
///
/// Reference: numpy `random_loggam`; its own series, because the acceptance test above depends on it.
fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 10] = [
        8.333333333333333e-02,
        -2.777777777777778e-03,
        7.936507936507937e-04,
        -5.952380952380952e-04,
        8.417508417508418e-04,
        -1.917526917526918e-03,
        6.41025641025641e-03,
        -2.955065359477124e-02,
        1.796443723688307e-01,
        -1.39243221690590e+00,
    ];
    const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;
    if x == 1.0 || x == 2.0 {
        return 0.0;
    }
    let n_shifts = if x < 7.0 { (7.0 - x) as u32 } else { 0 };
    let mut shifted = x + f64::from(n_shifts);
    let inverse_square = (1.0 / shifted) * (1.0 / shifted);
    let series = SERIES.iter().rev().copied().reduce(|sum, c| sum * inverse_square + c).unwrap_or(0.0);
    let mut value = series / shifted + 0.5 * LN_TWO_PI + (shifted - 0.5) * ln(shifted) - shifted;
    for _ in 0..n_shifts {
        value -= ln(shifted - 1.0);
        shifted -= 1.0;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::legacy::Legacy;

    // python3 -c "import numpy as np; np.random.seed(0); print([np.random.poisson(l) for l in (0, .5, 4, 12, 60, 300)*2])"
    #[test]
    fn draws_are_numpys() {
        let mut legacy = Legacy::seed(0);
        let means = [0.0, 0.5, 4.0, 12.0, 60.0, 300.0];
        let draws: Vec<u32> =
            means.iter().chain(&means).map(|&m| Poisson::new(m).draw(|| legacy.next_f64())).collect();
        assert_eq!(draws, POISSON_SEED_0);
    }

    #[test]
    fn ln_gamma_of_whole_numbers_is_the_factorial() {
        let mut factorial = 1.0;
        for n in 1..20 {
            assert!((ln_gamma(f64::from(n)) - f64::ln(factorial)).abs() < 1e-12, "{n}");
            factorial *= f64::from(n);
        }
    }

    const POISSON_SEED_0: [u32; 12] = [0, 0, 8, 15, 61, 268, 0, 0, 8, 12, 54, 298];
}
