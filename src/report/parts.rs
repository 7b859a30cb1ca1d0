//! Walking the published parts of one table of a run.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use crate::error::{Exit, Problem, RunError};
use crate::ledger::{FileEntry, Layout, Plan, published_files, read_entry};
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
    let layout = Layout::new(&plan.run_id);
    let listed = published_files(root, plan, table).await?.unwrap_or_default();
    let listed: HashMap<&str, &FileEntry> = listed.iter().map(|file| (file.path.as_str(), file)).collect();
    for partition in 0..plan.n_partitions {
        let key = layout.part(table, &plan.run_date, partition);
        // A store that gives other bytes than were published is named as such.
        let file = listed.get(key.as_str()).ok_or_else(|| {
            Problem::new("V001", Exit::BadData, format!("{key} is in no list of published objects"))
                .hint("run t3b verify; t3b finalize restores what is missing")
        })?;
        let bytes = read_entry(root, file, &format!("{} of partition {partition}", table.name())).await?;
        let bytes = bytes.ok_or_else(|| Problem::new("V001", Exit::BadData, format!("{key} is missing")))?;
        tables::each_batch(&key, bytes, columns, &mut look)?;
    }
    Ok(())
}
