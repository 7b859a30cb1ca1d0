//! Rows of a Parquet column of images: bytes, or Hugging Face's struct of bytes and path.

use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ConvertedType, Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::SchemaDescriptor;

use super::class::whole;
use super::footer::{self, Page};
use super::{Label, RowContent};
use crate::messages::Reason;
use crate::source::ranged::{ArchiveFault, Ranged};

/// Names of a column of labels, compared without blanks and capitals.
const LABELS: [&str; 3] = ["label", "label_idx", "labels"];
/// Names of a column of images where there are several columns of bytes, the first that is there.
const IMAGES: [&str; 10] =
    ["image", "images", "img", "picture", "png", "jpg", "jpeg", "dicom", "image_bytes", "bytes"];

/// Longest text that is taken for a class.
const MAX_LABEL: usize = 1000;

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
    /// Bytes of the rows before it.
    n_bytes: u64,
    reader: ParquetRecordBatchReader,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({} at {})", self.index, self.at)
    }
}

impl TableRows {
    pub(super) fn open(
        file: Ranged,
        entry: Option<&str>,
        label_column: Option<&str>,
    ) -> Result<Self, ArchiveFault> {
        let (file, metadata) = load(&file)?;
        let schema = metadata.metadata().file_metadata().schema_descr();
        let image = image_leaves(schema, entry).first().copied().ok_or_else(|| {
            ArchiveFault::bytes(Reason::ArchiveEntryMissing, "no column of bytes of that name")
        })?;
        let label = label_leaf(schema, label_column).filter(|&leaf| leaf != image);
        check_codecs(&metadata, image, label)?;
        let mut bounds = vec![0_u64];
        for group in metadata.metadata().row_groups() {
            let n_rows = u64::try_from(group.num_rows()).ok();
            let end = n_rows.and_then(|n| bounds[bounds.len() - 1].checked_add(n));
            bounds.push(
                end.ok_or_else(|| ArchiveFault::bytes(Reason::ArchiveCorrupt, "a negative number of rows"))?,
            );
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
    pub(super) fn row(&mut self, row: u64) -> Result<RowContent, ArchiveFault> {
        if row >= self.n_rows() {
            return Err(ArchiveFault::bytes(
                Reason::ArchiveEntryMissing,
                format!("row {row} of {}", self.n_rows()),
            ));
        }
        let index = self.group_of(row);
        let mut group = match self.open.take().filter(|group| group.index == index && group.at <= row) {
            Some(group) => group,
            None => Group { index, at: self.bounds[index], n_bytes: 0, reader: self.reader(index)? },
        };
        loop {
            let damaged = || ArchiveFault::bytes(Reason::ArchiveCorrupt, "a page that cannot be read");
            let batch = group
                .reader
                .next()
                .ok_or_else(|| ArchiveFault::bytes(Reason::ArchiveTruncated, "fewer rows"))?;
            let batch = batch.map_err(|_| damaged())?;
            group.at += 1;
            group.n_bytes = group.n_bytes.saturating_add(held(&batch));
            let size = self.file.file.size();
            if group.n_bytes > footer::max_expanded(size) {
                let (reason, detail) = footer::expands_too_far(size);
                return Err(ArchiveFault::bytes(reason, detail));
            }
            if group.at > row {
                self.open = Some(group);
                return self.content(&batch).ok_or_else(damaged);
            }
        }
    }

    /// The image and the label of a batch of one row, whose columns stand as in the file; a null image has no bytes.
    fn content(&self, batch: &RecordBatch) -> Option<RowContent> {
        let label_first = self.label.is_some_and(|label| label < self.image);
        let image = batch.columns().get(usize::from(label_first))?;
        let label = self.label.and_then(|_| label_of(batch.columns().get(usize::from(!label_first))?));
        Some(RowContent { bytes: bytes_of(image)?, label })
    }

    fn reader(&self, group: usize) -> Result<ParquetRecordBatchReader, ArchiveFault> {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(ProjectionMask::leaves(schema, self.label.into_iter().chain([self.image])))
            .with_batch_size(1)
            .build()
            .map_err(|_| {
                ArchiveFault::bytes(Reason::ArchiveUnsupported, "a column of another type or compression")
            })
    }
}

/// Reads the footer.
fn load(file: &Ranged) -> Result<(TableFile, ArrowReaderMetadata), ArchiveFault> {
    footer::check_schema(file)?;
    let mut file = TableFile { file: file.clone(), columns: None, page: Arc::default() };
    let no_footer = |_| ArchiveFault::bytes(Reason::ArchiveTruncated, "no footer: cut, or no Parquet");
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, options).map_err(no_footer)?;
    let chunks = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
    let places: Option<_> = chunks.map(place).collect();
    let negative = || ArchiveFault::bytes(Reason::ArchiveCorrupt, "a column that begins before the file");
    file.columns = Some(places.ok_or_else(negative)?);
    Ok((file, metadata))
}

/// Where a column of a row group stands and how it is compressed; `None` where a number is negative.
fn place(chunk: &ColumnChunkMetaData) -> Option<Column> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let (start, n_bytes) = (u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
    Some((start..start.saturating_add(n_bytes), chunk.compression()))
}

/// Bytes that a batch holds.
fn held(batch: &RecordBatch) -> u64 {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX) as u64;
    batch.columns().iter().map(of).fold(0, u64::saturating_add)
}

