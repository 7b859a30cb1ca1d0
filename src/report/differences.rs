//! Whether two objects of one table hold the same rows of one slot, bit for bit.

use std::ops::Range;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{Exit, Problem};
use crate::tables::Table;

/// Compares the rows of `slot`, which are the sample rows `rows`, of two objects of `table`.
///
/// # Errors
/// `V002` when one of them is no such table.
pub fn differing_tables(
    table: Table,
    published: &Bytes,
    again: &Bytes,
    rows: Range<u64>,
    slot: u64,
) -> Result<bool, Problem> {
    let wanted = match table {
        Table::Batches | Table::Coefficients => ("batch", slot..slot + 1),
        Table::Predictions | Table::Signals | Table::Quarantine => ("sample_row", rows),
    };
    let unreadable = || {
        let what = format!("a part of {} cannot be read as a table", table.name());
        Problem::new("V002", Exit::BadData, what).hint("t3b verify names every damaged object")
    };
    let published = select(published, &wanted).ok_or_else(unreadable)?;
    let again = select(again, &wanted).ok_or_else(unreadable)?;
    Ok(published.columns() != again.columns())
}

fn select(part: &Bytes, (column, range): &(&str, Range<u64>)) -> Option<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part.clone()).ok()?;
    let schema = builder.schema().clone();
    let mut kept = Vec::new();
    for batch in builder.build().ok()? {
        let batch = batch.ok()?;
        let numbers = batch.column_by_name(column)?.as_primitive_opt::<Int64Type>()?;
        let is_wanted = |number: &i64| u64::try_from(*number).is_ok_and(|number| range.contains(&number));
        let mask: BooleanArray = numbers.values().iter().map(|number| Some(is_wanted(number))).collect();
        kept.push(filter_record_batch(&batch, &mask).ok()?);
    }
    concat_batches(&schema, &kept).ok()
}
