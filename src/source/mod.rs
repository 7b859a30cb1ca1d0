//! Manifest to bytes: objects are read side by side and leave in manifest order, partition by partition.

mod archive;
pub mod catalog;
mod cells;
mod fields;
mod grouping;
mod header;
mod labels;
mod manifest;
mod problems;
mod ranged;
mod rows;
mod shard;
mod spool;
mod todo;
mod words;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use archive::{ArchiveReader, RowOf};
pub use grouping::Grouping;
pub use manifest::{Frozen, Manifest, ManifestFile, ManifestRule, Stretch, is_frozen};
use ranged::Ranged;
pub use todo::Todo;

use crate::flow::budget::ByteBudget;
use crate::flow::ordered::{driven, off_io};
use crate::flow::stop::{Phase, Stop};
use crate::flow::verdict::StageEnd;
use crate::messages::Outlet;
use crate::messages::{Fetched, Flow, Location, Reason, Reject, Sample, Seal, Stage};
use crate::store::{Cause, Object, Root, StoreError};

/// Reads of what is not as it should be, until two agree.
const REREADS: u32 = 5;

/// A contiguous slice of the manifest: the unit of work, of commit and of distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Position, from 0.
    pub index: u32,
    /// Rows of the list; where cells are declared, not at each stands a sample.
    pub rows: Range<u64>,
}

/// How a list is cut into partitions of one size; the last may be shorter. No row is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    size: u64,
    end: u64,
    next: u32,
}

impl Partitions {
    /// Of the rows below `end`.
    #[must_use]
    pub fn new(size: u32, end: u64) -> Self {
        Self { size: u64::from(size.max(1)), end, next: 0 }
    }

    /// The partition at a position; `None` behind the last.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<Partition> {
        let start = u64::from(index) * self.size;
        (start < self.end).then(|| Partition { index, rows: start..self.end.min(start + self.size) })
    }

    /// How many there are.
    #[must_use]
    pub fn n(&self) -> u32 {
        u32::try_from(self.end.div_ceil(self.size)).unwrap_or(u32::MAX)
    }
}

impl Iterator for Partitions {
    type Item = Partition;

    fn next(&mut self) -> Option<Partition> {
        let partition = self.get(self.next)?;
        self.next += 1;
        Some(partition)
    }
}

/// How objects are read.
#[derive(Debug, Clone)]
pub struct SourceRule {
    /// Objects read at once.
    pub concurrency: usize,
    /// Bytes of one ranged GET.
    pub range_bytes: u64,
    /// Larger objects are quarantined unread.
    pub max_object_bytes: u64,
    /// Cells that the pipeline makes of every sample without one of its own, and cells in all.
    pub n_cells: (usize, usize),
}

impl SourceRule {
    /// How many samples each cell owes a result for.
    fn owed(&self, samples: &[Arc<Sample>]) -> Arc<[u64]> {
        let (n_made, n_cells) = self.n_cells;
        let mut owed = vec![0; n_cells];
        for sample in samples {
            match sample.declared {
                Some(cell) => owed[cell] += 1,
                None => owed[..n_made].iter_mut().for_each(|n| *n += 1),
            }
        }
        owed.into()
    }
}

/// Reads the samples of every partition in order and seals each; between partitions it listens to `stop`.
///
/// # Errors
/// Store failures that outlived their retries, and `Hangup`.
pub async fn source(
    rule: SourceRule,
    root: Root,
    manifest: Arc<Manifest>,
    mut todo: Todo,
    budget: ByteBudget,
    stop: Stop,
    mut outlet: Outlet<Fetched>,
) -> Result<(), StageEnd> {
    let reader = Arc::new(Reader { root, rule, archives: Arc::default() });
    while stop.phase() < Phase::Draining {
        let Some(partition) = todo.next().await? else { break };
        let _reading = outlet.hold();
        let slice: Vec<Arc<Sample>> =
            manifest.samples(partition.rows).await?.into_iter().map(Arc::new).collect();
        let (n_samples, n_by_cell) = (slice.len() as u64, reader.rule.owed(&slice));
        let mut read = std::pin::pin!(read_all(&reader, slice, &budget));
        while let Some(flow) = read.next().await {
            outlet.send(flow?).await?;
        }
        outlet.send(Flow::Seal(Seal { partition: partition.index, n_samples, n_by_cell })).await?;
    }
    Ok(())
}

