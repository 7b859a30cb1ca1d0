//! Writes the list of samples: a row group for each partition, a Parquet file for each [`GROUPS_PER_PART`] of them.

use std::io::{self, Write};
use std::mem;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use sha2::{Digest, Sha256};

use super::columns::{schema, to_batch};
use super::list::{GROUPS, GROUPS_PER_PART, List, Part};
use crate::error::Problem;
use crate::messages::Sample;
use crate::source::spool::{Spool, unspooled};

/// Samples that are encoded at once.
const BATCH_ROWS: usize = 1024;

/// Takes samples by rising rows.
pub(super) struct ListWriter {
    partition_size: u64,
    /// Samples of the open row group that are not encoded yet.
    waiting: Vec<Sample>,
    /// Number of the partition that they are of.
    partition: u64,
    groups: Vec<String>,
    open: Open,
    parts: Vec<Part>,
}

/// The part that is written, or what was written before it.
enum Open {
    Part(Box<ArrowWriter<Hashed>>),
    Between(Spool),
}

impl ListWriter {
    pub(super) fn new(partition_size: u32) -> Self {
        Self {
            partition_size: u64::from(partition_size.max(1)),
            waiting: Vec::new(),
            partition: 0,
            groups: Vec::new(),
            open: Open::Between(Spool::new()),
            parts: Vec::new(),
        }
    }

    /// Adds a sample behind the others. No partition may be left without any.
    ///
    /// # Errors
    /// `C007` when nothing more can be spooled.
    pub(super) fn push(&mut self, sample: Sample) -> Result<(), Problem> {
        let partition = sample.row / self.partition_size;
        if partition != self.partition {
            self.end_group().map_err(unwritten)?;
            self.partition = partition;
        }
        self.waiting.push(sample);
        if self.waiting.len() == BATCH_ROWS { self.encode().map_err(unwritten) } else { Ok(()) }
    }

    /// The list, once all samples are in it.
    ///
    /// # Errors
    /// `C007` when nothing more can be spooled.
    pub(super) fn finish(mut self) -> Result<List, Problem> {
        self.end_group().map_err(unwritten)?;
        let spool = self.end_part().map_err(unwritten)?;
        Ok(List::spooled(spool, self.parts, self.partition_size))
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        let batch = to_batch(&self.waiting);
        self.waiting.clear();
        let mut writer = match mem::replace(&mut self.open, Open::Between(Spool::new())) {
            Open::Part(writer) => writer,
            Open::Between(spool) => {
                Box::new(ArrowWriter::try_new(Hashed::new(spool), schema(), Some(properties()))?)
            }
        };
        let written = writer.write(&batch);
        self.open = Open::Part(writer);
        written
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if !self.waiting.is_empty() {
            self.encode()?;
        }
        if let Open::Part(writer) = &mut self.open {
            writer.flush()?;
            writer.sync()?;
            let (end, sha256) = writer.inner_mut().cut();
            self.groups.push(format!("{end}:{sha256}"));
        }
        if self.groups.len() == GROUPS_PER_PART {
            self.end_part()?;
        }
        Ok(())
    }

    /// Ends the open part, if there is one: everything that was written so far.
    fn end_part(&mut self) -> Result<Spool, ParquetError> {
        let spool = match mem::replace(&mut self.open, Open::Between(Spool::new())) {
            Open::Between(spool) => spool,
            Open::Part(mut writer) => {
                let groups = mem::take(&mut self.groups).join(" ");
                writer.append_key_value_metadata(KeyValue::new(GROUPS.to_owned(), groups));
                let mut hashed = writer.into_inner()?;
                let footer_start = hashed.n_cut;
                let (n_bytes, footer_sha256) = hashed.cut();
                self.parts.push(Part { n_bytes, footer_start, footer_sha256 });
                hashed.spool
            }
        };
        self.open = Open::Between(spool.clone());
        Ok(spool)
    }
}

/// Nothing of a part is ever looked for by value, and every column has its rows' order: statistics would only be read again.
fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(format!("t3b {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_max_row_group_row_count(None)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build()
}

fn unwritten(error: ParquetError) -> Problem {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => unspooled(&error),
            Err(_) => unspooled(&io::ErrorKind::Other.into()),
        },
        _ => unspooled(&io::ErrorKind::Other.into()),
    }
}

/// Appends to a spool and hashes what it appends.
struct Hashed {
    spool: Spool,
    /// Where the part begins in the spool.
    start: u64,
    /// Bytes of the part up to the last cut.
    n_cut: u64,
    hash: Sha256,
}

impl Hashed {
    fn new(spool: Spool) -> Self {
        Self { start: spool.n_bytes(), spool, n_cut: 0, hash: Sha256::new() }
    }

    /// Where the part stands, and the hash of what came since the last cut.
    fn cut(&mut self) -> (u64, String) {
        self.n_cut = self.spool.n_bytes() - self.start;
        (self.n_cut, hex::encode(mem::take(&mut self.hash).finalize()))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.append(bytes)?;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
