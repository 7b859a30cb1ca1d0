//! Many parts of a table in one object: the same rows in the same order, row groups of the usual size.
//!
//! The bytes follow from the parts alone, so that every publisher writes the same: parts are read in chunks of [`CHUNK_ROWS`]
//! rows and written as they come, under the properties that the parts were written with.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::receipt::Receipt;
use crate::error::{Exit, Problem};
use crate::tables::{CHUNK_ROWS, Origin, Table, properties};

/// Most bytes that the parts of one object have together, of all tables; a partition alone may have more.
const MAX_BYTES: u64 = 128 << 20;

/// Neighbouring receipts whose parts are published in one object of each table.
///
/// Cut by bytes, so that who reads or writes such an object holds so much of it and no more.
pub(super) fn groups(receipts: &[Receipt]) -> Vec<&[Receipt]> {
    let (mut groups, mut rest) = (Vec::new(), receipts);
    while !rest.is_empty() {
        let mut n_bytes = 0_u64;
        let fits = rest.iter().take_while(|receipt| {
            n_bytes = receipt.files.iter().fold(n_bytes, |all, file| all.saturating_add(file.bytes));
            n_bytes <= MAX_BYTES
        });
        let (group, behind) = rest.split_at(fits.count().max(1));
        groups.push(group);
        rest = behind;
    }
    groups
}

/// A table that parts are added to, one after the other.
pub(super) struct Joined {
    table: Table,
    origin: Origin,
    writer: Option<(SchemaRef, ArrowWriter<Vec<u8>>)>,
    n_rows: u64,
}

impl Joined {
    /// Without rows yet.
    pub(super) fn new(table: Table, origin: Origin) -> Self {
        Self { table, origin, writer: None, n_rows: 0 }
    }

    /// With the rows of one more part behind the others.
    ///
    /// # Errors
    /// `V002` a part that is no table or has other columns than the first; `B005` when the encoder fails.
    pub(super) fn add(mut self, part: Bytes) -> Result<Self, Problem> {
        let unreadable = || {
            let what = format!(
                "a staged part of {} cannot be read with the columns of the others",
                self.table.name()
            );
            Problem::new("V002", Exit::BadData, what)
                .hint("the parts were written by different versions of the program; use a new run id")
        };
        let found = ParquetRecordBatchReaderBuilder::try_new(part).map_err(|_| unreadable())?;
        // Without the footer's words, which the properties bring.
        let schema = Arc::new(Schema::new(found.schema().fields().clone()));
        let batches = found.with_batch_size(CHUNK_ROWS).build().map_err(|_| unreadable())?;
        let (known, mut writer) = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let properties = properties(self.table.name(), &self.origin);
                (Arc::clone(&schema), ArrowWriter::try_new(Vec::new(), schema, Some(properties))?)
            }
        };
        for batch in batches {
            let columns = batch.map_err(|_| unreadable())?.columns().to_vec();
            let batch = RecordBatch::try_new(Arc::clone(&known), columns).map_err(|_| unreadable())?;
            writer.write(&batch)?;
            self.n_rows += batch.num_rows() as u64;
        }
        self.writer = Some((known, writer));
        Ok(self)
    }

    /// Its bytes and its number of rows.
    ///
    /// # Errors
    /// `B005` when the encoder fails, or no part was added.
    pub(super) fn finish(self) -> Result<(Vec<u8>, u64), Problem> {
        let none = || Problem::new("B005", Exit::Bug, "a table of no parts has no columns");
        let (_, writer) = self.writer.ok_or_else(none)?;
        Ok((writer.into_inner()?, self.n_rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::Diagnostics;
    use super::super::receipt::FileEntry;
    use super::*;

    fn receipt(partition: u32, mib: u64) -> Receipt {
        let file = |table: Table| FileEntry {
            table: table.name().to_owned(),
            path: String::new(),
            bytes: if table == Table::Predictions { mib << 20 } else { 0 },
            sha256: String::new(),
            rows: 0,
        };
        Receipt {
            format_version: 2,
            receipt_sha256: String::new(),
            plan_sha256: String::new(),
            partition,
            nonce: String::new(),
            worker: String::new(),
            spec_sha256: String::new(),
            n_samples: 0,
            n_scored: 0,
            n_quarantined: 0,
            diagnostics: Diagnostics::default(),
            device: String::new(),
            canary: String::new(),
            n_nonfinite: 0,
            files: Table::ALL.map(file).to_vec(),
        }
    }

    #[test]
    fn objects_are_cut_by_bytes_and_every_partition_is_in_one() {
        let receipts: Vec<Receipt> =
            (0..).zip([100, 28, 1, 127, 300, 300, 5]).map(|(p, mib)| receipt(p, mib)).collect();
        let cut: Vec<Vec<u32>> = groups(&receipts)
            .iter()
            .map(|group| group.iter().map(|receipt| receipt.partition).collect())
            .collect();
        assert_eq!(cut, [vec![0, 1], vec![2, 3], vec![4], vec![5], vec![6]]);
        assert!(groups(&[]).is_empty());
    }
}
