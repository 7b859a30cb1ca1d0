//! The published tables: their columns, and how they are written and read. docs/tables.md describes every column.

mod batches;
mod coefficients;
mod column;
mod names;
mod predictions;
mod quarantine;
mod reader;
mod schema;
mod signals;
mod writer;

pub(crate) use batches::{BatchRow, Batches};
pub(crate) use coefficients::{CoefficientRow, Coefficients};
pub(crate) use column::Rows;
pub use names::Names;
pub(crate) use names::Position;
pub(crate) use predictions::{PredictionRow, Predictions, probs};
pub(crate) use quarantine::{Quarantine, QuarantineRow};
pub(crate) use reader::each_batch;
pub(crate) use schema::properties;
pub use schema::{CHUNK_ROWS, FORMAT_VERSION, Origin, Table};
pub(crate) use signals::{SignalRow, Signals};
pub(crate) use writer::TableWriter;
