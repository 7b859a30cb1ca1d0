//! Who works on a run, how fast, and which claims are late: for people and engines that look, never for a decision about rows.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::claims::{Board, ClaimRule, LastClaim, last_claims, read_claim};
use super::layout::{Claimed, Layout};
use super::receipt::{Listed, Receipt};
use crate::error::RunError;
use crate::store::Root;

/// Claims read at once.
const READS: usize = 16;

/// One worker of a run, as claims and receipts tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Its name: given, or random.
    pub worker: String,
    /// Partitions it committed.
    pub n_committed: usize,
    /// Partitions that it has claimed last and that have no receipt.
    pub open: Vec<u32>,
    /// Partitions a minute, from its first claim, or else the run's begin, to its last receipt.
    pub rate_per_min: Option<f64>,
    /// Seconds since its last receipt or claim, by the store's times.
    pub silent_s: f64,
}

/// A claim without a receipt that others pass over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Straggler {
    /// Which partition.
    pub partition: u32,
    /// Who claimed it last.
    pub worker: String,
    /// How long ago.
    pub age_s: f64,
    /// How often it was claimed before.
    pub generation: u32,
}

/// Workers by name, and stragglers by partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Crew {
    pub(super) workers: Vec<WorkerStatus>,
    pub(super) stragglers: Vec<Straggler>,
    /// Claims beyond the first of a partition.
    pub(super) n_reissued: u64,
}

/// What the store's times say of one worker, in milliseconds since 1970.
#[derive(Debug, Default)]
struct Times {
    n_committed: usize,
    /// Its earliest receipt: time and partition.
    first: Option<(i64, u32)>,
    last_commit_ms: i64,
    open: Vec<u32>,
    last_ms: i64,
}

impl Times {
    fn see(&mut self, at_ms: i64) {
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Partitions a minute since its first claim; where that is gone, or another's, since the run began.
    fn rate(&self, claims: &BTreeMap<u32, LastClaim>, begun_ms: i64) -> Option<f64> {
        let (first_ms, partition) = self.first?;
        let claim = claims.get(&partition).filter(|claim| claim.generation == 0 && claim.at_ms <= first_ms);
        rate(self.n_committed, (claim.map_or(begun_ms, |claim| claim.at_ms), self.last_commit_ms))
    }
}

/// Who committed what, taken in receipt by receipt.
#[derive(Debug, Default)]
pub(super) struct Roster(BTreeMap<String, Times>);

impl Roster {
    /// Counts a receipt that the store says was written then; receipts of earlier programs name nobody.
    pub(super) fn committed(&mut self, receipt: &Receipt, at_ms: i64) {
        if receipt.worker.is_empty() {
            return;
        }
        let worker = self.0.entry(receipt.worker.clone()).or_default();
        worker.n_committed += 1;
        let this = (at_ms, receipt.partition);
        worker.first = Some(worker.first.map_or(this, |known| known.min(this)));
        worker.last_commit_ms = worker.last_commit_ms.max(at_ms);
        worker.see(at_ms);
    }

