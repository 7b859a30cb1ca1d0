//! The area under the ROC curve, exactly, with DeLong's variance, from scores in ascending order.
//!
//! Every sum is an integer in units of half a pair, so the result does not depend on the order of ties and parts of
//! a table larger than memory can be merged from sorted runs.

use super::real;
use crate::StatsError;
use crate::inference::{Interval, normal_quantile};

/// The area of one class against the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// Probability that a row of the class scores above a row of another, ties counting half.
    pub value: f64,
    /// DeLong's variance; `None` with fewer than two rows on a side.
    pub variance: Option<f64>,
    /// Rows of the class.
    pub n_pos: u64,
    /// Other rows.
    pub n_neg: u64,
}

impl Auc {
    /// DeLong's interval, cut at 0 and 1; `None` where the variance is unknown or 0 (perfect separation, of which a
    /// finite set cannot say how far it holds).
    #[must_use]
    pub fn interval(&self, level: f64) -> Option<Interval> {
        delong_interval(self.value, self.variance?, level)
    }
}

fn delong_interval(value: f64, variance: f64, level: f64) -> Option<Interval> {
    let half = normal_quantile(0.5 + level / 2.0) * variance.sqrt();
    (variance > 0.0).then(|| Interval { low: (value - half).max(0.0), high: (value + half).min(1.0) })
}

/// Sums over rows that arrive in ascending order of score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AscendingAuc {
    n_pos: u128,
    n_neg: u128,
    /// Sum and sum of squares of twice the number of negatives below each positive.
    pos: (u128, u128),
    /// Sum and sum of squares of twice the number of positives below each negative.
    neg: (u128, u128),
}

impl AscendingAuc {
    /// The next group of rows with one score, which is above all before: how many are of the class and how many not.
    pub fn push(&mut self, n_pos: u64, n_neg: u64) {
        let (p, q) = (u128::from(n_pos), u128::from(n_neg));
        let below_pos = 2 * self.n_neg + q;
        let below_neg = 2 * self.n_pos + p;
        self.pos.0 += p * below_pos;
        self.pos.1 += p * below_pos * below_pos;
        self.neg.0 += q * below_neg;
        self.neg.1 += q * below_neg * below_neg;
        self.n_pos += p;
        self.n_neg += q;
    }

    /// The area; `None` when one side is empty.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "one rounding of an exact integer")]
    pub fn finish(&self) -> Option<Auc> {
        let (p, q) = (self.n_pos, self.n_neg);
        if p == 0 || q == 0 {
            return None;
        }
        // Sample variance of the placements divided by their number, in exact integers but for the last division.
        let part = |(sum, squares): (u128, u128), n: u128, others: u128| {
            let spread = (n * squares - sum * sum) as f64 / (n as f64 * (n - 1) as f64);
            spread / (4.0 * others as f64 * others as f64) / n as f64
        };
        let variance = (p > 1 && q > 1).then(|| part(self.pos, p, q) + part(self.neg, q, p));
        Some(Auc {
            value: self.pos.0 as f64 / (2.0 * p as f64 * q as f64),
            variance,
            n_pos: u64::try_from(p).unwrap_or(u64::MAX),
            n_neg: u64::try_from(q).unwrap_or(u64::MAX),
        })
    }
}

/// Areas of all classes, each against the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct OneVsRest {
    /// By class; `None` where all or no rows are of the class.
    pub classes: Vec<Option<Auc>>,
    /// Mean over the classes that have an area; with two classes the area of class 1. scikit-learn's
    /// `roc_auc_score(multi_class="ovr")` where every class has rows.
    pub value: Option<f64>,
    /// DeLong's variance of the mean, covariances between classes included.
    pub variance: Option<f64>,
}

impl OneVsRest {
    /// DeLong's interval of the mean.
    #[must_use]
    pub fn interval(&self, level: f64) -> Option<Interval> {
        delong_interval(self.value?, self.variance?, level)
    }
}

/// Areas of `labels` under `probs` (`[rows, n_classes]`, row by row).
///
/// # Errors
/// When lengths do not fit, a label is no class or a probability is NaN.
pub fn one_vs_rest(n_classes: usize, labels: &[u32], probs: &[f32]) -> Result<OneVsRest, StatsError> {
    check(n_classes, labels, probs)?;
    let mut classes = vec![None; n_classes];
    let mut influence = vec![0.0; labels.len()];
    let (mut sum, mut n, mut has_variance) = (0.0, 0, true);
    let wanted = if n_classes == 2 { 1..2 } else { 0..n_classes };
    for class in wanted {
        let auc = one_class(class, n_classes, labels, probs, &mut influence);
        if let Some(auc) = auc {
            sum += auc.value;
            n += 1;
            has_variance &= auc.variance.is_some();
        }
        classes[class] = auc;
    }
    if n_classes == 2 {
        let swapped = |auc: Auc| Auc { n_pos: auc.n_neg, n_neg: auc.n_pos, ..auc };
        classes[0] = classes[1].map(swapped);
    }
    let value = (n > 0).then(|| sum / real(n));
    let squares: f64 = influence.iter().map(|d| d * d).sum();
    let variance = (n > 0 && has_variance).then(|| squares / (real(n) * real(n)));
    Ok(OneVsRest { classes, value, variance })
}

