//! Settling a night whose run is published: checked, evaluated, compared, and what it took added to what nights took.

use std::collections::BTreeMap;

use t3b_report::{Drift, PSI_ALARM};
use t3b_stats::Compared;

use super::{Done, Nights};
use crate::error::{Exit, Problem, RunError};
use crate::ledger::{DriftState, Mark, Measured, NightRecord, NightState, fold, read_new, settle, verify};
use crate::messages::Sample;
use crate::report::{Evaluation, Profile, Request, RunAt, drift_between, drift_parquet, evaluate, reasons};
use crate::source::Manifest;

/// Most bytes of a profile.
const MAX_PROFILE_BYTES: u64 = 16 << 20;
/// Family-wise error of a night's alarms: somebody is woken up by one.
const ALPHA: f64 = 0.01;
/// What `run.max_quarantine` watches.
const QUARANTINE: &str = "quarantine_reason";

impl Nights {
    /// Settles a night. Every step repeats to the same bytes, so a death anywhere is mended by calling again.
    pub(super) async fn close(
        &self,
        record: &NightRecord,
        done: &Done,
        manifest: &Manifest,
    ) -> Result<NightState, RunError> {
        let run_id = done.plan.run_id.clone();
        verify(&self.output, &run_id).await?;
        let run = RunAt { root: self.output.clone(), plan: done.plan.clone() };
        let found = self.evaluate(record, &run).await?;
        let drift = self.compare(record, &run).await?;
        let mut state = self.state_of(record);
        let marks = self.marks(record, manifest).await?;
        self.write(record, "marks.csv", csv(&marks).into()).await?;
        self.count(&mut state, record).await?;
        state.run_id = Some(run_id);
        state.n_samples = done.plan.n_samples;
        (state.n_scored, state.n_quarantined) = (done.n_scored, done.n_quarantined);
        if done.n_quarantined > 0 {
            state.quarantine = reasons(&self.output, &done.plan).await?;
        }
        state.is_over_quarantine = done.over_quarantine;
        state.measured = measured(&found);
        let is_alarm = !drift.alarms.is_empty();
        state.drift = drift;
        let exit = if is_alarm || state.is_over_quarantine { Exit::OverQuarantine } else { Exit::Done };
        state.exit_code = exit.code();
        fold(&self.output, &self.layout, record).await?;
        self.retire(record).await?;
        settle(&self.output, &self.layout, &state).await?;
        Ok(state)
    }

    /// Settles a night with nothing new.
    pub(super) async fn close_empty(&self, record: &NightRecord) -> Result<NightState, RunError> {
        let state = self.state_of(record);
        fold(&self.output, &self.layout, record).await?;
        self.retire(record).await?;
        settle(&self.output, &self.layout, &state).await?;
        Ok(state)
    }

    pub(super) fn state_of(&self, record: &NightRecord) -> NightState {
        NightState {
            name: self.spec.pipeline.name.clone(),
            date: record.date.clone(),
            number: record.number,
            ..NightState::default()
        }
    }

    async fn write(&self, record: &NightRecord, name: &str, bytes: bytes::Bytes) -> Result<(), RunError> {
        let key = format!("{}/{name}", self.layout.report(&record.date));
        Ok(self.output.replace(&key, "report of a night", bytes).await.map_err(Problem::from)?)
    }

    async fn evaluate(&self, record: &NightRecord, run: &RunAt) -> Result<Evaluation, RunError> {
        let mut request = Request::default();
        if let Some(uri) = &self.spec.pipeline.nightly.calibrate_from {
            request.calibrate_from = Some(RunAt::open(uri, &self.spec.settings.store).await?);
        }
        let found = evaluate(std::slice::from_ref(run), &request).await?;
        for (name, bytes) in found.files()? {
            self.write(record, &name, bytes).await?;
        }
        Ok(found)
    }

