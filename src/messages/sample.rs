//! One image of the manifest and where it lies.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use t3b_decode::Slice;

use super::{CellIdx, Reason};

/// One image of the frozen manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample {
    /// Position in the frozen list, from 0: `sample_row` in tables. Batches and partitions count by it.
    pub row: u64,
    /// Data row of the manifest file, from 0: `manifest_row` in tables. Larger than `row` where a split was left out.
    pub manifest_row: u64,
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
    pub location: Location,
    /// Which picture of a multi-frame DICOM or multi-page TIFF, from 0; `None` where there is one.
    pub frame: Option<u32>,
    /// Which slice of a volume; `None` where there is one.
    pub slice: Option<Slice>,
    /// The one cell an already corrupted image is of; `None` for an image that is brought into every cell of the pipeline.
    pub declared: Option<CellIdx>,
}

/// Where in its object an image lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
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
    /// The one who listed it found that there is nothing to be scored: why, and what was found.
    Refused(Reason, Arc<str>),
}

impl Location {
    /// Row of the archive, or the byte at which the image begins in it; `None` where the object is the image.
    #[must_use]
    pub fn within(&self) -> Option<u64> {
        match self {
            Self::Offset(at) => Some(*at),
            Self::Row { row, .. } => Some(*row),
            Self::Whole | Self::Refused(..) => None,
        }
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample(row {}, {})", self.row, self.id)
    }
}
