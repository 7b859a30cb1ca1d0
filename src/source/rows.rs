//! Manifest files as rows of named text fields: CSV, JSON, JSON Lines and Parquet read alike, row by row.
//!
//! Rows are counted from 0 in every message, as `manifest_row` counts them in the tables. Messages name columns that a manifest may
//! have and never what a file calls its own: a file without a header has keys there.

mod json;
mod pages;
mod parquet;

use bytes::Bytes;

use super::header::{Header, N_COLUMNS};
use super::problems::bad;
use crate::error::Problem;

pub(super) use super::header::COLUMNS;

/// Longest field; an object's key has a thousand bytes at most.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// The fields of one row, in the order of [`COLUMNS`]; empty text counts as missing.
pub(super) type Row = [Option<String>; N_COLUMNS];

/// Takes the rows, each with the file's columns and its number; an error ends the reading.
pub(super) type Take<'a> = &'a mut dyn FnMut(&Header, usize, &Row) -> Result<(), Problem>;

/// Reads by the ending of `name`: `.json`, `.jsonl` or `.ndjson`, `.parquet`, anything else as CSV. Returns the columns, and how
/// many rows there were.
///
/// Rows are given away one by one: what is wrong with one is said before those behind it are read, and a file that unpacks to
/// more than its size can pay for is not held.
///
/// # Errors
/// `M009` not UTF-8, `M012` unreadable Parquet, `M018` a malformed row, `M027` a column that stands twice, and what `take` says.
pub(super) fn read(name: &str, bytes: &Bytes, take: Take<'_>) -> Result<(Header, usize), Problem> {
    check_form(name, bytes)?;
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "json" | "jsonl" | "ndjson" => json::read(bytes, take),
        "parquet" => parquet::read(bytes, take),
        _ => read_csv(bytes, take),
    }
}

/// A file that is another than its ending says is told by its first bytes.
fn check_form(name: &str, bytes: &Bytes) -> Result<(), Problem> {
    let is_parquet = bytes.starts_with(b"PAR1");
    let is_named_parquet = name.to_ascii_lowercase().ends_with(".parquet");
    if bytes.starts_with(b"PK\x03\x04") {
        let what =
            "the manifest is a zip file, as spreadsheets are, allowed CSV, JSON, JSON Lines and Parquet";
        return Err(bad("M018", what).hint("save the sheet as CSV, UTF-8, with commas"));
    }
    if is_parquet && !is_named_parquet {
        return Err(bad("M018", "the manifest is Parquet under another ending").hint("name it .parquet"));
    }
    let is_text = std::str::from_utf8(&bytes[..bytes.len().min(512)]).is_ok();
    if is_named_parquet && is_text && !is_parquet && !bytes.is_empty() {
        return Err(
            bad("M012", "the manifest is a text under the ending .parquet").hint("name it .csv or .jsonl")
        );
    }
    Ok(())
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

fn read_csv(bytes: &[u8], take: Take<'_>) -> Result<(Header, usize), Problem> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(bytes);
    let names: Vec<String> = match reader.headers() {
        Ok(header) => {
            Header::check_width(header.len())?;
            header.iter().map(str::to_owned).collect()
        }
        Err(_) => return Err(bad("M009", "manifest header: not UTF-8 text")),
    };
    let header = Header::of(&names)?;
    let mut n_rows = 0;
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(|error| csv_problem(n, names.len(), &error))?;
        take(&header, n, &row(n, |column| record.get(header.places[column]?))?)?;
        n_rows = n + 1;
    }
    Ok((header, n_rows))
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
