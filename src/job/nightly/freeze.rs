//! Freezing a night: what the listing shows and no settled night took becomes a manifest, and then a record.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use futures::future::ready;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::window::{Day, days};
use super::{Call, Nights};
use crate::error::{Exit, Problem, RunError};
use crate::job::{Job, open_archive};
use crate::ledger::{
    Entry, FrozenManifest, Mark, NightKey, NightRecord, NightState, PastNight, Taken, TakenOf, nonce,
    read_state, read_taken, stage_new,
};
use crate::messages::{Location, Sample};
use crate::settings::{Incoming, Spec};
use crate::source::Manifest;
use crate::source::catalog::{
    Catalog, CatalogRule, Choice, LandedRow, Seen, catalog_of, catalog_of_manifests,
};
use crate::store::{Root, listed_key};

/// Lists that are read at once.
const READS: usize = 8;
/// Past nights that a record carries on, unless `nightly.keep` says more.
const PAST_NIGHTS: usize = 400;

/// What freezing came to.
pub(super) enum Frozen {
    /// Another call took the number first.
    Lost,
    /// There is nothing that no night has taken.
    Nothing,
    /// The night stands, with the job that scores it.
    Night(Box<(NightRecord, Job)>),
}

/// What of the listing is wanted, and why; shared with the walk.
struct Chooser {
    key: NightKey,
    root: Root,
    by_sha256: bool,
    days: Vec<(Day, Taken)>,
    /// Where the object before this one lay.
    at: usize,
    /// Entries of this night, by day.
    chosen: BTreeMap<String, Vec<Entry>>,
    /// Rows that a manifest of this night has named.
    named: HashSet<[u8; 16]>,
}

