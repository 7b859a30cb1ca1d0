//! Estimates without labels from calibrated confidence (confidence-based performance estimation, as NannyML's CBPE).
//!
//! The one assumption: among rows with calibrated probability `p` of a class, a share `p` is of that class. It holds on
//! the set the calibrator was fitted on and on nights that differ from it in their mix of rows alone; a change of what
//! pictures of a class look like breaks it, and the estimate does not notice.

use crate::StatsError;
use crate::isotonic::Isotonic;
use crate::metrics::real;

/// Probabilities to calibrated probabilities: one increasing function a class, then a common scale to sum 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrator {
    classes: Vec<Option<Isotonic>>,
}

impl Calibrator {
    /// Takes probabilities as they are.
    #[must_use]
    pub fn identity(n_classes: usize) -> Self {
        Self { classes: vec![None; n_classes] }
    }

    /// Fits labelled rows, `probs` as `[rows, n_classes]`.
    ///
    /// # Errors
    /// When lengths do not fit or a label is no class.
    pub fn fit(n_classes: usize, labels: &[u32], probs: &[f32]) -> Result<Self, StatsError> {
        let expected = labels.len() * n_classes;
        if probs.len() != expected {
            return Err(StatsError::Length { what: "probabilities", found: probs.len(), expected });
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= n_classes) {
            return Err(StatsError::Class { class: *label as usize, n_classes });
        }
        let class = |class: usize| {
            let rows = labels.iter().zip(probs.chunks_exact(n_classes));
            let pairs =
                rows.map(|(label, p)| (f64::from(p[class]), f64::from(u8::from(*label as usize == class))));
            Isotonic::fit(&pairs.collect::<Vec<_>>())
        };
        Ok(Self { classes: (0..n_classes).map(class).collect() })
    }

    /// Calibrated probabilities of one row. A row whose every class is calibrated to 0 gets equal ones.
    #[must_use]
    pub fn apply(&self, probs: &[f32]) -> Vec<f64> {
        let of = |(p, fit): (&f32, &Option<Isotonic>)| {
            fit.as_ref().map_or(f64::from(*p), |fit| fit.at(f64::from(*p))).clamp(0.0, 1.0)
        };
        let mut row: Vec<f64> = probs.iter().zip(&self.classes).map(of).collect();
        let sum: f64 = row.iter().sum();
        let n = real(row.len() as u64);
        row.iter_mut().for_each(|p| *p = if sum > 0.0 { *p / sum } else { 1.0 / n });
        row
    }
}

/// The expected confusion of unlabelled rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    n_classes: usize,
    expected: Vec<f64>,
    /// Sum of p (1 - p) of the predicted classes: the variance of the number of right rows.
    spread: f64,
    n: u64,
}

impl Estimate {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, expected: vec![0.0; n_classes * n_classes], spread: 0.0, n: 0 }
    }

    /// Adds a row predicted as `pred` with calibrated probabilities.
    ///
    /// # Panics
    /// When `pred` is no class.
    pub fn add(&mut self, pred: usize, calibrated: &[f64]) {
        for (class, p) in calibrated.iter().enumerate().take(self.n_classes) {
            self.expected[class * self.n_classes + pred] += p;
        }
        self.spread += calibrated[pred] * (1.0 - calibrated[pred]);
        self.n += 1;
    }

    /// Estimated accuracy; `None` without rows.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let hits: f64 = (0..self.n_classes).map(|class| self.expected[class * self.n_classes + class]).sum();
        (self.n > 0).then(|| hits / real(self.n))
    }

    /// Standard deviation of the accuracy of a night of such rows, were the calibration perfect.
    #[must_use]
    pub fn accuracy_std(&self) -> Option<f64> {
        (self.n > 0).then(|| self.spread.sqrt() / real(self.n))
    }

    /// Estimated mean F1 over classes that are expected or predicted at all; F1 of expected counts.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        let c = self.n_classes;
        let f1 = |class: usize| {
            let n: f64 = (0..c).map(|pred| self.expected[class * c + pred]).sum();
            let n_pred: f64 = (0..c).map(|label| self.expected[label * c + class]).sum();
            (n + n_pred > 0.0).then(|| 2.0 * self.expected[class * c + class] / (n + n_pred))
        };
        let all: Vec<f64> = (0..c).filter_map(f1).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / real(all.len() as u64))
    }
}

/// Rows of one score: sums of the calibrated probability of the class and of `p (1 - p)`, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExpectedTie {
    p: f64,
    own: f64,
    n: u64,
}

impl ExpectedTie {
    /// Adds a row.
    pub fn add(&mut self, p: f64) {
        (self.p, self.own, self.n) = (self.p + p, self.own + p * (1.0 - p), self.n + 1);
    }
}

/// Estimated area under the ROC curve of rows in ascending order of their scores: every row counts as its probability of a positive
/// and the rest of a negative. `None` when one side is empty.
#[must_use]
pub fn expected_auc_of_ties(ties: impl Iterator<Item = ExpectedTie>) -> Option<f64> {
    let (mut below, mut pairs, mut positives, mut own) = (0.0, 0.0, 0.0, 0.0);
    for tie in ties {
        let q = real(tie.n) - tie.p;
        // A row is no pair with itself; within a tie, pairs of different rows count half.
        pairs += tie.p * below + (tie.p * q - tie.own) / 2.0;
        positives += tie.p;
        below += q;
        own += tie.own;
    }
    let possible = positives * below - own;
    (possible > 0.0).then(|| pairs / possible)
}

/// [`expected_auc_of_ties`] of rows (score, calibrated probability of the class) in any order. Sorts.
#[must_use]
pub fn expected_auc(rows: &mut [(f32, f64)]) -> Option<f64> {
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let ties = rows.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    expected_auc_of_ties(ties.map(|rows| {
        let mut tie = ExpectedTie::default();
        rows.iter().for_each(|(_, p)| tie.add(*p));
        tie
    }))
}
