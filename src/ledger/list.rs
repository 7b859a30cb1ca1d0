//! Which runs an output root holds, complete or not.

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::layout::{Layout, is_run_id};
use super::plan::{Plan, read_plan};
use super::status::status;
use crate::error::{Problem, RunError};
use crate::store::{Node, Root};

/// Runs read at once.
const READS: usize = 8;

/// One run of a root, in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedRun {
    /// Its name.
    pub run_id: String,
    /// Its day, `YYYY-MM-DD`.
    pub run_date: String,
    /// When it was planned, RFC 3339.
    pub planned_at: String,
    /// Samples of its manifest.
    pub n_samples: u64,
    /// Cells each of them is scored in.
    pub n_cells: usize,
    /// Partitions it has.
    pub n_partitions: u32,
    /// Partitions that are committed.
    pub n_committed: usize,
    /// (sample, cell) pairs scored so far.
    pub n_scored: u64,
    /// Pairs quarantined so far.
    pub n_quarantined: u64,
    /// Whether readers see it.
    pub is_published: bool,
}

/// Names of what may be runs below `root`, from one listing that goes no deeper than the folders of runs: one of them may hold a
/// hundred thousand objects.
///
/// # Errors
/// Store failures.
async fn run_ids(root: &Root) -> Result<Vec<String>, RunError> {
    let nodes = root.children("_t3b/runs", "runs").await.map_err(Problem::from)?;
    let folders = nodes.into_iter().filter_map(|node| match node {
        Node::Folder(name) => name.rsplit('/').next().map(str::to_owned),
        Node::Object(_) | Node::Refused(_) => None,
    });
    Ok(folders.filter(|name| is_run_id(name)).collect())
}

/// The plan of every run below `root` that has one, in the order of names; `READS` of them are read at once.
///
/// # Errors
/// Store failures, plans that cannot be read.
pub async fn plans(root: &Root) -> Result<Vec<Plan>, RunError> {
    let layouts: Vec<Layout> = run_ids(root).await?.iter().map(|run_id| Layout::new(run_id)).collect();
    let reads = stream::iter(layouts.iter().map(|layout| read_plan(root, layout))).buffered(READS);
    let mut plans: Vec<Plan> = reads.try_filter_map(async |plan| Ok(plan)).try_collect().await?;
    plans.sort_by(|a, b| a.run_id.cmp(&b.run_id));
    Ok(plans)
}

/// Every run below `root` that has a plan, oldest first.
///
/// # Errors
/// Store failures, plans and receipts that cannot be read.
pub async fn runs(root: &Root) -> Result<Vec<ListedRun>, RunError> {
    let ids = run_ids(root).await?;
    let reads = stream::iter(ids.iter().map(|run_id| one(root, run_id))).buffered(READS);
    let mut found: Vec<ListedRun> = reads.try_filter_map(async |run| Ok(run)).try_collect().await?;
    found.sort_by(|a, b| (&a.planned_at, &a.run_id).cmp(&(&b.planned_at, &b.run_id)));
    Ok(found)
}

async fn one(root: &Root, run_id: &str) -> Result<Option<ListedRun>, RunError> {
    let Some(plan) = read_plan(root, &Layout::new(run_id)).await? else { return Ok(None) };
    let status = status(root, run_id, None).await?;
    Ok(Some(ListedRun {
        run_id: run_id.to_owned(),
        run_date: plan.run_date,
        planned_at: plan.planned_at,
        n_samples: plan.n_samples,
        n_cells: plan.cells.len(),
        n_partitions: plan.n_partitions,
        n_committed: status.n_committed,
        n_scored: status.n_scored,
        n_quarantined: status.n_quarantined,
        is_published: status.is_published,
    }))
}
