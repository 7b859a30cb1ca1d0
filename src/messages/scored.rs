//! What the lane says of a batch.

use std::time::SystemTime;

use super::{Member, Reject, Slot};
use crate::merge::deviation::Deviation;
use crate::merge::method::Method;

/// What one method says of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Class probabilities, summing to 1.
    pub probs: Vec<f64>,
    /// Most probable class; the lowest index among equals.
    pub pred_idx: u32,
    /// Its probability.
    pub pred_prob: f64,
    /// Top 1 minus top 2 probability.
    pub margin: f64,
    /// Entropy of `probs`, nats.
    pub entropy_nats: f64,
}

/// What the two parents say of one sample together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Jensen-Shannon divergence, 0 to ln 2.
    pub js_nats: f64,
    /// T3's coefficient of the sample, after the guard where it is enabled: weight on the expert.
    pub lambda_sample: f64,
    /// Entropy of the pretrained model's probabilities.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert's probabilities.
    pub ft_entropy_nats: f64,
    /// Whether both predict the same class.
    pub agree: bool,
}

/// What a method merged the weights of one batch with: its coefficients over the samples with finite parents.
///
/// A batch-wise method merges once, with the mean; a sample-wise one merges each sample with its own; a static one has the
/// same number for all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// Samples they were taken over, at least 1.
    pub n_samples: u32,
    /// Mean weight on the expert.
    pub lambda_mean: f64,
    /// Population standard deviation.
    pub lambda_std: f64,
    /// Smallest.
    pub lambda_min: f64,
    /// Largest.
    pub lambda_max: f64,
    /// Samples the guard moved toward the expert.
    pub guard_plus: u32,
    /// Samples the guard moved toward the pretrained model.
    pub guard_minus: u32,
    /// Whether they spread over more than half of what the rule allows.
    pub is_heterogeneous: bool,
}

/// One method's part in a scored batch.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodScores {
    /// Which method.
    pub method: Method,
    /// What the weights were merged with; `None` for a method that merges none.
    pub merged_with: Option<Coefficients>,
    /// One per member.
    pub predictions: Vec<Prediction>,
}

/// One batch with everything the tables need.
#[derive(Debug)]
pub struct Scored {
    /// Which slot.
    pub slot: Slot,
    /// Scored members, in manifest order.
    pub members: Vec<Member>,
    /// One per member.
    pub signals: Vec<Signal>,
    /// The pretrained model's image features of length 1, one per member, where the run keeps them.
    pub features: Option<Vec<Vec<f32>>>,
    /// One per method, in pipeline order; none for a batch without members.
    pub methods: Vec<MethodScores>,
    /// Samples the models gave non-finite logits for.
    pub rejects: Vec<Reject>,
    /// How far off its coefficients are, where that was measured.
    pub deviation: Option<Deviation>,
    /// When the lane began with it and when it was done; in no table, for two runs give the same tables.
    pub scored: (SystemTime, SystemTime),
}
