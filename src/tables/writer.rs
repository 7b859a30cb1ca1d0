//! One Parquet object in memory, written in chunks of exactly [`CHUNK_ROWS`] rows.

use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::column::{Collected, Column, Rows};
use super::schema::{CHUNK_ROWS, Origin, Table, properties};
use crate::error::{Exit, Problem};

/// Encodes one table of one partition. The bytes depend on the rows alone.
pub(crate) struct TableWriter<T: Rows> {
    rows: Collected<T>,
    writer: ArrowWriter<Vec<u8>>,
    n_rows: u64,
}

impl<T: Rows> TableWriter<T> {
    /// An empty table with these columns.
    ///
    /// # Errors
    /// `B005` when the schema cannot be written, which a test rules out.
    pub(crate) fn new(table: Table, columns: Vec<Column<T>>, origin: &Origin) -> Result<Self, Problem> {
        let rows = Collected::new(columns);
        let properties = properties(table.name(), origin);
        let writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))?;
        Ok(Self { rows, writer, n_rows: 0 })
    }

    /// Adds a row and encodes a chunk when one is full.
    ///
    /// # Errors
    /// `B005` when the encoder fails.
    pub(crate) fn push<'a>(&mut self, row: &'a T::Row<'a>) -> Result<(), Problem> {
        self.rows.push(row)?;
        if self.rows.n_rows() >= CHUNK_ROWS { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), Problem> {
        let batch = self.rows.take()?;
        self.n_rows += batch.num_rows() as u64;
        Ok(self.writer.write(&batch)?)
    }

    /// Ends the table: its bytes and its number of rows.
    ///
    /// # Errors
    /// `B005` when the encoder fails.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, u64), Problem> {
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
