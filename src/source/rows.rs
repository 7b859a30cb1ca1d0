//! Manifest files as rows of named text fields: CSV, JSON Lines and Parquet read alike.

use std::panic::catch_unwind;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::{Exit, Problem};

/// Columns a manifest may have; others are never read.
pub(super) const COLUMNS: [&str; 14] = [
    "uri",
    "sample_id",
    "label_idx",
    "label",
    "split",
    "sha256",
    "bytes",
    "entry",
    "offset",
    "row",
    "refused",
    "frame",
    "axis",
    "index",
];

/// The fields of one row, in the order of [`COLUMNS`]; empty text counts as missing.
pub(super) type Row = [Option<String>; COLUMNS.len()];

/// What a manifest file holds.
#[derive(Debug)]
pub(super) struct Rows {
    /// Which of [`COLUMNS`] exist.
    pub(super) present: [bool; COLUMNS.len()],
    /// Names of all columns, for the error that one is missing.
    pub(super) header: Vec<String>,
    /// One entry per row, in file order.
    pub(super) rows: Vec<Row>,
}

pub(super) fn bad(code: &'static str, what: impl Into<String>) -> Problem {
    Problem::new(code, Exit::BadData, what)
}

/// Parses by the ending of `name`: `.jsonl`/`.ndjson`, `.parquet`, anything else as CSV.
///
/// # Errors
/// `M009` not UTF-8, `M012` unreadable Parquet, `M018` a malformed line; each with its row number from 1.
pub(super) fn parse(name: &str, bytes: &Bytes) -> Result<Rows, Problem> {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "jsonl" | "ndjson" => parse_json_lines(bytes),
        // The reader asserts what a damaged footer breaks; found by the fuzz target `manifest`.
        "parquet" => catch_unwind(|| parse_parquet(bytes)).unwrap_or_else(|_| Err(unreadable(bytes))),
        _ => parse_csv(bytes),
    }
}

fn parse_csv(bytes: &[u8]) -> Result<Rows, Problem> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(bytes);
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(_) => return Err(bad("M009", "manifest header: not UTF-8 text")),
    };
    let places = COLUMNS.map(|column| header.iter().position(|name| name == column));
    let mut rows = Vec::new();
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(|error| csv_problem(n + 1, header.len(), &error))?;
        let field =
            |place: Option<usize>| record.get(place?).filter(|text| !text.is_empty()).map(str::to_owned);
        rows.push(places.map(field));
    }
    Ok(Rows { present: places.map(|place| place.is_some()), header, rows })
}

fn csv_problem(row: usize, n_columns: usize, error: &csv::Error) -> Problem {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => bad("M009", format!("row {row}: not UTF-8 text")),
        csv::ErrorKind::UnequalLengths { len, .. } => {
            bad("M018", format!("row {row}: found {len} fields, allowed {n_columns}"))
        }
        _ => bad("M018", format!("row {row}: not a CSV record")),
    }
}

fn parse_json_lines(bytes: &[u8]) -> Result<Rows, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let row = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        bad("M009", format!("row {row}: not UTF-8 text"))
    })?;
    let mut present = [false; COLUMNS.len()];
    let mut header = Vec::new();
    let mut rows = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|_| bad("M018", format!("row {}: not a JSON object", n + 1)))?;
        if header.is_empty() {
            header = object.keys().cloned().collect();
        }
        let row = COLUMNS.map(|column| object.get(column).and_then(json_text));
        for (seen, field) in present.iter_mut().zip(&row) {
            *seen |= field.is_some();
        }
        rows.push(row);
    }
    Ok(Rows { present, header, rows })
}

fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn unreadable(bytes: &Bytes) -> Problem {
    bad("M012", format!("manifest footer unreadable (file {} bytes)", bytes.len()))
}

fn parse_parquet(bytes: &Bytes) -> Result<Rows, Problem> {
    let unreadable = || unreadable(bytes);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|_| unreadable())?;
    let header: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted = COLUMNS.into_iter().filter(|column| header.iter().any(|name| name == column));
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).build().map_err(|_| unreadable())?;
    let present = COLUMNS.map(|column| header.iter().any(|name| name == column));
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|_| unreadable())?;
        append_batch(&batch, &mut rows).ok_or_else(unreadable)?;
    }
    Ok(Rows { present, header, rows })
}

fn append_batch(batch: &RecordBatch, rows: &mut Vec<Row>) -> Option<()> {
    let mut columns = Vec::with_capacity(COLUMNS.len());
    for column in COLUMNS {
        let found = batch.column_by_name(column);
        columns.push(found.map(|array| cast(array, &DataType::Utf8)).transpose().ok()?);
    }
    for n in 0..batch.num_rows() {
        let field = |place: usize| {
            let texts = columns[place].as_ref()?.as_string::<i32>();
            (!texts.is_null(n) && !texts.value(n).is_empty()).then(|| texts.value(n).to_owned())
        };
        rows.push(std::array::from_fn(field));
    }
    Some(())
}
