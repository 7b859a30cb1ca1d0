//! What can be said of a set without its labels, and how far off that is where labels exist.

use t3b_stats::{Calibrator, Estimate, Interval, Metric, Outcome, StatsError, expected_auc};

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
    let mut all = Sums::new(n_classes);
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
    let mut all = Sums::new(n_classes);
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

/// Sums of an estimate with the rows that its areas need in order.
#[derive(Debug)]
pub struct Sums {
    estimate: Estimate,
    ranked: Vec<Vec<(f32, f64)>>,
    n: u64,
}

impl Sums {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { estimate: Estimate::new(n_classes), ranked: vec![Vec::new(); n_classes], n: 0 }
    }

    fn add(&mut self, outcome: &Outcome, row: &[f32], calibrator: &Calibrator) {
        self.push(outcome.pred as usize, row, calibrator);
    }

    /// Adds a row without using a label.
    pub fn push(&mut self, pred: usize, row: &[f32], calibrator: &Calibrator) {
        let calibrated = calibrator.apply(row);
        self.estimate.add(pred, &calibrated);
        for (list, (score, p)) in self.ranked.iter_mut().zip(row.iter().zip(&calibrated)) {
            list.push((*score, *p));
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
    pub fn finish(mut self) -> [(Metric, Option<f64>); 3] {
        let areas: Vec<f64> = match self.ranked.len() {
            2 => expected_auc(&mut self.ranked[1]).into_iter().collect(),
            _ => self.ranked.iter_mut().filter_map(|rows| expected_auc(rows)).collect(),
        };
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