/// The samples' bytes in order; the budget is taken in order too, before each read.
fn read_all(
    reader: &Arc<Reader>,
    samples: Vec<Arc<Sample>>,
    budget: &ByteBudget,
) -> impl Stream<Item = Result<Flow<Fetched>, StoreError>> + Send + use<> {
    let concurrency = reader.rule.concurrency;
    let max_bytes = reader.rule.max_object_bytes;
    let (measurer, reader, budget) = (Arc::clone(reader), Arc::clone(reader), budget.clone());
    let sized = stream::iter(samples).map(move |sample| {
        let reader = Arc::clone(&measurer);
        driven(async move {
            match reader.measure(&sample).await {
                Ok(size) => Ok((sample, Ok(size))),
                // What is there is no object, and never will be read.
                Err(error) if error.cause == Cause::Outside => Ok((sample, Err(outside()))),
                Err(error) if error.cause == Cause::Special => Ok((sample, Err(special()))),
                Err(error) => Err(error),
            }
        })
    });
    let admitted = sized.buffered(concurrency).then(move |measured| {
        let permit = match &measured {
            Ok((_, Ok(Some(size)))) if (1..=max_bytes).contains(size) => Some(budget.acquire(*size)),
            _ => None,
        };
        async move {
            let permit = if let Some(permit) = permit { Some(permit.await) } else { None };
            measured.map(|(sample, size)| (sample, size, permit))
        }
    });
    let read = admitted.map(move |admitted| {
        let reader = Arc::clone(&reader);
        async move {
            let (sample, size, permit) = admitted?;
            let size = match size {
                Ok(size) => size,
                Err(refusal) => return Ok(Flow::Reject(reject(sample, refusal))),
            };
            let Some(permit) = permit else { return Ok(Flow::Reject(unread(sample, size, max_bytes))) };
            let whose = Arc::clone(&sample);
            let fetch = async move { reader.fetch(&whose).await };
            let fetched = match sample.location {
                // Rows take turns at their archive, in this order, and are read by a thread that waits for nobody.
                Location::Row { .. } => fetch.await?,
                _ => driven(fetch).await?,
            };
            Ok(match fetched {
                Ok(bytes) => Flow::Item(Fetched { sample, bytes, permit }),
                Err(refusal) => Flow::Reject(reject(sample, refusal)),
            })
        }
    });
    read.buffered(concurrency)
}

/// Why a sample of this size is not read.
fn unread(sample: Arc<Sample>, size: Option<u64>, max_bytes: u64) -> Reject {
    if let Location::Refused(reason, found) = &sample.location {
        let refusal = (*reason, found.to_string(), sample.size_bytes);
        return reject(sample, refusal);
    }
    let refusal = match size {
        None => missing(&sample),
        Some(0) => empty(),
        Some(size) => too_large(size, max_bytes),
    };
    reject(sample, refusal)
}

/// Reason, detail and size of a sample that cannot be read for good.
type Refusal = (Reason, String, Option<u64>);

/// Names that look alike and are others are told apart: a user sees no difference.
fn missing(sample: &Sample) -> Refusal {
    let detail = match sample.key.as_ref() {
        key if key.contains('\\') => {
            "no object of that name, which has a backslash; folders are told apart by /"
        }
        key if !key.is_ascii() => {
            "no object of that name; an accented letter may be stored as one character or as two (NFC, NFD)"
        }
        _ => "no object of that name",
    };
    (Reason::MissingObject, detail.to_owned(), None)
}

fn outside() -> Refusal {
    (Reason::OutsideRoot, "a link that leaves the root".to_owned(), None)
}

fn special() -> Refusal {
    (Reason::NotAFile, "a device, a pipe, a socket, or a link to itself".to_owned(), None)
}

fn empty() -> Refusal {
    (Reason::EMPTY_OBJECT, "0 bytes".to_owned(), Some(0))
}

fn too_large(size: u64, max_bytes: u64) -> Refusal {
    (Reason::ObjectTooLarge, format!("found {size} bytes, allowed {max_bytes}"), Some(size))
}

struct Reader {
    root: Root,
    rule: SourceRule,
    /// Lent in the order in which rows are asked for, which is the manifest's.
    archives: Arc<Mutex<ArchiveReader>>,
}

impl Reader {
    /// The manifest's size, or the store's where the manifest has none, so that the budget is taken in order.
    async fn measure(&self, sample: &Sample) -> Result<Option<u64>, StoreError> {
        match (&sample.location, sample.size_bytes) {
            (Location::Refused(..), _) => Ok(None),
            (_, Some(size)) => Ok(Some(size)),
            (_, None) => self.root.size(&sample.key, &object(sample)).await,
        }
    }