impl Chooser {
    fn day_of(&mut self, name: &str) -> usize {
        let is_below = |day: &Day| {
            day.folder.is_empty()
                || name.strip_prefix(&day.folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !is_below(&self.days[self.at].0) {
            self.at = self.days.iter().position(|(day, _)| is_below(day)).unwrap_or(self.at);
        }
        self.at
    }

    /// Whether a row of the manifest that was just chosen is one that no settled night took, and none before it in this night.
    fn wants_row(&mut self, seen: &Seen, row: &LandedRow) -> bool {
        let day = self.day_of(&seen.name);
        let (id, version) = (self.key.id(&row.place), self.key.version(&row.place, row.size, &row.sha256));
        // Another program may name an image again on another day.
        let known = self.days.iter().find_map(|(_, taken)| taken.get(&id));
        let mark = match known {
            Some(known) if known.version == version => return false,
            Some(_) => Mark::Changed,
            None if self.days[day].0.was_looked_into => Mark::Late,
            None => Mark::New,
        };
        let is_first = self.named.insert(id);
        if is_first {
            self.keep(day, Entry { id, version, content: [0; 8], mark });
        }
        is_first
    }

    fn keep(&mut self, day: usize, entry: Entry) {
        self.chosen.entry(self.days[day].0.name.clone()).or_default().push(entry);
    }
}

fn choose(chooser: &Arc<Mutex<Chooser>>, seen: Seen) -> Choice {
    let shared = Arc::clone(chooser);
    let mut chooser = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (id, version) = (chooser.key.id(&seen.name), chooser.key.version(&seen.name, seen.size, &seen.tag));
    let day = chooser.day_of(&seen.name);
    let known = chooser.days[day].1.get(&id).copied();
    let entry = move |mark| Entry { id, version, content: [0; 8], mark };
    match known {
        Some(known) if known.version == version => return ready(Ok(false)).boxed(),
        Some(known) if chooser.by_sha256 && known.content != [0; 8] => {
            let (root, key) = (chooser.root.clone(), chooser.key.clone());
            drop(chooser);
            return async move {
                let hash = seen.sha256(&root).await?;
                let content = hash.map_or([0; 8], |hash| key.content(&seen.name, &hash));
                let mark = if content == known.content { Mark::Same } else { Mark::Changed };
                let mut chooser = shared.lock().unwrap_or_else(PoisonError::into_inner);
                chooser.keep(day, Entry { content, ..entry(mark) });
                Ok(mark == Mark::Changed)
            }
            .boxed();
        }
        Some(_) => chooser.keep(day, entry(Mark::Changed)),
        None if chooser.days[day].0.was_looked_into => chooser.keep(day, entry(Mark::Late)),
        None => chooser.keep(day, entry(Mark::New)),
    }
    ready(Ok(true)).boxed()
}

/// A manifest is an object like others, but it is no image: its entry is [`Mark::Same`], so that it is counted as none.
fn choose_manifest(chooser: &Arc<Mutex<Chooser>>, seen: Seen) -> Choice {
    let mut chooser = chooser.lock().unwrap_or_else(PoisonError::into_inner);
    let day = chooser.day_of(&seen.name);
    let name = format!("manifest\0{}", seen.name);
    let (id, version) = (chooser.key.id(&name), chooser.key.version(&name, seen.size, &seen.tag));
    let is_new = chooser.days[day].1.get(&id).is_none_or(|known| known.version != version);
    if is_new {
        chooser.keep(day, Entry { id, version, content: [0; 8], mark: Mark::Same });
    }
    ready(Ok(is_new)).boxed()
}

/// A folder of this call's own that goes away with it; what is in it holds names.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Problem> {
        let folder = std::env::temp_dir().join(format!("t3b-nightly-{}", nonce()?));
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| {
            let what = format!("the folder for temporary files cannot be written ({})", error.kind());
            Problem::new("C007", Exit::Permission, what).hint("set TMPDIR to a folder that can be written")
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_over = fs::remove_dir_all(&self.0);
    }
}

/// What a listing gave.
struct Gathered {
    /// The manifest's bytes; `None` where it has no row.
    manifest: Option<(Catalog, Vec<u8>)>,
    chosen: BTreeMap<String, Vec<Entry>>,
}

impl Nights {
    /// Freezes the night of `date` behind `last`, which is settled.
    ///
    /// The manifest is written and checked, with the models, before the record that makes it count.
    pub(super) async fn freeze(
        &self,
        date: NaiveDate,
        last: Option<&NightRecord>,
        call: &Call,
    ) -> Result<Frozen, RunError> {
        let before = match last {
            Some(last) => read_state(&self.output, &self.layout, &last.date).await?,
            None => None,
        };
        let is_given_up = before.as_ref().is_some_and(|state| state.is_given_up);
        let days = days(&self.spec.pipeline.nightly, date, last, is_given_up);
        let mut stop = call.stop.clone();
        let gathered = tokio::select! {
            gathered = self.gather(&days) => gathered?,
            () = stop.reached(crate::flow::stop::Phase::Draining) => return Err(stopped()),
        };
        let mut record = self.next_record(date, &days, last.zip(before.as_ref()));
        let Some((catalog, bytes)) = gathered.manifest else {
            return self.freeze_empty(record, &gathered.chosen, last).await;
        };
        self.check_kept(date, last)?;
        tell_catalog(&catalog);
        let file = self.write_manifest(&record.date, bytes).await?;
        let job = Job::prepare(self.spec_with(&file)).await?;
        job.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        record.manifest = Some(FrozenManifest {
            file,
            hmac_sha256: job.manifest.hmac_sha256.clone(),
            n_rows: job.manifest.n_samples,
        });
        let chosen = with_content(gathered.chosen, &self.key, &job.manifest).await?;
        record.taken = self.stage(&chosen).await?;
        let is_ours = record.create(&self.output, &self.layout).await?;
        Ok(if is_ours { Frozen::Night(Box::new((record, job))) } else { Frozen::Lost })
    }

