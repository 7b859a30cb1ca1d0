//! Counts of (label, prediction).

use super::margins::{ClassScores, Margins};

/// How often each label was predicted as each class. Counts are added, so parts of a table merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// Row: label; column: prediction.
    counts: Vec<u64>,
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

    /// What its figures are made of.
    #[must_use]
    pub fn margins(&self) -> Margins {
        let mut margins = Margins::new(self.n_classes);
        for label in 0..self.n_classes {
            (0..self.n_classes).for_each(|pred| margins.add(label, pred, self.count(label, pred)));
        }
        margins
    }

    /// Precision, recall and F1 of one class.
    #[must_use]
    pub fn class(&self, class: usize) -> ClassScores {
        self.margins().class(class)
    }
}
