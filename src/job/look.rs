//! A look at the archive before anything is scored: is it where the settings say?

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::Job;
use crate::error::{Exit, Problem, shown_place};
use crate::messages::{Location, Reason, Sample};
use crate::source::Partition;
use crate::store::Object;

/// Objects that are looked for in the first partition, and as many in the whole manifest.
const LOOKS: usize = 32;
/// Looked for at once.
const AT_ONCE: usize = 16;
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
    /// Reads a byte of some objects, each object once: spread evenly over the partition that comes first, and over the whole manifest.
    ///
    /// # Errors
    /// `M031` when more of the one or the other are missing than `run.max_missing_first` allows; `M022` when nothing of the
    /// manifest can be scored, with `must_score`; store failures, which a wrong bucket, region or credential is.
    pub async fn look(&self, first: &Partition, must_score: bool) -> Result<Looked, Problem> {
        let in_first = spread(&self.manifest.samples[first.rows.clone()]);
        let in_all = spread(&self.manifest.samples);
        let asked: BTreeMap<u64, &Arc<Sample>> =
            in_first.iter().chain(&in_all).map(|sample| (sample.manifest_row, *sample)).collect();
        let looks = asked.values().map(|sample| async {
            let object = format!("sample {} (row {})", sample.id, sample.manifest_row);
            let read = self.input.read_part(&sample.key, &object, 0..1, 1).await?;
            Ok::<_, Problem>((sample.manifest_row, refusal(&read)))
        });
        let found: BTreeMap<u64, Option<Reason>> =
            stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let is_missing = |row: &u64| found[row] == Some(Reason::MissingObject);
        for looked in [in_first, in_all] {
            let rows: Vec<u64> = looked.iter().map(|sample| sample.manifest_row).collect();
            self.judge(&rows.iter().copied().filter(is_missing).collect::<Vec<_>>(), rows.len())?;
        }
        if must_score && found.values().all(Option::is_some) {
            self.judge_refused(found.into_values().flatten().collect())?;
            return Ok(Looked { n_asked: asked.len(), n_found: 0 });
        }
        let n_missing = found.keys().filter(|row| is_missing(row)).count();
        Ok(Looked { n_asked: found.len(), n_found: found.len() - n_missing })
    }

    /// What was looked at can all not be scored, for these reasons, and so is every other row that the manifest refuses.
    fn judge_refused(&self, looked: Vec<Reason>) -> Result<(), Problem> {
        if self.spec.pipeline.max_missing_first >= 1.0 {
            return Ok(());
        }
        let refused = self.manifest.samples.iter().filter_map(|sample| match &sample.location {
            Location::Refused(reason, _) => Some(*reason),
            _ => None,
        });
        let mut counts = BTreeMap::new();
        for reason in looked.into_iter().chain(refused) {
            *counts.entry(reason.code()).or_insert(0_u64) += 1;
        }
        let found: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let what = format!(
            "input.root: nothing to score below {}: of {} rows of the manifest each that was looked at is refused: {}",
            shown_place(&self.spec.pipeline.input.root),
            self.manifest.samples.len(),
            found.join(", ")
        );
        Err(Problem::new("M022", Exit::BadData, what).hint(
            "docs/errors.md says what each reason means; run.max_missing_first = 1 publishes a run of quarantine rows alone",
        ))
    }

    fn judge(&self, missing: &[u64], n_asked: usize) -> Result<(), Problem> {
        let pipeline = &self.spec.pipeline;
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let share = missing.len() as f64 / n_asked.max(1) as f64;
        if share <= pipeline.max_missing_first {
            return Ok(());
        }
        let rows: Vec<String> = missing.iter().take(EXAMPLES).map(|row| format!("row {row}")).collect();
        let what = format!(
            "input.root: {} of {n_asked} objects looked at do not exist below {}, for example those of manifest {} (from 0); \
             run.max_missing_first allows a share of {}; nothing was scored or published",
            missing.len(),
            shown_place(&pipeline.input.root),
            rows.join(" and "),
            pipeline.max_missing_first,
        );
        Err(Problem::new("M031", Exit::BadData, what).hint(
            "set input.root to the folder or prefix that the manifest's uris are below; where samples really are missing, \
             run.max_missing_first = 1 scores the rest and quarantines them",
        ))
    }
}

/// Why an object can never be scored, as far as its first byte tells.
fn refusal(read: &Object) -> Option<Reason> {
    match read {
        Object::Missing => Some(Reason::MissingObject),
        Object::Empty | Object::Short(0) => Some(Reason::EMPTY_OBJECT),
        Object::Archived => Some(Reason::ArchivedObject),
        Object::Outside => Some(Reason::OutsideRoot),
        Object::Special => Some(Reason::NotAFile),
        Object::Bytes(_) | Object::TooLarge(_) | Object::Short(_) | Object::Changed => None,
    }
}

/// Samples spread evenly over `samples`, each object once; rows that the manifest itself refuses have none.
fn spread(samples: &[Arc<Sample>]) -> Vec<&Arc<Sample>> {
    let mut found: Vec<&Arc<Sample>> =
        samples.iter().filter(|sample| !matches!(sample.location, Location::Refused(..))).collect();
    found.dedup_by(|a, b| a.key == b.key);
    let n_looks = found.len().min(LOOKS);
    (0..n_looks).map(|n| found[n * found.len() / n_looks]).collect()
}
