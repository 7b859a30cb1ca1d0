//! A look at the first objects before anything is scored: a wrong root or a mistyped prefix is an error, and not a published run of
//! quarantine rows.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::Job;
use crate::error::{Exit, Problem, quoted};
use crate::messages::{Location, Sample};
use crate::source::Partition;
use crate::store::Object;

/// Objects that are looked at, spread over the partition.
const MAX_LOOKS: usize = 64;
/// At once.
const LOOKS: usize = 16;

impl Job {
    /// Reads a byte of up to 64 objects of a partition, evenly spread, each object once.
    ///
    /// # Errors
    /// `M031` when a larger share of them than `run.max_missing_first` does not exist, and store failures.
    pub async fn look_at_first(&self, partition: &Partition) -> Result<(), Problem> {
        let allowed = self.spec.pipeline.max_missing_first;
        let mut samples: Vec<&Arc<Sample>> = self.manifest.samples[partition.rows.clone()]
            .iter()
            .filter(|sample| !matches!(sample.location, Location::Refused(..)))
            .collect();
        samples.dedup_by(|a, b| a.key == b.key);
        if allowed >= 1.0 || samples.is_empty() {
            return Ok(());
        }
        let n_looks = samples.len().min(MAX_LOOKS);
        let looked = (0..n_looks).map(|n| Arc::clone(samples[n * samples.len() / n_looks]));
        let found = stream::iter(looked).map(|sample| async move {
            let object = format!("sample {} (row {})", sample.id, sample.manifest_row);
            let read = self.input.read_part(&sample.key, &object, 0..1, 1).await?;
            Ok::<_, Problem>((read == Object::Missing).then_some(sample.manifest_row))
        });
        let missing: Vec<u64> =
            found.buffered(LOOKS).try_filter_map(|row| async move { Ok(row) }).try_collect().await?;
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let share = missing.len() as f64 / n_looks as f64;
        if share <= allowed {
            return Ok(());
        }
        let rows: Vec<String> = missing.iter().take(2).map(u64::to_string).collect();
        let what = format!(
            "{} of {n_looks} objects looked at do not exist below input.root ({}), for example that of manifest row {}; \
             run.max_missing_first allows a share of {allowed}",
            missing.len(),
            quoted(&self.spec.pipeline.input.root),
            rows.join(" or "),
        );
        Err(Problem::new("M031", Exit::BadData, what)
            .hint("check input.root against the keys of the manifest; 1 scores what is there and quarantines the rest"))
    }
}
