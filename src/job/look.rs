//! A look at the archive before anything is scored: is it where the settings say?

use std::collections::BTreeMap;

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
    /// Reads a byte of some objects, each object once: spread evenly over the partition that comes first and, where the run is not begun
    /// yet, over the whole manifest. Who joins others reads no rows of theirs.
    ///
    /// # Errors
    /// `M031` when more of the one or the other are missing than `run.max_missing_first` allows; `M022` when nothing of the
    /// manifest can be scored, with `must_score` of a run that is not begun; store failures, which a wrong bucket, region or credential
    /// is.
    pub async fn look(&self, first: &Partition, is_begun: bool, must_score: bool) -> Result<Looked, Problem> {
        let in_first = spread(self.manifest.samples(first.rows.clone()).await?, LOOKS);
        let in_all = if is_begun { Vec::new() } else { self.spread_over_all().await? };
        let asked: BTreeMap<u64, &Sample> =
            in_first.iter().chain(&in_all).map(|sample| (sample.manifest_row, sample)).collect();
        let looks = asked.values().map(|sample| async {
            let object = format!("sample {} (row {})", sample.id, sample.manifest_row);
            let read = self.input.read_part(&sample.key, &object, 0..1, 1).await?;
            Ok::<_, Problem>((sample.manifest_row, refusal(&read)))
        });
        let found: BTreeMap<u64, Option<Reason>> =
            stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let is_missing = |row: &u64| found[row] == Some(Reason::MissingObject);
        for looked in [&in_first, &in_all] {
            let rows: Vec<u64> = looked.iter().map(|sample| sample.manifest_row).collect();
            self.judge(&rows.iter().copied().filter(is_missing).collect::<Vec<_>>(), rows.len())?;
        }
        if must_score && !is_begun && found.values().all(Option::is_some) {
            self.judge_refused(found.into_values().flatten().collect())?;
            return Ok(Looked { n_asked: asked.len(), n_found: 0 });
        }
        let n_missing = found.keys().filter(|row| is_missing(row)).count();
        Ok(Looked { n_asked: found.len(), n_found: found.len() - n_missing })
    }

    /// Samples of some partitions that are spread evenly over the manifest, as many of each.
    async fn spread_over_all(&self) -> Result<Vec<Sample>, Problem> {
        let partitions = self.manifest.partitions();
        let n_parts = u64::from(partitions.n()).min(LOOKS as u64 / 2).max(1);
        let mut found = Vec::new();
        for n in 0..n_parts {
            let index = u32::try_from(n * u64::from(partitions.n()) / n_parts).unwrap_or(u32::MAX);
            let Some(partition) = partitions.get(index) else { continue };
            let samples = self.manifest.samples(partition.rows).await?;
            found.extend(spread(samples, LOOKS.div_ceil(usize::try_from(n_parts).unwrap_or(1))));
        }
        found.dedup_by(|a, b| a.key == b.key);
        Ok(found)
    }

    /// What was looked at can all not be scored, for these reasons, and so is every other row that the manifest refuses.
    fn judge_refused(&self, looked: Vec<Reason>) -> Result<(), Problem> {
        if self.spec.pipeline.max_missing_first >= 1.0 {
            return Ok(());
        }
        let mut counts = self.manifest.refused.clone();
        for reason in looked {
            *counts.entry(reason.code()).or_default() += 1;
        }
        let found: Vec<String> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let what = format!(
            "input.root: nothing to score below {}: of {} rows of the manifest each that was looked at is refused: {}",
            shown_place(&self.spec.pipeline.input.root),
            self.manifest.n_samples,
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

/// At most `n_most` samples spread evenly over `samples`, each object once; rows that the manifest itself refuses have none.
fn spread(samples: Vec<Sample>, n_most: usize) -> Vec<Sample> {
    let is_there = |sample: &Sample| !matches!(sample.location, Location::Refused(..));
    let mut found: Vec<Sample> = samples.into_iter().filter(is_there).collect();
    found.dedup_by(|a, b| a.key == b.key);
    let n_looks = found.len().min(n_most);
    (0..n_looks).map(|n| found[n * found.len() / n_looks].clone()).collect()
}
