//! Every message that crosses a link, in the order of the flow. Read top to bottom, this is the pipeline:
//! `Sample -> Fetched -> Decoded -> Corrupted -> Batch -> Scored`, with [`Seal`] behind the last item of a
//! partition. Only host data crosses links; no message holds a tensor.

mod reason;
mod reject;
mod sample;
mod scored;

use std::sync::Arc;

use bytes::Bytes;
use t3b_image::Rgb8;
use tokio::sync::OwnedSemaphorePermit;

pub use crate::flow::{Seal, Stage};
pub use reason::Reason;
pub use reject::Reject;
pub use sample::{Location, Sample};
pub use scored::{Coefficients, MethodScores, Prediction, Scored, Signal};

/// What a link of the pipeline carries.
pub type Flow<T> = crate::flow::Flow<T, Reject>;
/// The receiving end of a link of the pipeline.
pub type Inlet<T> = crate::flow::link::Inlet<T, Reject>;
/// The sending end of a link of the pipeline.
pub type Outlet<T> = crate::flow::link::Outlet<T, Reject>;

/// Position of a cell in the pipeline's list.
pub type CellIdx = usize;

/// The bytes of one object, as the manifest names them.
#[derive(Debug)]
pub struct Fetched {
    /// Whose bytes.
    pub sample: Arc<Sample>,
    /// The whole object.
    pub bytes: Bytes,
    /// Holds the compressed bytes' share of the budget until they are decoded.
    pub permit: OwnedSemaphorePermit,
}

/// One image, at model resolution or, when it is corrupted before the resize, at its own.
#[derive(Debug)]
pub struct Decoded {
    /// Whose pixels.
    pub sample: Arc<Sample>,
    /// The pixels.
    pub pixels: Rgb8,
    /// Holds the decoded bytes' share of the budget while the image keeps its own size.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// One image in one cell.
#[derive(Debug)]
pub struct Corrupted {
    /// Whose pixels.
    pub sample: Arc<Sample>,
    /// Which cell.
    pub cell: CellIdx,
    /// Square, at the model's side.
    pub pixels: Rgb8,
}

/// One sample in one cell, as a member of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which sample.
    pub sample: Arc<Sample>,
    /// Which cell its pixels are of.
    pub cell: CellIdx,
}

/// Which samples share a batch: a fact about the manifest, never about timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// `manifest_row / batch_size`; unique within a cell.
    pub batch: u64,
    /// Which cell; with mixed batches, which of the `n_cells` batches over the same samples.
    pub cell: CellIdx,
    /// First manifest row of the slot.
    pub first_row: u64,
    /// Samples planned for it, quarantined ones included; at least 1.
    pub n_planned: u32,
}

/// Which cells share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// One cell a batch.
    Pure,
    /// Every cell in every batch; an experiment, since a coefficient then averages over corruptions.
    Mixed,
}

/// The samples of one slot that could be read, `n_planned` at most, none pulled forward.
#[derive(Debug)]
pub struct Batch {
    /// Which slot.
    pub slot: Slot,
    /// In manifest order; holes where samples were quarantined.
    pub members: Vec<Member>,
    /// `[members, side, side, 3]`, u8.
    pub pixels: Vec<u8>,
}