    /// Keeps the night's profile and compares it with those of the nights before it.
    async fn compare(&self, record: &NightRecord, run: &RunAt) -> Result<DriftState, RunError> {
        let profile = match Profile::of(run).await {
            Ok(profile) => profile,
            // Without clean images there is nothing that could be compared.
            Err(error) if error.problems().iter().all(|problem| problem.code == "E006") => {
                return Ok(DriftState::default());
            }
            Err(error) => return Err(error),
        };
        self.write(record, "profile.json", profile.to_json().into()).await?;
        let (mut others, mut n_other_classes) = (Vec::new(), 0);
        for date in self.reference(record) {
            let key = self.layout.profile(&date);
            let found = self.output.read(&key, "profile of a night", MAX_PROFILE_BYTES).await;
            let other = found.map_err(Problem::from)?.and_then(|bytes| Profile::from_json(&bytes));
            match other {
                Some(other) if other.is_comparable(&profile) => others.push(other),
                Some(_) => n_other_classes += 1,
                None => {}
            }
        }
        if others.is_empty() {
            return Ok(DriftState { n_other_classes, ..DriftState::default() });
        }
        let n_nights = others.len();
        let mut found = drift_between(profile, others)?;
        found.iter_mut().for_each(|one| one.is_alarm = is_alarm(one));
        self.write(record, "drift.parquet", drift_parquet(&run.plan.run_id, &found)?.into()).await?;
        let alarms = found.iter().filter(|one| one.is_alarm);
        Ok(DriftState { n_nights, alarms: alarms.map(|one| one.name.clone()).collect(), n_other_classes })
    }

    /// Days of the nights that this one is compared with, newest first: those before it that did not drift.
    fn reference(&self, record: &NightRecord) -> Vec<String> {
        let nightly = &self.spec.pipeline.nightly;
        let from = nightly.reference_from.map(|from| from.to_string());
        let is_fit = |date: &String, is_alarm: bool| match &from {
            Some(from) => date >= from,
            None => !is_alarm,
        };
        let before = record.past.iter().rev().filter(|night| night.date < record.date);
        let fit = before.filter(|night| is_fit(&night.date, night.is_alarm));
        fit.take(nightly.n_reference).map(|night| night.date.clone()).collect()
    }

    async fn count(&self, state: &mut NightState, record: &NightRecord) -> Result<(), RunError> {
        for (_, new) in read_new(&self.output, record).await? {
            for entry in new.entries() {
                match entry.mark {
                    Mark::New => state.n_new += 1,
                    Mark::Late => state.n_late += 1,
                    Mark::Changed => state.n_changed += 1,
                    Mark::Same => {}
                }
            }
        }
        Ok(())
    }

    /// Samples that are not simply new, by pseudonym.
    async fn marks(
        &self,
        record: &NightRecord,
        manifest: &Manifest,
    ) -> Result<Vec<(Box<str>, Mark)>, RunError> {
        let mut marks = BTreeMap::new();
        for (_, new) in read_new(&self.output, record).await? {
            let odd = new.entries().iter().filter(|entry| matches!(entry.mark, Mark::Late | Mark::Changed));
            marks.extend(odd.map(|entry| (entry.id, entry.mark)));
        }
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let mut odd = Vec::new();
        let take = |sample: Sample| {
            if let Some(mark) = marks.get(&self.key.id(sample.key.as_ref())) {
                odd.push((sample.id, *mark));
            }
        };
        manifest.for_each(take).await?;
        Ok(odd)
    }
}

/// Whether somebody is to be woken up: significant, large, and not watched otherwise.
///
/// A small night's index is large by chance alone, so what is beyond chance has to be large.
fn is_alarm(one: &Drift) -> bool {
    let beyond_chance = |found: &Compared| found.psi.value - found.psi.null_p95 >= PSI_ALARM;
    let is_large = one.shift.bins().is_none_or(beyond_chance);
    one.is_alarm && one.p_adjusted <= ALPHA && is_large && one.name != QUARANTINE
}

fn csv(marks: &[(Box<str>, Mark)]) -> String {
    let line = |(id, mark): &(Box<str>, Mark)| format!("{id},{}\n", mark.name());
    "sample_id,mark\n".to_owned() + &marks.iter().map(line).collect::<String>()
}

fn measured(found: &Evaluation) -> Vec<Measured> {
    let one = |headline: crate::report::Headline| Measured {
        metric: headline.metric.name().to_owned(),
        value: headline.value,
        interval: headline.interval,
        is_estimate: headline.is_estimate,
        n: headline.n,
    };
    found.headlines(0).into_iter().map(one).collect()
}