    /// A night with nothing new has a record where it is the newest, or where objects were looked at that need not be again.
    async fn freeze_empty(
        &self,
        mut record: NightRecord,
        chosen: &BTreeMap<String, Vec<Entry>>,
        last: Option<&NightRecord>,
    ) -> Result<Frozen, RunError> {
        let is_newest = last.is_none_or(|last| last.newest < record.date);
        if !is_newest && chosen.is_empty() {
            return Ok(Frozen::Nothing);
        }
        record.taken = self.stage(chosen).await?;
        if !record.create(&self.output, &self.layout).await? {
            return Ok(Frozen::Lost);
        }
        self.close_empty(&record).await?;
        Ok(Frozen::Nothing)
    }

    async fn gather(&self, days: &[Day]) -> Result<Gathered, RunError> {
        let nightly = &self.spec.pipeline.nightly;
        let reads = days.iter().map(|day| async move {
            Ok::<_, RunError>((day.clone(), read_taken(&self.output, &self.layout, &day.name).await?))
        });
        let taken: Vec<(Day, Taken)> = stream::iter(reads).buffered(READS).try_collect().await?;
        let root = match &nightly.from {
            Incoming::Listing => open_archive(&self.spec)?,
            Incoming::Manifests(incoming) => Root::open(incoming, false, &self.spec.settings.store)?,
        };
        let chooser = Arc::new(Mutex::new(Chooser {
            key: self.key.clone(),
            root: root.clone(),
            by_sha256: nightly.by_sha256,
            days: taken,
            at: 0,
            chosen: BTreeMap::new(),
            named: HashSet::new(),
        }));
        let rule = CatalogRule {
            labels_from_folders: nightly.labels_from_folders,
            sha256: nightly.by_sha256,
            frames: nightly.frames,
            slices: nightly.slices,
            label_column: nightly.label_column.clone(),
            directory: None,
        };
        let scratch = Scratch::new()?;
        let out = scratch.0.join("manifest.parquet");
        let folders = days.iter().map(|day| day.folder.clone()).collect();
        let asked = Arc::clone(&chooser);
        let listed = match &nightly.from {
            Incoming::Listing => {
                catalog_of(&root, folders, &rule, &out, move |seen| choose(&asked, seen)).await
            }
            Incoming::Manifests(_) => {
                let (rows, choose) = (Arc::clone(&chooser), |seen| choose_manifest(&asked, seen));
                let wants = |seen: &Seen, row: &LandedRow| {
                    rows.lock().unwrap_or_else(PoisonError::into_inner).wants_row(seen, row)
                };
                catalog_of_manifests(&root, folders, &out, choose, wants).await
            }
        };
        let manifest = match listed {
            Ok(catalog) => {
                let unreadable = |_| {
                    Problem::new(
                        "C007",
                        Exit::Permission,
                        "the manifest that was just written cannot be read",
                    )
                    .hint("set TMPDIR to a folder that can be read and written")
                };
                Some((catalog, fs::read(&out).map_err(unreadable)?))
            }
            Err(problem) if problem.code == "M022" => None,
            Err(problem) => return Err(problem.into()),
        };
        let mut chooser = chooser.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Gathered { manifest, chosen: std::mem::take(&mut chooser.chosen) })
    }

    /// The record behind `last`, with everything but what it takes.
    fn next_record(
        &self,
        date: NaiveDate,
        days: &[Day],
        last: Option<(&NightRecord, &NightState)>,
    ) -> NightRecord {
        let number = last.map_or(1, |(last, _)| last.number + 1);
        let mut record = NightRecord::new(number, &date.to_string(), &self.key_check);
        if self.spec.pipeline.nightly.folders.is_some() {
            record.window =
                days.first().zip(days.last()).map(|(first, last)| [first.name.clone(), last.name.clone()]);
        }
        let Some((last, state)) = last else { return record };
        record.newest = last.newest.clone().max(record.newest);
        record.past = last.past.clone();
        if state.run_id.is_some() {
            let is_alarm = !state.drift.alarms.is_empty();
            record.past.push(PastNight { date: last.date.clone(), is_alarm, is_retired: false });
        }
        record.past.sort_by(|a, b| a.date.cmp(&b.date));
        record.past.dedup_by(|a, b| a.date == b.date);
        // The night before withdrew those that were too old then.
        let first_kept = super::window::parse(&last.newest).and_then(|newest| self.first_kept(newest));
        if let Some(first) = first_kept.map(|first| first.to_string()) {
            record.past.iter_mut().for_each(|night| night.is_retired |= night.date < first);
        }
        let n_most = PAST_NIGHTS.max(self.spec.pipeline.nightly.keep_days as usize);
        let n_over = record.past.len().saturating_sub(n_most);
        record.past.drain(..n_over);
        record
    }

