//! Reads published tables only: never a model, never a tensor.

mod accuracy;

pub use accuracy::{Accuracy, AccuracyTable, accuracy};
