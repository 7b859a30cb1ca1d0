//! Reads published tables only: never a model, never a tensor.

mod accuracy;
mod differences;
mod first_pass;
mod parts;

pub use accuracy::{Accuracy, AccuracyTable, accuracy};
pub use differences::differing_tables;
pub use first_pass::{MAX_ROWS, SignalRow, parent_probs, signals};
pub(crate) use parts::each_batch;