    /// The object, the entry of a shard that the manifest places, or a row of an archive.
    async fn read(&self, sample: &Sample) -> Result<Result<Bytes, Refusal>, StoreError> {
        let (key, object, range_bytes) = (&sample.key, object(sample), self.rule.range_bytes);
        let max_bytes = self.rule.max_object_bytes;
        let found = match (&sample.location, sample.size_bytes) {
            (Location::Row { entry, row }, size) => {
                let of = RowOf { key: key.clone(), entry: entry.clone(), row: *row, label_column: None };
                let found = self.row(of).await?;
                return Ok(found.map_err(|(reason, detail)| (reason, detail, size)));
            }
            (Location::Offset(offset), Some(size)) => {
                self.root.read_part(key, &object, *offset..offset.saturating_add(size), range_bytes).await?
            }
            _ => self.root.read_object(key, &object, max_bytes, range_bytes).await?,
        };
        Ok(match found {
            Object::Bytes(bytes) => Ok(bytes),
            Object::Missing => Err(missing(sample)),
            Object::Empty => Err(empty()),
            Object::TooLarge(size) => Err(too_large(size, max_bytes)),
            Object::Archived => {
                Err((Reason::ArchivedObject, "in an archived storage class".to_owned(), None))
            }
            Object::Changed => Err((Reason::SourceChanged, "another version at every read".to_owned(), None)),
            Object::Outside => Err(outside()),
            Object::Special => Err(special()),
            Object::Short(end) => {
                let detail = format!("found a shard of {end} bytes, the entry ends behind it");
                Err((Reason::ArchiveTruncated, detail, sample.size_bytes))
            }
        })
    }

    async fn row(&self, of: RowOf) -> Result<Result<Bytes, (Reason, String)>, StoreError> {
        let mut reader = Arc::clone(&self.archives).lock_owned().await;
        let (root, range_bytes) = (self.root.clone(), self.rule.range_bytes);
        let read = move || reader.read(|| Ranged::open(&root, &of.key, range_bytes), &of);
        Ok(off_io(read).await?.map(|content| content.bytes))
    }

    async fn fetch(&self, sample: &Sample) -> Result<Result<Bytes, Refusal>, StoreError> {
        let bytes = match self.read(sample).await? {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let size = bytes.len() as u64;
        match sample.size_bytes.filter(|&declared| declared != size) {
            None => self.verified(sample, bytes).await,
            Some(declared) => {
                let detail = format!("found {size} bytes, the manifest says {declared}");
                Ok(Err((Reason::SizeMismatch, detail, Some(size))))
            }
        }
    }

    /// Compares the content with the manifest's hash. Bytes that differ are read again: damage on the way is gone or
    /// different then, damage at rest is the same twice, and only that is a fact about the sample.
    async fn verified(&self, sample: &Sample, bytes: Bytes) -> Result<Result<Bytes, Refusal>, StoreError> {
        let Some(expected) = sample.sha256 else { return Ok(Ok(bytes)) };
        let mut found = sha256(bytes.clone()).await;
        if found == expected {
            return Ok(Ok(bytes));
        }
        for _ in 0..REREADS {
            let Ok(again) = self.read(sample).await? else { break };
            let before = std::mem::replace(&mut found, sha256(again.clone()).await);
            if found == expected {
                return Ok(Ok(again));
            }
            if found == before {
                let detail = "content differs from the manifest's sha256".to_owned();
                return Ok(Err((Reason::ChecksumMismatch, detail, Some(bytes.len() as u64))));
            }
        }
        let cause = Cause::Other("other bytes came each time".to_owned());
        Err(StoreError { operation: "read", object: object(sample), cause })
    }
}

/// Hashed off the I/O threads.
async fn sha256(bytes: Bytes) -> [u8; 32] {
    off_io(move || Sha256::digest(&bytes).into()).await
}

fn reject(sample: Arc<Sample>, (reason, detail, size_bytes): Refusal) -> Reject {
    Reject {
        cell: sample.declared,
        sample,
        stage: Stage::Source,
        reason,
        detail,
        size_bytes,
        format: None,
        declared_px: None,
    }
}

/// How errors speak of a sample: by row and pseudonym, never by key.
fn object(sample: &Sample) -> String {
    format!("sample {} (row {})", sample.id, sample.row)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A loose image without anything declared.
    pub(crate) fn sample() -> Sample {
        Sample {
            row: 0,
            manifest_row: 0,
            id: "s".into(),
            key: object_store::path::Path::from("k"),
            label_idx: None,
            sha256: None,
            size_bytes: None,
            location: Location::Whole,
            frame: None,
            slice: None,
            declared: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_tile_the_list() {
        let rows = |size, end| Partitions::new(size, end).map(|partition| partition.rows).collect::<Vec<_>>();
        assert_eq!(rows(4, 10), [0..4, 4..8, 8..10]);
        assert_eq!(rows(4, 8), [0..4, 4..8]);
        assert!(rows(4, 0).is_empty());
        let cut = Partitions::new(4, 10);
        assert_eq!((cut.n(), cut.get(2).map(|p| p.index), cut.get(3)), (3, Some(2), None));
        assert_eq!(cut.get(u32::MAX), None);
    }
}
