//! Manifest files as rows of named text fields: CSV, JSON, JSON Lines and Parquet read alike, row by row.
//!
//! Rows are counted from 0 in every message, as `manifest_row` counts them in the tables. Messages name columns that a manifest may
//! have and never what a file calls its own: a file without a header has keys there.

mod json;
mod pages;
mod parquet;

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::header::{Header, N_COLUMNS};
use super::problems::bad;
use super::spool::{Spool, unspooled};
use crate::error::Problem;

pub(super) use super::header::COLUMNS;

/// Longest field; an object's key has a thousand bytes at most.
const MAX_FIELD_BYTES: usize = 64 << 10;

/// The fields of one row, in the order of [`COLUMNS`]; empty text counts as missing.
pub(super) type Row = [Option<String>; N_COLUMNS];

/// Takes the rows, each with the file's columns and its number; an error ends the reading.
pub(super) type Take<'a> = &'a mut dyn FnMut(&Header, usize, &Row) -> Result<(), Problem>;

/// Most bytes that one row may take in a file of text, names of other columns and white space included.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// Reads by the ending of `name`: `.json`, `.jsonl` or `.ndjson`, `.parquet`, anything else as CSV. Returns the columns, and how
/// many rows there were.
///
/// Rows are given away one by one: what is wrong with one is said before those behind it are read, and no file is held, nor what it
/// unpacks to.
///
/// # Errors
/// `M009` not UTF-8, `M012` unreadable Parquet, `M018` a malformed row, `M027` a column that stands twice, and what `take` says;
/// `C007` when the copy cannot be read.
pub(super) fn read(name: &str, file: &Spool, take: Take<'_>) -> Result<(Header, usize), Problem> {
    check_form(name, file)?;
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "json" | "jsonl" | "ndjson" => json::read(file, take),
        "parquet" => parquet::read(file, take),
        _ => read_csv(file, take),
    }
}

/// A file that is another than its ending says is told by its first bytes.
fn check_form(name: &str, file: &Spool) -> Result<(), Problem> {
    let bytes = file.read_at(0, 512).map_err(|error| unspooled(&error))?;
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
    let is_text = std::str::from_utf8(&bytes).is_ok();
    if is_named_parquet && is_text && !is_parquet && !bytes.is_empty() {
        return Err(
            bad("M012", "the manifest is a text under the ending .parquet").hint("name it .csv or .jsonl")
        );
    }
    Ok(())
}

/// Reads a text that is told where a row ends, so that none is longer than [`MAX_ROW_BYTES`].
struct ByRow<R> {
    text: R,
    left: Rc<Cell<u64>>,
}

impl<R> ByRow<R> {
    /// With the place where each end of a row is told, by setting what may be left.
    fn new(text: R) -> (Self, Rc<Cell<u64>>) {
        let left = Rc::new(Cell::new(MAX_ROW_BYTES));
        (Self { text, left: Rc::clone(&left) }, left)
    }
}

impl<R: Read> Read for ByRow<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n_most = left.min(out.len());
        let n = self.text.read(&mut out[..n_most])?;
        self.left.set(self.left.get() - n as u64);
        Ok(n)
    }
}

fn too_long(row: usize) -> Problem {
    bad("M018", format!("row {row}: found more than {MAX_ROW_BYTES} bytes in a row"))
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

fn read_csv(file: &Spool, take: Take<'_>) -> Result<(Header, usize), Problem> {
    let (text, left) = ByRow::new(file.reader(0));
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text);
    let names: Vec<String> = match reader.headers() {
        Ok(header) => {
            Header::check_width(header.len())?;
            header.iter().map(str::to_owned).collect()
        }
        Err(error) if error.is_io_error() => return Err(too_long(0)),
        Err(_) => return Err(bad("M009", "manifest header: not UTF-8 text")),
    };
    let header = Header::of(&names)?;
    let (mut n_rows, mut record) = (0, csv::StringRecord::new());
    loop {
        left.set(MAX_ROW_BYTES);
        let is_there = reader.read_record(&mut record);
        if !is_there.map_err(|error| csv_problem(n_rows, names.len(), &error))? {
            return Ok((header, n_rows));
        }
        take(&header, n_rows, &row(n_rows, |column| record.get(header.places[column]?))?)?;
        n_rows += 1;
    }
}

fn csv_problem(row: usize, n_columns: usize, error: &csv::Error) -> Problem {
    match error.kind() {
        csv::ErrorKind::Io(_) => too_long(row),
        csv::ErrorKind::Utf8 { .. } => bad("M009", format!("row {row}: not UTF-8 text")),
        csv::ErrorKind::UnequalLengths { len, .. } => {
            bad("M018", format!("row {row}: found {len} fields, allowed {n_columns}"))
                .hint("a field with a comma or a line break stands in quotes")
        }
        _ => bad("M018", format!("row {row}: not a CSV record")),
    }
}
