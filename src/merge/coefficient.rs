//! T3's coefficient of one sample, the guard, and the mean of a batch.
//!
//! Order of operations, as the paper states it: softmax, Jensen-Shannon divergence, sigmoid, guard, batch
//! mean, merge. This file holds sigmoid, guard and mean.

use super::divergence::{LogBase, Signals};

/// Which parent disagreement is read in favour of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// More disagreement, more expert: the paper's formula.
    Expert,
    /// More disagreement, more of the pretrained model: one minus the above. The abstract's prose reads this way round; a
    /// labelled ablation (choice).
    Pretrained,
}

/// T3's rule: `lambda_min + (lambda_max - lambda_min) * sigmoid(gamma * JS)` (paper).
///
/// With the paper's gamma of 0.5 and bounds 0 and 1 the coefficient lies in `[0.5, 0.5858]` for nats and in
/// `[0.5, 0.6225]` for bits: close to a fixed average, which is why a constant is always shown beside it.
/// The rule says nothing of NaN: a NaN divergence gives a NaN coefficient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct T3Rule {
    /// Slope of the sigmoid per unit of `log_base`; 0.5 in the paper. Any finite number.
    pub gamma: f64,
    /// Coefficient the sigmoid starts from, `0 ..= lambda_max`; 0 here (choice).
    pub lambda_min: f64,
    /// Coefficient the sigmoid ends at, `lambda_min ..= 1`; 1 here (choice).
    pub lambda_max: f64,
    /// Unit of the divergence inside the sigmoid.
    pub log_base: LogBase,
    /// Parent that disagreement favours.
    pub direction: Direction,
    /// Uses `2 sigmoid - 1` in place of `sigmoid`, so that agreement gives `lambda_min`: a labelled ablation
    /// (choice). With [`Direction::Pretrained`] the centred weight is turned round last: agreement gives
    /// `lambda_max`.
    pub centred: bool,
}

impl T3Rule {
    /// The paper's numbers, and this project's where the paper gives none.
    pub const PAPER: Self = Self {
        gamma: 0.5,
        lambda_min: 0.0,
        lambda_max: 1.0,
        log_base: LogBase::Nats,
        direction: Direction::Expert,
        centred: false,
    };

    /// Weight on the expert for a sample whose divergence is `js_nats`, in `lambda_min ..= lambda_max`.
    ///
    /// Order: unit, times gamma, sigmoid, centring, direction, bounds. Non-decreasing in `js_nats` for
    /// `gamma >= 0` and [`Direction::Expert`].
    ///
    /// # Panics
    /// When `lambda_min > lambda_max`, which the settings refuse.
    #[must_use]
    pub fn coefficient(&self, js_nats: f64) -> f64 {
        let mut weight = sigmoid(self.gamma * self.log_base.of_nats(js_nats));
        if self.centred {
            weight = 2.0 * weight - 1.0;
        }
        if self.direction == Direction::Pretrained {
            weight = 1.0 - weight;
        }
        let coefficient = self.lambda_min + (self.lambda_max - self.lambda_min) * weight;
        // The sum above may round past a bound by one ulp.
        coefficient.clamp(self.lambda_min, self.lambda_max)
    }

    /// How far the rule lets a coefficient move: from full agreement to the largest divergence, ln 2 nats.
    #[must_use]
    pub fn range(&self) -> f64 {
        (self.coefficient(std::f64::consts::LN_2) - self.coefficient(0.0)).abs()
    }
}

/// Moves a coefficient a little toward a model that is nearly certain.
///
/// That a small factor moves lambda toward the more confident model when an entropy falls below a threshold
/// is the paper's; the form and both numbers are ours (choice): a model is certain when its entropy is below
/// `tau ln C`, and only the one with the strictly smaller entropy is moved toward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// How far the coefficient moves, `0 ..= 1`; 0.1 here.
    pub delta: f64,
    /// Fraction of the largest possible entropy `ln C` below which a model counts as certain, `0 ..= 1`;
    /// 0.05 here.
    pub tau: f64,
}

/// What the guard did to one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guarded {
    /// `+1` moved toward the expert, `-1` toward the pretrained model, `0` left alone.
    pub step: i8,
    /// The coefficient after the guard, in `0 ..= 1`.
    pub coefficient: f64,
}

impl Guard {
    /// This project's numbers (choice).
    pub const CHOICE: Self = Self { delta: 0.1, tau: 0.05 };

    /// Applies the guard to the coefficient of the sample that `signals` describe.
    ///
    /// The threshold is strict: an entropy of exactly `tau ln C` is not certain, and two equal entropies move
    /// nothing. The bounds after the move are 0 and 1, not the rule's `lambda_min` and `lambda_max`.
    #[must_use]
    pub fn apply(&self, coefficient: f64, signals: &Signals) -> Guarded {
        let threshold_nats = self.tau * (signals.n_classes as f64).ln();
        let (pretrained, expert) = (signals.pt_entropy_nats, signals.ft_entropy_nats);
        let step: i8 = if expert < threshold_nats && expert < pretrained {
            1
        } else if pretrained < threshold_nats && pretrained < expert {
            -1
        } else {
            0
        };
        Guarded { step, coefficient: (coefficient + self.delta * f64::from(step)).clamp(0.0, 1.0) }
    }
}

/// T3_B's coefficient of a batch: the mean over its scored samples, after sigmoid and guard (paper).
///
/// `None` for a batch without a scored sample. Summed left to right in the order given, which is the order of
/// the batch; then divided by the true size; then held between the smallest and the largest input, past which
/// the rounding of a sum may carry it. A batch of one gives back its one coefficient, bit for bit. A NaN among
/// the inputs gives NaN.
#[must_use]
pub fn batch_mean(coefficients: &[f64]) -> Option<f64> {
    let (&first, rest) = coefficients.split_first()?;
    let (mut sum, mut smallest, mut largest) = (first, first, first);
    for &c in rest {
        sum += c;
        smallest = smallest.min(c);
        largest = largest.max(c);
    }
    if sum.is_nan() { Some(sum) } else { Some((sum / coefficients.len() as f64).clamp(smallest, largest)) }
}

/// `1 / (1 + e^-x)`, in `[0, 1]` for every `x` that is not NaN.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Whether a batch's coefficients, whose standard deviation is `lambda_std`, spread over more than half of the widest
/// spread possible, which is a standard deviation of half the rule's range. A choice: the paper only says that high
/// variance shows a mixed batch.
#[must_use]
pub fn is_heterogeneous(lambda_std: f64, lambda_range: f64) -> bool {
    lambda_std > lambda_range / 4.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::statistics::Running;

    #[test]
    fn a_batch_of_two_camps_is_heterogeneous() {
        let std = |lambda: &[f64]| Running::of(lambda).variance_population().unwrap().sqrt();
        assert!(is_heterogeneous(std(&[0.5, 0.58, 0.5, 0.58]), 0.0858));
        assert!(!is_heterogeneous(std(&[0.53, 0.54, 0.535]), 0.0858));
    }
}
