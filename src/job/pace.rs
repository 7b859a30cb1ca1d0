//! How fast this machine goes: a few samples of the first partition in every cell, into memory.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Job;
use crate::error::RunError;
use crate::flow::meter::Meter;
use crate::flow::stop::stop;
use crate::ledger::{Plan, nonce};
use crate::source::{Partition, Todo};
use crate::store::Root;

/// (sample, cell) pairs of a trial, about.
const TRIAL_PAIRS: usize = 256;

/// What a trial says; a guide and no promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// (sample, cell) pairs a second.
    pub pairs_per_s: f64,
    /// Seconds of a whole partition.
    pub seconds_per_partition: f64,
}

impl Job {
    /// Scores the first samples in every cell and throws the tables away. The batch is as large as the trial allows, so that the
    /// price of a batch's merge is shared by fewer samples than in a run where one is smaller: then the pace is too low.
    ///
    /// # Errors
    /// Whatever a run can fail with.
    pub async fn pace(self, plan: &Plan) -> Result<Pace, RunError> {
        let n_samples = usize::try_from(self.manifest.n_samples).unwrap_or(usize::MAX);
        let n_cells = plan.cells.len().max(1);
        let most = (self.spec.pipeline.batch_size as usize).min(n_samples);
        let rows = 0..(TRIAL_PAIRS / n_cells).clamp(1, most.max(1)) as u64;
        let partition_pairs = (self.spec.pipeline.partition_size as usize).min(n_samples) * n_cells;
        let scratch = Root::open(&format!("memory://{}", nonce()?), true, &self.spec.settings.store)?;
        let meter = Meter::default();
        let ready = self.ready(plan.clone()).await?;
        let ((_nobody_asks, never), started) = (stop(), Instant::now());
        let todo = Todo::listed(vec![Partition { index: 0, rows }], meter.open.clone());
        ready.go(todo, scratch, never, meter.clone()).await?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let pairs_per_s = meter.pairs.load(Relaxed) as f64 / started.elapsed().as_secs_f64().max(1e-6);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let seconds_per_partition = partition_pairs as f64 / pairs_per_s.max(1e-9);
        Ok(Pace { pairs_per_s, seconds_per_partition })
    }
}
