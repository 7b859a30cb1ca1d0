//! Signals to the end of the process: the first drains, the second or the deadline leaves at once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::stop::{Phase, Stop, StopHandle, stop};

/// Follows signals until dropped; call it before anything that takes time.
pub(super) struct Signals {
    task: JoinHandle<()>,
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts following. The drain may take `deadline`.
pub(super) fn follow(deadline: Duration, meter: Meter) -> (Signals, Stop) {
    let (handle, stop) = stop();
    (Signals { task: tokio::spawn(obey(handle, deadline, meter)) }, stop)
}

async fn obey(handle: StopHandle, deadline: Duration, meter: Meter) {
    let on_first = || {
        // Said before it can be lost, so that whoever asked may let the partition be finished or not.
        let (open_pairs, deadline_s) = (meter.open_pairs.load(Relaxed), deadline.as_secs());
        let at_stake_s = meter.open.at_stake().as_secs();
        tracing::warn!(
            deadline_s,
            open_pairs,
            at_stake_s,
            "stopping: finishing the open partition; what of it is not committed in time will be scored again"
        );
    };
    if handle.follow_signals(deadline, on_first).await.is_err() {
        tracing::warn!("signals cannot be followed: a signal ends this process at once");
        return;
    }
    let (open_pairs, at_stake_s) = (meter.open_pairs.load(Relaxed), meter.open.at_stake().as_secs_f64());
    let what = format!(
        "stopped before the open partition was finished: {open_pairs} scored (sample, cell) pairs of it are lost, at most \
         {at_stake_s:.1} s of work"
    );
    tell!("{}", preempted(&what));
    // The graph may wait for a store that never answers, or a thread may be deep in a model. Nothing has to be
    // tidied up: a partition without a receipt does not exist.
    std::process::exit(i32::from(Exit::Preempted.code()));
}

/// The outcome of `work`, unless a signal comes first: for work that commits nothing.
pub(super) async fn unless_stopped<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    let mut stop = stop.clone();
    tokio::select! {
        done = work => done,
        () = stop.reached(Phase::Draining) => Err(preempted("stopped before the first partition").into()),
    }
}

fn preempted(what: &str) -> Problem {
    Problem::new("P001", Exit::Preempted, what).hint("run the same command again to go on")
}
