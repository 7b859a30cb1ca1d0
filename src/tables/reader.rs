//! Reading one published part, chosen columns only.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{Exit, Problem};

/// Hands every batch of `part`, the object at `key`, to `look`, in row order; `None` from it means no such column.
///
/// # Errors
/// `V002` a part that is no table of ours.
pub(crate) fn each_batch(
    key: &str,
    part: Bytes,
    columns: &[&str],
    look: &mut impl FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), Problem> {
    let unreadable = || {
        let problem = Problem::new("V002", Exit::BadData, format!("{key} cannot be read as a table"));
        problem.hint("t3b verify names every damaged object")
    };
    walk(part, columns, look).ok_or_else(unreadable)
}

fn walk(part: Bytes, columns: &[&str], look: &mut impl FnMut(&RecordBatch) -> Option<()>) -> Option<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part).ok()?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    for batch in builder.with_projection(mask).build().ok()? {
        look(&batch.ok()?)?;
    }
    Some(())
}