fn check(n_classes: usize, labels: &[u32], probs: &[f32]) -> Result<(), StatsError> {
    let expected = labels.len() * n_classes;
    if probs.len() != expected {
        return Err(StatsError::Length { what: "probabilities", found: probs.len(), expected });
    }
    if let Some(label) = labels.iter().find(|label| **label as usize >= n_classes) {
        return Err(StatsError::Class { class: *label as usize, n_classes });
    }
    if probs.iter().any(|p| p.is_nan()) {
        return Err(StatsError::Range { what: "probabilities" });
    }
    Ok(())
}

/// The area of one class; adds each row's influence on it, so that their squares sum to DeLong's variance.
fn one_class(
    class: usize,
    n_classes: usize,
    labels: &[u32],
    probs: &[f32],
    influence: &mut [f64],
) -> Option<Auc> {
    let score = |row: usize| probs[row * n_classes + class];
    let is_pos = |row: usize| labels[row] as usize == class;
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_unstable_by(|a, b| score(*a).total_cmp(&score(*b)));
    let ties = || order.chunk_by(|a, b| score(*a).total_cmp(&score(*b)).is_eq());
    let mut sums = AscendingAuc::default();
    for tie in ties() {
        let n_pos = tie.iter().filter(|row| is_pos(**row)).count() as u64;
        sums.push(n_pos, tie.len() as u64 - n_pos);
    }
    let auc = sums.finish()?;
    let (n_pos, n_neg) = (real(auc.n_pos), real(auc.n_neg));
    // Sample variances divide by n - 1.
    let scale = |n: f64| (n / (n - 1.0).max(1.0)).sqrt() / n;
    let (mut below_pos, mut below_neg) = (0.0, 0.0);
    for tie in ties() {
        let p = real(tie.iter().filter(|row| is_pos(**row)).count() as u64);
        let q = real(tie.len() as u64) - p;
        for row in tie {
            influence[*row] += if is_pos(*row) {
                ((below_neg + q / 2.0) / n_neg - auc.value) * scale(n_pos)
            } else {
                (auc.value - 1.0 + (below_pos + p / 2.0) / n_pos) * -scale(n_neg)
            };
        }
        below_pos += p;
        below_neg += q;
    }
    Some(auc)
}

/// Scores of one set in order, once, so that the area of many weightings of its rows costs a pass each.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// By class that counts: rows in ascending order of score and whether the next row ties with each.
    classes: Vec<(u32, Vec<(u32, bool)>)>,
    labels: Vec<u32>,
}

impl Ranked {
    /// Orders `probs` (`[rows, n_classes]`) by class.
    ///
    /// # Errors
    /// As [`one_vs_rest`].
    pub fn new(n_classes: usize, labels: &[u32], probs: &[f32]) -> Result<Self, StatsError> {
        check(n_classes, labels, probs)?;
        let wanted = if n_classes == 2 { 1..2 } else { 0..n_classes };
        let class = |class: usize| {
            let score = |row: u32| probs[row as usize * n_classes + class];
            let mut order: Vec<u32> = (0..u32::try_from(labels.len()).unwrap_or(u32::MAX)).collect();
            order.sort_unstable_by(|a, b| score(*a).total_cmp(&score(*b)));
            let ties = |n: usize| {
                order.get(n + 1).is_some_and(|next| score(*next).total_cmp(&score(order[n])).is_eq())
            };
            let rows = (0..order.len()).map(|n| (order[n], ties(n))).collect();
            (u32::try_from(class).unwrap_or(u32::MAX), rows)
        };
        Ok(Self { classes: wanted.map(class).collect(), labels: labels.to_vec() })
    }

    /// [`OneVsRest::value`] of the rows, each counted `weights` times.
    #[must_use]
    pub fn value(&self, weights: &[u32]) -> Option<f64> {
        let (mut sum, mut n) = (0.0, 0);
        for (class, rows) in &self.classes {
            let mut sums = AscendingAuc::default();
            let (mut n_pos, mut n_neg) = (0, 0);
            for (row, ties) in rows {
                let weight = u64::from(weights[*row as usize]);
                if self.labels[*row as usize] == *class {
                    n_pos += weight
                } else {
                    n_neg += weight
                }
                if !ties {
                    sums.push(n_pos, n_neg);
                    (n_pos, n_neg) = (0, 0);
                }
            }
            if let Some(auc) = sums.finish() {
                sum += auc.value;
                n += 1;
            }
        }
        (n > 0).then(|| sum / real(n))
    }
}
