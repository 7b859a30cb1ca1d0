//! Where a run stands, from its plan, its receipts and the store's own times.

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::claims::ClaimRule;
use super::known::planned;
use super::layout::Layout;
use super::published::is_published;
use super::receipt::{Receipt, committed};
use super::workers::{Crew, Straggler, WorkerStatus, crew, rate};
use crate::error::RunError;
use crate::store::Root;

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
    /// Partitions a minute, between the first and the last receipt.
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
/// # Errors
/// `R009` no such run, store failures, unreadable receipts.
pub async fn status(root: &Root, run_id: &str, rule: Option<ClaimRule>) -> Result<Status, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    let listed = committed(root, &layout, plan.n_partitions).await?;
    let times = &listed.receipts;
    let reads = times.iter().map(|&(partition, _)| Receipt::read_of(root, &layout, &plan, partition));
    let receipts: Vec<Receipt> =
        stream::iter(reads).buffered(READS).try_filter_map(async |found| Ok(found)).try_collect().await?;
    let is_missing = |p: &u32| !listed.has(*p);
    let rate_per_min = rate(&times.iter().map(|&(_, at)| at).collect::<Vec<_>>());
    let now_ms = chrono::Utc::now().timestamp_millis();
    let crew = match rule {
        Some(rule) => crew(root, &layout, &listed, &receipts, (plan.n_partitions, rule, now_ms)).await?,
        None => Crew::default(),
    };
    let n_left = (plan.n_partitions as usize).saturating_sub(times.len());
    let canaries: std::collections::BTreeSet<_> = receipts.iter().map(|receipt| &receipt.canary).collect();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    Ok(Status {
        run_id: run_id.to_owned(),
        n_partitions: plan.n_partitions,
        n_committed: times.len(),
        foreign: listed.foreign.clone(),
        missing: (0..plan.n_partitions).filter(is_missing).take(100).collect(),
        n_scored: receipts.iter().map(|receipt| receipt.n_scored).sum(),
        n_quarantined: receipts.iter().map(|receipt| receipt.n_quarantined).sum(),
        n_canaries: canaries.len(),
        is_published: is_published(root, &plan).await?,
        rate_per_min,
        eta_s: rate_per_min.map(|rate| n_left as f64 / rate * 60.0),
        workers: crew.workers,
        stragglers: crew.stragglers,
        n_reissued: crew.n_reissued,
    })
}
