//! What can be said of a set without its labels, and how far off that is where labels exist.

use t3b_stats::{
    Calibrator, Estimate, ExpectedTie, Interval, Metric, Outcome, StatsError, expected_auc,
    expected_auc_of_ties,
};

use crate::rows::{Detail, Rows};

/// An estimate beside the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// Method it is of.
    pub method: String,
    /// `top1`, `macro_f1` or `auc`.
    pub metric: Metric,
    /// From calibrated confidence alone.
    pub estimate: f64,
    /// Where the accuracy of such a night is 95 times of 100, were the calibration perfect; of `top1` alone.
    pub interval: Option<Interval>,
    /// From the labels, where there are any.
    pub truth: Option<f64>,
    /// Rows behind the estimate.
    pub n: u64,
}

/// A calibrator per method, from the labelled clean rows of `rows`.
///
/// # Errors
/// When rows do not fit their classes.
pub fn calibrators(rows: &Rows) -> Result<Vec<(String, Calibrator)>, StatsError> {
    let (facts, mut found) = (&rows.facts, Vec::new());
    let Some(clean) = facts.clean() else { return Ok(found) };
    for (method, name) in facts.methods.iter().enumerate() {
        if let Detail::Whole { outcomes, probs, .. } = &rows.groups[facts.group(method, clean)].detail
            && !probs.is_empty()
        {
            let labels: Vec<u32> = outcomes.iter().map(|row| row.label).collect();
            found.push((name.clone(), Calibrator::fit(facts.classes.len(), &labels, probs)?));
        }
    }
    Ok(found)
}

/// Estimates on a labelled set by cross-fitting: a calibrator from one half of the samples judges the other, and the other
/// way round; what belongs together is in one half. Both halves are of one night, so this is the error where the assumption holds.
///
/// # Errors
/// When rows do not fit their classes.
pub fn cross_fitted(rows: &Rows, method: &str) -> Result<Vec<Estimated>, StatsError> {
    let facts = &rows.facts;
    let (Some(place), Some(clean)) = (facts.method(method), facts.clean()) else { return Ok(Vec::new()) };
    let Detail::Whole { samples, outcomes, probs } = &rows.groups[facts.group(place, clean)].detail else {
        return Ok(Vec::new());
    };
    if probs.is_empty() || outcomes.len() < 40 {
        return Ok(Vec::new());
    }
    let n_classes = facts.classes.len();
    let row = |n: usize| &probs[n * n_classes..(n + 1) * n_classes];
    let half = |parity: usize| (0..outcomes.len()).filter(move |n| rows.half_of(samples[*n]) == parity);
    let mut all = Sums::new(n_classes, outcomes.len() as u64);
    for parity in [0, 1] {
        let labels: Vec<u32> = half(1 - parity).map(|n| outcomes[n].label).collect();
        let fitted: Vec<f32> = half(1 - parity).flat_map(|n| row(n).to_vec()).collect();
        let calibrator = Calibrator::fit(n_classes, &labels, &fitted)?;
        half(parity).for_each(|n| all.add(&outcomes[n], row(n), &calibrator));
    }
    Ok(all.done(method, rows, place, clean))
}

/// Estimates of every cell-free figure of `method` on a set, by calibrators of a labelled one (or none: confidence as it
/// is).
#[must_use]
pub fn estimated(rows: &Rows, method: &str, calibrator: &Calibrator) -> Vec<Estimated> {
    let facts = &rows.facts;
    let (Some(place), Some(clean)) = (facts.method(method), facts.clean()) else { return Vec::new() };
    let group = &rows.groups[facts.group(place, clean)];
    let Detail::Whole { outcomes, probs, .. } = &group.detail else { return Vec::new() };
    let n_classes = facts.classes.len();
    let mut all = Sums::new(n_classes, outcomes.len() as u64);
    for (outcome, row) in outcomes.iter().zip(probs.chunks_exact(n_classes)) {
        all.add(outcome, row, calibrator);
    }
    all.done(method, rows, place, clean)
}

/// Standard deviations on either side of a 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

fn around(accuracy: f64, std: f64) -> Interval {
    let (low, high) = (accuracy - Z_95 * std, accuracy + Z_95 * std);
    Interval { low, high }.within(Metric::Top1)
}

/// Sums of the probabilities of predicted classes: what an accuracy can be estimated from where a run keeps no others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confidence {
    n: u64,
    sum: f64,
    spread: f64,
}

impl Confidence {
    /// Adds a row predicted with probability `p`, as it is.
    pub fn add(&mut self, p: f64) {
        (self.n, self.sum, self.spread) = (self.n + 1, self.sum + p, self.spread + p * (1.0 - p));
    }

    /// The estimated accuracy; `None` without rows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn estimate(&self, method: &str) -> Option<Estimated> {
        let n = self.n as f64;
        let estimate = (self.n > 0).then(|| self.sum / n)?;
        Some(Estimated {
            method: method.to_owned(),
            metric: Metric::Top1,
            estimate,
            interval: Some(around(estimate, self.spread.sqrt() / n)),
            truth: None,
            n: self.n,
        })
    }
}

/// Sums of an estimate with what its areas need of the order of its rows.
#[derive(Debug)]
pub struct Sums {
    estimate: Estimate,
    classes: Vec<Scores>,
    n: u64,
}

/// Scores that all classes together may hold as they are: 64 MiB.
const MAX_SCORES: u64 = 4 << 20;

