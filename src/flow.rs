//! Every message that crosses a link, in the order of the flow. Read top to bottom, this is the pipeline:
//! `Sample -> Fetched -> Decoded -> Corrupted -> Batch -> Scored`, with [`Seal`] behind the last item of a
//! partition. Only host data crosses links; no message holds a tensor.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use tokio::sync::OwnedSemaphorePermit;

use crate::corrupt::{Corruption, Severity};
pub use crate::decode::Slice;
use crate::merge::method::Method;
use crate::pixels::Rgb8;

/// One image of the frozen manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample {
    /// Position in the frozen, filtered manifest, from 0.
    pub row: u64,
    /// The pseudonym: `[A-Za-z0-9_-]{1,64}`.
    pub id: Box<str>,
    /// Key below the input root. It may identify a patient, so `Debug` hides it.
    pub key: Path,
    /// Ground truth, when the manifest has it.
    pub label_idx: Option<u32>,
    /// Content hash the bytes must have.
    pub sha256: Option<[u8; 32]>,
    /// Size its bytes must have; there whenever the image is not the whole object.
    pub size_bytes: Option<u64>,
    /// Which part of the object it is.
    pub place: Place,
    /// Which picture of a multi-frame DICOM or multi-page TIFF, from 0; `None` where there is one.
    pub frame: Option<u32>,
    /// Which slice of a volume; `None` where there is one.
    pub slice: Option<Slice>,
}

/// Where in its object an image lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The object is the image.
    Whole,
    /// A shard holds it from this byte on.
    Offset(u64),
    /// A row of an archive: of the npz array or Parquet column `entry`, or of the only one.
    Row {
        /// Name of the array or column.
        entry: Option<Arc<str>>,
        /// From 0.
        row: u64,
    },
    /// The one who listed the archive found that there is nothing to be scored; the reason code.
    Refused(&'static str),
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample(row {}, {})", self.row, self.id)
    }
}

/// One (corruption, severity) of the evaluation; `clean/0` has no corruption.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Corruption name, `clean` for none.
    pub corruption: Arc<str>,
    /// 1 to 5, 0 for `clean`.
    pub severity: u8,
    kind: Option<(Severity, Corruption)>,
}

impl Cell {
    /// The untouched image.
    #[must_use]
    pub fn clean() -> Self {
        Self { corruption: "clean".into(), severity: 0, kind: None }
    }

    /// One corruption at one severity.
    #[must_use]
    pub fn corrupted(name: &str, severity: Severity, kind: Corruption) -> Self {
        Self { corruption: name.into(), severity: severity.get(), kind: Some((severity, kind)) }
    }

    /// What to apply; `None` for `clean`.
    #[must_use]
    pub fn kind(&self) -> Option<&(Severity, Corruption)> {
        self.kind.as_ref()
    }
}

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

/// What one method says of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Class probabilities, summing to 1.
    pub probs: Vec<f64>,
    /// Most probable class; the lowest index among equals.
    pub pred_idx: u32,
    /// Its probability.
    pub pred_prob: f64,
    /// Top 1 minus top 2 probability.
    pub margin: f64,
    /// Entropy of `probs`, nats.
    pub entropy_nats: f64,
}

/// What the two parents say of one sample together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Jensen-Shannon divergence, 0 to ln 2.
    pub js_nats: f64,
    /// The sample's coefficient after the guard: weight on the expert.
    pub lambda_sample: f64,
    /// What the guard did: towards the expert (+1), the pretrained (-1) or nothing (0).
    pub guard: i8,
    /// Entropy of the pretrained model's probabilities.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert's probabilities.
    pub ft_entropy_nats: f64,
    /// Whether both predict the same class.
    pub agree: bool,
}

/// One batch with everything the tables need.
#[derive(Debug)]
pub struct Scored {
    /// Which slot.
    pub slot: Slot,
    /// Scored members, in manifest order.
    pub members: Vec<Member>,
    /// One per member.
    pub signals: Vec<Signal>,
    /// One list per method in pipeline order, one prediction per member.
    pub predictions: Vec<(Method, Vec<Prediction>)>,
    /// Mean coefficient over the scored samples; `None` when there are none.
    pub lambda_batch: Option<f64>,
    /// Samples the models gave non-finite logits for.
    pub rejects: Vec<Reject>,
}

/// Stage names, as they appear in the quarantine table and in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reads objects.
    Source,
    /// Bytes to pixels at model resolution.
    Decode,
    /// One image to one per cell.
    Corrupt,
    /// Fixed batches per cell.
    Batch,
    /// The lane.
    Score,
    /// Tables and receipts.
    Sink,
}

impl Stage {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Decode => "decode",
            Self::Corrupt => "corrupt",
            Self::Batch => "batch",
            Self::Score => "score",
            Self::Sink => "sink",
        }
    }
}

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
    /// From a closed list, see `docs/errors.md`.
    pub reason: &'static str,
    /// Our own words and numbers only, at most 200 characters.
    pub detail: String,
    /// Size of the object, when known.
    pub size_bytes: Option<u64>,
    /// What the first bytes look like.
    pub format: Option<&'static str>,
    /// Width and height the header declares.
    pub declared_px: Option<(u32, u32)>,
}

/// Travels behind the last item of a partition, on the same links and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Which partition ends here.
    pub partition: u32,
    /// Samples the source admitted to it; the sink counts again and compares.
    pub n_samples: u64,
}

/// What a link carries.
#[derive(Debug)]
pub enum Flow<T> {
    /// The stage's product.
    Item(T),
    /// A sample on its way to the quarantine table.
    Reject(Reject),
    /// The end of a partition.
    Seal(Seal),
}
