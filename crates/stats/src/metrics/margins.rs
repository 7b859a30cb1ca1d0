//! What the figures of a confusion need of it, in space linear in the number of classes: a block of samples or a resample keeps
//! this, for a table of thousands of them would not fit in memory where classes are many.

use super::real;

/// Rows by label, by prediction and right, and how far predictions are from their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Margins {
    /// By class: rows of the label, rows of the prediction, rows of both.
    classes: Vec<[u64; 3]>,
    /// Sum of (label - prediction)^2 on class indices.
    squares: u64,
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

impl Margins {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { classes: vec![[0; 3]; n_classes], squares: 0 }
    }

    /// Bytes that one of them takes.
    #[must_use]
    pub fn size_bytes(n_classes: usize) -> usize {
        size_of::<Self>() + n_classes * size_of::<[u64; 3]>()
    }

    /// Adds `weight` rows of `label` predicted as `pred`.
    ///
    /// # Panics
    /// When a class is not below the number of classes.
    pub fn add(&mut self, label: usize, pred: usize, weight: u64) {
        self.classes[label][0] += weight;
        self.classes[pred][1] += weight;
        if label == pred {
            self.classes[label][2] += weight;
        }
        self.squares += label.abs_diff(pred).pow(2) as u64 * weight;
    }

    /// Adds others of the same classes `weight` times.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self, weight: u64) {
        assert_eq!(self.classes.len(), other.classes.len(), "margins of different classes");
        for (counts, more) in self.classes.iter_mut().zip(&other.classes) {
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more * weight);
        }
        self.squares += other.squares * weight;
    }

    fn sum(&self, of: usize) -> u64 {
        self.classes.iter().map(|counts| counts[of]).sum()
    }

    /// Share of correct rows; `None` without rows.
    #[must_use]
    pub fn top1(&self) -> Option<f64> {
        ratio(self.sum(2), self.sum(0))
    }

    /// Precision, recall and F1 of one class.
    ///
    /// # Panics
    /// When there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> ClassScores {
        let [n, n_pred, hit] = self.classes[class];
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
        mean((0..self.classes.len()).filter_map(|class| self.class(class).recall))
    }

    /// Mean F1 over the classes that are a label or a prediction, as scikit-learn's `f1_score(average="macro",
    /// zero_division=0)`; `None` without rows.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        mean((0..self.classes.len()).filter_map(|class| self.class(class).f1))
    }

    /// Cohen's kappa with weights `(label - pred)^2` on class indices; `None` when labels and predictions are all
    /// one class, or without rows.
    ///
    /// The weights that chance would give are `n sum a^2 l + n sum b^2 p - 2 sum a l sum b p` over n, with rows `l` of label `a` and
    /// `p` of prediction `b`: whole numbers until the last division.
    #[must_use]
    pub fn kappa_quadratic(&self) -> Option<f64> {
        let moment = |of: usize, power: u32| -> u128 {
            let weighed =
                |(class, counts): (usize, &[u64; 3])| (class as u128).pow(power) * u128::from(counts[of]);
            self.classes.iter().enumerate().map(weighed).sum()
        };
        let n = moment(0, 0);
        let expected = n * (moment(0, 2) + moment(1, 2)) - 2 * moment(0, 1) * moment(1, 1);
        (expected > 0).then(|| 1.0 - (u128::from(self.squares) * n) as f64 / expected as f64)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| real(part) / real(whole))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / real(n))
}
