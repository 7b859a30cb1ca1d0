//! Where a run stands, from its plan, its receipts and the store's own times.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::claims::ClaimRule;
use super::known::planned;
use super::layout::Layout;
use super::published::is_published;
use super::receipt::{Receipt, committed};
use super::workers::{Crew, Roster, Straggler, WorkerStatus, rate};
use crate::error::{Problem, RunError};
use crate::store::{Node, Root};

/// Receipts read at once.
const READS: usize = 16;

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub run_id: String,
    /// Partitions it has.
    pub n_partitions: u32,
    /// Partitions with a receipt.
    pub n_committed: usize,
    /// Objects among the receipts that are none: not counted.
    pub foreign: Vec<String>,
    /// Partitions without one, the first hundred.
    pub missing: Vec<u32>,
    /// (sample, cell) pairs scored so far.
    pub n_scored: u64,
    /// Pairs quarantined so far.
    pub n_quarantined: u64,
    /// Numerics that worked on it: 1, unless others were allowed.
    pub n_canaries: usize,
    /// Whether readers see it.
    pub is_published: bool,
    /// Partitions a minute, from the freezing of the plan to the last receipt, by the store's times; pauses count.
    pub rate_per_min: Option<f64>,
    /// Seconds to the last receipt at that rate.
    pub eta_s: Option<f64>,
    /// Who committed and who has claims, by name.
    pub workers: Vec<WorkerStatus>,
    /// Claims without a receipt that other workers pass over.
    pub stragglers: Vec<Straggler>,
    /// How often a claim was passed over.
    pub n_reissued: u64,
}

/// Reads the receipts of a run, complete or not, and where there is a `rule` for them, its claims.
///
/// A listing of the receipts, and a request for each of them; they are counted as they come and not kept.
///
/// # Errors
/// `R009` no such run, store failures, unreadable receipts.
pub async fn status(root: &Root, run_id: &str, rule: Option<ClaimRule>) -> Result<Status, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    let listed = committed(root, &layout, plan.n_partitions).await?;
    let (mut roster, mut canaries) = (Roster::default(), BTreeSet::new());
    let (mut n_scored, mut n_quarantined) = (0, 0);
    let reads = listed.receipts.iter().map(async |&(partition, at_ms)| {
        Ok::<_, RunError>((at_ms, Receipt::read_of(root, &layout, &plan, partition).await?))
    });
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some((at_ms, receipt)) = reads.try_next().await? {
        let Some(receipt) = receipt else { continue };
        n_scored += receipt.n_scored;
        n_quarantined += receipt.n_quarantined;
        roster.committed(&receipt, at_ms);
        canaries.insert(receipt.canary);
    }
    let times = || listed.receipts.iter().map(|&(_, at)| at);
    let begun_ms = begun_ms(root, &layout).await?.into_iter().chain(times()).min();
    let rate_per_min = begun_ms.zip(times().max()).and_then(|span| rate(listed.receipts.len(), span));
    let now_ms = chrono::Utc::now().timestamp_millis();
    let crew = match rule {
        Some(rule) => {
            let (n_partitions, begun_ms) = (plan.n_partitions, begun_ms.unwrap_or(now_ms));
            roster.crew(root, &layout, &listed, n_partitions, rule, (begun_ms, now_ms)).await?
        }
        None => Crew::default(),
    };
    let n_left = (plan.n_partitions as usize).saturating_sub(listed.receipts.len());
    let is_missing = |p: &u32| !listed.has(*p);
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    Ok(Status {
        run_id: run_id.to_owned(),
        n_partitions: plan.n_partitions,
        n_committed: listed.receipts.len(),
        foreign: listed.foreign.clone(),
        missing: (0..plan.n_partitions).filter(is_missing).take(100).collect(),
        n_scored,
        n_quarantined,
        n_canaries: canaries.len(),
        is_published: is_published(root, &plan).await?,
        rate_per_min,
        eta_s: rate_per_min.map(|rate| n_left as f64 / rate * 60.0),
        workers: crew.workers,
        stragglers: crew.stragglers,
        n_reissued: crew.n_reissued,
    })
}

/// When the plan was frozen, by the store's time, which is when work began: claims may have been tidied away since.
async fn begun_ms(root: &Root, layout: &Layout) -> Result<Option<i64>, RunError> {
    let nodes = root.children(&layout.run(), "plan").await.map_err(Problem::from)?;
    Ok(nodes.into_iter().find_map(|node| match node {
        Node::Object(object) if object.name == layout.plan() => Some(object.modified_ms),
        _ => None,
    }))
}
