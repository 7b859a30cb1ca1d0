//! A Parquet manifest, which may say in a few bytes what takes gigabytes: bounded before a page is unpacked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;

use super::pages::{Pages, pages};
use super::{COLUMNS, Header, Problem, Spool, Take, bad, row};
use crate::source::archive::footer::check_footer;

/// Rows that are in memory at once, where each is as small as rows are.
const BATCH_ROWS: u64 = 256;
/// Bytes that a batch may take where each value repeats the one before.
const BATCH_BYTES: u64 = 16 << 20;
/// Rows that any file may have, and how many more for each of its bytes. Real ones have a byte or more for a row.
const FREE_ROWS: u64 = 100_000;
const ROWS_PER_BYTE: u64 = 4;
/// Bytes that any file may unpack to, and how many more for each of its bytes.
const FREE_BYTES: u64 = 16 << 20;
const BYTES_PER_BYTE: u64 = 16;
/// Length and magic at the end of a file.
const TAIL_BYTES: u64 = 8;
/// Most bytes of a footer, which is held: a hundred thousand row groups have fewer.
const MAX_FOOTER_BYTES: u32 = 256 << 20;

/// Order: the footer's depth, the columns, their compression, what its pages unpack to, then row by row.
pub(super) fn read(file: &Spool, take: Take<'_>) -> Result<(Header, usize), Problem> {
    check_depth(file)?;
    let metadata = guarded(file, || text_views(file))?;
    let names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    let header = Header::of(&names)?;
    for (column, place) in header.places.iter().enumerate() {
        let kind = place.map(|place| metadata.schema().field(place).data_type());
        if let Some(kind) = kind.filter(|kind| !is_scalar(kind)) {
            let found = if kind.is_nested() { "lists or structures" } else { "values of another type" };
            let what = format!("column '{}' holds {found}, allowed text or numbers", COLUMNS[column]);
            return Err(bad("M012", what));
        }
    }
    let bounds = Bounds::of(file.n_bytes());
    let n_batch = guarded(file, || Ok(check_size(metadata.metadata(), &header, file, &bounds)))??;
    let mut reader = guarded(file, || {
        let mask = ProjectionMask::roots(metadata.parquet_schema(), header.places.iter().flatten().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
        builder.with_projection(mask).with_batch_size(n_batch).build()
    })?;
    let (mut n_rows, mut n_bytes) = (0, 0);
    // The reader asserts what a damaged file breaks; found by the fuzz target `manifest`.
    while let Some(batch) = guarded(file, || Ok(reader.next()))? {
        let damaged = || bad("M012", format!("row {n_rows} and those behind it: a page that cannot be read"));
        let batch = batch.map_err(|_| damaged())?;
        append_batch(&batch, &header, &names, &mut n_rows, &mut |n, row| {
            n_bytes += row.iter().flatten().map(|text| text.len() as u64).sum::<u64>();
            bounds.check(n as u64 + 1, n_bytes)?;
            take(&header, n, row)
        })?;
    }
    Ok((header, n_rows))
}

fn unreadable(file: &Spool) -> Problem {
    bad("M012", format!("manifest footer unreadable (file {} bytes)", file.n_bytes()))
}

/// What the library says or breaks at; nothing of ours runs in here.
fn guarded<T>(file: &Spool, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, Problem> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(read)) => Ok(read),
        _ => Err(unreadable(file)),
    }
}

/// The library follows a schema as deep as it goes, which would end the process.
fn check_depth(file: &Spool) -> Result<(), Problem> {
    let footer = || {
        let before = file.n_bytes().checked_sub(TAIL_BYTES)?;
        let end = file.read_at(before, 8).ok()?;
        let n_bytes = u32::from_le_bytes(*end.first_chunk()?);
        let start = before.checked_sub(u64::from(n_bytes))?;
        let is_parquet = end.ends_with(b"PAR1") && n_bytes <= MAX_FOOTER_BYTES;
        is_parquet.then(|| file.read_at(start, n_bytes as usize).ok())?
    };
    check_footer(&footer().ok_or_else(|| unreadable(file))?).map_err(|_| unreadable(file))
}

/// The columns, with texts as views: a value that stands in a thousand rows is in memory once.
fn text_views(file: &Spool) -> parquet::errors::Result<ArrowReaderMetadata> {
    // Another program's notes on its own types could only contradict what the file holds.
    let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::load(file, options())?;
    let viewed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(Field::clone(field).with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    let fields: Vec<_> = plain.schema().fields().iter().map(viewed).collect();
    let schema = Schema::new_with_metadata(fields, plain.schema().metadata().clone());
    ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options().with_schema(Arc::new(schema)))
}

/// What a file of its size may unpack to.
struct Bounds {
    n_file_bytes: u64,
    max_rows: u64,
    max_bytes: u64,
}

