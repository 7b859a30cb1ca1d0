//! How a night ended: the small object that is written last and that everybody may read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NightLayout;
use crate::error::{Exit, Problem, RunError};
use crate::ledger::layout::MAX_JSON_BYTES;
use crate::store::Root;

/// A figure of the primary method on clean images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The figure's name, such as `top1`.
    pub metric: String,
    /// A share.
    pub value: f64,
    /// 95 % interval; an estimate has none.
    pub interval: Option<[f64; 2]>,
    /// Told from the models' confidence, because there are no labels.
    pub is_estimate: bool,
    /// Rows behind it.
    pub n: u64,
}

/// What comparing a night with earlier ones found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftState {
    /// Nights it was compared with; 0: there is none yet, or the night has no clean image.
    pub n_nights: usize,
    /// Quantities that drifted.
    pub alarms: Vec<String>,
    /// Nights that it was not compared with, because they have other classes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_other_classes: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// How a night ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NightState {
    /// The pipeline's name.
    pub name: String,
    /// Day of the night, `YYYY-MM-DD`.
    pub date: String,
    /// The record it settles.
    pub number: u64,
    /// The run; `None` for a night with nothing new.
    pub run_id: Option<String>,
    /// Objects taken for the first time, in the folder of the night's own day; those that are left out by their kind are counted too.
    pub n_new: u64,
    /// Objects taken for the first time, in the folder of an earlier day that a night had looked into.
    pub n_late: u64,
    /// Objects taken again, because they changed.
    pub n_changed: u64,
    /// Samples: an archive is one object and many of them.
    pub n_samples: u64,
    /// (sample, cell) pairs scored.
    pub n_scored: u64,
    /// Pairs quarantined.
    pub n_quarantined: u64,
    /// Quarantine rows by reason.
    pub quarantine: BTreeMap<String, u64>,
    /// More quarantined than `run.max_quarantine` allows.
    pub is_over_quarantine: bool,
    /// What comparing with earlier nights found.
    pub drift: DriftState,
    /// Accuracies, or estimates of them.
    pub measured: Vec<Measured>,
    /// The code that the call ended with, and ends with again.
    pub exit_code: u8,
    /// Its tables were withdrawn by `nightly.keep`.
    pub is_retired: bool,
    /// It was never finished, and later nights take what it had frozen.
    pub is_given_up: bool,
}

/// How the night of that day ended; `None` where none has.
///
/// # Errors
/// Store failures, `R007` unreadable.
pub async fn read_state(
    root: &Root,
    layout: &NightLayout,
    date: &str,
) -> Result<Option<NightState>, RunError> {
    let found = root.read(&layout.state(date), "state of a night", MAX_JSON_BYTES).await;
    let Some(bytes) = found.map_err(Problem::from)? else { return Ok(None) };
    let unreadable = |_| {
        let what = format!("the state of night {date} is unreadable");
        Problem::new("R007", Exit::BadData, what)
            .hint("delete its night.json and run the same command again, which settles the night anew")
    };
    Ok(Some(serde_json::from_slice(&bytes).map_err(unreadable)?))
}

/// Writes how a night ended; the same call twice, or two at once, leave the same bytes.
///
/// # Errors
/// Store failures.
pub async fn settle(root: &Root, layout: &NightLayout, state: &NightState) -> Result<(), RunError> {
    let text = serde_json::to_vec_pretty(state).expect("a state has a JSON text");
    Ok(root
        .replace(&layout.state(&state.date), "state of a night", text.into())
        .await
        .map_err(Problem::from)?)
}
