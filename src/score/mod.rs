//! The lane: one OS thread owns a device and every tensor on it. Batches in, host numbers out.

mod costs;
mod device;
mod engine;
mod inputs;
mod lane;
mod parents;
mod predict;
mod scorer;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use costs::Costs;
pub use device::{DeviceKind, numerics_class, pick};
pub use engine::TowerKind;
pub use inputs::{ModelPair, TextSource};
pub use lane::{Lane, LaneRule};

use crate::error::{Exit, Problem};
use crate::flow::verdict::StageEnd;
use crate::messages::{Batch, Flow, Scored};
use crate::messages::{Inlet, Outlet};

/// The stage, for a thread of its own: scores batch after batch; rejects and seals keep their place.
///
/// # Errors
/// Device failures, `Torn` and `Hangup` from the links, `Panicked` for a bug.
pub fn score(lane: &mut Lane, mut inlet: Inlet<Batch>, mut outlet: Outlet<Scored>) -> Result<(), StageEnd> {
    while let Some(message) = inlet.next_blocking()? {
        let message = match message {
            Flow::Item(batch) => {
                let scored = catch_unwind(AssertUnwindSafe(|| lane.score_batch(&batch)));
                Flow::Item(scored.map_err(|payload| StageEnd::from_panic(payload.as_ref()))??)
            }
            Flow::Reject(reject) => Flow::Reject(reject),
            Flow::Seal(seal) => Flow::Seal(seal),
        };
        outlet.send_blocking(message)?;
    }
    Ok(())
}

/// A merge that these parents do not allow.
fn unusable(method: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new("C008", Exit::Config, format!("merge.{method}: {error}"))
        .hint(format!("leave {method} out of merge.methods, or change the parents or its parameters"))
}
