//! Intervals of shares in closed form, and of anything else from bootstrap replicates.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::metrics::Metric;
use crate::metrics::real as count;

/// Two ends of an interval, both inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` is inside, ends included.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Cut at the lowest and highest value a metric can have.
    #[must_use]
    pub fn within(self, metric: Metric) -> Self {
        let (low, high) = metric.range();
        Self { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }
}

/// The standard normal's quantile of `probability` in 0 to 1, ends excluded.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// Wilson's score interval of `k` of `n` at `level`, such as 0.95; `None` without rows.
#[must_use]
pub fn wilson(k: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (share, n, z) = (count(k) / count(n), count(n), normal_quantile(0.5 + level / 2.0));
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Some(Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

/// The two percentiles of the replicates that leave `(1 - level) / 2` outside each, linear between neighbours as
/// numpy's `percentile`. Sorts; `None` when a replicate is missing (NaN) or there are none.
#[must_use]
pub fn percentile(replicates: &mut [f64], level: f64) -> Option<Interval> {
    if replicates.is_empty() || replicates.iter().any(|value| value.is_nan()) {
        return None;
    }
    replicates.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Some(Interval { low: quantile(replicates, tail), high: quantile(replicates, 1.0 - tail) })
}

/// [`percentile`] at the level that makes up for the narrowness of a bootstrap of `n` units: the tail is
/// `Phi(-sqrt(n / (n - 1)) t(n - 1, 1 - tail))` (Hesterberg 2015, "expanded percentile interval"). For balanced
/// figures `n` is the smallest class.
#[must_use]
pub fn expanded_percentile(replicates: &mut [f64], level: f64, n: u64) -> Option<Interval> {
    percentile(replicates, expanded(level, n))
}

fn expanded(level: f64, n: u64) -> f64 {
    if n < 2 {
        return level;
    }
    let freedom = count(n - 1);
    let Ok(student) = StudentsT::new(0.0, 1.0, freedom) else { return level };
    let reach = (count(n) / freedom).sqrt() * student.inverse_cdf(0.5 + level / 2.0);
    1.0 - 2.0 * Normal::standard().cdf(-reach)
}

/// The interval of a calibration error, whose plain percentiles lie above the truth because resampling inflates a sum
/// of absolute gaps as sampling did.
///
/// The estimate less the bootstrap's bias, give or take `z` times the root of the replicates' variance plus
/// `(bias_share * bias)^2` for the correction's own noise. The lower end is 0 unless the error is above what perfectly
/// calibrated confidence would show in this many rows. `tests/coverage.rs` measures the coverage; the shares are from
/// such measurements: 0.75 for equal bins, 1 for bins of equal size.
#[must_use]
pub fn calibration_interval(
    value: f64,
    replicates: &[f64],
    null: CalibratedNull,
    bias_share: f64,
    level: f64,
) -> Option<Interval> {
    if replicates.len() < 2 {
        return None;
    }
    let n = count(replicates.len() as u64);
    let mean = replicates.iter().sum::<f64>() / n;
    let variance = replicates.iter().map(|drawn| (drawn - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (bias, z) = (mean - value, normal_quantile(0.5 + level / 2.0));
    let half = z * (variance + (bias_share * bias).powi(2)).sqrt();
    let is_calibrated = value < null.mean + z * null.std;
    let low = if is_calibrated { 0.0 } else { (value - bias - half).max(0.0) };
    Some(Interval { low, high: (value - bias + half).clamp(low, 1.0) })
}

/// What a calibration error would be, were every confidence the probability of being right: by the normal
/// approximation in each bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibratedNull {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub std: f64,
}

impl CalibratedNull {
    /// From the variances of the number of right rows in each bin, for `n` rows in all.
    pub(crate) fn of(variances: impl Iterator<Item = f64>, n: f64) -> Self {
        // The absolute value of a centred normal has mean sqrt(2 / pi) and variance 1 - 2 / pi of its variance.
        let share = 2.0 / std::f64::consts::PI;
        let (mean, variance) = variances
            .fold((0.0, 0.0), |(mean, total), v| (mean + (share * v).sqrt(), total + (1.0 - share) * v));
        Self { mean: mean / n, std: variance.sqrt() / n }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list of replicates"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}
