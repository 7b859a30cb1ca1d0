//! The lane's own OS thread: made first, so that its numerics are known before anything is planned; linked later.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::oneshot;

use crate::error::Problem;
use crate::flow::Stage;
use crate::flow::verdict::{StageEnd, verdict};
use crate::messages::{Batch, Inlet, Outlet, Scored};
use crate::score::{Costs, Lane, score};

type Links = (Inlet<Batch>, Outlet<Scored>);

/// A lane on its thread, waiting for its links. Dropping it ends the thread.
#[derive(Debug)]
pub struct ReadyLane {
    /// Hash of the logits of two fixed images: the numerics of this device and program.
    pub canary: String,
    /// Where the time of its scoring goes.
    pub costs: Costs,
    links: oneshot::Sender<Links>,
    end: oneshot::Receiver<Result<(), StageEnd>>,
}

impl ReadyLane {
    /// Makes a lane on a thread of its own and asks it for its canary.
    ///
    /// # Errors
    /// Whatever kept the lane from being made.
    pub async fn start<L>(name: &str, make: L) -> Result<Self, Problem>
    where
        L: FnOnce() -> Result<Lane, Problem> + Send + 'static,
    {
        let (tell_ready, ready) = oneshot::channel();
        let (links, linked) = oneshot::channel::<Links>();
        let (tell_end, end) = oneshot::channel();
        let body = move || {
            let made = contained(|| {
                let mut lane = make()?;
                let canary = lane.canary()?;
                Ok((lane, canary))
            });
            let mut lane = match made {
                Ok((lane, canary)) => {
                    drop(tell_ready.send(Ok((canary, lane.costs()))));
                    lane
                }
                Err(end) => return drop(tell_ready.send(Err(end))),
            };
            if let Ok((inlet, outlet)) = linked.blocking_recv() {
                // Nobody listens when the run has ended already; then this end does not matter.
                drop(tell_end.send(contained(|| score(&mut lane, inlet, outlet))));
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        let ready = match thread {
            Ok(_) => ready.await.unwrap_or(Err(StageEnd::Torn)),
            Err(_) => Err(StageEnd::Panicked("the system starts no more threads".to_owned())),
        };
        match ready {
            Ok((canary, costs)) => Ok(Self { canary, costs, links, end }),
            Err(end) => Err(verdict(&[(Stage::Score, Err(end))]).expect("an error has a verdict")),
        }
    }

    /// Links the lane and waits for its end without blocking the runtime.
    pub(super) async fn run(self, inlet: Inlet<Batch>, outlet: Outlet<Scored>) -> Result<(), StageEnd> {
        drop(self.links.send((inlet, outlet)));
        self.end.await.unwrap_or(Err(StageEnd::Torn))
    }
}

fn contained<T>(work: impl FnOnce() -> Result<T, StageEnd>) -> Result<T, StageEnd> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(StageEnd::from_panic(payload.as_ref())))
}
