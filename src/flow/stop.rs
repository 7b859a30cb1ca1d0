//! How a run is asked to end: `Running -> Draining`. Only the source listens.
//!
//! There is no third phase: whoever cannot wait for the drain leaves the process, which the commit allows at any
//! moment.

use std::time::Duration;

use tokio::sync::watch;

/// What the run should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Admit partition after partition.
    Running,
    /// Finish the open partition and admit no more.
    Draining,
}

/// The listening end; clones hear the same.
#[derive(Debug, Clone)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
}

/// The asking end.
#[derive(Debug)]
pub struct StopHandle {
    phase: watch::Sender<Phase>,
}

/// A stop nobody has asked for yet.
#[must_use]
pub fn stop() -> (StopHandle, Stop) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (StopHandle { phase: sender }, Stop { phase: receiver })
}

impl StopHandle {
    /// Moves on to `phase`; never back.
    pub fn ask(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Follows the process's signals: the first calls `on_first` and drains; returns `deadline` later or at a second signal, when
    /// nobody should wait any longer.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub async fn follow_signals(self, deadline: Duration, on_first: impl FnOnce()) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        on_first();
        self.ask(Phase::Draining);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(deadline) => {}
        }
        Ok(())
    }
}

impl Stop {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns once the phase is at least `phase`; never, when the asking end is gone before that.
    pub async fn reached(&mut self, phase: Phase) {
        if self.phase.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_never_goes_back() {
        let (handle, stop) = stop();
        handle.ask(Phase::Draining);
        handle.ask(Phase::Running);
        assert_eq!(stop.phase(), Phase::Draining);
    }
}