    /// Reads the claims without a receipt and names who is at work. The run began at the first of the two times; silence is
    /// counted to the second.
    ///
    /// # Errors
    /// Store failures.
    pub(super) async fn crew(
        self,
        root: &Root,
        layout: &Layout,
        listed: &Listed,
        n_partitions: u32,
        rule: ClaimRule,
        (begun_ms, now_ms): (i64, i64),
    ) -> Result<Crew, RunError> {
        let mut claims = last_claims(root, layout, Claimed::Partition, None).await?;
        claims.retain(|&partition, _| partition < n_partitions);
        let bound_s = Board::of(n_partitions, &claims, listed).bound(rule).as_secs_f64();
        let n_reissued = claims.values().map(|claim| u64::from(claim.generation)).sum();
        let (mut times, mut stragglers) = (self.0, Vec::new());
        for (partition, claim, worker) in open_claims(root, layout, &claims, listed).await? {
            let age_s = seconds(now_ms - claim.at_ms);
            if age_s >= bound_s {
                let worker = worker.clone();
                stragglers.push(Straggler { partition, worker, age_s, generation: claim.generation });
            }
            let worker = times.entry(worker).or_default();
            worker.open.push(partition);
            worker.see(claim.at_ms);
        }
        let of = |(worker, times): (String, Times)| WorkerStatus {
            worker,
            n_committed: times.n_committed,
            rate_per_min: times.rate(&claims, begun_ms),
            silent_s: seconds(now_ms - times.last_ms),
            open: times.open,
        };
        Ok(Crew { workers: times.into_iter().map(of).collect(), stragglers, n_reissued })
    }
}

/// The last claims on partitions without a receipt, with the names in them.
async fn open_claims(
    root: &Root,
    layout: &Layout,
    claims: &BTreeMap<u32, LastClaim>,
    listed: &Listed,
) -> Result<Vec<(u32, LastClaim, String)>, RunError> {
    let open = claims.iter().filter(|(partition, _)| !listed.has(**partition));
    let reads = open.map(|(&partition, &claim)| async move {
        let found = read_claim(root, layout, partition, claim.generation).await?;
        Ok::<_, RunError>(found.map(|found| (partition, claim, found.worker)))
    });
    stream::iter(reads).buffered(READS).try_filter_map(async |found| Ok(found)).try_collect().await
}

/// Partitions a minute when `n` were committed from the first of these times to the second; `None` where no time passed.
///
/// Counted from when work began: between receipts that two workers commit within a moment lies nobody's work.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^53")]
pub(super) fn rate(n: usize, (from_ms, to_ms): (i64, i64)) -> Option<f64> {
    (n > 0 && to_ms > from_ms).then(|| n as f64 * 60_000.0 / (to_ms - from_ms) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::claims::claim;
    use super::*;

    const RULE: ClaimRule = ClaimRule { age: Duration::from_secs(60), factor: 2 };

    #[test]
    fn a_rate_counts_from_when_work_began() {
        assert_eq!((rate(0, (0, 60_000)), rate(3, (5, 5))), (None, None));
        assert_eq!(rate(3, (0, 60_000)), Some(3.0));
        // Two receipts a millisecond apart after a minute's work are two a minute, and not sixty thousand.
        let times =
            Times { n_committed: 2, first: Some((60_000, 7)), last_commit_ms: 60_001, ..Times::default() };
        let claimed = |generation, at_ms| [(7, LastClaim { generation, at_ms })].into();
        let rounded = |claims: BTreeMap<u32, LastClaim>| times.rate(&claims, 0).map(f64::round);
        assert_eq!([rounded(claimed(0, 30_000)), rounded(BTreeMap::new())], [Some(4.0), Some(2.0)]);
        assert_eq!(rounded(claimed(1, 59_999)), Some(2.0), "a claim that passed another over is another's");
    }

    #[tokio::test]
    async fn an_old_claim_without_a_receipt_is_a_straggler_and_its_worker_is_named() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let root = Root::over(store, object_store::path::Path::default(), Duration::from_secs(60));
        let layout = Layout::new("r");
        assert!(claim(&root, &layout, (3, 0), "slow").await.unwrap());
        assert!(!claim(&root, &layout, (3, 0), "quick").await.unwrap(), "one claim of a generation");
        let at_ms = last_claims(&root, &layout, Claimed::Partition, None).await.unwrap()[&3].at_ms;
        let look = |now_ms| {
            let (root, layout) = (root.clone(), layout.clone());
            async move {
                let roster = Roster::default();
                roster.crew(&root, &layout, &Listed::default(), 5, RULE, (0, now_ms)).await.unwrap()
            }
        };
        let young = look(at_ms + 59_000).await;
        assert_eq!((young.stragglers.len(), young.workers[0].open.as_slice()), (0, [3].as_slice()));
        let old = look(at_ms + 60_000).await;
        assert_eq!((old.stragglers[0].worker.as_str(), old.stragglers[0].age_s), ("slow", 60.0));
        assert!(claim(&root, &layout, (3, 1), "quick").await.unwrap());
        let again = look(at_ms + 1).await;
        assert_eq!(
            (again.n_reissued, again.workers.len(), again.workers[0].worker.as_str()),
            (1, 1, "quick")
        );
    }
}
