//! The fields of one manifest row, each checked before anything is read. Messages never repeat a key.

use std::collections::HashSet;
use std::sync::Arc;

use object_store::path::Path;
use t3b_decode::Slice;

use super::rows::{COLUMNS, Row, bad};
use crate::error::Problem;
use crate::messages::{Location, Reason};

pub(super) const URI: usize = 0;
pub(super) const SAMPLE_ID: usize = 1;
pub(super) const LABEL_IDX: usize = 2;
pub(super) const LABEL: usize = 3;
pub(super) const SPLIT: usize = 4;
pub(super) const SHA256: usize = 5;
pub(super) const BYTES: usize = 6;
pub(super) const ENTRY: usize = 7;
pub(super) const OFFSET: usize = 8;
pub(super) const ROW: usize = 9;
pub(super) const REFUSED: usize = 10;
pub(super) const FRAME: usize = 11;
pub(super) const AXIS: usize = 12;
pub(super) const INDEX: usize = 13;

pub(super) fn check_number(n: usize, row: &Row, column: usize) -> Result<Option<u32>, Problem> {
    let Some(text) = row[column].as_deref() else { return Ok(None) };
    let wrong = || {
        let what = format!("row {n}: {} is no whole number from 0", COLUMNS[column]);
        bad("M023", what)
    };
    text.parse().map(Some).map_err(|_| wrong())
}

pub(super) fn check_slice(n: usize, row: &Row) -> Result<Option<Slice>, Problem> {
    match (check_number(n, row, AXIS)?, check_number(n, row, INDEX)?) {
        (None, None) => Ok(None),
        (Some(axis @ 0..=2), Some(index)) => Ok(Some(Slice { axis: axis as u8, index })),
        _ => Err(bad("M023", format!("row {n}: a slice needs an axis, 0, 1 or 2, and an index"))),
    }
}

/// Where in its object an image lies; one copy of each name of an array or column is kept in `entries`.
pub(super) fn check_location(
    n: usize,
    row: &Row,
    entries: &mut HashSet<Arc<str>>,
) -> Result<Location, Problem> {
    if let Some(code) = row[REFUSED].as_deref() {
        let unknown = || bad("M024", format!("row {n}: refused is none of the reasons of docs/errors.md"));
        return Reason::from_code(code).map(Location::Refused).ok_or_else(unknown);
    }
    let number = |column: usize| row[column].as_deref().map(|text| check_size(n, text)).transpose();
    match (number(OFFSET)?, number(ROW)?, row[BYTES].is_some(), row[ENTRY].as_deref()) {
        (None, None, _, None) => Ok(Location::Whole),
        (Some(offset), None, true, _) => Ok(Location::Offset(offset)),
        (None, Some(row), true, entry) => {
            Ok(Location::Row { entry: entry.map(|entry| interned(entry, entries)), row })
        }
        _ => {
            let what = format!("row {n}: an image inside an archive needs bytes, and either offset or row");
            Err(bad("M020", what).hint("t3b manifest build writes them"))
        }
    }
}

fn interned(name: &str, names: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let name: Arc<str> = name.into();
    names.insert(Arc::clone(&name));
    name
}

/// A key below the root and nothing else: relative, no scheme, no `..` in any spelling, no control character.
pub(super) fn check_key(n: usize, uri: &str) -> Result<Path, Problem> {
    if let Some(control) = uri.chars().find(|c| c.is_control()) {
        return Err(bad("M008", format!("row {n}: control character (0x{:02x}) in uri", u32::from(control))));
    }
    if uri.starts_with("file://") || uri.starts_with('/') || uri.starts_with('~') {
        let what = format!("row {n}: absolute paths are not allowed; keys are relative to input.root");
        return Err(bad("M006", what));
    }
    if uri.contains("://") {
        let what =
            format!("row {n}: scheme or bucket is not in the allowed roots; keys are relative to input.root");
        return Err(bad("M007", what));
    }
    let dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%25", "%").replace("%2e", ".");
        plain.is_empty() || plain.chars().all(|c| c == '.') || segment.ends_with('.')
    };
    if uri.contains('\\') || uri.to_ascii_lowercase().contains("%2f") || uri.split('/').any(dots) {
        return Err(bad("M005", format!("row {n}: key contains a '..', empty or escaped segment")));
    }
    Path::parse(uri).map_err(|_| bad("M005", format!("row {n}: key has a segment the store cannot name")))
}

pub(super) fn check_label(n: usize, row: &Row, labels: &[String]) -> Result<Option<u32>, Problem> {
    let last = labels.len().saturating_sub(1);
    let by_name = match row[LABEL].as_deref() {
        Some(name) => match labels.iter().position(|label| label == name) {
            Some(place) => Some(place),
            None if row[LABEL_IDX].is_none() => {
                return Err(bad("M010", format!("row {n}: label is not one of labels.names")));
            }
            None => None,
        },
        None => None,
    };
    let Some(text) = row[LABEL_IDX].as_deref() else {
        return Ok(by_name.map(narrow));
    };
    match text.parse::<usize>() {
        Ok(index) if index <= last => {
            if row[LABEL].is_some() && by_name != Some(index) {
                let what = format!("class list differs from labels.names at position {index} (row {n})");
                return Err(bad("M011", what).hint("list labels.names in the order of label_idx"));
            }
            Ok(Some(narrow(index)))
        }
        _ => Err(bad("M010", format!("row {n}: label_idx is none of the classes 0..{last}"))),
    }
}

pub(super) fn check_sha256(n: usize, text: &str) -> Result<[u8; 32], Problem> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| bad("M016", format!("row {n}: sha256 must be 64 hex digits")))
}

pub(super) fn check_size(n: usize, text: &str) -> Result<u64, Problem> {
    let size = text.parse::<u64>().ok().filter(|&size| size <= 1 << 50);
    size.ok_or_else(|| bad("M015", format!("row {n}: bytes is no whole number of bytes")))
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