/// Bits of a score that [`place_of`] leaves out.
const COARSE_BITS: u32 = 15;

/// Places of scores from 0 to 1/2.
const HALF: usize = (0.5_f32.to_bits() >> COARSE_BITS) as usize + 1;

/// Scores of one class with their calibrated probabilities.
#[derive(Debug, Clone)]
enum Scores {
    Whole(Vec<(f32, f64)>),
    /// By [`place_of`], of nights too large to be held: ties of scores that are nearly equal.
    Coarse(Vec<ExpectedTie>),
}

impl Scores {
    fn add(&mut self, score: f32, p: f64) {
        match self {
            Self::Whole(rows) => rows.push((score, p)),
            Self::Coarse(ties) => ties[place_of(score)].add(p),
        }
    }

    fn area(self) -> Option<f64> {
        match self {
            Self::Whole(mut rows) => expected_auc(&mut rows),
            Self::Coarse(ties) => expected_auc_of_ties(ties.into_iter()),
        }
    }
}

/// Rises with the score and tells scores apart whose distances from the nearer of 0 and 1 differ by more than 0.4 %.
fn place_of(score: f32) -> usize {
    let place = |p: f32| (p.clamp(0.0, 0.5).to_bits() >> COARSE_BITS) as usize;
    if score <= 0.5 { place(score) } else { 2 * HALF - 1 - place(1.0 - score) }
}

impl Sums {
    /// No rows yet of a night that has as many.
    #[must_use]
    pub fn new(n_classes: usize, n_rows: u64) -> Self {
        let scores = if n_rows.saturating_mul(n_classes as u64) <= MAX_SCORES {
            Scores::Whole(Vec::new())
        } else {
            Scores::Coarse(vec![ExpectedTie::default(); 2 * HALF])
        };
        Self { estimate: Estimate::new(n_classes), classes: vec![scores; n_classes], n: 0 }
    }

    fn add(&mut self, outcome: &Outcome, row: &[f32], calibrator: &Calibrator) {
        self.push(outcome.pred as usize, row, calibrator);
    }

    /// Adds a row without using a label.
    pub fn push(&mut self, pred: usize, row: &[f32], calibrator: &Calibrator) {
        let calibrated = calibrator.apply(row);
        self.estimate.add(pred, &calibrated);
        for (scores, (score, p)) in self.classes.iter_mut().zip(row.iter().zip(&calibrated)) {
            scores.add(*score, *p);
        }
        self.n += 1;
    }

    /// Rows so far.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The interval of the estimated accuracy.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        Some(around(self.estimate.accuracy()?, self.estimate.accuracy_std()?))
    }

    /// The three estimates.
    #[must_use]
    pub fn finish(self) -> [(Metric, Option<f64>); 3] {
        // Of two classes the area of the second says it all.
        let n_skipped = if self.classes.len() == 2 { 1 } else { 0 };
        let areas: Vec<f64> = self.classes.into_iter().skip(n_skipped).filter_map(Scores::area).collect();
        let auc = (!areas.is_empty()).then(|| crate::figures::mean(areas.into_iter()));
        [
            (Metric::Top1, self.estimate.accuracy()),
            (Metric::MacroF1, self.estimate.macro_f1()),
            (Metric::Auc, auc),
        ]
    }

    fn done(self, method: &str, rows: &Rows, place: usize, cell: usize) -> Vec<Estimated> {
        let group = &rows.groups[rows.facts.group(place, cell)];
        let Detail::Whole { outcomes, probs, .. } = &group.detail else { return Vec::new() };
        let labels: Vec<u32> = outcomes.iter().map(|row| row.label).collect();
        let auc = t3b_stats::one_vs_rest(rows.facts.classes.len(), &labels, probs)
            .ok()
            .and_then(|found| found.value);
        let (n, interval) = (self.n, self.interval());
        let estimates = self.finish().into_iter().filter_map(|(metric, estimate)| {
            let truth = if metric == Metric::Auc { auc } else { group.tally.value(metric) };
            let interval = interval.filter(|_| metric == Metric::Top1);
            Some(Estimated { method: method.to_owned(), metric, estimate: estimate?, interval, truth, n })
        });
        estimates.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_too_large_to_hold_has_nearly_the_area_that_its_rows_have() {
        let mut uniform = 7_u64;
        let mut next = || {
            uniform = uniform.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (uniform >> 40) as f32 / 16_777_216.0
        };
        // Sure models: most scores lie within a thousandth of 0 or 1.
        let rows: Vec<[f32; 2]> = (0..20_000)
            .map(|_| {
                let p = 1.0 / (1.0 + (-24.0 * (next() - 0.5)).exp());
                [1.0 - p, p]
            })
            .collect();
        let area = |n_rows: u64| {
            let (mut sums, identity) = (Sums::new(2, n_rows), Calibrator::identity(2));
            rows.iter().for_each(|row| sums.push(usize::from(row[1] > 0.5), row, &identity));
            sums.finish()[2].1.expect("both classes")
        };
        let (whole, coarse) = (area(20_000), area(u64::MAX));
        assert!((whole - coarse).abs() < 1e-5 && whole.to_bits() != coarse.to_bits(), "{whole} {coarse}");
        let scores: Vec<usize> = (0..=1000).map(|n| place_of(n as f32 / 1000.0)).collect();
        assert!(scores.is_sorted() && scores[1000] < 2 * HALF, "{scores:?}");
    }
}
