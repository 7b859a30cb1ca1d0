//! The list of samples, read a partition at a time: from this process's own spool, or from where it was frozen.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::columns::of_batch;
use crate::error::Problem;
use crate::flow::ordered::off_io;
use crate::messages::Sample;
use crate::source::problems::bad;
use crate::source::spool::{Spool, unspooled};
use crate::store::{Object, Root, listed_key};

/// Row groups, which are partitions, of one part. A part's footer is in memory while its partitions are read.
pub(super) const GROUPS_PER_PART: usize = 32;
/// Where the ends of a part's row groups and their hashes stand in its footer.
pub(super) const GROUPS: &str = "t3b.row_groups";
/// Bytes behind a footer: its length and `PAR1`.
const TAIL_BYTES: usize = 8;
/// Bytes of one ranged read.
const RANGE_BYTES: u64 = 8 << 20;

/// One Parquet file of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Its size.
    pub(super) n_bytes: u64,
    /// Where its footer begins, behind the last row group.
    pub(super) footer_start: u64,
    /// Of the bytes from there to the end; the footer holds the hashes of the row groups.
    pub(super) footer_sha256: String,
}

/// Where the parts lie.
#[derive(Debug, Clone)]
enum Place {
    /// One behind the other.
    Spooled(Spool),
    /// One object each, below this folder.
    Stored(Root, String),
}

/// Samples by partition.
#[derive(Debug)]
pub(super) struct List {
    place: Place,
    pub(super) parts: Vec<Part>,
    partition_size: u64,
    /// The footer that was read last, with the number of its part.
    footer: Mutex<Option<(usize, Arc<Footer>)>>,
}

/// A part's footer: what its row groups hold and where each ends.
#[derive(Debug)]
struct Footer {
    metadata: ArrowReaderMetadata,
    groups: Vec<(Range<u64>, String)>,
}

impl List {
    pub(super) fn spooled(spool: Spool, parts: Vec<Part>, partition_size: u64) -> Self {
        Self { place: Place::Spooled(spool), parts, partition_size, footer: Mutex::default() }
    }

    /// The list whose parts lie below `folder`.
    pub(super) fn stored(root: Root, folder: String, parts: Vec<Part>, partition_size: u64) -> Self {
        Self { place: Place::Stored(root, folder), parts, partition_size, footer: Mutex::default() }
    }

    /// Key of a part below the folder of its list.
    pub(super) fn part_name(part: usize) -> String {
        format!("part-{part:06}.parquet")
    }

    /// The samples at these rows, in their order.
    ///
    /// # Errors
    /// `M033` when the list is not what its head says; store failures.
    pub(super) async fn samples(&self, rows: Range<u64>) -> Result<Vec<Sample>, Problem> {
        let mut found = Vec::new();
        if rows.is_empty() {
            return Ok(found);
        }
        for partition in rows.start / self.partition_size..=(rows.end - 1) / self.partition_size {
            let samples = self.partition(partition).await?;
            found.extend(samples.into_iter().filter(|sample| rows.contains(&sample.row)));
        }
        Ok(found)
    }

    async fn partition(&self, partition: u64) -> Result<Vec<Sample>, Problem> {
        let partition = usize::try_from(partition).unwrap_or(usize::MAX);
        let (part, group) = (partition / GROUPS_PER_PART, partition % GROUPS_PER_PART);
        let footer = self.footer(part).await?;
        let (range, sha256) = footer.groups.get(group).ok_or_else(|| damaged("has too few rows"))?.clone();
        let bytes = self.bytes(part, range.clone()).await?;
        let samples = off_io(move || decode(&footer, group, Window { start: range.start, bytes }, &sha256));
        samples.await
    }

    async fn footer(&self, part: usize) -> Result<Arc<Footer>, Problem> {
        let known = self.footer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, footer)) = known.filter(|(of, _)| *of == part) {
            return Ok(footer);
        }
        let Part { n_bytes, footer_start, footer_sha256 } =
            self.parts.get(part).ok_or_else(|| damaged("has too few parts"))?;
        let bytes = self.bytes(part, *footer_start..*n_bytes).await?;
        check(&bytes, footer_sha256)?;
        let footer =
            Arc::new(Footer::parse(&bytes).ok_or_else(|| damaged("has a footer that cannot be read"))?);
        *self.footer.lock().unwrap_or_else(PoisonError::into_inner) = Some((part, Arc::clone(&footer)));
        Ok(footer)
    }

    /// Bytes of a part.
    pub(super) async fn bytes(&self, part: usize, range: Range<u64>) -> Result<Bytes, Problem> {
        match &self.place {
            Place::Spooled(spool) => {
                let before: u64 = self.parts.iter().take(part).map(|part| part.n_bytes).sum();
                let (spool, n_bytes) = (spool.clone(), usize::try_from(range.end - range.start));
                let read = move || spool.read_at(before + range.start, n_bytes.unwrap_or(usize::MAX));
                off_io(read).await.map_err(|error| unspooled(&error))
            }
            Place::Stored(root, folder) => {
                let key = listed_key(&format!("{folder}/{}", Self::part_name(part)));
                match root.read_part(&key, "frozen manifest", range, RANGE_BYTES).await? {
                    Object::Bytes(bytes) => Ok(bytes),
                    Object::Missing => Err(damaged("lacks a part")),
                    Object::Archived => Err(damaged("has a part in an archived storage class")),
                    _ => Err(damaged("has a part of another size")),
                }
            }
        }
    }
}

impl Footer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let thrift = bytes.get(..bytes.len().checked_sub(TAIL_BYTES)?)?;
        let metadata = ParquetMetaDataReader::decode_metadata(thrift).ok()?;
        let notes = metadata.file_metadata().key_value_metadata()?;
        let ends = notes.iter().find(|note| note.key == GROUPS)?.value.clone()?;
        let mut groups: Vec<(Range<u64>, String)> = Vec::new();
        for group in ends.split(' ') {
            let (end, sha256) = group.split_once(':')?;
            let start = groups.last().map_or(0, |(before, _)| before.end);
            groups.push((start..end.parse().ok().filter(|end| *end >= start)?, sha256.to_owned()));
        }
        (groups.len() == metadata.num_row_groups()).then_some(())?;
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).ok()?;
        Some(Self { metadata, groups })
    }
}

fn decode(footer: &Footer, group: usize, window: Window, sha256: &str) -> Result<Vec<Sample>, Problem> {
    check(&window.bytes, sha256)?;
    let unreadable = || damaged("has rows that cannot be read");
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(window, footer.metadata.clone());
    let reader = builder.with_row_groups(vec![group]).build().map_err(|_| unreadable())?;
    let mut samples = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|_| unreadable())?;
        samples.extend(of_batch(&batch).ok_or_else(unreadable)?);
    }
    Ok(samples)
}

fn check(bytes: &[u8], sha256: &str) -> Result<(), Problem> {
    if hex::encode(Sha256::digest(bytes)) == sha256 { Ok(()) } else { Err(damaged("has changed")) }
}

/// A frozen manifest that is not what it was.
pub(super) fn damaged(why: &str) -> Problem {
    bad("M033", format!("the frozen manifest {why}"))
}

/// A stretch of a file, where the library looks for it.
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        Ok(self.bytes.slice(at.ok_or_else(|| ParquetError::EOF("outside the row group".to_owned()))?..))
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF("behind the row group".to_owned()));
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}
