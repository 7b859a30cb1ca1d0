//! Which object a pseudonym stands for: the owner's side.

use serde::Serialize;

use super::{Job, Request};
use crate::error::{Exit, Problem};
use crate::ledger::Plan;
use crate::messages::Sample;

/// The owner's side of a pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Whose {
    /// Key below `input.root`, as the manifest has it.
    pub key: String,
    /// Data row of the manifest file, from 0.
    pub manifest_row: u64,
    /// Row of the archive at `key`, or the byte at which the image begins in it.
    pub within: Option<u64>,
}

impl Job {
    /// Which object of the archive a pseudonym stands for. Only who has the manifest, and the key where there is one, can ask.
    ///
    /// # Errors
    /// `R002` when the run was made of another manifest, `R010` no such sample; `M033`, store failures.
    pub async fn whose(&self, plan: &Plan, sample_id: &str) -> Result<Whose, Problem> {
        let ours = self.plan(&Request { run_id: Some(plan.run_id.clone()), ..Request::default() })?;
        let same = |key: &str| plan.spec.get(key) == ours.spec.get(key);
        if !same("content.manifest_hmac_sha256") || !same("content.sample_ids_sha256") {
            let what = format!("run {} was made of another manifest, split or pseudonym key", plan.run_id);
            return Err(Problem::new("R002", Exit::Config, what)
                .hint("name the pipeline that the run was made with, and set its T3B_PSEUDONYM_KEY"));
        }
        let mut found = None;
        let take = |sample: Sample| {
            if &*sample.id == sample_id {
                found = Some(sample);
            }
        };
        self.manifest.for_each(take).await?;
        let sample = found
            .ok_or_else(|| Problem::new("R010", Exit::Usage, "the manifest has no sample of that id"))?;
        Ok(Whose {
            key: sample.key.as_ref().to_owned(),
            manifest_row: sample.manifest_row,
            within: sample.location.within(),
        })
    }
}