impl Bounds {
    fn of(n_file_bytes: u64) -> Self {
        Self {
            n_file_bytes,
            max_rows: FREE_ROWS + ROWS_PER_BYTE * n_file_bytes,
            max_bytes: FREE_BYTES + BYTES_PER_BYTE * n_file_bytes,
        }
    }

    fn check(&self, n_rows: u64, n_bytes: u64) -> Result<(), Problem> {
        let of = format!("in a file of {} bytes", self.n_file_bytes);
        let hint = "write it with smaller row groups, or as CSV";
        if n_rows > self.max_rows {
            let what = format!("found {n_rows} rows or more {of}, allowed {}", self.max_rows);
            return Err(bad("M012", what).hint(hint));
        }
        if n_bytes > self.max_bytes {
            let what = format!("found {n_bytes} bytes or more, unpacked, {of}, allowed {}", self.max_bytes);
            return Err(bad("M012", what).hint(hint));
        }
        Ok(())
    }
}

/// Refuses what would unpack to too much; returns how many rows may be read at once.
fn check_size(
    metadata: &ParquetMetaData,
    header: &Header,
    file: &Spool,
    bounds: &Bounds,
) -> Result<usize, Problem> {
    let schema = metadata.file_metadata().schema_descr();
    let n_rows = |n: i64| u64::try_from(n).map_err(|_| unreadable(file));
    let mut n_all = n_rows(metadata.file_metadata().num_rows())?;
    let mut n_groups = 0_u64;
    let mut columns = vec![Pages::default(); schema.num_columns()];
    for group in metadata.row_groups() {
        let n = n_rows(group.num_rows())?;
        n_groups = n_groups.saturating_add(n);
        bounds.check(n_groups, 0)?;
        for (column, chunk) in group.columns().iter().enumerate() {
            if !header.places.contains(&Some(schema.get_column_root_idx(column))) {
                continue;
            }
            check_compression(chunk.compression())?;
            let (start, length) = chunk.byte_range();
            let n_values = n.max(n_rows(chunk.num_values())?);
            let found = pages(file, start, length, n_values).ok_or_else(|| {
                let what = format!(
                    "column '{}' has a page that cannot be read",
                    name(header, schema.get_column_root_idx(column))
                );
                bad("M012", what)
            })?;
            columns[column].extend(found);
        }
    }
    n_all = n_all.max(n_groups);
    bounds.check(n_all, columns.iter().map(Pages::held_bytes).fold(0, u64::saturating_add))?;
    let repeated = columns.iter().filter(|pages| pages.is_front_coded).map(|pages| pages.page_bytes);
    let n_batch =
        repeated.max().map_or(BATCH_ROWS, |largest| (BATCH_BYTES / largest.max(1)).clamp(1, BATCH_ROWS));
    Ok(usize::try_from(n_batch).unwrap_or(1))
}

fn check_compression(compression: Compression) -> Result<(), Problem> {
    let name = match compression {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::LZ4_RAW | Compression::ZSTD(_) => {
            return Ok(());
        }
        // The others' pages do not say how much they unpack to, or their decoders do not stop there.
        Compression::GZIP(_) => "gzip",
        Compression::BROTLI(_) => "brotli",
        Compression::LZ4 => "the old lz4",
        Compression::LZO => "lzo",
    };
    let what = format!("a column compressed by {name}, allowed none, snappy, lz4 raw or zstd");
    Err(bad("M012", what).hint("write the manifest again with another compression"))
}

/// The name of ours of the file's column `root`.
fn name(header: &Header, root: usize) -> &'static str {
    header.places.iter().position(|place| *place == Some(root)).map_or("", |column| COLUMNS[column])
}

fn is_scalar(kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            false
        }
        other => !other.is_nested(),
    }
}

fn append_batch(
    batch: &RecordBatch,
    header: &Header,
    names: &[String],
    n_rows: &mut usize,
    take: &mut dyn FnMut(usize, &super::Row) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut columns = Vec::with_capacity(COLUMNS.len());
    for (column, place) in header.places.iter().enumerate() {
        let found = place.and_then(|place| batch.column_by_name(&names[place]));
        let texts = found.map(|array| cast(array, &DataType::Utf8View)).transpose();
        let wrong = || bad("M012", format!("column '{}' cannot be read as text or numbers", COLUMNS[column]));
        columns.push(texts.map_err(|_| wrong())?);
    }
    for n in 0..batch.num_rows() {
        let text = |column: usize| {
            let texts = columns[column].as_ref()?.as_string_view_opt()?;
            (!texts.is_null(n)).then(|| texts.value(n))
        };
        take(*n_rows, &row(*n_rows, text)?)?;
        *n_rows += 1;
    }
    Ok(())
}
