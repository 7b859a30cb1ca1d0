//! Bytes in flight, bounded in bytes and not in messages.
//!
//! Two pools share `memory.budget_mib`: a quarter for compressed bytes, the rest for decoded pixels. Each is
//! acquired in manifest order by the one stage that fills it and released by a job that waits for nothing,
//! so the sample at the head of the line always holds what it needs and no order of events can deadlock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const UNIT_BYTES: u64 = 1024;

/// A pool of bytes; clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    units: Arc<Semaphore>,
    total_units: u32,
}

impl ByteBudget {
    /// A pool of `bytes`, at least one unit of 1 KiB.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let total_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { units: Arc::new(Semaphore::new(total_units as usize)), total_units }
    }

    /// The pools for compressed and decoded bytes.
    #[must_use]
    pub fn split(bytes: u64) -> (Self, Self) {
        (Self::new(bytes / 4), Self::new(bytes - bytes / 4))
    }

    /// Waits for `bytes` of the pool, or for all of it when `bytes` is more: one oversized image runs alone.
    ///
    /// # Panics
    /// Never: the pool is not closed.
    pub fn acquire(&self, bytes: u64) -> impl Future<Output = OwnedSemaphorePermit> + Send + use<> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.total_units);
        let permit = Arc::clone(&self.units).acquire_many_owned(units);
        async move { permit.await.expect("the budget's semaphore is never closed") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn an_oversized_image_takes_the_whole_pool_and_gives_it_back() {
        let budget = ByteBudget::new(4096);
        let all = budget.acquire(1 << 40).now_or_never().expect("alone, it need not wait");
        assert!(budget.acquire(1).now_or_never().is_none());
        drop(all);
        assert!(budget.acquire(4096).now_or_never().is_some());
    }
}
