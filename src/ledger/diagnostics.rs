//! What a run says about its own coefficients: are batches mixed, does the divergence point at errors, are the
//! parents calibrated. Sums per partition, joined in partition order, so the result has one value.

use serde::{Deserialize, Serialize};

use crate::merge::deviation::Deviation;
use crate::merge::method::Method;
use crate::merge::statistics::share;
use crate::messages::{Prediction, Scored};

/// Two columns seen together: enough for Pearson's r.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joint {
    n: f64,
    mean_x: f64,
    mean_y: f64,
    sum_xx: f64,
    sum_yy: f64,
    sum_xy: f64,
}

impl Joint {
    fn push(&mut self, x: f64, y: f64) {
        *self = self.then(Self { n: 1.0, mean_x: x, mean_y: y, ..Self::default() });
    }

    /// Both sets together, this one first (Chan, Golub and LeVeque's pairwise update).
    fn then(self, later: Self) -> Self {
        let n = self.n + later.n;
        if n == 0.0 {
            return self;
        }
        let (dx, dy) = (later.mean_x - self.mean_x, later.mean_y - self.mean_y);
        let weight = self.n * later.n / n;
        Self {
            n,
            mean_x: self.mean_x + dx * later.n / n,
            mean_y: self.mean_y + dy * later.n / n,
            sum_xx: self.sum_xx + later.sum_xx + dx * dx * weight,
            sum_yy: self.sum_yy + later.sum_yy + dy * dy * weight,
            sum_xy: self.sum_xy + later.sum_xy + dx * dy * weight,
        }
    }

    /// Pearson's r; `None` when a column is constant or empty.
    #[must_use]
    pub fn pearson_r(&self) -> Option<f64> {
        let norm = (self.sum_xx * self.sum_yy).sqrt();
        (norm > 0.0).then(|| (self.sum_xy / norm).clamp(-1.0, 1.0))
    }

    /// Mean of the first column minus mean of the second; `None` when empty.
    #[must_use]
    pub fn mean_difference(&self) -> Option<f64> {
        (self.n > 0.0).then_some(self.mean_x - self.mean_y)
    }
}

/// Diagnostics of one partition, or of several joined in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostics {
    /// (sample, cell) pairs with a signal.
    pub n_signals: u64,
    /// Pairs that the primary method has a coefficient for.
    #[serde(default)]
    pub n_coefficients: u64,
    /// Sum of those coefficients.
    #[serde(default)]
    pub lambda_sum: f64,
    /// Pairs the primary method's guard moved.
    pub n_guarded: u64,
    /// Batches that the primary method merged.
    pub n_batches: u64,
    /// Batches whose coefficients spread over more than half of what its rule allows.
    pub n_heterogeneous: u64,
    /// Sum over batches of the variance of its coefficients inside the batch.
    pub lambda_var_sum: f64,
    /// Largest divergence seen.
    pub js_max_nats: f64,
    /// Divergence against correctness (0 or 1) of the primary method, over labelled pairs.
    pub js_correct: Joint,
    /// `H_pt - H_ft` against the same.
    pub entropy_gap_correct: Joint,
    /// The pretrained model's top probability against its correctness: their difference is its overconfidence.
    pub pt_confidence: Joint,
    /// The expert's.
    pub ft_confidence: Joint,
    /// How far off coefficients of parents in 8-bit integers are, over the batches that were measured; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Deviation>,
}

