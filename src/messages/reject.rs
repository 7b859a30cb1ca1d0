//! A sample on its way to the quarantine table.

use std::sync::Arc;

use super::{CellIdx, Reason, Sample};
use crate::flow::Stage;

/// A sample that could not be scored because of what its bytes are; becomes a quarantine row.
///
/// Only facts about the bytes reject: network, memory and time fail the attempt instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Which sample.
    pub sample: Arc<Sample>,
    /// The cell it failed in; `None` before corruption, and then it counts for every cell.
    pub cell: Option<CellIdx>,
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// Our own words and numbers only, at most 200 characters.
    pub detail: String,
    /// Size of the object, when known.
    pub size_bytes: Option<u64>,
    /// What the first bytes look like.
    pub format: Option<&'static str>,
    /// Width and height the header declares.
    pub declared_px: Option<(u32, u32)>,
}
