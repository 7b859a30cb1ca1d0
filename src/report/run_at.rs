//! A run that figures are made of.

use crate::error::RunError;
use crate::ledger::{Plan, planned, run_of};
use crate::store::{Root, StoreSettings};

/// One run and where it lies.
#[derive(Debug, Clone)]
pub struct RunAt {
    /// Its output root.
    pub root: Root,
    /// Its frozen plan.
    pub plan: Plan,
}

impl RunAt {
    /// Opens a run by its URI, `<output root>/_t3b/runs/<run id>`, and reads its plan.
    ///
    /// # Errors
    /// `R009` no such run, store failures.
    pub async fn open(uri: &str, settings: &StoreSettings) -> Result<Self, RunError> {
        let (root, run_id) = run_of(uri)?;
        let root = Root::open(root, false, settings)?;
        let plan = planned(&root, run_id).await?;
        Ok(Self { root, plan })
    }
}
