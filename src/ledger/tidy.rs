//! Staged objects that no receipt names, and claims that are settled: what crashes, lost races and work leave behind.

use std::collections::BTreeSet;
use std::time::Duration;

use super::known::planned;
use super::layout::Layout;
use super::receipt::{Receipt, committed};
use crate::error::{Problem, RunError};
use crate::store::Root;

/// What was found, and what was done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Names and sizes of objects that can go.
    pub orphans: Vec<(String, u64)>,
    /// Objects of partitions without a receipt: a worker may be about to name them, however old they are.
    pub n_undecided: usize,
    /// Objects with names that no attempt gives: not ours to delete.
    pub n_foreign: usize,
    /// Objects younger than the bound.
    pub n_young: usize,
    /// Objects deleted.
    pub n_deleted: usize,
}

/// Finds, and with `delete` deletes, staged objects that no receipt names and that are older than `older_than`.
///
/// Only under the names that attempts give, and of partitions that have a receipt: receipts are create-only, so no other attempt at such a partition can
/// ever be named. That makes it safe beside live, paused and late workers, with any clock; the age is caution.
///
/// # Errors
/// `R009` no such run, store failures, receipts that are damaged or not what they are named.
pub async fn tidy(root: &Root, run_id: &str, delete: bool, older_than: Duration) -> Result<Tidied, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    // Listed before the receipts are read: what is staged later is not in the list.
    let mut staged = root.list_dated(&layout.stage(), "staged objects").await.map_err(Problem::from)?;
    // Once a receipt is there a claim keeps nobody from anything.
    let claims = root.list_dated(&layout.claims(), "claims").await.map_err(Problem::from)?;
    let is_of_run =
        |key: &str| layout.claim_of(key).is_none_or(|(partition, _)| partition < plan.n_partitions);
    staged.extend(claims.into_iter().filter(|claim| is_of_run(&claim.name)));
    let listed = committed(root, &layout, plan.n_partitions).await?;
    let (mut named, mut decided) = (BTreeSet::new(), BTreeSet::new());
    for &(partition, _) in &listed.receipts {
        // One that has gone since it was listed decides nothing.
        if let Some(receipt) = Receipt::read_of(root, &layout, &plan, partition).await? {
            decided.insert(partition);
            named.extend(receipt.files.into_iter().map(|file| file.path));
        }
    }
    let bound_ms =
        chrono::Utc::now().timestamp_millis() - i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
    let mut found = Tidied::default();
    for object in staged.into_iter().filter(|object| !named.contains(&object.name)) {
        let claimed = || layout.claim_of(&object.name).map(|(partition, _)| partition);
        let Some(partition) = layout.staged_of(&object.name).or_else(claimed) else {
            found.n_foreign += 1;
            continue;
        };
        if !decided.contains(&partition) {
            found.n_undecided += 1;
        } else if object.modified_ms > bound_ms {
            found.n_young += 1;
        } else {
            if delete {
                root.delete(&object.name, "staged object or claim").await.map_err(Problem::from)?;
                found.n_deleted += 1;
            }
            found.orphans.push((object.name, object.size));
        }
    }
    Ok(found)
}
