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
pub(crate) use signals::{SignalRow, Signals, features};
pub(crate) use writer::TableWriter;

/// Name, type and nullability of a column.
pub type Described = (String, String, bool);

/// Name, type and nullability of every column of the tables that a partition writes, as docs/tables.md has them.
#[must_use]
pub fn described() -> Vec<(&'static str, Vec<Described>)> {
    let mut predictions = described_columns(&Predictions::columns());
    predictions.extend(described_columns(&[probs(true)]));
    let mut signals = described_columns(&Signals::columns());
    signals.extend(described_columns(&[features()]));
    vec![
        (Table::Predictions.name(), predictions),
        (Table::Signals.name(), signals),
        (Table::Batches.name(), described_columns(&Batches::columns())),
        (Table::Coefficients.name(), described_columns(&Coefficients::columns())),
        (Table::Quarantine.name(), described_columns(&Quarantine::columns())),
    ]
}

fn described_columns<T: Rows>(columns: &[column::Column<T>]) -> Vec<Described> {
    let of = |column: &column::Column<T>| {
        (column.name.to_owned(), column.kind.described().to_owned(), column.is_nullable)
    };
    columns.iter().map(of).collect()
}
