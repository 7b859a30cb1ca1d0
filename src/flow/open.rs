//! Partitions between their admission and their commit: which are open, since when, and what became of the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use tokio::sync::watch;

/// What became of a partition that was admitted, or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// This process committed it.
    Committed,
    /// This process scored it, and another had committed it first: the same bytes, twice the work.
    Lost,
    /// It was committed before this process began it.
    Found,
}

impl Fate {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Lost => "lost",
            Self::Found => "found",
        }
    }
}

/// The end of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which partition.
    pub partition: u32,
    /// What became of it.
    pub fate: Fate,
    /// Since it was admitted or, where that is later, since the partition before it was committed.
    pub spent: Duration,
}

/// The open partitions of one process; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Open {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Partitions that are not open any more.
    n_closed: watch::Sender<u64>,
    n_waits: AtomicU64,
    told: OnceLock<Sender<Ended>>,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<(u32, Instant)>,
    last_close: Option<Instant>,
    n_lost: u64,
    wasted: Duration,
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work on `partition` begins.
    pub fn admit(&self, partition: u32) {
        self.state().open.push_back((partition, Instant::now()));
    }

    /// `partition` has a receipt: ours, or another's that was there first.
    pub async fn close(&self, partition: u32, is_ours: bool) {
        let (fate, now) = (if is_ours { Fate::Committed } else { Fate::Lost }, Instant::now());
        let spent = {
            let mut state = self.state();
            let at = state.open.iter().position(|&(open, _)| open == partition);
            let admitted = at.and_then(|at| state.open.remove(at)).map_or(now, |(_, admitted)| admitted);
            let began = state.last_close.map_or(admitted, |closed| closed.max(admitted));
            state.last_close = Some(now);
            let spent = now.saturating_duration_since(began);
            if !is_ours {
                state.n_lost += 1;
                state.wasted += spent;
            }
            spent
        };
        self.inner.n_closed.send_modify(|n| *n += 1);
        self.tell(Ended { partition, fate, spent }).await;
    }

    /// `partition` was asked for and is committed already.
    pub async fn found(&self, partition: u32) {
        self.tell(Ended { partition, fate: Fate::Found, spent: Duration::ZERO }).await;
    }

    async fn tell(&self, ended: Ended) {
        if let Some(told) = self.inner.told.get() {
            // Whoever listened may be gone; the receipts say the same.
            let _unheard = told.send(ended).await;
        }
    }

    /// Every end from now on, `capacity` of them waiting at most; a listener that does not read holds the commits up. The first
    /// caller is the only one.
    #[must_use]
    pub fn follow(&self, capacity: usize) -> Receiver<Ended> {
        let (sender, receiver) = async_channel::bounded(capacity.max(1));
        let _only_the_first = self.inner.told.set(sender);
        receiver
    }

    /// Partitions that are open.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.state().open.len()
    }

    /// Whether `partition` is open.
    #[must_use]
    pub fn has(&self, partition: u32) -> bool {
        self.state().open.iter().any(|&(open, _)| open == partition)
    }

    /// For how long the oldest open partition has been worked on: what leaving now would lose at most.
    #[must_use]
    pub fn at_stake(&self) -> Duration {
        self.state().open.front().map_or(Duration::ZERO, |(_, admitted)| admitted.elapsed())
    }

    /// Returns once at most `n` partitions are open.
    pub async fn at_most(&self, n: usize) {
        let mut closed = self.inner.n_closed.subscribe();
        while self.n_open() > n {
            if closed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Partitions that were scored for nothing, and the time that took.
    #[must_use]
    pub fn lost(&self) -> (u64, Duration) {
        let state = self.state();
        (state.n_lost, state.wasted)
    }

    /// Says that this process has nothing to do and waits for others: no stall.
    pub fn waited(&self) {
        self.inner.n_waits.fetch_add(1, Relaxed);
    }

    /// How often that was said.
    #[must_use]
    pub fn n_waits(&self) -> u64 {
        self.inner.n_waits.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_partition_that_another_committed_first_is_wasted_time() {
        let open = Open::default();
        let ends = open.follow(4);
        open.admit(3);
        open.admit(4);
        assert!(open.has(3) && open.n_open() == 2);
        open.close(3, true).await;
        open.close(4, false).await;
        open.found(5).await;
        let fates = [(3, Fate::Committed), (4, Fate::Lost), (5, Fate::Found)];
        for (partition, fate) in fates {
            let ended = ends.recv().await.unwrap();
            assert_eq!((ended.partition, ended.fate), (partition, fate));
        }
        let (n_lost, wasted) = open.lost();
        assert!(n_lost == 1 && wasted > Duration::ZERO);
        assert_eq!(open.at_stake(), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_waits_for_a_commit_is_woken_by_it() {
        let open = Open::default();
        open.admit(0);
        open.admit(1);
        let (waits, closes) = (open.clone(), open.clone());
        tokio::join!(waits.at_most(1), async move { closes.close(0, true).await });
        assert_eq!(open.n_open(), 1);
    }
}
