//! Reading one published part, chosen columns only.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{Exit, Problem, RunError};
use crate::store::Root;

/// Most bytes of one published part.
const MAX_PART_BYTES: u64 = 4 << 30;

/// Hands every batch of the part at `key` to `look`, in row order; `None` from it means no such column.
///
/// # Errors
/// Store failures, `V002` a part that is missing or no table of ours.
pub(crate) async fn each_batch(
    root: &Root,
    key: &str,
    columns: &[&str],
    look: &mut impl FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), RunError> {
    let unreadable = || {
        let problem = Problem::new("V002", Exit::BadData, format!("{key} cannot be read as a table"));
        problem.hint("t3b verify names every damaged object")
    };
    let bytes = root.read(key, "published table", MAX_PART_BYTES).await.map_err(Problem::from)?;
    Ok(walk(bytes.ok_or_else(unreadable)?, columns, look).ok_or_else(unreadable)?)
}

fn walk(part: Bytes, columns: &[&str], look: &mut impl FnMut(&RecordBatch) -> Option<()>) -> Option<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(part).ok()?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    for batch in builder.with_projection(mask).build().ok()? {
        look(&batch.ok()?)?;
    }
    Some(())
}
