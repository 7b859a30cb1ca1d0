//! Whether confidence is what it says: equal bins, bins of equal size.

use super::real;
use crate::inference::CalibratedNull;

/// Bins of both calibration errors.
const N_BINS: usize = 15;

/// Tallies over equal bins of confidence. Bin `k` of 15 holds `k/15 <= confidence < (k+1)/15`; confidence 1 is in the
/// last. (torchmetrics 1.x puts exactly 1 in a sixteenth bin, which loses the surest rows.)
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    n: [u64; N_BINS],
    n_correct: [u64; N_BINS],
    confidence: [f64; N_BINS],
    /// Sum of c (1 - c).
    spread: [f64; N_BINS],
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ece {
    /// Rows of the bin.
    pub n: u64,
    /// Share of its rows that are right.
    pub accuracy: f64,
    /// Mean confidence of its rows.
    pub confidence: f64,
}

impl Default for Bins {
    fn default() -> Self {
        Self { n: [0; N_BINS], n_correct: [0; N_BINS], confidence: [0.0; N_BINS], spread: [0.0; N_BINS] }
    }
}

impl Bins {
    /// Number of bins.
    pub const N: usize = N_BINS;

    /// The bin of a confidence.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float as an index saturates"
    )]
    pub fn place(confidence: f64) -> usize {
        ((confidence * real(N_BINS as u64)) as usize).min(N_BINS - 1)
    }

    /// Adds `weight` rows of one confidence in 0 to 1.
    pub fn add(&mut self, confidence: f64, correct: bool, weight: u64) {
        let bin = Self::place(confidence);
        self.n[bin] += weight;
        self.n_correct[bin] += weight * u64::from(correct);
        self.confidence[bin] += confidence * real(weight);
        self.spread[bin] += confidence * (1.0 - confidence) * real(weight);
    }

    /// Adds other bins `weight` times.
    pub fn merge(&mut self, other: &Self, weight: u64) {
        for bin in 0..N_BINS {
            self.n[bin] += other.n[bin] * weight;
            self.n_correct[bin] += other.n_correct[bin] * weight;
            self.confidence[bin] += other.confidence[bin] * real(weight);
            self.spread[bin] += other.spread[bin] * real(weight);
        }
    }

    /// The bins of a reliability diagram; `None` for an empty one.
    #[must_use]
    pub fn reliability(&self) -> Vec<Option<Ece>> {
        let of = |bin: usize| {
            let n = real(self.n[bin]);
            (self.n[bin] > 0).then(|| Ece {
                n: self.n[bin],
                accuracy: real(self.n_correct[bin]) / n,
                confidence: self.confidence[bin] / n,
            })
        };
        (0..N_BINS).map(of).collect()
    }

    /// Expected calibration error: mean over rows of |accuracy - confidence| of the row's bin.
    #[must_use]
    pub fn ece(&self) -> Option<f64> {
        let n: u64 = self.n.iter().sum();
        let gap = |bin: usize| (real(self.n_correct[bin]) - self.confidence[bin]).abs();
        (n > 0).then(|| (0..N_BINS).map(gap).sum::<f64>() / real(n))
    }

    /// What [`Self::ece`] would be, were the confidences calibrated.
    #[must_use]
    pub fn null(&self) -> CalibratedNull {
        CalibratedNull::of(self.spread.iter().copied(), real(self.n.iter().sum::<u64>().max(1)))
    }
}

/// The adaptive calibration error of rows that arrive in ascending order of confidence.
///
/// The rows are cut into 15 bins whose sizes differ by at most one, the larger first, as `numpy.array_split` cuts.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveEce {
    n: u64,
    seen: u64,
    bin: u64,
    left: u64,
    sums: (f64, f64, f64),
    gap: f64,
    spreads: Vec<f64>,
}

impl AdaptiveEce {
    /// Expects `n` rows.
    #[must_use]
    pub fn new(n: u64) -> Self {
        let mut all =
            Self { n, seen: 0, bin: 0, left: 0, sums: (0.0, 0.0, 0.0), gap: 0.0, spreads: Vec::new() };
        all.left = all.size();
        all
    }

    fn size(&self) -> u64 {
        self.n / N_BINS as u64 + u64::from(self.bin < self.n % N_BINS as u64)
    }

    /// The next row. Rows of one confidence come wrong before right, so that ties at an edge have one answer.
    pub fn push(&mut self, confidence: f64, correct: bool) {
        self.sums.0 += confidence;
        self.sums.1 += f64::from(u8::from(correct));
        self.sums.2 += confidence * (1.0 - confidence);
        self.seen += 1;
        self.left -= 1;
        if self.left == 0 {
            self.gap += (self.sums.0 - self.sums.1).abs();
            self.spreads.push(self.sums.2);
            self.sums = (0.0, 0.0, 0.0);
            self.bin += 1;
            self.left = self.size();
        }
    }

    /// The error; `None` unless exactly the announced rows have come.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.n > 0 && self.seen == self.n).then(|| self.gap / real(self.n))
    }

    /// What the error would be, were the confidences calibrated.
    #[must_use]
    pub fn null(&self) -> CalibratedNull {
        CalibratedNull::of(self.spreads.iter().copied(), real(self.n.max(1)))
    }
}

/// [`AdaptiveEce`] of (confidence, correct) in any order; sorts them.
#[must_use]
pub fn adaptive_ece(rows: &mut [(f32, bool)]) -> AdaptiveEce {
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut all = AdaptiveEce::new(rows.len() as u64);
    rows.iter().for_each(|(confidence, correct)| all.push(f64::from(*confidence), *correct));
    all
}
