//! Staged objects that no receipt names, and claims that are settled: what crashes, lost races and work leave behind.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::known::planned;
use super::layout::{Claimed, Layout};
use super::receipt::{Receipt, committed};
use crate::error::{Problem, RunError};
use crate::store::Root;

/// Receipts read at once.
const READS: usize = 16;

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
    let claims =
        root.list_dated(&layout.claims(Claimed::Partition), "claims").await.map_err(Problem::from)?;
    let claimed = |key: &str| layout.claim_of(Claimed::Partition, key).map(|(partition, _)| partition);
    let is_of_run = |key: &str| claimed(key).is_none_or(|partition| partition < plan.n_partitions);
    staged.extend(claims.into_iter().filter(|claim| is_of_run(&claim.name)));
    let listed = committed(root, &layout, plan.n_partitions).await?;
    // The attempt that each receipt is of: its name is in the names of all that the receipt names, and of nothing else.
    let mut decided: BTreeMap<u32, String> = BTreeMap::new();
    let reads = listed.receipts.iter().map(async |&(partition, _)| {
        Ok::<_, RunError>((partition, Receipt::read_of(root, &layout, &plan, partition).await?))
    });
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some((partition, receipt)) = reads.try_next().await? {
        // One that has gone since it was listed decides nothing.
        decided.extend(receipt.map(|receipt| (partition, receipt.nonce)));
    }
    let is_named = |key: &str| {
        let nonce = layout.staged_of(key).and_then(|partition| decided.get(&partition));
        nonce.is_some_and(|nonce| key.contains(&format!(".{nonce}.")))
    };
    let bound_ms =
        chrono::Utc::now().timestamp_millis() - i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
    let mut found = Tidied::default();
    for object in staged.into_iter().filter(|object| !is_named(&object.name)) {
        let Some(partition) = layout.staged_of(&object.name).or_else(|| claimed(&object.name)) else {
            found.n_foreign += 1;
            continue;
        };
        if !decided.contains_key(&partition) {
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
