//! The plan of a run that has to be there.

use super::layout::{DISCARDED, Layout};
use super::plan::{Plan, read_plan};
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;

/// The plan of a run that has to be there.
///
/// # Errors
/// `R009` no such run, with the record where it was withdrawn; store failures, a plan that cannot be read.
pub async fn planned(root: &Root, run_id: &str) -> Result<Plan, RunError> {
    match read_plan(root, &Layout::new(run_id)).await? {
        Some(plan) => Ok(plan),
        None => Err(unknown(root, run_id).await.into()),
    }
}

async fn unknown(root: &Root, run_id: &str) -> Problem {
    let what = format!("no run {run_id} below {}", root.place());
    // A store that does not say leaves the matter to what is known.
    let records = root.list(DISCARDED, "records of withdrawn runs").await.unwrap_or_default();
    let start = format!("{DISCARDED}/{run_id}.");
    let record = records.into_iter().map(|(key, _)| key).find(|key| key.starts_with(&start));
    match record {
        Some(key) => {
            Problem::new("R009", Exit::Usage, format!("{what}: it was withdrawn, its record is {key}"))
                .hint("the t3b run command that made it begins it anew")
        }
        None => Problem::new("R009", Exit::Usage, what).hint("t3b runs list ROOT names those that there are"),
    }
}