/// What a Parquet file is, for a listing.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) enum Look {
    /// A column of images.
    Images {
        n_rows: u64,
        /// Its name, where there are several columns that could be meant.
        entry: Option<String>,
        /// What is said of columns that seem to be labels and are not read.
        unread_labels: Option<&'static str>,
    },
    /// Images that are not read: what was found.
    Unread(String),
    /// A manifest.
    Manifest,
    /// Numbers and texts.
    Other,
}

/// Looks at the columns of a Parquet file.
///
/// Of several columns of bytes the one with Hugging Face's structure comes first, then one that is named as images are, then the first
/// whose first value begins as an image does.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(in crate::source) fn look(file: &Ranged, label_column: Option<&str>) -> Result<Look, ArchiveFault> {
    super::guarded(file, || {
        let metadata = load(file)?.1;
        let schema = metadata.metadata().file_metadata().schema_descr();
        let leaves = image_leaves(schema, None);
        let Some(&first) = leaves.first() else { return Ok(other(schema)) };
        let name = |leaf: usize| schema.column(leaf).path().parts()[0].clone();
        let is_struct = |leaf: usize| schema.column(leaf).path().parts().len() == 2;
        let named = IMAGES
            .into_iter()
            .find_map(|wanted| leaves.iter().copied().find(|&leaf| plain(&name(leaf)) == wanted));
        let chosen = match leaves.as_slice() {
            [only] => *only,
            _ if is_struct(first) => first,
            _ => match named {
                Some(named) => named,
                None => sniffed(file, schema, &leaves)?.unwrap_or(first),
            },
        };
        let rows = TableRows::open(file.clone(), Some(&name(chosen)), label_column)?;
        let has =
            |is_meant: &dyn Fn(&str) -> bool| (0..schema.num_columns()).any(|leaf| is_meant(&name(leaf)));
        let unread_labels = match rows.label {
            Some(_) => None,
            None if has(&|name| is_label(name, label_column)) => {
                Some("columns of labels that are lists or structures")
            }
            None if has(&may_be_labels) => Some("columns that may be labels; name one by --label-column"),
            None => None,
        };
        Ok(Look::Images {
            n_rows: rows.n_rows(),
            entry: (leaves.len() > 1).then(|| name(chosen)),
            unread_labels,
        })
    })
}

/// The first of some columns whose first value begins as an image does.
fn sniffed(
    file: &Ranged,
    schema: &SchemaDescriptor,
    leaves: &[usize],
) -> Result<Option<usize>, ArchiveFault> {
    use t3b_decode::Format;
    for &leaf in leaves {
        let name = schema.column(leaf).path().parts()[0].clone();
        let mut rows = TableRows::open(file.clone(), Some(&name), None)?;
        if rows.n_rows() > 0
            && let Ok(content) = rows.row(0)
            && !matches!(Format::sniff(&content.bytes), Format::Unknown | Format::Html | Format::Gzip)
        {
            return Ok(Some(leaf));
        }
    }
    Ok(None)
}

/// What a table without a column of images is: columns that look like images are told, others are another's.
fn other(schema: &SchemaDescriptor) -> Look {
    let leaves = || (0..schema.num_columns()).map(|n| schema.column(n));
    let root = |parts: &[String]| plain(&parts[0]);
    if leaves().any(|column| root(column.path().parts()) == "uri") {
        return Look::Manifest;
    }
    let wanted = "read are bytes, or structures with bytes";
    for column in leaves() {
        let parts = column.path().parts().to_vec();
        let is_text = column.converted_type() == ConvertedType::UTF8;
        let is_bytes = column.physical_type() == Type::BYTE_ARRAY && !is_text;
        let is_named = IMAGES.contains(&root(&parts).as_str());
        if column.max_rep_level() > 0 && (is_bytes || is_named) {
            return Look::Unread(format!("images: found a column of lists, {wanted}"));
        }
        if is_named && is_text {
            return Look::Unread(format!("images: found a column of text, {wanted}"));
        }
        if is_named || is_bytes {
            return Look::Unread(format!("images: found a column of another type, {wanted}"));
        }
    }
    Look::Other
}

/// A name without blanks and capitals.
fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether a name is what data sets call their labels beside the usual names.
fn may_be_labels(name: &str) -> bool {
    let name = plain(name);
    name.ends_with("label") || ["class", "target", "category", "y"].contains(&name.as_str())
}

fn is_label(name: &str, label_column: Option<&str>) -> bool {
    label_column.map_or_else(|| LABELS.contains(&plain(name).as_str()), |wanted| name == wanted)
}

/// The leaf column of labels, where its values are single ones.
fn label_leaf(schema: &SchemaDescriptor, label_column: Option<&str>) -> Option<usize> {
    let is_meant = |&n: &usize| {
        let path = schema.column(n).path().parts().to_vec();
        path.len() == 1 && is_label(&path[0], label_column)
    };
    (0..schema.num_columns()).find(is_meant)
}

