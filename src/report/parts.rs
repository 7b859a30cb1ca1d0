//! Walking the published parts of one table of a run.

use arrow::array::RecordBatch;

use crate::error::{Exit, Problem, RunError};
use crate::ledger::{Parts, Plan, read_entry};
use crate::store::Root;
use crate::tables::{self, Table};

/// Hands every batch of a table to `look`, part by part and in row order; `None` from it means no such column.
///
/// # Errors
/// Store failures, `V002` a part that is missing or no table of ours.
pub(crate) async fn each_batch(
    root: &Root,
    plan: &Plan,
    table: Table,
    columns: &[&str],
    mut look: impl FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), RunError> {
    let parts = Parts::open(root, plan, table).await?;
    for span in 0..plan.n_spans() {
        for file in parts.of_span(span).await? {
            // A store that gives other bytes than were published is named as such.
            let bytes = read_entry(root, &file, &format!("published part of {}", table.name())).await?;
            let missing = || Problem::new("V001", Exit::BadData, format!("{} is missing", file.path));
            tables::each_batch(&file.path, bytes.ok_or_else(missing)?, columns, &mut look)?;
        }
    }
    Ok(())
}
