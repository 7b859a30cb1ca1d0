//! The published tables: their columns, and how they are written and read.

mod reader;
mod rows;
mod schema;
mod writer;

pub(crate) use reader::each_batch;
pub use rows::Names;
pub(crate) use rows::{CoefficientRows, PredictionRows, QuarantineRows, SignalRows};
pub(crate) use schema::properties;
pub use schema::{CHUNK_ROWS, FORMAT_VERSION, Origin, Table};
pub(crate) use writer::TableWriter;
