//! Tests of two methods on the same samples.

use statrs::function::factorial::ln_binomial;

use crate::metrics::real;

/// McNemar's exact two-sided p-value of `b` samples that only the first method gets right and `c` that only the second
/// does: the binomial test of `b` in `b + c` at one half.
#[must_use]
pub fn mcnemar_exact(b: u64, c: u64) -> f64 {
    let (n, few) = (b + c, b.min(c));
    if b == c {
        return 1.0;
    }
    let mut term = (ln_binomial(n, few) - real(n) * std::f64::consts::LN_2).exp();
    let mut tail = 0.0;
    // From the largest term down, each told from the one before; what is left where a term is lost in the sum is less than it.
    for k in (0..=few).rev() {
        let before = tail;
        tail += term;
        if tail.to_bits() == f64::to_bits(before) {
            break;
        }
        term *= real(k) / real(n - k + 1);
    }
    (2.0 * tail).min(1.0)
}

/// Two-sided p-value of a difference from its bootstrap replicates (on shared resamples): twice the smaller share of
/// replicates on either side of 0, where 0 itself counts on both and the estimate counts as one more replicate.
#[must_use]
pub fn paired_p_value(differences: &[f64]) -> f64 {
    let at_most = differences.iter().filter(|d| **d <= 0.0).count() as u64;
    let at_least = differences.iter().filter(|d| **d >= 0.0).count() as u64;
    let n = differences.len() as u64;
    (2.0 * real(at_most.min(at_least) + 1) / real(n + 1)).min(1.0)
}

/// Holm's step-down adjustment of a family of p-values, in their order: an adjusted value at most alpha rejects with a
/// family-wise error of at most alpha.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, place) in order.into_iter().enumerate() {
        let scaled = (p_values[place] * real((p_values.len() - rank) as u64)).min(1.0);
        largest = largest.max(scaled);
        adjusted[place] = largest;
    }
    adjusted
}
