//! One Parquet object in memory, written in chunks of exactly [`CHUNK_ROWS`] rows.

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::error::{Exit, Problem};

use super::schema::{CHUNK_ROWS, Origin, Table, properties};

/// Rows of one table on their way into chunks.
pub(crate) trait Chunk {
    /// Rows collected since the last [`Chunk::take`].
    fn n_rows(&self) -> usize;
    /// The rows as a batch of the table's schema; empties the collection.
    fn take(&mut self) -> RecordBatch;
}

/// Encodes one table of one partition. The bytes depend on the rows alone.
#[derive(Debug)]
pub(crate) struct TableWriter<C> {
    /// Rows that wait for a full chunk; push here, then call [`TableWriter::cut`].
    pub rows: C,
    writer: ArrowWriter<Vec<u8>>,
    n_rows: u64,
}

impl<C: Chunk> TableWriter<C> {
    /// An empty table.
    ///
    /// # Errors
    /// When the schema cannot be written, which a test rules out.
    pub(crate) fn new(table: Table, probs: bool, origin: &Origin, rows: C) -> Result<Self, ParquetError> {
        let properties = properties(table.name(), origin);
        let writer = ArrowWriter::try_new(Vec::new(), table.schema(probs), Some(properties))?;
        Ok(Self { rows, writer, n_rows: 0 })
    }

    /// Encodes a chunk when one is full. Call after every push.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(crate) fn cut(&mut self) -> Result<(), ParquetError> {
        if self.rows.n_rows() >= CHUNK_ROWS { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), ParquetError> {
        let batch = self.rows.take();
        self.n_rows += batch.num_rows() as u64;
        self.writer.write(&batch)
    }

    /// Ends the table: its bytes and its number of rows.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, u64), ParquetError> {
        if self.rows.n_rows() > 0 {
            self.encode()?;
        }
        Ok((self.writer.into_inner()?, self.n_rows))
    }
}

impl From<ParquetError> for Problem {
    fn from(_: ParquetError) -> Self {
        Self::new("B005", Exit::Bug, "the table encoder failed")
    }
}
