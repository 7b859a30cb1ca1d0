//! The frozen, ordered list of samples: every row checked before anything is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::rows::{self, COLUMNS, Row};
use crate::error::{Exit, Problem};
use crate::flow::{Place, Sample, Slice};

/// The manifest after filtering, in file order.
#[derive(Debug)]
pub struct Manifest {
    /// Every sample; its `row` is its position.
    pub samples: Vec<Arc<Sample>>,
    /// Content hash of the manifest file, lower-case hex.
    pub sha256: String,
}

/// What the column `refused` may hold: why the one who listed an archive found nothing to be scored.
pub(super) const REFUSALS: [&str; 9] = [
    "decoder_panic",
    "archive_entry_missing",
    "archive_truncated",
    "archive_corrupt",
    "archive_unsupported",
    "archive_encrypted",
    "archive_exceeds_limit",
    "archive_entry_refused",
    "archive_ambiguous",
];

/// How a manifest is read.
#[derive(Debug, Clone, Copy)]
pub struct ManifestRule<'a> {
    /// Class names in index order.
    pub labels: &'a [String],
    /// Keeps only rows of this split.
    pub split: Option<&'a str>,
    /// Secret that keys pseudonyms; `None` keys them by the manifest's own content.
    pub pseudonym_key: Option<&'a str>,
}

const URI: usize = 0;
const SAMPLE_ID: usize = 1;
const LABEL_IDX: usize = 2;
const LABEL: usize = 3;
const SPLIT: usize = 4;
const SHA256: usize = 5;
const BYTES: usize = 6;
const ENTRY: usize = 7;
const OFFSET: usize = 8;
const ROW: usize = 9;
const REFUSED: usize = 10;
const FRAME: usize = 11;
const AXIS: usize = 12;
const INDEX: usize = 13;

fn bad(code: &'static str, what: impl Into<String>) -> Problem {
    Problem::new(code, Exit::BadData, what)
}

impl Manifest {
    /// Parses and checks a manifest file; `name` decides the format by its ending.
    ///
    /// Order: the format, the columns, the split filter, then row by row the key, the id, the label, the
    /// declared hash and size, then duplicates. Row numbers in messages count data rows of the file from 1.
    ///
    /// # Errors
    /// `M001` to `M018`, see `docs/errors.md`. Messages never repeat a key.
    pub fn parse(name: &str, bytes: &Bytes, rule: ManifestRule<'_>) -> Result<Self, Problem> {
        let rows = rows::parse(name, bytes)?;
        let needs = |column: usize| {
            let what = format!("column '{}' not found; has: {}", COLUMNS[column], rows.header.join(", "));
            if rows.present[column] { Ok(()) } else { Err(bad("M002", what)) }
        };
        if rows.rows.is_empty() {
            return Err(bad("M001", "manifest is empty").hint("it needs a header and at least one row"));
        }
        needs(URI)?;
        if rule.split.is_some() {
            needs(SPLIT)?;
        }
        let ids = Pseudonyms::new(rule.pseudonym_key, bytes);
        let mut entries = HashSet::new();
        let mut samples = Vec::with_capacity(rows.rows.len());
        let mut seen: HashMap<Box<str>, usize> = HashMap::with_capacity(rows.rows.len());
        for (n, row) in rows.rows.iter().enumerate() {
            if rule.split.is_some() && row[SPLIT].as_deref() != rule.split {
                continue;
            }
            let sample = check_row(n + 1, row, samples.len() as u64, rule.labels, &ids, &mut entries)?;
            if let Some(first) = seen.insert(sample.id.clone(), n + 1) {
                let what = format!("sample_id at rows {first} and {} is the same", n + 1);
                return Err(bad("M003", what).hint("ids must be unique; without the column, uris must be"));
            }
            samples.push(Arc::new(sample));
        }
        if samples.is_empty() {
            let what = format!(
                "manifest has no row of split {:?} among {}",
                rule.split.unwrap_or_default(),
                rows.rows.len()
            );
            return Err(bad("M001", what));
        }
        Ok(Self { samples, sha256: hex::encode(Sha256::digest(bytes)) })
    }
}

