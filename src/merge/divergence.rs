//! What two models say about one image, compared: log-softmax, entropy, Jensen-Shannon divergence.
//!
//! All arithmetic is in `f64` whatever the logits are: the number of classes is small, so precision is cheap,
//! and a coefficient that feeds a published table should not depend on the width of an accumulator.

use std::f64::consts::LN_2;

/// The unit in which a divergence enters the sigmoid of a rule.
///
/// The paper names none; nats are the default here and bits the switch (choice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogBase {
    /// Natural logarithm: the divergence lies in `[0, ln 2]`.
    Nats,
    /// Binary logarithm: the divergence lies in `[0, 1]`.
    Bits,
}

impl LogBase {
    /// The unit as settings and tables write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
        }
    }

    /// Converts an amount in nats to this unit.
    #[must_use]
    pub fn of_nats(self, nats: f64) -> f64 {
        match self {
            Self::Nats => nats,
            Self::Bits => nats / LN_2,
        }
    }
}

/// What the rules read of one sample: three numbers made from the two parents' logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Jensen-Shannon divergence of the two class distributions, in nats, `0 ..= ln 2`.
    pub js_nats: f64,
    /// Entropy of the pretrained model's class distribution, in nats, `0 ..= ln n_classes`.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert's class distribution, in nats, `0 ..= ln n_classes`.
    pub ft_entropy_nats: f64,
    /// Classes compared, at least 1.
    pub n_classes: usize,
}

impl Signals {
    /// Reads the signals off two rows of log-probabilities, as [`log_softmax`] makes them.
    ///
    /// # Panics
    /// When the rows are empty or differ in length.
    #[must_use]
    pub fn of(log_p_pt: &[f64], log_p_ft: &[f64]) -> Self {
        Self {
            js_nats: jensen_shannon_nats(log_p_pt, log_p_ft),
            pt_entropy_nats: entropy_nats(log_p_pt),
            ft_entropy_nats: entropy_nats(log_p_ft),
            n_classes: log_p_pt.len(),
        }
    }

    /// Whether all three numbers are finite. A sample whose signals are not is not scored.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.js_nats.is_finite() && self.pt_entropy_nats.is_finite() && self.ft_entropy_nats.is_finite()
    }
}

/// Natural logarithms of `softmax(logits / temperature)`, in `f64`.
///
/// Order: widen to `f64`, divide by the temperature, subtract the largest, subtract the logarithm of the sum
/// of exponentials (summed left to right). The largest is subtracted first, so logits of any finite size give
/// finite results; a logit of minus infinity is a class of probability 0. A NaN or plus infinity among the
/// logits makes the row NaN: it is never hidden.
///
/// # Panics
/// When `logits` is empty, or `temperature` is not a positive finite number.
#[must_use]
pub fn log_softmax<T: Copy + Into<f64>>(logits: &[T], temperature: f64) -> Vec<f64> {
    let mut out = vec![0.0; logits.len()];
    log_softmax_into(logits, temperature, &mut out);
    out
}

/// [`log_softmax`] into a buffer of the caller's.
///
/// # Panics
/// As [`log_softmax`], and when the lengths differ.
pub fn log_softmax_into<T: Copy + Into<f64>>(logits: &[T], temperature: f64, out: &mut [f64]) {
    assert!(!logits.is_empty(), "a distribution has at least one class");
    assert_eq!(logits.len(), out.len(), "one log-probability per logit");
    assert!(
        temperature > 0.0 && temperature.is_finite(),
        "temperature {temperature} is not positive and finite"
    );
    let mut largest = f64::NEG_INFINITY;
    for (slot, &logit) in out.iter_mut().zip(logits) {
        *slot = logit.into() / temperature;
        // `max` skips NaN on purpose: the sum below brings it back into every class.
        largest = largest.max(*slot);
    }
    let mut sum = 0.0;
    for slot in out.iter_mut() {
        *slot -= largest;
        sum += slot.exp();
    }
    let log_sum = sum.ln();
    for slot in out.iter_mut() {
        *slot -= log_sum;
    }
}

/// Probabilities of a row of log-probabilities.
#[must_use]
pub fn probabilities(log_p: &[f64]) -> Vec<f64> {
    log_p.iter().map(|l| l.exp()).collect()
}

/// Entropy `-sum p ln p` in nats of a row of log-probabilities, in `0 ..= ln C`; summed left to right.
///
/// A class of probability 0 adds nothing. A row with a NaN gives NaN.
///
/// # Panics
/// When the row is empty.
#[must_use]
pub fn entropy_nats(log_p: &[f64]) -> f64 {
    assert!(!log_p.is_empty(), "a distribution has at least one class");
    let sum: f64 = log_p.iter().map(|&l| minus_p_log_p(l)).sum();
    within(sum, 0.0, (log_p.len() as f64).ln())
}

/// Jensen-Shannon divergence in nats of two rows of log-probabilities, in `0 ..= ln 2`.
///
/// `JS = H(m) - H(p)/2 - H(q)/2` with `m = (p + q)/2` (paper: the agreement signal I(x)). The three entropies
/// are taken class by class, left to right, as `p (ln p - ln m)/2 + q (ln q - ln m)/2`: the same number, but
/// what cancels cancels inside one class, so two equal rows give exactly 0 and two nearly equal rows keep
/// their digits. Exchanging the rows changes no bit; relabelling classes changes only the order of the sum.
/// What rounding puts outside `[0, ln 2]` is moved to the nearer end; a NaN stays a NaN.
///
/// # Panics
/// When the rows are empty or differ in length.
#[must_use]
pub fn jensen_shannon_nats(log_p: &[f64], log_q: &[f64]) -> f64 {
    assert!(!log_p.is_empty(), "a distribution has at least one class");
    assert_eq!(log_p.len(), log_q.len(), "both models score the same classes");
    let sum: f64 = log_p.iter().zip(log_q).map(|(&p, &q)| js_of_class(p, q)).sum();
    within(sum / 2.0, 0.0, LN_2)
}

/// `p (ln p - ln m) + q (ln q - ln m)` of one class, from the logarithms.
fn js_of_class(log_p: f64, log_q: f64) -> f64 {
    let (high, low) = if log_p >= log_q { (log_p, log_q) } else { (log_q, log_p) };
    if high == f64::NEG_INFINITY {
        return 0.0;
    }
    let gap = high - low;
    // ln m - high: in [-ln 2, 0], exactly 0 where the two agree.
    let middle = ((-gap).exp_m1() / 2.0).ln_1p();
    let p_low = low.exp();
    // A class that one model rules out has an infinite gap and no weight; 0 * inf would be NaN.
    let of_low = if p_low == 0.0 { 0.0 } else { p_low * (-gap - middle) };
    of_low - high.exp() * middle
}

fn minus_p_log_p(log_p: f64) -> f64 {
    let p = log_p.exp();
    if p == 0.0 { 0.0 } else { -p * log_p }
}

/// Moves `x` into `[low, high]`; unlike `x.max(low).min(high)` it lets NaN through, so a broken model is seen.
pub(crate) fn within(x: f64, low: f64, high: f64) -> f64 {
    x.clamp(low, high)
}
