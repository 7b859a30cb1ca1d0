//! How `t3b nightly` says that a night ended: its `night.json`, which stays when the night's tables are gone.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use serde::Deserialize;

use super::rows::Night;

/// What of a `night.json` a dashboard needs; other fields are not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Settled {
    name: String,
    date: String,
    /// None where nothing was new.
    pub(super) run_id: Option<String>,
    n_samples: i64,
    n_scored: i64,
    n_quarantined: i64,
    quarantine: BTreeMap<String, u64>,
    is_over_quarantine: bool,
    drift: Compared,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Compared {
    alarms: Vec<String>,
}

impl Settled {
    /// The night as far as it is known without its tables.
    pub(super) fn night(&self) -> Option<Night> {
        let status = if self.is_over_quarantine { "complete_over_quarantine_limit" } else { "complete" };
        let texts = [("name", self.name.clone()), ("status", status.to_owned())];
        let counts = [
            ("n_samples", self.n_samples),
            ("n_scored", self.n_scored),
            ("n_quarantined", self.n_quarantined),
        ];
        Some(Night {
            run_id: self.run_id.clone()?,
            run_date: self.date.clone(),
            texts: texts.into_iter().map(|(name, text)| (name, Some(text))).collect(),
            counts: counts.into_iter().map(|(name, count)| (name, Some(count))).collect(),
            numbers: BTreeMap::new(),
            reasons: self.quarantine.clone(),
        })
    }

    /// Rows of drift with the alarms that were given: the nightly asks for more than `t3b drift` does before it wakes somebody.
    pub(super) fn with_alarms(&self, drift: &RecordBatch) -> Option<RecordBatch> {
        let quantity = drift.column_by_name("quantity")?.as_string_opt::<i32>()?;
        let is_alarm =
            |name: Option<&str>| Some(self.drift.alarms.iter().any(|alarm| Some(alarm.as_str()) == name));
        let alarms: ArrayRef = std::sync::Arc::new(quantity.iter().map(is_alarm).collect::<BooleanArray>());
        let place = drift.schema().index_of("is_alarm").ok()?;
        let mut columns = drift.columns().to_vec();
        columns[place] = alarms;
        RecordBatch::try_new(drift.schema(), columns).ok()
    }
}