fn check_row(
    n: usize,
    row: &Row,
    index: u64,
    labels: &[String],
    ids: &Pseudonyms,
    entries: &mut HashSet<Arc<str>>,
) -> Result<Sample, Problem> {
    let uri = row[URI].as_deref().ok_or_else(|| bad("M002", format!("row {n}: uri is empty")))?;
    let key = check_key(n, uri)?;
    let id: Box<str> = match row[SAMPLE_ID].as_deref() {
        Some(id) if is_sample_id(id) => id.into(),
        Some(_) => {
            let what =
                format!("row {n}: sample_id has characters outside [A-Za-z0-9_-] or is longer than 64");
            return Err(bad("M004", what));
        }
        None => ids.pseudonym(&place_of(uri, row)).into(),
    };
    Ok(Sample {
        row: index,
        id,
        key,
        label_idx: check_label(n, row, labels)?,
        sha256: row[SHA256].as_deref().map(|text| check_sha256(n, text)).transpose()?,
        size_bytes: row[BYTES].as_deref().map(|text| check_size(n, text)).transpose()?,
        place: check_place(n, row, entries)?,
        frame: check_number(n, row, FRAME)?,
        slice: check_slice(n, row)?,
    })
}

/// What no other row has: the uri, what it names within the object, and the frame.
fn place_of(uri: &str, row: &Row) -> String {
    let entry = row[ENTRY].as_deref();
    // Of two entries of one name, the listing refuses the second.
    let refused = row[OFFSET].as_deref().filter(|_| row[REFUSED].is_some());
    let within = [entry.or(row[OFFSET].as_deref()), row[ROW].as_deref(), row[FRAME].as_deref(), refused];
    within.into_iter().flatten().fold(uri.to_owned(), |place, within| format!("{place}\0{within}"))
}

fn check_number(n: usize, row: &Row, column: usize) -> Result<Option<u32>, Problem> {
    let Some(text) = row[column].as_deref() else { return Ok(None) };
    let wrong = || {
        let what = format!("row {n}: {} {}, allowed a whole number from 0", COLUMNS[column], short(text));
        bad("M023", what)
    };
    text.parse().map(Some).map_err(|_| wrong())
}

fn check_slice(n: usize, row: &Row) -> Result<Option<Slice>, Problem> {
    match (check_number(n, row, AXIS)?, check_number(n, row, INDEX)?) {
        (None, None) => Ok(None),
        (Some(axis @ 0..=2), Some(index)) => Ok(Some(Slice { axis: axis as u8, index })),
        _ => Err(bad("M023", format!("row {n}: a slice needs an axis, 0, 1 or 2, and an index"))),
    }
}

/// Where in its object an image lies; one copy of each name of an array or column is kept in `entries`.
fn check_place(n: usize, row: &Row, entries: &mut HashSet<Arc<str>>) -> Result<Place, Problem> {
    if let Some(code) = row[REFUSED].as_deref() {
        let known = REFUSALS.into_iter().find(|known| *known == code);
        let unknown = || bad("M024", format!("row {n}: refused is none of {}", REFUSALS.join(", ")));
        return known.map(Place::Refused).ok_or_else(unknown);
    }
    let number = |column: usize| row[column].as_deref().map(|text| check_size(n, text)).transpose();
    match (number(OFFSET)?, number(ROW)?, row[BYTES].is_some(), row[ENTRY].as_deref()) {
        (None, None, _, None) => Ok(Place::Whole),
        (Some(offset), None, true, _) => Ok(Place::Offset(offset)),
        (None, Some(row), true, entry) => {
            Ok(Place::Row { entry: entry.map(|entry| interned(entry, entries)), row })
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

fn is_sample_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
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

fn check_label(n: usize, row: &Row, labels: &[String]) -> Result<Option<u32>, Problem> {
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
        _ => Err(bad("M010", format!("row {n}: label_idx {}, classes 0..{last}", short(text)))),
    }
}

fn check_sha256(n: usize, text: &str) -> Result<[u8; 32], Problem> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| bad("M016", format!("row {n}: sha256 must be 64 hex digits")))
}

fn check_size(n: usize, text: &str) -> Result<u64, Problem> {
    let size = text.parse::<u64>().ok().filter(|&size| size <= 1 << 50);
    size.ok_or_else(|| bad("M015", format!("row {n}: size {}, allowed a whole number of bytes", short(text))))
}

