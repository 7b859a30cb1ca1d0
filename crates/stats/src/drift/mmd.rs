//! The maximum mean discrepancy of two sets of vectors in linear time (Gretton et al. 2012, section 6).

use crate::inference::{below, stream};
use crate::metrics::real;

/// The discrepancy and its null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mmd {
    /// Unbiased estimate of the squared discrepancy; may be negative.
    pub value: f64,
    /// Share of pooled permutations with at least this value, the observed order counting as one.
    pub p_value: f64,
    /// The Gaussian kernel's bandwidth: the median distance of pooled pairs.
    pub bandwidth: f64,
}

/// Squared discrepancy of the rows of `a` and `b`, each of `dim` values, with a Gaussian kernel
/// `exp(-d^2 / (2 bandwidth^2))`: the mean over disjoint pairs of neighbours of
/// `k(a1, a2) + k(b1, b2) - k(a1, b2) - k(a2, b1)`. The longer set is cut to the shorter.
#[must_use]
pub fn linear_mmd(a: &[&[f32]], b: &[&[f32]], bandwidth: f64) -> Option<f64> {
    let n = a.len().min(b.len()) / 2;
    let kernel = |x: &[f32], y: &[f32]| (-squared(x, y) / (2.0 * bandwidth * bandwidth)).exp();
    let part = |k: usize| {
        let (a1, a2, b1, b2) = (a[2 * k], a[2 * k + 1], b[2 * k], b[2 * k + 1]);
        kernel(a1, a2) + kernel(b1, b2) - kernel(a1, b2) - kernel(a2, b1)
    };
    (n > 0).then(|| (0..n).map(part).sum::<f64>() / real(n as u64))
}

/// [`linear_mmd`] at the median distance, against permutations of the pooled rows. `None` with fewer than two rows on a
/// side.
#[must_use]
pub fn mmd_null(a: &[&[f32]], b: &[&[f32]], n_permutations: usize, seed: u64) -> Option<Mmd> {
    let mut pooled: Vec<&[f32]> = a.iter().chain(b).copied().collect();
    let bandwidth = median_distance(&pooled, seed)?;
    let value = linear_mmd(a, b, bandwidth)?;
    let mut as_large = 0;
    for number in 0..n_permutations {
        let mut stream = stream(seed, number as u64 + 1);
        for last in (1..pooled.len()).rev() {
            pooled.swap(last, below(&mut stream, last + 1));
        }
        let drawn = linear_mmd(&pooled[..a.len()], &pooled[a.len()..], bandwidth);
        as_large += u64::from(drawn.is_some_and(|drawn| drawn >= value));
    }
    Some(Mmd { value, p_value: real(as_large + 1) / real(n_permutations as u64 + 1), bandwidth })
}

/// The median over at most 1000 random pairs; 1 when all rows are equal.
fn median_distance(rows: &[&[f32]], seed: u64) -> Option<f64> {
    let mut stream = stream(seed, 0);
    let mut draw = || rows[below(&mut stream, rows.len())];
    if rows.len() < 4 {
        return None;
    }
    let mut distances: Vec<f64> = (0..1000).map(|_| squared(draw(), draw())).filter(|d| *d > 0.0).collect();
    distances.sort_unstable_by(f64::total_cmp);
    Some(distances.get(distances.len() / 2).map_or(1.0, |d| d.sqrt()))
}

fn squared(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}
