//! One prediction, and sums over many from which every figure but the ranked ones follows.

use super::calibration::Bins;
use super::confusion::Confusion;
use super::margins::Margins;
use super::name::Metric;
use super::real;

/// Probabilities below this count as this in the logarithm, as scikit-learn's `log_loss` cuts 32-bit input.
const LEAST_PROBABILITY: f64 = f32::EPSILON as f64;

/// What one labelled prediction adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Class of the row.
    pub label: u32,
    /// Predicted class.
    pub pred: u32,
    /// Probability of the predicted class.
    pub confidence: f32,
    /// Squared distance of the probabilities from the label and its negative log-probability in nats, where the
    /// probabilities are known.
    pub scores: Option<[f64; 2]>,
}

impl Outcome {
    /// From all class probabilities; the prediction is the first largest.
    #[must_use]
    pub fn of(label: u32, probs: &[f32]) -> Self {
        let first_largest = |best: usize, n: usize| if probs[n] > probs[best] { n } else { best };
        let pred = (1..probs.len()).fold(0, first_largest);
        Self::predicted(label, u32::try_from(pred).unwrap_or(u32::MAX), probs[pred], Some(probs))
    }

    /// From a published row: its prediction and confidence, and its probabilities where the run kept them.
    #[must_use]
    pub fn predicted(label: u32, pred: u32, confidence: f32, probs: Option<&[f32]>) -> Self {
        let scores = probs.map(|probs| {
            let target = |class: usize| f64::from(u8::from(class == label as usize));
            let brier =
                probs.iter().enumerate().map(|(class, p)| (f64::from(*p) - target(class)).powi(2)).sum();
            let of_label = probs.get(label as usize).copied().map_or(0.0, f64::from);
            [brier, -of_label.clamp(LEAST_PROBABILITY, 1.0).ln()]
        });
        Self { label, pred, confidence, scores }
    }

    /// Whether the prediction is the label.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.label == self.pred
    }
}

/// Sums over predictions from which every figure but the ranked ones follows. Totals of parts add up to those of the whole; a weight
/// counts a row several times, as a bootstrap does.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// Labels and predictions by class.
    pub margins: Margins,
    /// Bins of confidence.
    pub bins: Bins,
    scores: [f64; 2],
    n_scores: u64,
}

impl Totals {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { margins: Margins::new(n_classes), bins: Bins::default(), scores: [0.0; 2], n_scores: 0 }
    }

    /// Bytes that one of them takes.
    #[must_use]
    pub fn size_bytes(n_classes: usize) -> usize {
        size_of::<Self>() + Margins::size_bytes(n_classes)
    }

    /// Adds a prediction `weight` times.
    ///
    /// # Panics
    /// When a class is not below the number of classes.
    pub fn add(&mut self, row: &Outcome, weight: u64) {
        self.margins.add(row.label as usize, row.pred as usize, weight);
        self.bins.add(f64::from(row.confidence), row.is_correct(), weight);
        if let Some(scores) = row.scores {
            self.scores.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score * real(weight));
            self.n_scores += weight;
        }
    }

    /// Adds others `weight` times.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self, weight: u64) {
        self.margins.merge(&other.margins, weight);
        self.bins.merge(&other.bins, weight);
        self.scores.iter_mut().zip(other.scores).for_each(|(sum, more)| *sum += more * real(weight));
        self.n_scores += other.n_scores * weight;
    }

    /// The figure of `metric`; `None` where the rows do not tell, and for metrics that need ranks or several cells.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let proper = |at: usize| (self.n_scores > 0).then(|| self.scores[at] / real(self.n_scores));
        match metric {
            Metric::Top1 => self.margins.top1(),
            Metric::Error => self.margins.top1().map(|top1| 1.0 - top1),
            Metric::BalancedAccuracy => self.margins.balanced_accuracy(),
            Metric::MacroF1 => self.margins.macro_f1(),
            Metric::KappaQuadratic => self.margins.kappa_quadratic(),
            Metric::Ece => self.bins.ece(),
            Metric::Brier => proper(0),
            Metric::Nll => proper(1),
            _ => None,
        }
    }
}

/// Totals with the whole table of labels against predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Labels against predictions.
    pub confusion: Confusion,
    /// Everything else.
    pub totals: Totals,
}

impl Tally {
    /// No rows yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { confusion: Confusion::new(n_classes), totals: Totals::new(n_classes) }
    }

    /// Adds a prediction `weight` times.
    ///
    /// # Panics
    /// When a class is not below the number of classes.
    pub fn add(&mut self, row: &Outcome, weight: u64) {
        self.confusion.add(row.label as usize, row.pred as usize, weight);
        self.totals.add(row, weight);
    }

    /// Adds another tally `weight` times.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self, weight: u64) {
        self.confusion.merge(&other.confusion, weight);
        self.totals.merge(&other.totals, weight);
    }

    /// The figure of `metric`; see [`Totals::value`].
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.totals.value(metric)
    }
}
