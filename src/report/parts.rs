//! Walking the published parts of one table of a run.

use arrow::array::RecordBatch;

use crate::error::RunError;
use crate::ledger::{Layout, Plan};
use crate::store::Root;
use crate::tables::{self, Table};

/// Hands every batch of a table to `look`, part by part and in row order; `None` from it means no such column.
///
/// # Errors
/// Store failures, `V002` a part that is missing or no table of ours.
pub(super) async fn each_batch(
    root: &Root,
    plan: &Plan,
    table: Table,
    columns: &[&str],
    mut look: impl FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), RunError> {
    let layout = Layout::new(&plan.run_id);
    for partition in 0..plan.n_partitions {
        let key = layout.part(table, &plan.run_date, partition);
        tables::each_batch(root, &key, columns, &mut look).await?;
    }
    Ok(())
}
