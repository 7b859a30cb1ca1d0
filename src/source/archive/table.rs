//! Rows of a Parquet column of images: bytes, or Hugging Face's struct of bytes and path.

use std::io::{Seek, SeekFrom};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{ConvertedType, Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::SchemaDescriptor;

use super::{Cell, Label, footer};
use crate::messages::Reason;
use crate::source::ranged::{Fault, Ranged};

/// Names of a column of labels.
const LABELS: [&str; 3] = ["label", "label_idx", "labels"];

/// One column, standing before one of its rows.
#[derive(Debug)]
pub(super) struct TableRows {
    file: TableFile,
    metadata: ArrowReaderMetadata,
    image: usize,
    label: Option<usize>,
    /// First row of each row group, and the end of the last.
    bounds: Vec<u64>,
    open: Option<Group>,
}

/// A row group that is being read.
struct Group {
    index: usize,
    at: u64,
    reader: ParquetRecordBatchReader,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({} at {})", self.index, self.at)
    }
}

impl TableRows {
    pub(super) fn open(file: Ranged, entry: Option<&str>) -> Result<Self, Fault> {
        footer::check_schema(&file)?;
        let mut file = TableFile { file, is_open: false };
        let no_footer = |_| Fault::bytes(Reason::ArchiveTruncated, "no footer: cut, or no Parquet");
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(no_footer)?;
        file.is_open = true;
        let schema = metadata.metadata().file_metadata().schema_descr();
        let image = image_leaf(schema, entry)
            .ok_or_else(|| Fault::bytes(Reason::ArchiveEntryMissing, "no column of bytes of that name"))?;
        let label = (0..schema.num_columns()).find(|&n| {
            let path = schema.column(n).path().parts().to_vec();
            path.len() == 1 && LABELS.contains(&path[0].as_str()) && n != image
        });
        let mut bounds = vec![0_u64];
        for group in metadata.metadata().row_groups() {
            let n_rows = u64::try_from(group.num_rows()).ok();
            let end = n_rows.and_then(|n| bounds[bounds.len() - 1].checked_add(n));
            bounds
                .push(end.ok_or_else(|| Fault::bytes(Reason::ArchiveCorrupt, "a negative number of rows"))?);
        }
        Ok(Self { file, metadata, image, label, bounds, open: None })
    }

    fn n_rows(&self) -> u64 {
        self.bounds[self.bounds.len() - 1]
    }

    fn group_of(&self, row: u64) -> usize {
        self.bounds.partition_point(|&start| start <= row).saturating_sub(1)
    }

    /// Where the row group of `row` ends.
    pub(super) fn group_end(&self, row: u64) -> u64 {
        self.bounds.get(self.group_of(row) + 1).copied().unwrap_or(u64::MAX)
    }

    /// A group is read from its front, whoever asks and for whichever row.
    pub(super) fn row(&mut self, row: u64) -> Result<Cell, Fault> {
        if row >= self.n_rows() {
            return Err(Fault::bytes(Reason::ArchiveEntryMissing, format!("row {row} of {}", self.n_rows())));
        }
        let index = self.group_of(row);
        let mut group = match self.open.take().filter(|group| group.index == index && group.at <= row) {
            Some(group) => group,
            None => Group { index, at: self.bounds[index], reader: self.reader(index)? },
        };
        loop {
            let damaged = || Fault::bytes(Reason::ArchiveCorrupt, "a page that cannot be read");
            let batch =
                group.reader.next().ok_or_else(|| Fault::bytes(Reason::ArchiveTruncated, "fewer rows"))?;
            let batch = batch.map_err(|_| damaged())?;
            group.at += 1;
            if group.at > row {
                self.open = Some(group);
                return self.cell(&batch).ok_or_else(damaged);
            }
        }
    }

    /// The image and the label of a batch of one row, whose columns stand as in the file; a null image has no bytes.
    fn cell(&self, batch: &RecordBatch) -> Option<Cell> {
        let label_first = self.label.is_some_and(|label| label < self.image);
        let image = batch.columns().get(usize::from(label_first))?;
        let label = self.label.and_then(|_| label_of(batch.columns().get(usize::from(!label_first))?));
        Some(Cell { bytes: bytes_of(image)?, label })
    }

    fn reader(&self, group: usize) -> Result<ParquetRecordBatchReader, Fault> {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(ProjectionMask::leaves(schema, self.label.into_iter().chain([self.image])))
            .with_batch_size(1)
            .build()
            .map_err(|_| Fault::bytes(Reason::ArchiveUnsupported, "a column of another type or compression"))
    }
}

/// Rows of the only column of images; `None` where the file has no such column.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(in crate::source) fn n_rows(file: &Ranged) -> Result<Option<u64>, Fault> {
    super::guarded(file, || match TableRows::open(file.clone(), None) {
        Ok(rows) => Ok(Some(rows.n_rows())),
        Err(Fault::Bytes(Reason::ArchiveEntryMissing, _)) => Ok(None),
        Err(fault) => Err(fault),
    })
}

/// The leaf column that `entry` names, or the one that looks like images: Hugging Face's `x.bytes` before plain bytes.
fn image_leaf(schema: &SchemaDescriptor, entry: Option<&str>) -> Option<usize> {
    let is_image = |n: &usize, in_struct: bool| {
        let column = schema.column(*n);
        let path = column.path().parts().to_vec();
        let shape = if in_struct { path.len() == 2 && path[1] == "bytes" } else { path.len() == 1 };
        let is_text = column.converted_type() == ConvertedType::UTF8;
        let is_bytes = column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0;
        let is_meant = entry.map_or(!LABELS.contains(&path[0].as_str()), |entry| path[0] == entry);
        shape && is_bytes && !is_text && is_meant
    };
    let leaves = || 0..schema.num_columns();
    leaves().find(|n| is_image(n, true)).or_else(|| leaves().find(|n| is_image(n, false)))
}

fn bytes_of(column: &ArrayRef) -> Option<Bytes> {
    let column = match column.as_struct_opt() {
        Some(parts) if parts.is_null(0) => return Some(Bytes::new()),
        Some(parts) => parts.column_by_name("bytes")?,
        None => column,
    };
    let values = column.as_binary_opt::<i32>()?;
    Some(if values.is_null(0) { Bytes::new() } else { Bytes::copy_from_slice(values.value(0)) })
}

fn label_of(column: &ArrayRef) -> Option<Label> {
    if column.is_null(0) {
        return None;
    }
    if let Some(text) = column.as_string_opt::<i32>() {
        return Some(Label::Name(text.value(0).to_owned()));
    }
    let number = cast(column, &DataType::Int64).ok().filter(|_| column.data_type().is_integer())?;
    Some(Label::Index(number.as_primitive_opt::<Int64Type>()?.value(0)))
}

/// What the Parquet reader wants of a file.
#[derive(Debug, Clone)]
struct TableFile {
    file: Ranged,
    /// Its footer was read, and what is read next are pages.
    is_open: bool,
}

impl Length for TableFile {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl ChunkReader for TableFile {
    type T = Ranged;

    fn get_read(&self, start: u64) -> ParquetResult<Ranged> {
        if self.is_open {
            footer::check_page(&self.file, start).map_err(|fault| self.file.failed(fault))?;
        }
        let mut reader = self.file.clone();
        reader.seek(SeekFrom::Start(start))?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        Ok(self.file.part(start, length as u64)?)
    }
}
