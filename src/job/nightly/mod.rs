//! `t3b nightly`: what came since the nights before is frozen, scored, published, checked, evaluated and compared; old tables go.
//!
//! A call looks for an unfinished night first and finishes it; so it does not matter where the call before it died. What is new
//! is told from what settled nights took (`ledger::nights`), never from a state of this machine.

mod close;
mod freeze;
mod give_up;
mod retire;
mod window;

use std::sync::Arc;

use chrono::NaiveDate;

use super::secret::{PSEUDONYM_KEY, pseudonym_secret};
use super::{Job, Outcome, Request, Work};
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::stop::Stop;
use crate::ledger::{
    Finalized, Layout, NightKey, NightLayout, NightRecord, NightState, is_published, last_record, read_plan,
    read_record, read_state,
};
use crate::settings::Spec;
use crate::store::Root;
use freeze::Frozen;

/// Calls that may freeze a night before this one gives up.
const TRIES: usize = 10;

/// How a call for one night ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Night {
    /// This call settled the night.
    Settled(NightState),
    /// An earlier call had; nothing was written.
    Already(NightState),
    /// There is nothing that no night has taken.
    Empty,
}

/// The nights of one pipeline.
#[derive(Debug)]
pub struct Nights {
    spec: Spec,
    output: Root,
    manifests: Root,
    layout: NightLayout,
    key: NightKey,
    key_check: String,
    allow_other_numerics: bool,
}

/// What every step of one call has beside it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Ends the call early.
    pub stop: Stop,
    /// Counts what it does.
    pub meter: Meter,
}

impl Nights {
    /// Opens the output root and the place of the frozen manifests.
    ///
    /// # Errors
    /// `C022` without a secret, `C021` a weak one, `S003` and others where a root cannot be used.
    pub fn open(spec: Spec, allow_other_numerics: bool) -> Result<Self, RunError> {
        let secret = pseudonym_secret()?.ok_or_else(no_secret)?;
        let nightly = &spec.pipeline.nightly;
        let output = Root::open(&spec.pipeline.output.root, true, &spec.settings.store)?;
        let manifests = Root::open(&nightly.manifests, true, &spec.settings.store)?;
        let key = NightKey::new(&secret);
        // With another rule the same objects would be looked for in other lists.
        let rule = format!("{:?} {}", nightly.folders, nightly.from.word());
        let key_check = key.check(&rule);
        let layout = NightLayout::new(&spec.pipeline.name);
        Ok(Self { spec, output, manifests, layout, key, key_check, allow_other_numerics })
    }

    /// Brings one night to its end: finishes a night that an earlier call left, then this one. Other nights than the one of
    /// `date` that are settled on the way go into `taken_up`, also where the night itself fails.
    ///
    /// # Errors
    /// Everything that kept a night from being settled; the next call goes on from there.
    pub async fn night(
        &self,
        date: NaiveDate,
        call: &Call,
        taken_up: &mut Vec<NightState>,
    ) -> Result<Night, RunError> {
        let day = date.to_string();
        for _ in 0..TRIES {
            if let Some(night) = self.known(&day, call).await? {
                return Ok(night);
            }
            let last = last_record(&self.output, &self.layout).await?;
            if let Some(last) = &last {
                self.check_key(last)?;
                if let Some(state) = self.finish(last, call).await? {
                    if last.date == day && state.run_id.is_some() {
                        return Ok(Night::Settled(state));
                    }
                    // Nobody else will tell of it: the call that froze it has ended. One with nothing new has nothing to tell.
                    taken_up.extend(state.run_id.is_some().then_some(state));
                    // Looked at anew: the night that was just settled may be what this one comes after.
                    continue;
                }
            }
            match self.freeze(date, last.as_ref(), call).await? {
                Frozen::Lost => {}
                Frozen::Nothing => return Ok(Night::Empty),
                Frozen::Night(night) => {
                    let (record, job) = *night;
                    return self.work(&record, Some(job), call).await.map(Night::Settled);
                }
            }
        }
        let what = format!("other calls froze {TRIES} nights meanwhile");
        Err(Problem::new("P004", Exit::StoreIo, what).hint("run the same command again").into())
    }

