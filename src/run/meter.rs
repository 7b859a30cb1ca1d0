//! Per-stage counts and time blocked on send, so that the slow stage names itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What one stage sent and how long it waited for the next one.
#[derive(Debug, Default)]
pub struct StageMeter {
    sent: AtomicU64,
    blocked_us: AtomicU64,
}

impl StageMeter {
    /// Counts one message and the time its send took.
    pub fn sent(&self, waited: Duration) {
        self.sent.fetch_add(1, Relaxed);
        self.blocked_us.fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Messages sent.
    #[must_use]
    pub fn n_sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Total time blocked on send.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        Duration::from_micros(self.blocked_us.load(Relaxed))
    }
}

/// The meters of one run, shared by its stages and the progress display.
#[derive(Debug, Default, Clone)]
pub struct Meter {
    /// Objects read.
    pub source: Arc<StageMeter>,
    /// Images decoded.
    pub decode: Arc<StageMeter>,
    /// Images corrupted, one per cell.
    pub corrupt: Arc<StageMeter>,
    /// Batches cut.
    pub batch: Arc<StageMeter>,
    /// Batches scored.
    pub score: Arc<StageMeter>,
    /// Partitions committed.
    pub committed: Arc<AtomicU64>,
}

impl Meter {
    /// Stages with their meters, in flow order.
    #[must_use]
    pub fn stages(&self) -> [(&'static str, &StageMeter); 5] {
        [
            ("source", &self.source),
            ("decode", &self.decode),
            ("corrupt", &self.corrupt),
            ("batch", &self.batch),
            ("score", &self.score),
        ]
    }
}
