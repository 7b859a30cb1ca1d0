//! A look at the archive before anything is scored: is it where the settings say?

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};

use super::Job;
use crate::error::{Exit, Problem, RunError};
use crate::messages::Sample;

/// Objects that are looked for, spread evenly over the manifest.
const LOOKS: usize = 32;
/// Looked for at once.
const AT_ONCE: usize = 8;
/// Rows that the message names.
const EXAMPLES: usize = 2;

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Objects that were looked for.
    pub n_asked: usize,
    /// Those among them that are there.
    pub n_found: usize,
}

impl Job {
    /// Asks the store for the sizes of a few of the manifest's objects, archives once each.
    ///
    /// # Errors
    /// `M031` when more of them are missing than `run.max_missing_first` allows; store failures, which a wrong bucket, region
    /// or credential is.
    pub async fn look(&self) -> Result<Looked, RunError> {
        let samples = &self.manifest.samples;
        let mut seen = BTreeSet::new();
        let spread =
            (0..LOOKS.min(samples.len())).map(|n| &samples[n * samples.len() / LOOKS.min(samples.len())]);
        let asked: Vec<&Sample> = spread
            .map(|sample| &**sample)
            .filter(|sample| seen.insert(sample.key.as_ref().to_owned()))
            .collect();
        let looks = asked.iter().map(|sample| async {
            let object = format!("object of manifest row {}", sample.manifest_row);
            let size = self.input.size(&sample.key, &object).await.map_err(Problem::from)?;
            Ok::<_, Problem>(size.is_none().then_some(sample.manifest_row))
        });
        let found: Vec<Option<u64>> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let missing: Vec<u64> = found.iter().flatten().copied().collect();
        let looked = Looked { n_asked: asked.len(), n_found: asked.len() - missing.len() };
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let share = missing.len() as f64 / asked.len().max(1) as f64;
        if share > self.spec.pipeline.max_missing_first {
            return Err(self.is_elsewhere(&missing, looked).into());
        }
        Ok(looked)
    }

    fn is_elsewhere(&self, missing: &[u64], looked: Looked) -> Problem {
        let rows: Vec<String> = missing.iter().take(EXAMPLES).map(u64::to_string).collect();
        let pipeline = &self.spec.pipeline;
        let what = format!(
            "input.root: {} of {} objects that were looked for are not below {}, such as those of manifest rows {} (from 0); \
             allowed {} of them (run.max_missing_first)",
            missing.len(),
            looked.n_asked,
            pipeline.input.root,
            rows.join(" and "),
            pipeline.max_missing_first,
        );
        Problem::new("M031", Exit::BadData, what).hint(
            "set input.root to the folder or prefix that the manifest's uris are below; \
             where samples really are missing, raise run.max_missing_first",
        )
    }
}
