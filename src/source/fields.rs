//! The fields of one manifest row, each checked before anything is read. Messages never repeat a key.

use std::collections::HashSet;
use std::sync::Arc;

use object_store::path::Path;
use t3b_decode::Slice;

use super::problems::bad;
use super::rows::{COLUMNS, Row};
use super::words;
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
pub(super) const CORRUPTION: usize = 14;
pub(super) const SEVERITY: usize = 15;
pub(super) const FOUND: usize = 16;
pub(super) const GROUP: usize = 17;

/// A whole number, also written as a float: pandas makes floats of whole numbers where some are missing.
pub(super) fn whole(text: &str) -> Option<u64> {
    let float = || {
        text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n))
    };
    text.parse().ok().or_else(|| float().map(|n| n as u64))
}

pub(super) fn check_number(n: usize, row: &Row, column: usize) -> Result<Option<u32>, Problem> {
    let Some(text) = row[column].as_deref() else { return Ok(None) };
    let wrong = || {
        let what = format!("row {n}: {} is no whole number from 0", COLUMNS[column]);
        bad("M023", what)
    };
    whole(text).and_then(|n| u32::try_from(n).ok()).map(Some).ok_or_else(wrong)
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
        let found = words::only_ours(row[FOUND].as_deref().unwrap_or_default());
        let found = if found.is_empty() { "found when the archive was listed" } else { found };
        let found = interned(found, entries);
        return Reason::from_code(code).map(|reason| Location::Refused(reason, found)).ok_or_else(unknown);
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

/// A key below the root and nothing else: relative, no scheme, no `.` or `..` in any spelling, no control character.
pub(super) fn check_key(n: usize, uri: &str) -> Result<Path, Problem> {
    key(uri).map_err(|(code, what)| bad(code, format!("row {n}: {what}")))
}

/// The key that a uri is, or the code and the words of what is wrong with it. A listing asks the same, so what it writes can be read.
pub(super) fn key(uri: &str) -> Result<Path, (&'static str, &'static str)> {
    if uri.chars().any(char::is_control) {
        return Err(("M008", "a control character in the key"));
    }
    if uri.starts_with("file://") || uri.starts_with('/') {
        return Err(("M006", "absolute paths are not allowed; keys are relative to input.root"));
    }
    if uri.contains("://") {
        let what = "scheme or bucket is not in the allowed roots; keys are relative to input.root";
        return Err(("M007", what));
    }
    if uri.split('/').any(str::is_empty) {
        return Err(("M005", "the key has an empty segment: a slash twice, or at its end"));
    }
    if uri.split('/').any(|segment| segment == ".") {
        return Err(("M005", "the key has a segment '.'; leave './' out"));
    }
    if climbs(uri) {
        return Err(("M005", "the key has a segment '..', plain or escaped, or '.' escaped"));
    }
    Path::parse(uri).map_err(|_| ("M005", "the key has a segment the store cannot name"))
}

/// Whether a name means its own folder or the one above it, for anybody who takes `\\` for a slash or undoes escapes, however often.
fn climbs(uri: &str) -> bool {
    let mut plain = uri.to_ascii_lowercase();
    for _ in 0..8 {
        if plain.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) {
            return true;
        }
        let next = plain.replace("%25", "%").replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
        if next == plain {
            return false;
        }
        plain = next;
    }
    // Nobody escapes a name so often who means well.
    true
}

/// What the columns of labels say of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labelled {
    /// A class.
    Class(u32),
    /// Nothing.
    No,
    /// A name that is none of the classes.
    UnknownName,
    /// A number that is none of the classes; the number where it is short enough to be no identifier.
    UnknownIndex(Option<u32>),
}

/// The class of a row. A negative `label_idx` means none, as in the archives of data sets without labels.
pub(super) fn check_label(n: usize, row: &Row, labels: &[String]) -> Result<Labelled, Problem> {
    let by_name = row[LABEL].as_deref().map(|name| labels.iter().position(|label| label == name));
    let Some(index) = row[LABEL_IDX].as_deref().map(index_of) else {
        return Ok(match by_name {
            Some(Some(place)) => Labelled::Class(narrow(place)),
            Some(None) => Labelled::UnknownName,
            None => Labelled::No,
        });
    };
    match index {
        Some(Some(index)) if usize::try_from(index).is_ok_and(|index| index < labels.len()) => {
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            if by_name.is_some_and(|name| name != Some(place)) {
                return Err(other_order(n, place, by_name.flatten(), labels));
            }
            Ok(Labelled::Class(narrow(place)))
        }
        Some(Some(index)) => {
            Ok(Labelled::UnknownIndex(u32::try_from(index).ok().filter(|&index| index < 1_000_000)))
        }
        Some(None) => match by_name {
            Some(Some(place)) => Ok(Labelled::Class(narrow(place))),
            Some(None) => Ok(Labelled::UnknownName),
            None => Ok(Labelled::No),
        },
        None => Ok(Labelled::UnknownIndex(None)),
    }
}

/// A row whose number and name are two classes. A name that is none of the classes is not repeated: it may be anything.
fn other_order(n: usize, place: usize, by_name: Option<usize>, labels: &[String]) -> Problem {
    let found = by_name.map_or_else(|| "of no class".to_owned(), |name| format!("\"{}\"", labels[name]));
    let what = format!(
        "row {n}: found label_idx {place} with a label {found}, allowed \"{}\", which labels.names has at that position",
        labels[place]
    );
    bad("M011", what).hint("list labels.names in the order of label_idx")
}

/// The outer `None` for a text that is no number; the inner one for a number that means no class.
fn index_of(text: &str) -> Option<Option<u64>> {
    match text.to_ascii_lowercase().as_str() {
        "nan" | "<na>" => return Some(None),
        "false" => return Some(Some(0)),
        "true" => return Some(Some(1)),
        _ => {}
    }
    if let Some(index) = whole(text) {
        return Some(Some(index));
    }
    text.parse::<f64>().ok().filter(|n| *n < 0.0 && n.fract() == 0.0).map(|_| None)
}

pub(super) fn check_sha256(n: usize, text: &str) -> Result<[u8; 32], Problem> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| bad("M016", format!("row {n}: sha256 must be 64 hex digits")))
}

pub(super) fn check_size(n: usize, text: &str) -> Result<u64, Problem> {
    let size = whole(text).filter(|&size| size <= 1 << 50);
    size.ok_or_else(|| bad("M015", format!("row {n}: bytes is no whole number of bytes")))
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
