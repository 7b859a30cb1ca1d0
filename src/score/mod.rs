//! The lanes: each owns a device and everything on it. Batches in, host numbers out.

mod costs;
mod device;
mod engine;
mod inputs;
mod int8;
mod lane;
mod parents;
mod predict;
mod scorer;

pub use costs::Costs;
pub use device::{Device, Devices, Wanted, numerics_class};
pub use engine::TowerKind;
pub use inputs::{ModelPair, TextSource};
pub use int8::Int8Rule;
pub use lane::{Lane, LaneRule};

use crate::error::{Exit, Problem};

/// A merge that these parents do not allow.
fn unusable(method: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new("C008", Exit::Config, format!("merge.{method}: {error}"))
        .hint(format!("leave {method} out of merge.methods, or change the parents or its parameters"))
}
