//! Where the time of scoring goes: the passes of both parents, and what each method takes beside them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time by name.
type Sums = Vec<(String, Duration)>;

/// Time by method, shared between the lanes and whoever reports it.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    /// Of each lane.
    lanes: Vec<Arc<LaneCosts>>,
}

#[derive(Debug)]
struct LaneCosts {
    sums: Mutex<Sums>,
    n_passes: AtomicU64,
}

/// What stands in the first place.
const PARENTS: &str = "both parents";

impl Costs {
    /// Nothing yet, of one lane, for the parents and these methods.
    pub(super) fn of<'a>(methods: impl Iterator<Item = &'a str>) -> Self {
        let names = std::iter::once(PARENTS).chain(methods).map(|name| (name.to_owned(), Duration::ZERO));
        let lane = LaneCosts { sums: Mutex::new(names.collect()), n_passes: AtomicU64::new(0) };
        Self { lanes: vec![Arc::new(lane)] }
    }

    /// Those of several lanes with the same methods as one.
    #[must_use]
    pub fn joined(all: impl IntoIterator<Item = Self>) -> Self {
        Self { lanes: all.into_iter().flat_map(|costs| costs.lanes).collect() }
    }

    /// Times `work` of a place in the first lane's: 0 the parents, then the methods in their order.
    pub(super) fn time<T>(&self, place: usize, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        if let Some(lane) = self.lanes.first() {
            let mut all = lane.sums.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, sum)) = all.get_mut(place) {
                *sum += started.elapsed();
            }
        }
        done
    }

    /// Counts a pass of a parent, or a method's whole work on a batch.
    pub(super) fn passed(&self) {
        if let Some(lane) = self.lanes.first() {
            lane.n_passes.fetch_add(1, Relaxed);
        }
    }

    /// Passes of all lanes together: equal twice means that none ended in between.
    #[must_use]
    pub fn n_passes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.n_passes.load(Relaxed)).sum()
    }

    /// Seconds of all lanes together by name: the parents first, then the methods in their order.
    #[must_use]
    pub fn seconds(&self) -> Vec<(String, f64)> {
        let mut sums: Vec<(String, f64)> = Vec::new();
        for lane in &self.lanes {
            let all = lane.sums.lock().unwrap_or_else(PoisonError::into_inner);
            for (place, (name, sum)) in all.iter().enumerate() {
                match sums.get_mut(place) {
                    Some((_, so_far)) => *so_far += sum.as_secs_f64(),
                    None => sums.push((name.clone(), sum.as_secs_f64())),
                }
            }
        }
        sums
    }
}
