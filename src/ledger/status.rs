//! Where a run stands, from its plan, its receipts and the store's own times.

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::finalize::{is_published, no_such_run};
use super::layout::Layout;
use super::plan::read_plan;
use super::receipt::{Receipt, committed};
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
}

/// Reads the receipts of a run, complete or not.
///
/// # Errors
/// `R009` no such run, store failures, unreadable receipts.
pub async fn status(root: &Root, run_id: &str) -> Result<Status, RunError> {
    let layout = Layout::new(run_id);
    let plan = read_plan(root, &layout).await?.ok_or_else(|| no_such_run(root, run_id))?;
    let listed = committed(root, &layout, plan.n_partitions).await?;
    let times = &listed.receipts;
    let reads = times.iter().map(|&(partition, _)| Receipt::read_of(root, &layout, &plan, partition));
    let receipts: Vec<Receipt> =
        stream::iter(reads).buffered(READS).try_filter_map(async |found| Ok(found)).try_collect().await?;
    let is_missing = |p: &u32| !listed.has(*p);
    let rate_per_min = rate(times);
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
    })
}

/// Partitions a minute; `None` before two of them were committed at different times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^53")]
fn rate(times: &[(u32, i64)]) -> Option<f64> {
    let first = times.iter().map(|&(_, at)| at).min()?;
    let last = times.iter().map(|&(_, at)| at).max()?;
    (last > first).then(|| (times.len() - 1) as f64 * 60_000.0 / (last - first) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_receipts() {
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&[(0, 5)]), None);
        assert_eq!(rate(&[(0, 0), (1, 30_000), (2, 60_000)]), Some(2.0));
    }
}