    async fn stage(&self, chosen: &BTreeMap<String, Vec<Entry>>) -> Result<Vec<TakenOf>, RunError> {
        let mut staged = Vec::new();
        for (day, entries) in chosen {
            let new = Taken::of(entries.iter().copied());
            staged.push(stage_new(&self.output, &self.layout, day, &new).await?);
        }
        Ok(staged)
    }

    /// Writes the manifest under a name that follows from its bytes and says nothing of them; its key below `nightly.manifests`.
    async fn write_manifest(&self, date: &str, bytes: Vec<u8>) -> Result<String, RunError> {
        let name = self.key.check(&hex::encode(Sha256::digest(&bytes)));
        let file = format!("{}/{date}.{}.parquet", self.spec.pipeline.name, &name[..12]);
        self.manifests.replace(&file, "frozen manifest", bytes.into()).await.map_err(Problem::from)?;
        Ok(file)
    }

    fn spec_with(&self, file: &str) -> Spec {
        let mut spec = self.spec.clone();
        spec.pipeline.input.manifest =
            format!("{}/{file}", spec.pipeline.nightly.manifests.trim_end_matches('/'));
        spec
    }

    /// The job of a night that was frozen before.
    ///
    /// # Errors
    /// `M032` when its manifest is gone or has changed.
    pub(super) async fn job_of(&self, record: &NightRecord) -> Result<Job, RunError> {
        let gone = |why: &str| {
            let what = format!("the frozen manifest of night {} {why} below nightly.manifests", record.date);
            Problem::new("M032", Exit::BadData, what).hint(
                "restore it: nightly.manifests has to be a place that every machine of these nights sees; or give the night up, --date DAY \
                 --give-up",
            )
        };
        let manifest = record.manifest.as_ref().ok_or_else(|| gone("was never"))?;
        let found = self.manifests.size(&listed_key(&manifest.file), "frozen manifest").await;
        if found.map_err(Problem::from)?.is_none() {
            return Err(gone("is not there").into());
        }
        let job = Job::prepare(self.spec_with(&manifest.file)).await?;
        if job.manifest.hmac_sha256 != manifest.hmac_sha256 {
            return Err(gone("has changed").into());
        }
        Ok(job)
    }
}

/// The hashes that the listing pinned, in the entries of the objects that are one image each.
async fn with_content(
    mut chosen: BTreeMap<String, Vec<Entry>>,
    key: &NightKey,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Vec<Entry>>, Problem> {
    let mut contents: BTreeMap<[u8; 16], [u8; 8]> = BTreeMap::new();
    let take = |sample: Sample| {
        if let (Location::Whole, Some(hash)) = (&sample.location, sample.sha256) {
            let name = sample.key.as_ref();
            contents.insert(key.id(name), key.content(name, &hex::encode(hash)));
        }
    };
    manifest.for_each(take).await?;
    for entry in chosen.values_mut().flatten().filter(|entry| entry.content == [0; 8]) {
        entry.content = contents.get(&entry.id).copied().unwrap_or_default();
    }
    Ok(chosen)
}

fn stopped() -> RunError {
    Problem::new("P001", Exit::Preempted, "stopped before the night was frozen")
        .hint("run the same command again to go on")
        .into()
}

fn tell_catalog(catalog: &Catalog) {
    let n_left_out: u64 = catalog.left_out.iter().map(|(_, n)| n).sum();
    tracing::info!(
        n_objects = catalog.n_objects,
        n_rows = catalog.n_rows,
        n_refused = catalog.n_refused,
        n_left_out,
        "what no night has taken"
    );
}
