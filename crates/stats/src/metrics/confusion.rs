//! Counts of (label, prediction) and the figures that follow from them alone.

use super::real;

/// How often each label was predicted as each class. Counts are added, so parts of a table merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// Row: label; column: prediction.
    counts: Vec<u64>,
}

/// Precision, recall and F1 of one class. A figure whose denominator is 0 is `None`, except F1, which is 0 when the
/// class is a label or a prediction of some row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Share of the class's predictions that are right.
    pub precision: Option<f64>,
    /// Share of the class's rows that are found.
    pub recall: Option<f64>,
    /// Harmonic mean of both; `None` when the class is neither a label nor a prediction.
    pub f1: Option<f64>,
    /// Rows with this label.
    pub n: u64,
}

impl Confusion {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Adds `weight` rows of `label` predicted as `pred`.
    ///
    /// # Panics
    /// When a class is not below the number of classes.
    pub fn add(&mut self, label: usize, pred: usize, weight: u64) {
        assert!(
            label < self.n_classes && pred < self.n_classes,
            "class {label} or {pred} of {}",
            self.n_classes
        );
        self.counts[label * self.n_classes + pred] += weight;
    }

    /// Adds another table of the same classes `weight` times.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self, weight: u64) {
        assert_eq!(self.n_classes, other.n_classes, "confusions of different classes");
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more * weight;
        }
    }

    /// Rows of `label` predicted as `pred`.
    #[must_use]
    pub fn count(&self, label: usize, pred: usize) -> u64 {
        self.counts[label * self.n_classes + pred]
    }

    /// All rows.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Rows whose prediction is the label.
    #[must_use]
    pub fn n_correct(&self) -> u64 {
        (0..self.n_classes).map(|class| self.count(class, class)).sum()
    }

    /// Rows with label `class`.
    #[must_use]
    pub fn n_label(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|pred| self.count(class, pred)).sum()
    }

    /// Rows predicted as `class`.
    #[must_use]
    pub fn n_pred(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|label| self.count(label, class)).sum()
    }

    /// Share of correct rows; `None` without rows.
    #[must_use]
    pub fn top1(&self) -> Option<f64> {
        ratio(self.n_correct(), self.n())
    }

    /// Precision, recall and F1 of one class.
    #[must_use]
    pub fn class(&self, class: usize) -> ClassScores {
        let (hit, n, n_pred) = (self.count(class, class), self.n_label(class), self.n_pred(class));
        ClassScores {
            precision: ratio(hit, n_pred),
            recall: ratio(hit, n),
            f1: ratio(2 * hit, n + n_pred),
            n,
        }
    }

    /// Mean recall over the classes that have rows, as scikit-learn's `balanced_accuracy_score`; `None` without rows.
    #[must_use]
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean((0..self.n_classes).filter_map(|class| self.class(class).recall))
    }

    /// Mean F1 over the classes that are a label or a prediction, as scikit-learn's `f1_score(average="macro",
    /// zero_division=0)`; `None` without rows.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        mean((0..self.n_classes).filter_map(|class| self.class(class).f1))
    }

    /// Cohen's kappa with weights `(label - pred)^2` on class indices; `None` when labels and predictions are all
    /// one class, or without rows.
    #[must_use]
    pub fn kappa_quadratic(&self) -> Option<f64> {
        let n = real(self.n());
        let (mut observed, mut expected) = (0.0, 0.0);
        for label in 0..self.n_classes {
            for pred in 0..self.n_classes {
                let weight = real(label.abs_diff(pred).pow(2) as u64);
                observed += weight * real(self.count(label, pred));
                expected += weight * real(self.n_label(label)) * real(self.n_pred(pred)) / n;
            }
        }
        (expected > 0.0).then(|| 1.0 - observed / expected)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| real(part) / real(whole))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / real(n))
}
