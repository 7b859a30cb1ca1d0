//! The `attempts` table: one row per process that worked on a run. Operations, not science: it holds times, so it is
//! outside the promise of equal bytes, and failing to write it fails nothing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::layout::Layout;
use super::plan::Plan;
use super::runs::Row;
use super::withdrawn::withdrawn;
use crate::error::Problem;
use crate::flow::meter::{Meter, StageMeter};
use crate::flow::progress::rss_mib;
use crate::store::Root;

/// A process at its end does not wait for a store that may be why it ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// One process's work on one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    id: String,
    worker: String,
    device: String,
    canary: String,
    opened_at_us: i64,
    outcome: (&'static str, u8),
    /// Batches it scored.
    n_batches: u64,
    /// Partitions it scored to their end, those of them included that another committed first.
    n_partitions: u64,
    /// Items that source, decode and corrupt sent on.
    n_sent: [u64; 3],
    /// Seconds that the stages were busy, by [`BUSY`].
    busy_s: [f64; 6],
    /// Seconds by method, the passes of both parents first.
    methods: Vec<(String, f64)>,
    /// Partitions that another committed first, and the time that was spent on them.
    lost: (u64, Duration),
}

/// Columns of busy seconds, in flow order.
const BUSY: [&str; 6] =
    ["source_busy_s", "decode_busy_s", "corrupt_busy_s", "batch_busy_s", "score_busy_s", "sink_busy_s"];

impl Attempt {
    /// Begins now; `worker` is its name in receipts and claims.
    #[must_use]
    pub fn open(id: String, worker: &str, device: &str, canary: &str) -> Self {
        Self {
            id,
            worker: worker.to_owned(),
            device: device.to_owned(),
            canary: canary.to_owned(),
            opened_at_us: chrono::Utc::now().timestamp_micros(),
            outcome: ("done", 0),
            n_batches: 0,
            n_partitions: 0,
            lost: (0, Duration::ZERO),
            n_sent: [0; 3],
            busy_s: [0.0; 6],
            methods: Vec::new(),
        }
    }

    /// Takes what the stages counted, and the seconds of scoring by method, both parents first.
    pub fn count(&mut self, meter: &Meter, methods: Vec<(String, f64)>) {
        self.n_batches = meter.score.n_items();
        self.n_partitions = meter.committed.load(Relaxed);
        let [source, decode, corrupt, batch, score] = meter.stages().map(|(_, stage)| stage);
        self.n_sent = [source, decode, corrupt].map(StageMeter::n_items);
        self.busy_s =
            [source, decode, corrupt, batch, score, &meter.sink].map(|stage| stage.busy().as_secs_f64());
        self.methods = methods;
        self.lost = meter.open.lost();
    }

    /// Ends with `problem`, or well.
    #[must_use]
    pub fn close(mut self, problem: Option<&Problem>) -> Self {
        self.outcome = problem.map_or(("done", 0), |problem| (problem.code, problem.exit.code()));
        self
    }

    fn row(&self) -> Row {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut row = Row::default();
        row.text("attempt_id", Some(self.id.clone()));
        row.time("opened_at", Some(self.opened_at_us));
        row.time("closed_at", Some(chrono::Utc::now().timestamp_micros()));
        row.text("outcome", Some(self.outcome.0.to_owned()));
        row.whole32("exit_code", i64::from(self.outcome.1));
        row.whole64("n_batches", signed(self.n_batches));
        row.whole64("n_partitions", signed(self.n_partitions));
        row.whole64("rss_peak_mib", signed(rss_mib("VmHWM:").unwrap_or_default()));
        for (name, n) in ["n_fetched", "n_decoded", "n_corrupted"].into_iter().zip(self.n_sent) {
            row.whole64(name, signed(n));
        }
        for (name, seconds) in BUSY.into_iter().zip(self.busy_s) {
            row.number(name, Some(seconds));
        }
        row.number("parents_busy_s", self.methods.first().map(|(_, seconds)| *seconds));
        let (names, seconds): (Vec<String>, Vec<f64>) = self.methods.iter().skip(1).cloned().unzip();
        row.texts("methods", &names);
        row.numbers("method_busy_s", seconds);
        row.text("device", Some(self.device.clone()));
        row.text("canary", Some(self.canary.clone()));
        row.text("worker", Some(self.worker.clone()));
        row.whole64("n_lost", signed(self.lost.0));
        row.number("wasted_s", Some(self.lost.1.as_secs_f64()));
        row
    }
}

/// Writes the row, if the store takes it soon.
///
/// # Errors
/// `R012` when the run was withdrawn meanwhile: then nothing of it may be left, and no row is written.
pub async fn record(root: &Root, plan: &Plan, attempt: Attempt) -> Result<(), Problem> {
    let Ok(bytes) = attempt.row().encode("attempts", plan) else { return Ok(()) };
    let folder = Layout::new(&plan.run_id).published("attempts", &plan.run_date);
    let key = format!("{folder}/{}.parquet", attempt.id);
    let write = async {
        match withdrawn(root, plan).await {
            Some(problem) => Err(problem),
            None => {
                let written = root.write(&key, "attempts row", bytes.into()).await;
                let Some(problem) = withdrawn(root, plan).await else { return Ok(written) };
                // Its name is this attempt's own, so it is nobody else's row.
                root.delete(&key, "attempts row").await?;
                Err(problem)
            }
        }
    };
    match tokio::time::timeout(PATIENCE, write).await {
        Ok(Err(problem)) => return Err(problem),
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(_))) | Err(_) => tracing::warn!("the attempts row could not be written"),
    }
    Ok(())
}
