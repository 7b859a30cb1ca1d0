//! Effects between a reference and a night, against what pooling and permuting the rows gives by chance.

use rand::distr::Distribution;
use rand_distr::Hypergeometric;
use rand_pcg::Pcg64Mcg;

use super::histogram::Histogram;
use crate::inference::{percentile, stream};
use crate::metrics::real;

/// Bins of the population stability index.
const PSI_BINS: usize = 10;

/// Bins of the distribution function and of the permutations.
const FINE_BINS: usize = 128;

/// One effect and its place in the null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Its size.
    pub value: f64,
    /// Share of permutations with at least this effect, the observed order counting as one.
    pub p_value: f64,
    /// The effect that 95 % of permutations stay below.
    pub null_p95: f64,
}

/// Three effects of one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Population stability index over ten bins of equal pooled size, half a row added to each bin.
    pub psi: Effect,
    /// Largest difference of the distribution functions, on 128 pooled bins; of no meaning for categories.
    pub ks: Effect,
    /// Jensen-Shannon divergence of the two distributions over the fine bins, in nats, 0 to ln 2.
    pub js_nats: Effect,
    /// Rows of the reference.
    pub n_reference: u64,
    /// Rows of the night.
    pub n: u64,
}

/// Compares a night with a reference on the same cells. The null draws both anew from the pooled rows, without
/// replacement, `n_permutations` times, so it has the sizes of the real pair. `None` when either is empty.
///
/// Resampling the reference alone would leave out half of the noise and alarm most nights.
#[must_use]
pub fn compare(
    reference: &Histogram,
    night: &Histogram,
    n_permutations: usize,
    seed: u64,
) -> Option<Compared> {
    let (n_reference, n) = (reference.n(), night.n());
    if n_reference == 0 || n == 0 {
        return None;
    }
    let pooled: Vec<u64> = reference.counts().iter().zip(night.counts()).map(|(a, b)| a + b).collect();
    let fine_reference = reference.joined(&pooled, FINE_BINS);
    let fine_night = night.joined(&pooled, FINE_BINS);
    let fine_pooled: Vec<u64> = fine_reference.iter().zip(&fine_night).map(|(a, b)| a + b).collect();
    let effects = |a: &[u64], b: &[u64]| {
        let coarse = |counts: &[u64]| reference.with(counts.to_vec()).joined(&fine_pooled, PSI_BINS);
        [psi(&coarse(a), &coarse(b)), ks(a, b), js(a, b)]
    };
    let observed = effects(&fine_reference, &fine_night);
    let mut null = [const { Vec::new() }; 3];
    for number in 0..n_permutations {
        let night = permuted(&fine_pooled, n, &mut stream(seed, number as u64));
        let reference: Vec<u64> = fine_pooled.iter().zip(&night).map(|(all, night)| all - night).collect();
        let drawn = effects(&reference, &night);
        null.iter_mut().zip(drawn).for_each(|(list, effect)| list.push(effect));
    }
    let [psi, ks, js_nats] = std::array::from_fn(|k| placed(observed[k], &mut null[k]));
    Some(Compared { psi, ks, js_nats, n_reference, n })
}

fn placed(value: f64, null: &mut [f64]) -> Effect {
    // Sums of the same terms in the same order: equal effects are equal to the bit.
    let as_large = null.iter().filter(|drawn| **drawn >= value).count() as u64;
    let p_value = real(as_large + 1) / real(null.len() as u64 + 1);
    let null_p95 = percentile(null, 0.9).map_or(f64::NAN, |interval| interval.high);
    Effect { value, p_value, null_p95 }
}

fn psi(reference: &[u64], night: &[u64]) -> f64 {
    let bins = real(reference.len() as u64);
    let share = |count: u64, n: f64| (real(count) + 0.5) / (n + 0.5 * bins);
    let (n_reference, n) = (real(reference.iter().sum()), real(night.iter().sum()));
    let part = |(a, b): (&u64, &u64)| {
        let (a, b) = (share(*a, n_reference), share(*b, n));
        (b - a) * (b / a).ln()
    };
    reference.iter().zip(night).map(part).sum()
}

fn ks(reference: &[u64], night: &[u64]) -> f64 {
    let (n_reference, n) = (real(reference.iter().sum()), real(night.iter().sum()));
    let (mut a, mut b, mut largest) = (0, 0, 0.0_f64);
    for (more_a, more_b) in reference.iter().zip(night) {
        (a, b) = (a + more_a, b + more_b);
        largest = largest.max((real(a) / n_reference - real(b) / n).abs());
    }
    largest
}

fn js(reference: &[u64], night: &[u64]) -> f64 {
    let (n_reference, n) = (real(reference.iter().sum()), real(night.iter().sum()));
    let part = |p: f64, m: f64| if p > 0.0 { p * (p / m).ln() } else { 0.0 };
    let both = |(a, b): (&u64, &u64)| {
        let (p, q) = (real(*a) / n_reference, real(*b) / n);
        (part(p, (p + q) / 2.0) + part(q, (p + q) / 2.0)) / 2.0
    };
    reference.iter().zip(night).map(both).sum::<f64>().max(0.0)
}

/// Counts by bin of `n` of the pooled rows drawn without replacement.
fn permuted(pooled: &[u64], n: u64, stream: &mut Pcg64Mcg) -> Vec<u64> {
    let (mut rows_left, mut draws_left) = (pooled.iter().sum::<u64>(), n);
    let draw = |count: &u64| {
        let taken = Hypergeometric::new(rows_left, *count, draws_left).map_or(0, |law| law.sample(stream));
        rows_left -= count;
        draws_left -= taken;
        taken
    };
    pooled.iter().map(draw).collect()
}
