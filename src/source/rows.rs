//! Manifest files as rows of named text fields: CSV, JSON, JSON Lines and Parquet read alike.
//!
//! Rows are counted from 0 in every message, as `manifest_row` counts them in the tables. Messages name columns that a manifest may
//! have and never what a file calls its own: a file without a header has keys there.

use std::panic::catch_unwind;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

use super::header::{Header, N_COLUMNS};
use crate::error::{Exit, Problem};

pub(super) use super::header::COLUMNS;

/// Longest field; an object's key has a thousand bytes at most.
const MAX_FIELD_BYTES: usize = 64 << 10;
/// Rows of a Parquet manifest that are in memory beside the result.
const BATCH_ROWS: usize = 256;

/// The fields of one row, in the order of [`COLUMNS`]; empty text counts as missing.
pub(super) type Row = [Option<String>; N_COLUMNS];

/// What a manifest file holds.
#[derive(Debug)]
pub(super) struct Rows {
    /// Which columns there are.
    pub(super) header: Header,
    /// One entry per row, in file order.
    pub(super) rows: Vec<Row>,
}

pub(super) fn bad(code: &'static str, what: impl Into<String>) -> Problem {
    Problem::new(code, Exit::BadData, what)
}

/// Parses by the ending of `name`: `.json`, `.jsonl` or `.ndjson`, `.parquet`, anything else as CSV.
///
/// # Errors
/// `M009` not UTF-8, `M012` unreadable Parquet, `M018` a malformed row, `M027` a column that stands twice.
pub(super) fn parse(name: &str, bytes: &Bytes) -> Result<Rows, Problem> {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "json" | "jsonl" | "ndjson" => parse_json(bytes),
        // The reader asserts what a damaged footer breaks; found by the fuzz target `manifest`.
        "parquet" => catch_unwind(|| parse_parquet(bytes)).unwrap_or_else(|_| Err(unreadable(bytes))),
        _ => parse_csv(bytes),
    }
}

/// A field as rows have it; blanks around it are kept where they could be part of a name.
fn field(n: usize, column: usize, text: &str) -> Result<Option<String>, Problem> {
    if text.len() > MAX_FIELD_BYTES {
        let (name, found) = (COLUMNS[column], text.len());
        return Err(bad("M018", format!("row {n}: {name} of {found} bytes, allowed {MAX_FIELD_BYTES}")));
    }
    let text = if matches!(COLUMNS[column], "uri" | "entry") { text } else { text.trim() };
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The fields of row `n`, of which `get` knows the texts.
fn row<'a>(n: usize, get: impl Fn(usize) -> Option<&'a str>) -> Result<Row, Problem> {
    let mut fields = Row::default();
    for (column, place) in fields.iter_mut().enumerate() {
        if let Some(text) = get(column) {
            *place = field(n, column, text)?;
        }
    }
    Ok(fields)
}

fn parse_csv(bytes: &[u8]) -> Result<Rows, Problem> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(bytes);
    let names: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(_) => return Err(bad("M009", "manifest header: not UTF-8 text")),
    };
    let header = Header::of(&names)?;
    let mut rows = Vec::new();
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(|error| csv_problem(n, names.len(), &error))?;
        rows.push(row(n, |column| record.get(header.places[column]?))?);
    }
    Ok(Rows { header, rows })
}

fn csv_problem(row: usize, n_columns: usize, error: &csv::Error) -> Problem {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => bad("M009", format!("row {row}: not UTF-8 text")),
        csv::ErrorKind::UnequalLengths { len, .. } => {
            bad("M018", format!("row {row}: found {len} fields, allowed {n_columns}"))
                .hint("a field with a comma or a line break stands in quotes")
        }
        _ => bad("M018", format!("row {row}: not a CSV record")),
    }
}

type Object = serde_json::Map<String, serde_json::Value>;

