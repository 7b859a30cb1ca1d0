//! Per-stage counts and time blocked on send, so that the slow stage names itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What one stage sent and how long it waited for the next one.
#[derive(Debug, Default)]
pub struct StageMeter {
    sent: AtomicU64,
    items: AtomicU64,
    blocked_us: AtomicU64,
    held: AtomicU64,
}

/// A message that a stage has received and not yet dealt with.
#[derive(Debug)]
pub struct Held(Arc<StageMeter>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
    }
}

impl StageMeter {
    /// Counts one message, which may be an item, and the time its send took.
    pub fn sent(&self, is_item: bool, waited: Duration) {
        self.sent.fetch_add(1, Relaxed);
        self.items.fetch_add(u64::from(is_item), Relaxed);
        self.blocked_us.fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Items sent: batches of the lane, images of the stages before it; no rejects, no seals.
    #[must_use]
    pub fn n_items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    /// Messages sent.
    #[must_use]
    pub fn n_sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Counts a message as held by this stage until the guard is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Held {
        self.held.fetch_add(1, Relaxed);
        Held(Arc::clone(self))
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
    /// Sends nothing; holds what it is writing.
    pub sink: Arc<StageMeter>,
    /// Partitions committed.
    pub committed: Arc<AtomicU64>,
    /// (sample, cell) pairs scored.
    pub pairs: Arc<AtomicU64>,
    /// Those of them that are in no committed partition yet.
    pub open_pairs: Arc<AtomicU64>,
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

    /// Everything that ever moved: equal twice means that nothing did in between.
    #[must_use]
    pub fn n_moves(&self) -> u64 {
        let sent = self.stages().map(|(_, stage)| stage.n_sent()).iter().sum::<u64>();
        sent + self.committed.load(Relaxed)
    }

    /// The stage furthest down the flow that holds a message, or the source.
    #[must_use]
    pub fn holding(&self) -> &'static str {
        let is_holding = |stage: &StageMeter| stage.held.load(Relaxed) > 0;
        let before_sink = self.stages().into_iter().rev().find(|(_, stage)| is_holding(stage));
        if is_holding(&self.sink) { "sink" } else { before_sink.map_or("source", |(name, _)| name) }
    }
}
