//! What the data turned out to be, counted while it flows: coefficients, divergences, and why samples left the flow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Histogram, HistogramOpts, linear_buckets};

/// Upper bounds of divergences in nats; ln 2 is the most there is.
const JS_NATS: [f64; 12] =
    [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, std::f64::consts::LN_2];

/// Counts of what was found, shared by whoever counts and whoever looks.
#[derive(Debug, Clone)]
pub struct Found {
    /// Coefficients of samples, 0 to 1.
    pub lambda: Histogram,
    /// Divergences of the parents, nats.
    pub js_nats: Histogram,
    quarantined: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Default for Found {
    fn default() -> Self {
        let tenths = linear_buckets(0.05, 0.05, 20).unwrap_or_default();
        let lambda = "Weight on the expert that T3 gives each sample.";
        let js_nats = "Divergence of the parents' predictions of each sample, nats.";
        Self {
            lambda: histogram("t3b_lambda", lambda, tenths),
            js_nats: histogram("t3b_js_nats", js_nats, JS_NATS.to_vec()),
            quarantined: Arc::default(),
        }
    }
}

impl Found {
    /// Counts one sample that leaves the flow.
    pub fn quarantine(&self, reason: &'static str) {
        let mut reasons = self.quarantined.lock().unwrap_or_else(PoisonError::into_inner);
        *reasons.entry(reason).or_default() += 1;
    }

    /// Counts one scored sample.
    pub fn signal(&self, lambda: f64, js_nats: f64) {
        for (histogram, value) in [(&self.lambda, lambda), (&self.js_nats, js_nats)] {
            // One number that is none would hide the sum of all others.
            if value.is_finite() {
                histogram.observe(value);
            }
        }
    }

    /// Samples that left the flow, by reason.
    #[must_use]
    pub fn quarantined(&self) -> BTreeMap<&'static str, u64> {
        self.quarantined.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn histogram(name: &str, help: &str, buckets: Vec<f64>) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets);
    Histogram::with_opts(options).expect("a fixed name with rising bounds is a histogram")
}
