//! Ordered concurrency: jobs run side by side, on the blocking pool or elsewhere, and results leave in the order of arrival.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::budget::ByteBudget;
use super::link::{Inlet, Outlet};
use super::verdict::StageEnd;
use crate::error::Problem;
use crate::flow::Flow;

/// Runs `job` on the blocking pool for every item, `n_jobs` at once, and sends what it returns in order.
///
/// Before a job starts, the bytes that `reserve` says it will hold are taken from its budget, item by item and
/// in order; the job gets the permit, to drop at its end or to send along. Rejects and seals pass through at their place.
///
/// # Errors
/// `Torn` and `Hangup` from the links, `Panicked` when a job panics, and what a job itself fails with.
pub async fn map_ordered<T, U, R, W, J>(
    n_jobs: usize,
    inlet: Inlet<T, R>,
    outlet: Outlet<U, R>,
    reserve: Option<(ByteBudget, W)>,
    job: J,
) -> Result<(), StageEnd>
where
    T: Send + 'static,
    U: Send + 'static,
    R: Send + 'static,
    W: Fn(&T) -> u64 + Send,
    J: Fn(T, Option<OwnedSemaphorePermit>) -> Result<Vec<Flow<U, R>>, Problem> + Send + Sync + 'static,
{
    let (job, meter) = (Arc::new(job), inlet.meter());
    let on_pool = move |item, permit| {
        let (job, meter) = (Arc::clone(&job), Arc::clone(&meter));
        let work = move || {
            let started = Instant::now();
            let made = job(item, permit);
            meter.worked(started.elapsed());
            made
        };
        async move { Ok(tokio::task::spawn_blocking(work).await.map_err(StageEnd::from_join)??) }
    };
    follow_ordered(n_jobs, inlet, outlet, reserve, on_pool).await
}

/// The same for jobs that are done elsewhere, each followed by a future. Futures of one stage are polled together, so what shall go on
/// while nobody asks for its result is [`driven`].
///
/// # Errors
/// As [`map_ordered`].
pub async fn follow_ordered<T, U, R, W, J, F>(
    n_jobs: usize,
    inlet: Inlet<T, R>,
    mut outlet: Outlet<U, R>,
    reserve: Option<(ByteBudget, W)>,
    job: J,
) -> Result<(), StageEnd>
where
    W: Fn(&T) -> u64,
    J: Fn(T, Option<OwnedSemaphorePermit>) -> F,
    F: Future<Output = Result<Vec<Flow<U, R>>, StageEnd>>,
{
    let (job, meter) = (&job, inlet.meter());
    let arriving = stream::unfold(inlet, |mut inlet| async move {
        match inlet.next().await {
            Ok(message) => message.map(|message| (Ok(message), inlet)),
            Err(torn) => Some((Err(torn), inlet)),
        }
    });
    let admitted = arriving.then(|message| {
        let permit = match (&message, &reserve) {
            (Ok(Flow::Item(item)), Some((budget, weigh))) => Some(budget.acquire(weigh(item))),
            _ => None,
        };
        async move {
            let permit = if let Some(permit) = permit { Some(permit.await) } else { None };
            (message, permit)
        }
    });
    let running = admitted.map(|(message, permit)| {
        let held = meter.hold();
        async move {
            let flows = match message? {
                Flow::Item(item) => job(item, permit).await?,
                Flow::Reject(reject) => vec![Flow::Reject(reject)],
                Flow::Seal(seal) => vec![Flow::Seal(seal)],
            };
            Ok::<_, StageEnd>((flows, held))
        }
    });
    let mut finished = std::pin::pin!(running.buffered(n_jobs));
    while let Some(done) = finished.next().await {
        let (flows, _held_until_sent) = done?;
        for flow in flows {
            outlet.send(flow).await?;
        }
    }
    Ok(())
}

/// Runs a request on a task of its own, so that it goes on while nobody asks for its result.
///
/// A stream that waits for its consumer, or for the budget, polls none of the requests it has begun; their clocks run on, and an
/// answer that lies ready is taken for one that never came. Dropped with its future.
pub async fn driven<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    struct Task<T>(tokio::task::JoinHandle<T>);
    impl<T> Drop for Task<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Task(tokio::spawn(work));
    joined((&mut task.0).await).await
}

/// Runs short CPU work off the I/O threads.
pub async fn off_io<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work).await).await
}

async fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(done) => done,
        Err(end) => match end.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            // Cancelled with the runtime: nobody waits any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::driven;

    #[tokio::test]
    async fn a_request_goes_on_while_nobody_asks_for_it() {
        let (sent, answered) = tokio::sync::oneshot::channel();
        let kept = Arc::new(());
        let held = Arc::clone(&kept);
        let mut request = Box::pin(driven(async move {
            let _held = held;
            sent.send(()).expect("somebody listens");
            std::future::pending::<()>().await;
        }));
        assert!((&mut request).now_or_never().is_none());
        answered.await.expect("it ran on its own");
        drop(request);
        while Arc::strong_count(&kept) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
