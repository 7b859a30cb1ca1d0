//! Where the time of scoring goes: the passes of both parents, and what each method takes beside them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time by method, shared between the lane and whoever reports it.
#[derive(Debug, Clone, Default)]
pub struct Costs(Arc<Mutex<Vec<(String, Duration)>>>);

/// What stands in the first place.
const PARENTS: &str = "both parents";

impl Costs {
    /// Nothing yet, for the parents and these methods.
    pub(super) fn of<'a>(methods: impl Iterator<Item = &'a str>) -> Self {
        let names = std::iter::once(PARENTS).chain(methods).map(|name| (name.to_owned(), Duration::ZERO));
        Self(Arc::new(Mutex::new(names.collect())))
    }

    /// Times `work` of a place: 0 the parents, then the methods in their order.
    pub(super) fn time<T>(&self, place: usize, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sum)) = all.get_mut(place) {
            *sum += started.elapsed();
        }
        done
    }

    /// Seconds by name: the parents first, then the methods in their order.
    #[must_use]
    pub fn seconds(&self) -> Vec<(String, f64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, sum)| (name.clone(), sum.as_secs_f64())).collect()
    }
}
