//! How much expert: from two rows of logits to a coefficient, and from a coefficient to weights.
//!
//! Everything but [`weights`] is a pure function of its arguments: slices in, numbers out, no I/O, no threads,
//! no tensors of a framework, no state kept between calls. The same inputs give the same bits, because every
//! sum has a stated order and every random number is a function of (seed, stream, counter).
//!
//! Words used throughout:
//!
//! - **pretrained**: the pretrained model, theta_pt. **expert**: the fine-tuned one, theta_ft.
//! - **coefficient**: the weight on the expert, lambda in the paper. 0 is the pure pretrained, 1 the pure
//!   expert.
//! - **nats**: information with the natural logarithm. Functions whose names end in `_nats` return nats.
//!
//! Marks in the documentation: **paper** is stated in arXiv 2510.27265 or its public card, **code** was read
//! in the public code of the method named, **choice** is ours because nothing public decides it.

// In reading order: the signal, the rules that read it, the names of all methods, the merges of weights and of
// outputs, and the helpers that those use.
pub mod divergence;

pub mod coefficient;

pub mod entropy_ratio;

pub mod beta_mixture;

mod kmeans;

pub mod method;

pub mod lerp;

mod stream;

pub mod weights;

pub mod factored;

pub mod recipe;

pub mod ties;

pub mod dare;

pub mod slerp;

pub mod ensemble;

pub mod deviation;

pub mod statistics;

pub mod beta;

pub mod random;
