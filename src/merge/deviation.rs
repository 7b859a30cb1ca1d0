//! How far coefficients of approximated parents are from those of the parents, over what was computed both ways.

use serde::{Deserialize, Serialize};

use super::statistics::share;

/// Sums and extremes over batches that were measured; [`then`](Self::then) joins them in any grouping to the same counts and extremes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// Samples whose parents are finite both ways.
    pub n_samples: u64,
    /// Largest difference of a sample's divergence.
    pub js_max_nats: f64,
    /// Sum of them.
    pub js_sum_nats: f64,
    /// Coefficients of batches: one for each measured batch and method that has one.
    pub n_lambdas: u64,
    /// Largest difference of such a coefficient.
    pub lambda_max: f64,
    /// Sum of them.
    pub lambda_sum: f64,
    /// Predictions of those methods.
    pub n_predictions: u64,
    /// Those whose class is another.
    pub n_changed: u64,
}

impl Deviation {
    /// Adds a sample's divergence, computed both ways.
    pub fn push_js(&mut self, ours_nats: f64, exact_nats: f64) {
        let difference = (ours_nats - exact_nats).abs();
        self.n_samples += 1;
        self.js_max_nats = self.js_max_nats.max(difference);
        self.js_sum_nats += difference;
    }

    /// Adds a method's coefficient of a batch, computed both ways.
    pub fn push_lambda(&mut self, ours: f64, exact: f64) {
        let difference = (ours - exact).abs();
        self.n_lambdas += 1;
        self.lambda_max = self.lambda_max.max(difference);
        self.lambda_sum += difference;
    }

    /// Adds a prediction, made both ways.
    pub fn push_prediction(&mut self, is_another: bool) {
        self.n_predictions += 1;
        self.n_changed += u64::from(is_another);
    }

    /// Both together, this one first.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            n_samples: self.n_samples + later.n_samples,
            js_max_nats: self.js_max_nats.max(later.js_max_nats),
            js_sum_nats: self.js_sum_nats + later.js_sum_nats,
            n_lambdas: self.n_lambdas + later.n_lambdas,
            lambda_max: self.lambda_max.max(later.lambda_max),
            lambda_sum: self.lambda_sum + later.lambda_sum,
            n_predictions: self.n_predictions + later.n_predictions,
            n_changed: self.n_changed + later.n_changed,
        }
    }

    /// Mean difference of a sample's divergence.
    #[must_use]
    pub fn js_mean_nats(&self) -> Option<f64> {
        share(self.js_sum_nats, self.n_samples)
    }

    /// Mean difference of a batch's coefficient.
    #[must_use]
    pub fn lambda_mean(&self) -> Option<f64> {
        share(self.lambda_sum, self.n_lambdas)
    }

    /// Share of predictions whose class is another.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn changed_share(&self) -> Option<f64> {
        share(self.n_changed as f64, self.n_predictions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_what_was_pushed_and_extremes_are_kept() {
        let mut first = Deviation::default();
        assert_eq!((first.js_mean_nats(), first.lambda_mean(), first.changed_share()), (None, None, None));
        first.push_js(0.5, 0.25);
        first.push_lambda(0.75, 0.5);
        first.push_prediction(true);
        let mut second = Deviation::default();
        second.push_js(0.25, 0.75);
        second.push_lambda(0.25, 0.375);
        second.push_prediction(false);
        let both = first.then(second);
        assert_eq!((both.js_max_nats, both.lambda_max), (0.5, 0.25));
        assert_eq!(both.js_mean_nats(), Some(0.375));
        assert_eq!((both.lambda_mean(), both.changed_share()), (Some(0.1875), Some(0.5)));
    }
}
