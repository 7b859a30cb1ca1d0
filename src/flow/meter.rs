//! Per-stage counts and time blocked on send, so that the slow stage names itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::found::Found;
use super::open::Open;
use super::spans::Spans;

/// What one stage received and sent, and how long it had something in hand and waited for the next one.
#[derive(Debug, Default)]
pub struct StageMeter {
    received: AtomicU64,
    sent: AtomicU64,
    items: AtomicU64,
    blocked_us: AtomicU64,
    /// Time that messages for this stage took from their sender's hand to its own.
    queued_us: AtomicU64,
    /// Time of its jobs, added up.
    jobs_us: AtomicU64,
    /// Messages that its outgoing link can hold.
    capacity: AtomicU64,
    hands: Mutex<Hands>,
}

/// Messages in hand, and for how long there was one.
#[derive(Debug, Default)]
struct Hands {
    n_held: u64,
    since: Option<Instant>,
    full: Duration,
}

/// A message that a stage has received and not yet dealt with.
#[derive(Debug)]
pub struct Held(Arc<StageMeter>);

impl Drop for Held {
    fn drop(&mut self) {
        let mut hands = self.0.hands();
        hands.n_held = hands.n_held.saturating_sub(1);
        if hands.n_held == 0 {
            let full = hands.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            hands.full += full;
        }
    }
}

impl StageMeter {
    /// Counts one message, which may be an item, and the time its send took.
    pub fn sent(&self, is_item: bool, waited: Duration) {
        self.sent.fetch_add(1, Relaxed);
        self.items.fetch_add(u64::from(is_item), Relaxed);
        self.blocked_us.fetch_add(micros(waited), Relaxed);
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

    /// Counts one message taken from the link before this stage, and the time since its sender began to send it.
    pub fn received(&self, queued: Duration) {
        self.received.fetch_add(1, Relaxed);
        self.queued_us.fetch_add(micros(queued), Relaxed);
    }

    /// Adds the time that one job took.
    pub fn worked(&self, on_job: Duration) {
        self.jobs_us.fetch_add(micros(on_job), Relaxed);
    }

    /// Says how many messages the link behind this stage can hold.
    pub fn set_capacity(&self, n_messages: usize) {
        self.capacity.store(n_messages as u64, Relaxed);
    }

    /// Messages that the link behind this stage can hold.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Relaxed)
    }

    /// Counts a message as held by this stage until the guard is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Held {
        let mut hands = self.hands();
        hands.n_held += 1;
        hands.since.get_or_insert_with(Instant::now);
        drop(hands);
        Held(Arc::clone(self))
    }

    /// Whether a message is in hand.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.hands().n_held > 0
    }

    /// Time in which at least one message was in hand, less what was spent blocked on send. For the source, which receives none, the
    /// time in which it read.
    #[must_use]
    pub fn busy(&self) -> Duration {
        let hands = self.hands();
        let running = hands.since.map_or(Duration::ZERO, |since| since.elapsed());
        (hands.full + running).saturating_sub(self.blocked())
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Total time blocked on send.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        Duration::from_micros(self.blocked_us.load(Relaxed))
    }

    /// Total time that messages took to arrive, blocked sends included.
    #[must_use]
    pub fn queued(&self) -> Duration {
        Duration::from_micros(self.queued_us.load(Relaxed))
    }

    /// Time of all its jobs, added up.
    #[must_use]
    pub fn jobs(&self) -> Duration {
        Duration::from_micros(self.jobs_us.load(Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
    /// Partitions that are read or scored and have no receipt yet.
    pub open: Open,
    /// Partitions committed.
    pub committed: Arc<AtomicU64>,
    /// (sample, cell) pairs scored.
    pub pairs: Arc<AtomicU64>,
    /// Those of them that are in no committed partition yet.
    pub open_pairs: Arc<AtomicU64>,
    /// Batches of the whole run.
    pub planned_batches: Arc<AtomicU64>,
    /// Partitions of the whole run.
    pub planned_partitions: Arc<AtomicU64>,
    flowed_us: Arc<AtomicU64>,
    /// What the data turned out to be.
    pub found: Found,
    /// What took how long, for whoever traces it.
    pub spans: Spans,
}

impl Meter {
    /// Adds time in which a graph ran.
    pub fn ran(&self, time: Duration) {
        self.flowed_us.fetch_add(micros(time), Relaxed);
    }

    /// Time in which a graph ran.
    #[must_use]
    pub fn flowed(&self) -> Duration {
        Duration::from_micros(self.flowed_us.load(Relaxed))
    }

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

    /// Everything that ever moved, and waits for other workers: equal twice means that nothing did in between.
    #[must_use]
    pub fn n_moves(&self) -> u64 {
        let sent = self.stages().map(|(_, stage)| stage.n_sent()).iter().sum::<u64>();
        sent + self.committed.load(Relaxed) + self.open.n_waits()
    }

    /// The stage furthest down the flow that holds a message, or the source.
    #[must_use]
    pub fn holding(&self) -> &'static str {
        let before_sink = self.stages().into_iter().rev().find(|(_, stage)| stage.is_holding());
        if self.sink.is_holding() { "sink" } else { before_sink.map_or("source", |(name, _)| name) }
    }

    /// The links by the name of their setting in `[queues]`: messages that wait there now, and the most that can.
    #[must_use]
    pub fn queues(&self) -> [(&'static str, u64, u64); 5] {
        let link = |name, from: &StageMeter, to: &StageMeter| {
            // Both counts move on their own, so that a message may be seen behind a link before it is seen in it.
            let fill = from.n_sent().saturating_sub(to.received.load(Relaxed));
            let capacity = from.capacity();
            (name, fill.min(capacity), capacity)
        };
        [
            link("fetched", &self.source, &self.decode),
            link("decoded", &self.decode, &self.corrupt),
            link("corrupted", &self.corrupt, &self.batch),
            link("batches", &self.batch, &self.score),
            link("scored", &self.score, &self.sink),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_busy_while_anything_is_in_hand_and_blocked_time_is_not_busy() {
        let stage = Arc::new(StageMeter::default());
        assert_eq!(stage.busy(), Duration::ZERO);
        let (first, second) = (stage.hold(), stage.hold());
        drop(first);
        assert!(stage.is_holding());
        drop(second);
        let busy = stage.busy();
        assert!(!stage.is_holding() && busy > Duration::ZERO && stage.busy() == busy);
        stage.sent(true, Duration::from_secs(1));
        assert_eq!((stage.busy(), stage.blocked()), (Duration::ZERO, Duration::from_secs(1)));
    }

    #[test]
    fn a_queue_holds_what_was_sent_and_not_received() {
        let meter = Meter::default();
        meter.batch.set_capacity(2);
        meter.batch.sent(true, Duration::ZERO);
        meter.batch.sent(true, Duration::ZERO);
        meter.score.received(Duration::ZERO);
        assert_eq!(meter.queues()[3], ("batches", 1, 2));
        meter.score.received(Duration::ZERO);
        meter.score.received(Duration::ZERO);
        assert_eq!(meter.queues()[3].1, 0);
    }
}