    /// A night that has been settled before: scored anew where its run was withdrawn, otherwise left alone.
    async fn known(&self, day: &str, call: &Call) -> Result<Option<Night>, RunError> {
        let Some(state) = read_state(&self.output, &self.layout, day).await? else { return Ok(None) };
        let Some(run_id) = &state.run_id else { return Ok(None) };
        let plan = read_plan(&self.output, &Layout::new(run_id)).await?;
        let stands = match &plan {
            Some(plan) => is_published(&self.output, plan).await?,
            None => false,
        };
        if stands || state.is_retired {
            return Ok(Some(Night::Already(state)));
        }
        tracing::info!(date = day, "the night's run was withdrawn: it is scored anew");
        let record = read_record(&self.output, &self.layout, state.number).await?;
        self.check_key(&record)?;
        self.work(&record, None, call).await.map(|state| Some(Night::Settled(state)))
    }

    /// Settles the newest record where that is still to be done.
    async fn finish(&self, last: &NightRecord, call: &Call) -> Result<Option<NightState>, RunError> {
        let state = read_state(&self.output, &self.layout, &last.date).await?;
        if state.is_some_and(|state| state.number >= last.number) {
            return Ok(None);
        }
        tracing::info!(date = last.date, "a call before this one left the night unfinished");
        if last.manifest.is_none() {
            return self.close_empty(last).await.map(Some);
        }
        self.work(last, None, call).await.map(Some)
    }

    /// Runs what a record froze and settles the night.
    async fn work(
        &self,
        record: &NightRecord,
        job: Option<Job>,
        call: &Call,
    ) -> Result<NightState, RunError> {
        let job = match job {
            Some(job) => job,
            None => self.job_of(record).await?,
        };
        let request = Request {
            run_id: Some(self.layout.run_id(&record.date)),
            run_date: Some(record.date.clone()),
            work: Work::All,
            worker: None,
            allow_other_numerics: self.allow_other_numerics,
            must_score: false,
            meter: call.meter.clone(),
        };
        let manifest = Arc::clone(&job.manifest);
        let output = self.output.clone();
        let outcome = job
            .run_on(output, &request, call.stop.clone())
            .await
            .map_err(|error| self.advise(error, record))?;
        let (Outcome::AlreadyDone(done) | Outcome::Published(done)) = outcome else {
            unreachable!("a run without shards ends published")
        };
        self.close(record, &done, &manifest).await
    }

    /// Whether the keyed hashes of a record can be compared with ours.
    fn check_key(&self, record: &NightRecord) -> Result<(), Problem> {
        if record.key_check == self.key_check {
            return Ok(());
        }
        let what = format!(
            "{PSEUDONYM_KEY}, nightly.folders or nightly.from is not that of the nights before: every object would be new"
        );
        Err(Problem::new("C023", Exit::Config, what)
            .hint("restore it; to begin anew, give the pipeline another run.name or output.root"))
    }

    /// A night whose tables would be withdrawn as soon as they are there is a mistake.
    fn check_kept(&self, date: NaiveDate, last: Option<&NightRecord>) -> Result<(), Problem> {
        let newest = last.and_then(|last| window::parse(&last.newest)).unwrap_or(date);
        match self.first_kept(newest) {
            Some(first) if date < first => {
                let what = format!(
                    "night {date} is older than nightly.keep allows: the first that is kept is {first}"
                );
                Err(Problem::new("C001", Exit::Config, what).hint("set nightly.keep higher, or to 0"))
            }
            _ => Ok(()),
        }
    }

    /// What to do about a run that was begun with other settings: it has no `--run-id` to change.
    fn advise(&self, error: RunError, record: &NightRecord) -> RunError {
        if !error.problems().iter().any(|problem| matches!(problem.code, "R001" | "R002")) {
            return error;
        }
        let run_id = self.layout.run_id(&record.date);
        let hint = format!(
            "restore the setting; or withdraw the run, t3b discard {}/_t3b/runs/{run_id} --delete, and run the same command \
             again, which scores the night anew",
            self.spec.pipeline.output.root.trim_end_matches('/')
        );
        RunError::all(error.problems().iter().map(|problem| problem.clone().hint(hint.clone())).collect())
    }
}

fn no_secret() -> Problem {
    let what = format!(
        "{PSEUDONYM_KEY} is not set: nights tell images apart, and name them alike, by a secret of yours"
    );
    Problem::new("C022", Exit::Config, what)
        .hint("make one once with t3b key new, keep it, and set the variable to it for every night")
}

/// What closing needs of a finished run.
type Done = Finalized;