impl Diagnostics {
    /// Adds one batch; coefficients are those of the primary method.
    pub(crate) fn push(&mut self, scored: &Scored, primary: Method) {
        self.int8 = joined(self.int8, scored.deviation);
        let said = |method| scored.methods.iter().find(|scores| scores.method == method);
        let (main, pt, ft) = (said(primary), said(Method::Pretrained), said(Method::Expert));
        if let Some(with) = main.and_then(|scores| scores.merged_with) {
            self.n_batches += 1;
            self.lambda_var_sum += with.lambda_std * with.lambda_std;
            self.n_heterogeneous += u64::from(with.is_heterogeneous);
            self.n_coefficients += u64::from(with.n_samples);
            self.lambda_sum += with.lambda_mean * f64::from(with.n_samples);
            self.n_guarded += u64::from(with.guard_plus) + u64::from(with.guard_minus);
        }
        for (n, (member, signal)) in scored.members.iter().zip(&scored.signals).enumerate() {
            self.n_signals += 1;
            self.js_max_nats = self.js_max_nats.max(signal.js_nats);
            let Some(label) = member.sample.label_idx else { continue };
            let correct = |said: &Prediction| f64::from(u8::from(said.pred_idx == label));
            if let Some(said) = main.map(|scores| &scores.predictions[n]) {
                self.js_correct.push(signal.js_nats, correct(said));
                self.entropy_gap_correct.push(signal.pt_entropy_nats - signal.ft_entropy_nats, correct(said));
            }
            for (confidence, scores) in [(&mut self.pt_confidence, pt), (&mut self.ft_confidence, ft)] {
                if let Some(said) = scores.map(|scores| &scores.predictions[n]) {
                    confidence.push(said.pred_prob, correct(said));
                }
            }
        }
    }

    /// Both sets together, this one first.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            n_signals: self.n_signals + later.n_signals,
            n_coefficients: self.n_coefficients + later.n_coefficients,
            lambda_sum: self.lambda_sum + later.lambda_sum,
            n_guarded: self.n_guarded + later.n_guarded,
            n_batches: self.n_batches + later.n_batches,
            n_heterogeneous: self.n_heterogeneous + later.n_heterogeneous,
            lambda_var_sum: self.lambda_var_sum + later.lambda_var_sum,
            js_max_nats: self.js_max_nats.max(later.js_max_nats),
            js_correct: self.js_correct.then(later.js_correct),
            entropy_gap_correct: self.entropy_gap_correct.then(later.entropy_gap_correct),
            pt_confidence: self.pt_confidence.then(later.pt_confidence),
            ft_confidence: self.ft_confidence.then(later.ft_confidence),
            int8: joined(self.int8, later.int8),
        }
    }

    /// Mean variance of the primary method's coefficients inside a batch.
    #[must_use]
    pub fn lambda_var_within(&self) -> Option<f64> {
        share(self.lambda_var_sum, self.n_batches)
    }

    /// Share of batches that are heterogeneous.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn heterogeneous_share(&self) -> Option<f64> {
        share(self.n_heterogeneous as f64, self.n_batches)
    }

    /// Share of pairs the primary method's guard moved.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn guarded_share(&self) -> Option<f64> {
        share(self.n_guarded as f64, self.n_coefficients)
    }

    /// Mean coefficient of the primary method over samples: every scored (sample, cell) counts once.
    #[must_use]
    pub fn lambda_mean(&self) -> Option<f64> {
        share(self.lambda_sum, self.n_coefficients)
    }
}

fn joined(first: Option<Deviation>, later: Option<Deviation>) -> Option<Deviation> {
    match (first, later) {
        (Some(first), Some(later)) => Some(first.then(later)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::statistics::pearson_r;

    #[test]
    fn joined_partitions_give_pearsons_r_of_all_rows() {
        let xs: Vec<f64> = (0..50).map(|n| f64::from(n * n % 17)).collect();
        let ys: Vec<f64> = (0..50).map(|n| f64::from(n % 5)).collect();
        let mut halves = [Joint::default(), Joint::default()];
        for (n, (&x, &y)) in xs.iter().zip(&ys).enumerate() {
            halves[usize::from(n >= 20)].push(x, y);
        }
        let joined = halves[0].then(halves[1]).pearson_r().unwrap();
        assert!((joined - pearson_r(&xs, &ys).unwrap()).abs() < 1e-12);
        assert_eq!(Joint::default().pearson_r(), None);
    }
}