/// The leaf columns that `entry` names, or that look like images: Hugging Face's `x.bytes` before plain bytes.
fn image_leaves(schema: &SchemaDescriptor, entry: Option<&str>) -> Vec<usize> {
    let is_image = |n: &usize, in_struct: bool| {
        let column = schema.column(*n);
        let path = column.path().parts().to_vec();
        let shape = if in_struct { path.len() == 2 && path[1] == "bytes" } else { path.len() == 1 };
        let is_plain = column.converted_type() == ConvertedType::NONE && column.logical_type_ref().is_none();
        let kind = matches!(column.physical_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY);
        let is_bytes = kind && is_plain && column.max_rep_level() == 0;
        let is_meant = entry.map_or(!LABELS.contains(&plain(&path[0]).as_str()), |entry| path[0] == entry);
        shape && is_bytes && is_meant
    };
    let leaves = || 0..schema.num_columns();
    let structs = leaves().filter(|n| is_image(n, true));
    structs.chain(leaves().filter(|n| is_image(n, false))).collect()
}

/// Refuses what the reader could not unpack, by name.
fn check_codecs(
    metadata: &ArrowReaderMetadata,
    image: usize,
    label: Option<usize>,
) -> Result<(), ArchiveFault> {
    for group in metadata.metadata().row_groups() {
        for leaf in label.into_iter().chain([image]) {
            let name = match group.column(leaf).compression() {
                Compression::UNCOMPRESSED
                | Compression::SNAPPY
                | Compression::ZSTD(_)
                | Compression::GZIP(_)
                | Compression::BROTLI(_)
                | Compression::LZ4_RAW => continue,
                // Hadoop's framing, which does not say how much it unpacks to.
                Compression::LZ4 => "the old lz4",
                Compression::LZO => "lzo",
            };
            let detail = format!(
                "a column compressed by {name}, read are none, snappy, gzip, brotli, lz4 raw and zstd"
            );
            return Err(ArchiveFault::bytes(Reason::ArchiveUnsupported, detail));
        }
    }
    Ok(())
}

fn bytes_of(column: &ArrayRef) -> Option<Bytes> {
    let column = match column.as_struct_opt() {
        Some(parts) if parts.is_null(0) => return Some(Bytes::new()),
        Some(parts) => parts.column_by_name("bytes")?,
        None => column,
    };
    if column.is_null(0) {
        return Some(Bytes::new());
    }
    if let Some(values) = column.as_fixed_size_binary_opt() {
        return Some(Bytes::copy_from_slice(values.value(0)));
    }
    Some(Bytes::copy_from_slice(column.as_binary_opt::<i32>()?.value(0)))
}

fn label_of(column: &ArrayRef) -> Option<Label> {
    if column.is_null(0) {
        return None;
    }
    if let Some(text) = column.as_string_opt::<i32>() {
        let text = text.value(0).trim();
        let is_name = text.len() <= MAX_LABEL;
        return (!text.is_empty())
            .then(|| if is_name { Label::Name(text.to_owned()) } else { Label::Unread });
    }
    match column.data_type() {
        DataType::Boolean => Some(Label::Index(i64::from(column.as_boolean_opt()?.value(0)))),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let wide = cast(column, &DataType::Float64).ok()?;
            whole(wide.as_primitive_opt::<Float64Type>()?.value(0))
        }
        kind if kind.is_integer() => {
            let wide = cast(column, &DataType::Int64).ok()?;
            if wide.is_null(0) {
                Some(Label::Unread)
            } else {
                Some(Label::Index(wide.as_primitive_opt::<Int64Type>()?.value(0)))
            }
        }
        _ => Some(Label::Unread),
    }
}

/// Where the pages of a column stand in the file, and how they are compressed.
type Column = (Range<u64>, Compression);

/// What the Parquet reader wants of a file.
#[derive(Debug, Clone)]
struct TableFile {
    file: Ranged,
    /// Its footer was read, and what is read next are pages: where each column stands and how it is compressed.
    columns: Option<Arc<[Column]>>,
    /// The page whose header was looked at last.
    page: Arc<Mutex<Option<Page>>>,
}

impl Length for TableFile {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl ChunkReader for TableFile {
    type T = Ranged;

    fn get_read(&self, start: u64) -> ParquetResult<Ranged> {
        if self.columns.is_some() {
            let page = footer::check_page(&self.file, start).map_err(|fault| self.file.failed(fault))?;
            *self.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
        }
        let mut reader = self.file.clone();
        reader.seek(SeekFrom::Start(start))?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.file.part(start, length as u64)?;
        let page = self.page.lock().unwrap_or_else(PoisonError::into_inner).take();
        let column = self.columns.iter().flat_map(|columns| columns.iter());
        let codec = column.clone().find(|(place, _)| place.contains(&start)).map(|(_, codec)| *codec);
        if let (Some(page), Some(codec)) = (page, codec) {
            footer::check_unpacked(page, codec, &bytes).map_err(|fault| self.file.failed(fault))?;
        }
        Ok(bytes)
    }
}