/// One array of objects, or an object a line.
fn parse_json(bytes: &[u8]) -> Result<Rows, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let row = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        bad("M009", format!("line {row}: not UTF-8 text"))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let objects: Vec<Object> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| bad("M018", "not a JSON array of objects"))?
    } else {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).enumerate();
        let parsed = lines.map(|(n, line)| {
            let wrong = || bad("M018", format!("row {n}: not a JSON object")).hint("one object a line");
            serde_json::from_str(line).map_err(|_| wrong())
        });
        parsed.collect::<Result<_, _>>()?
    };
    let mut names: Vec<String> = Vec::new();
    for key in objects.iter().flat_map(|object| object.keys()) {
        if !names.contains(key) && names.len() < 1000 {
            names.push(key.clone());
        }
    }
    let header = Header::of(&names)?;
    let mut rows = Vec::with_capacity(objects.len());
    for (n, object) in objects.iter().enumerate() {
        let mut fields = Row::default();
        for (column, place) in fields.iter_mut().enumerate() {
            let value = header.places[column].and_then(|at| object.get(&names[at]));
            if let Some(text) = value.map(|value| json_text(n, column, value)).transpose()?.flatten() {
                *place = field(n, column, &text)?;
            }
        }
        rows.push(fields);
    }
    Ok(Rows { header, rows })
}

fn json_text(n: usize, column: usize, value: &serde_json::Value) -> Result<Option<String>, Problem> {
    use serde_json::Value;
    Ok(match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        Value::Array(_) | Value::Object(_) => {
            let what =
                format!("row {n}: {} holds a list or an object, allowed text or a number", COLUMNS[column]);
            return Err(bad("M018", what));
        }
    })
}

fn unreadable(bytes: &Bytes) -> Problem {
    bad("M012", format!("manifest footer unreadable (file {} bytes)", bytes.len()))
}

fn parse_parquet(bytes: &Bytes) -> Result<Rows, Problem> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|_| unreadable(bytes))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let header = Header::of(&names)?;
    for (column, place) in header.places.iter().enumerate() {
        let kind = place.map(|place| builder.schema().field(place).data_type());
        if let Some(kind) = kind.filter(|kind| !is_scalar(kind)) {
            let found = if kind.is_nested() { "lists or structures" } else { "values of another type" };
            let what = format!("column '{}' holds {found}, allowed text or numbers", COLUMNS[column]);
            return Err(bad("M012", what));
        }
    }
    check_compression(&builder, &header)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), header.places.iter().flatten().copied());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let mut rows = Vec::new();
    for batch in reader.map_err(|_| unreadable(bytes))? {
        let n = rows.len();
        let damaged = || bad("M012", format!("row {n} and those behind it: a page that cannot be read"));
        append_batch(&batch.map_err(|_| damaged())?, &header, &names, &mut rows)?;
    }
    Ok(Rows { header, rows })
}

fn check_compression<T: parquet::file::reader::ChunkReader + 'static>(
    builder: &ParquetRecordBatchReaderBuilder<T>,
    header: &Header,
) -> Result<(), Problem> {
    let schema = builder.parquet_schema();
    for group in builder.metadata().row_groups() {
        for (n, chunk) in group.columns().iter().enumerate() {
            let is_read = header.places.contains(&Some(schema.get_column_root_idx(n)));
            // The others' pages do not say how much they unpack to, or their decoders do not stop there.
            let name = match chunk.compression() {
                Compression::GZIP(_) => "gzip",
                Compression::BROTLI(_) => "brotli",
                Compression::LZ4 => "the old lz4",
                Compression::LZO => "lzo",
                Compression::UNCOMPRESSED
                | Compression::SNAPPY
                | Compression::LZ4_RAW
                | Compression::ZSTD(_) => continue,
            };
            if is_read {
                let what = format!("a column compressed by {name}, allowed none, snappy, lz4 raw or zstd");
                return Err(bad("M012", what).hint("write the manifest again with another compression"));
            }
        }
    }
    Ok(())
}

fn is_scalar(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_scalar(values),
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
    rows: &mut Vec<Row>,
) -> Result<(), Problem> {
    let mut columns = Vec::with_capacity(N_COLUMNS);
    for (column, place) in header.places.iter().enumerate() {
        let found = place.and_then(|place| batch.column_by_name(&names[place]));
        let texts = found.map(|array| cast(array, &DataType::Utf8)).transpose();
        let wrong = || bad("M012", format!("column '{}' cannot be read as text or numbers", COLUMNS[column]));
        columns.push(texts.map_err(|_| wrong())?);
    }
    for n in 0..batch.num_rows() {
        let text = |column: usize| {
            let texts = columns[column].as_ref()?.as_string_opt::<i32>()?;
            (!texts.is_null(n)).then(|| texts.value(n))
        };
        rows.push(row(rows.len(), text)?);
    }
    Ok(())
}
