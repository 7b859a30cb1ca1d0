//! What this process asked of all its stores together, as connection pools are shared too.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::{HistogramOpts, HistogramVec};

/// Upper bounds of an operation's time: from a local file to the longest deadline.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

/// Counts of the process.
#[derive(Debug)]
pub struct StoreMeter {
    /// Seconds of operations with all their retries, by operation; an object's head and its body are two.
    pub durations: HistogramVec,
    /// Requests that were sent again.
    pub n_retries: AtomicU64,
    /// Bytes of objects read.
    pub n_read_bytes: AtomicU64,
    /// Bytes of objects written.
    pub n_written_bytes: AtomicU64,
}

static METER: LazyLock<StoreMeter> = LazyLock::new(|| {
    let help = "Time of store operations with all their retries.";
    let options = HistogramOpts::new("t3b_store_operation_duration_seconds", help).buckets(SECONDS.to_vec());
    let durations = HistogramVec::new(options, &["operation"]);
    StoreMeter {
        durations: durations.expect("a fixed name with rising bounds is a histogram"),
        n_retries: AtomicU64::new(0),
        n_read_bytes: AtomicU64::new(0),
        n_written_bytes: AtomicU64::new(0),
    }
});

/// The counts of this process.
#[must_use]
pub fn meter() -> &'static StoreMeter {
    &METER
}

tokio::task_local! {
    /// Whether the request before, in the same operation, failed so that the client sends it again.
    static HAS_FAILED: Cell<bool>;
}

/// Runs an operation so that the requests in it which are sent again are counted; in one that `continues` another every request is.
pub(super) async fn counting<T>(continues: bool, operation: impl Future<Output = T>) -> T {
    HAS_FAILED.scope(Cell::new(continues), operation).await
}

/// Counts a request that is about to be sent, when it is sent again.
pub(super) fn sending() {
    let is_again = HAS_FAILED.try_with(|has_failed| has_failed.replace(false)).unwrap_or_default();
    METER.n_retries.fetch_add(u64::from(is_again), Relaxed);
}

/// Says how a request ended: `status` is none where the connection broke.
pub(super) fn answered(status: Option<u16>) {
    let has_failed = status.is_none_or(|status| status >= 500 || matches!(status, 408 | 429));
    // Outside of an operation nobody tries again.
    let _outside = HAS_FAILED.try_with(|failed| failed.set(has_failed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_counts_as_retry_behind_a_failure_of_the_same_operation() {
        let before = METER.n_retries.load(Relaxed);
        counting(false, async {
            sending();
            answered(Some(503));
            sending();
            answered(None);
            sending();
            answered(Some(200));
            sending();
            answered(Some(404));
        })
        .await;
        counting(false, async { sending() }).await;
        counting(true, async { sending() }).await;
        sending();
        // Other tests of this process speak to no server that fails.
        assert_eq!(METER.n_retries.load(Relaxed) - before, 3);
    }
}
