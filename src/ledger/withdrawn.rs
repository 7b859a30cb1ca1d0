//! Whether a run was withdrawn while somebody worked on it, and whether somebody does.
//!
//! The record of a withdrawal is named after the plan it withdraws, is written before anything is deleted, and stays. So whoever
//! still holds that plan finds it, however late: before a partition is staged, after its receipt, and around publishing. No
//! clock decides; the age of what was written last only warns the one who withdraws.

use std::time::Duration;

use object_store::path::Path;

use super::known::planned;
use super::layout::{DISCARDED, Layout};
use super::plan::Plan;
use super::published::is_published;
use super::receipt::{Receipt, committed};
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;

/// Code of a run that was withdrawn under whoever worked on it.
const WITHDRAWN: &str = "R012";

/// Key of the record that stays of a withdrawn plan.
pub(super) fn record_key(plan: &Plan) -> String {
    // Format 1 had no hash of the plan; this program works on no run of it.
    let hash = if plan.plan_sha256.is_empty() { &plan.spec_sha256 } else { &plan.plan_sha256 };
    format!("{DISCARDED}/{}.{}.json", plan.run_id, hash.get(..16).unwrap_or(hash))
}

/// Checks that nobody has withdrawn the run of `plan`.
///
/// # Errors
/// `R012` when somebody has; store failures.
pub(crate) async fn check_stands(root: &Root, plan: &Plan) -> Result<(), Problem> {
    // A trial's plan is not frozen, and nobody can withdraw it.
    if plan.plan_sha256.is_empty() {
        return Ok(());
    }
    let key = record_key(plan);
    if root.size(&Path::from(key.as_str()), "record of a withdrawn run").await?.is_none() {
        return Ok(());
    }
    let what = format!("run {} was withdrawn: t3b discard left the record {key}", plan.run_id);
    Err(Problem::new(WITHDRAWN, Exit::Fenced, what).hint(
        "nothing of it is published; when t3b discard has ended, the same t3b run command begins it anew",
    ))
}

/// What whoever worked on the run of `plan` has to be told, where it was withdrawn. A store that does not say leaves the matter
/// to what failed before.
pub(crate) async fn withdrawn(root: &Root, plan: &Plan) -> Option<Problem> {
    check_stands(root, plan).await.err().filter(|problem| problem.code == WITHDRAWN)
}

/// [`check_stands`] after `receipt` was created: one that came after the withdrawal is taken back with what it names, so that
/// nothing of the run is left. A receipt of the same partition that a run begun anew has is another, and stays.
///
/// # Errors
/// As [`check_stands`].
pub(crate) async fn check_committed(root: &Root, plan: &Plan, receipt: &Receipt) -> Result<(), RunError> {
    let Err(problem) = check_stands(root, plan).await else { return Ok(()) };
    if problem.code == WITHDRAWN {
        let layout = Layout::new(&plan.run_id);
        let found = Receipt::read(root, &layout, receipt.partition).await?;
        if found.is_some_and(|found| found.nonce == receipt.nonce) {
            let key = layout.receipt(receipt.partition);
            root.delete(&key, "receipt of a withdrawn run").await.map_err(Problem::from)?;
        }
        for file in &receipt.files {
            root.delete(&file.path, "staged object").await.map_err(Problem::from)?;
        }
    }
    Err(problem.into())
}

/// What makes a run look as if somebody worked on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtWork {
    /// How long ago its newest object was written, by the store's time.
    pub age: Duration,
    /// Partitions with a receipt.
    pub n_committed: usize,
    /// Partitions it has.
    pub n_partitions: u32,
}

/// Whether somebody seems to work on a run: it is not published, something of it was written less than `within` ago, and no
/// process has said since that it ended.
///
/// # Errors
/// `R009` no such run, store failures.
pub async fn at_work(root: &Root, run_id: &str, within: Duration) -> Result<Option<AtWork>, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    if is_published(root, &plan).await? {
        return Ok(None);
    }
    let attempts = layout.published("attempts", &plan.run_date);
    let written = newest_ms(root, &layout.run()).await?;
    let ended = newest_ms(root, &attempts).await?;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let Some(written) = written.filter(|written| ended.is_none_or(|ended| ended < *written)) else {
        return Ok(None);
    };
    let age = Duration::from_millis(u64::try_from(now_ms - written).unwrap_or_default());
    if age >= within {
        return Ok(None);
    }
    let n_committed = committed(root, &layout, plan.n_partitions).await?.receipts.len();
    Ok(Some(AtWork { age, n_committed, n_partitions: plan.n_partitions }))
}

async fn newest_ms(root: &Root, folder: &str) -> Result<Option<i64>, RunError> {
    let listed = root.list_dated(folder, "objects of the run").await.map_err(Problem::from)?;
    Ok(listed.into_iter().map(|object| object.modified_ms).max())
}
