//! What the lane says of a batch.

use super::{Member, Reject, Slot};
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
    /// The sample's coefficient after the guard: weight on the expert.
    pub lambda_sample: f64,
    /// What the guard did: towards the expert (+1), the pretrained (-1) or nothing (0).
    pub guard: i8,
    /// Entropy of the pretrained model's probabilities.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert's probabilities.
    pub ft_entropy_nats: f64,
    /// Whether both predict the same class.
    pub agree: bool,
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
    /// One list per method in pipeline order, one prediction per member.
    pub predictions: Vec<(Method, Vec<Prediction>)>,
    /// Mean coefficient over the scored samples; `None` when there are none.
    pub lambda_batch: Option<f64>,
    /// Samples the models gave non-finite logits for.
    pub rejects: Vec<Reject>,
}