/// Numbers are quoted in messages; anything longer could be a name in the wrong column.
fn short(text: &str) -> &str {
    let numeric = text.len() <= 20 && text.chars().all(|c| c.is_ascii_digit() || c == '-' || c == '.');
    if numeric { text } else { "(not a number)" }
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Keyed pseudonyms: HMAC-SHA256 of the uri, cut to 128 bits.
struct Pseudonyms {
    mac: Hmac<Sha256>,
}

impl Pseudonyms {
    /// Without a secret the key is derived from the manifest's content, which the tables do not reveal.
    fn new(secret: Option<&str>, manifest: &[u8]) -> Self {
        let mut key = Sha256::new_with_prefix(b"t3b pseudonym key\0");
        key.update(secret.map_or(manifest, str::as_bytes));
        let mac = Hmac::new_from_slice(&key.finalize()).expect("HMAC takes a key of any length");
        Self { mac }
    }

    fn pseudonym(&self, uri: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(uri.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, Problem> {
        let labels = ["red".to_owned(), "white".to_owned()];
        let rule = ManifestRule { labels: &labels, split: None, pseudonym_key: Some("k") };
        Manifest::parse("m.csv", &Bytes::from(text.to_owned()), rule)
    }

    #[test]
    fn bad_rows_are_named_by_number_and_never_by_key() {
        let cases = [
            ("uri\n", "M001"),
            ("path\nx.png", "M002"),
            ("uri,sample_id\na,x\nb,x", "M003"),
            ("uri,sample_id\na,DOE^JOHN", "M004"),
            ("uri\n../../etc/DOE", "M005"),
            ("uri\na/%2e%2e/DOE", "M005"),
            ("uri\na\\..\\DOE", "M005"),
            ("uri\n/abs/DOE", "M006"),
            ("uri\nfile:///DOE", "M006"),
            ("uri\ns3://other-bucket/DOE", "M007"),
            ("uri\n\"DOE\u{1b}[31m\"", "M008"),
            ("uri,label_idx\nDOE,9", "M010"),
            ("uri,label\nDOE,green", "M010"),
            ("uri,label_idx,label\nDOE,0,white", "M011"),
            ("uri,bytes\nDOE,-1", "M015"),
            ("uri,sha256\nDOE,abc", "M016"),
            ("uri,label\nDOE", "M018"),
            ("uri,entry\na,DOE", "M020"),
            ("uri,offset\na,512", "M020"),
            ("uri,row\na,5", "M020"),
            ("uri,row,offset,bytes\na,5,6,7", "M020"),
            ("uri,refused\na,DOE", "M024"),
            ("uri,frame\na,DOE", "M023"),
            ("uri,axis,index\na,3,0", "M023"),
            ("uri,axis,index\na,1,", "M023"),
        ];
        for (text, code) in cases {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, code, "{text:?}: {problem}");
            assert!(!problem.to_string().contains("DOE"), "{problem}");
        }
    }

    #[test]
    fn rows_count_the_filtered_manifest_from_zero() {
        let labels = ["red".to_owned(), "white".to_owned()];
        let text = "uri,split,label\na,train,red\nb,test,white\nc,test,red";
        let rule = ManifestRule { labels: &labels, split: Some("test"), pseudonym_key: None };
        let manifest = Manifest::parse("m.csv", &Bytes::from(text), rule).unwrap();
        let rows: Vec<_> = manifest.samples.iter().map(|s| (s.row, s.key.as_ref(), s.label_idx)).collect();
        assert_eq!(rows, [(0, "b", Some(1)), (1, "c", Some(0))]);
    }

    #[test]
    fn json_lines_and_csv_agree() {
        let labels = ["red".to_owned(), "white".to_owned()];
        let rule = ManifestRule { labels: &labels, split: None, pseudonym_key: Some("k") };
        let json = "{\"uri\":\"a\",\"label_idx\":1}\n\n{\"uri\":\"b\",\"label_idx\":0,\"bytes\":7}\n";
        let json = Manifest::parse("m.jsonl", &Bytes::from(json), rule).unwrap();
        let csv = parse("uri,label_idx,bytes\na,1,\nb,0,7\n").unwrap();
        assert_eq!(json.samples, csv.samples);
    }

    #[test]
    fn pseudonyms_depend_on_the_key() {
        let ids = |secret| Pseudonyms::new(secret, b"manifest").pseudonym("a.png");
        assert_ne!(ids(Some("one")), ids(Some("two")));
        assert_ne!(ids(Some("one")), ids(None));
        assert_eq!(ids(None).len(), 32);
    }
}
