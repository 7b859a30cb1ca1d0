//! Links, budgets, stopping and verdicts of a pipeline. Knows nothing of what flows: not images, not stores.

pub mod budget;
pub mod found;
pub mod link;
pub mod meter;
pub mod open;
pub mod ordered;
pub mod profile;
pub mod progress;
pub mod spans;
pub mod stop;
pub mod verdict;
pub mod watchdog;

use std::sync::Arc;

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

/// Travels behind the last item of a partition, on the same links and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Which partition ends here.
    pub partition: u32,
    /// Samples the source admitted to it.
    pub n_samples: u64,
    /// How many of them each cell owes a result for; the sink counts again and compares.
    pub n_by_cell: Arc<[u64]>,
}

/// What a link carries: items of one stage, what could not become one, and the ends of partitions.
#[derive(Debug)]
pub enum Flow<T, R> {
    /// The stage's product.
    Item(T),
    /// Something that leaves the flow and is recorded at its end.
    Reject(R),
    /// The end of a partition.
    Seal(Seal),
}
