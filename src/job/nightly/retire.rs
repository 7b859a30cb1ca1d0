//! Retention: tables of old nights are withdrawn; what they took, how they ended and what they measured stays.

use chrono::NaiveDate;

use super::Nights;
use super::window::{before, parse};
use crate::error::{Problem, RunError};
use crate::ledger::{NightRecord, discard, read_record, read_state, settle};

impl Nights {
    /// The first night whose tables are kept when `newest` is the newest one; `None` keeps all.
    pub(super) fn first_kept(&self, newest: NaiveDate) -> Option<NaiveDate> {
        let keep_days = self.spec.pipeline.nightly.keep_days;
        (keep_days > 0).then(|| before(newest, keep_days - 1))
    }

    /// Withdraws the runs of nights that are older than what is kept, with their frozen manifests.
    ///
    /// That a night is retired is written first: were its run only gone, the night would be scored anew.
    pub(super) async fn retire(&self, record: &NightRecord) -> Result<(), RunError> {
        let first = parse(&record.newest).and_then(|newest| self.first_kept(newest));
        let Some(first) = first.map(|first| first.to_string()) else { return Ok(()) };
        for night in record.past.iter().filter(|night| !night.is_retired && night.date < first) {
            let Some(mut state) = read_state(&self.output, &self.layout, &night.date).await? else {
                continue;
            };
            if !state.is_retired {
                state.is_retired = true;
                settle(&self.output, &self.layout, &state).await?;
            }
            let Some(run_id) = &state.run_id else { continue };
            match discard(&self.output, run_id, true).await {
                Ok(gone) => tracing::info!(date = night.date, n_objects = gone.objects.len(), "retired"),
                // Another call has done it.
                Err(error) if error.problems().iter().all(|problem| problem.code == "R009") => {}
                Err(error) => return Err(error),
            }
            let frozen = read_record(&self.output, &self.layout, state.number).await?.manifest;
            if let Some(manifest) = frozen {
                self.manifests.delete(&manifest.file, "frozen manifest").await.map_err(Problem::from)?;
            }
        }
        Ok(())
    }
}
