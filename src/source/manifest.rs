//! The frozen, ordered list of samples: every row checked before anything is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::fields::{
    AXIS, BYTES, ENTRY, FRAME, INDEX, OFFSET, REFUSED, ROW, SAMPLE_ID, SHA256, SPLIT, URI, check_key,
    check_label, check_location, check_number, check_sha256, check_size, check_slice,
};
use super::rows::{self, COLUMNS, Row, bad};
use crate::error::Problem;
use crate::messages::Sample;

/// The manifest after filtering, in file order.
#[derive(Debug)]
pub struct Manifest {
    /// Every sample; its `row` is its position.
    pub samples: Vec<Arc<Sample>>,
    /// Content hash of the manifest file, lower-case hex.
    pub sha256: String,
    /// Keyed hash of the manifest file, lower-case hex: names the manifest to whoever has the key, and to nobody else.
    pub hmac_sha256: String,
    /// Samples whose id was made of their place, not given by the manifest.
    pub n_pseudonyms: usize,
}

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

impl Manifest {
    /// Parses and checks a manifest file; `name` decides the format by its ending.
    ///
    /// Order: the format, the columns, the split filter, then row by row the key, the id, the label, the
    /// declared hash and size, then duplicates. Row numbers in messages count data rows of the file from 1.
    ///
    /// # Errors
    /// `M001` to `M024`, see `docs/errors.md`. Messages never repeat a key.
    pub fn parse(name: &str, bytes: &Bytes, rule: ManifestRule<'_>) -> Result<Self, Problem> {
        let rows = rows::parse(name, bytes)?;
        let needs = |column: usize| {
            // Of a file without a header line, the names of columns are values of its first row.
            let known: Vec<&str> = COLUMNS
                .into_iter()
                .zip(rows.present)
                .filter_map(|(name, there)| there.then_some(name))
                .collect();
            let known = if known.is_empty() { "none that is known".to_owned() } else { known.join(", ") };
            let what =
                format!("column '{}' not found; has {} columns: {known}", COLUMNS[column], rows.header.len());
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
        let mut n_pseudonyms = 0;
        for (n, row) in rows.rows.iter().enumerate() {
            if rule.split.is_some() && row[SPLIT].as_deref() != rule.split {
                continue;
            }
            n_pseudonyms += usize::from(row[SAMPLE_ID].is_none());
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
        let sha256 = hex::encode(Sha256::digest(bytes));
        Ok(Self { samples, hmac_sha256: ids.manifest_hash(&sha256), sha256, n_pseudonyms })
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
        manifest_row: n as u64 - 1,
        id,
        key,
        label_idx: check_label(n, row, labels)?,
        sha256: row[SHA256].as_deref().map(|text| check_sha256(n, text)).transpose()?,
        size_bytes: row[BYTES].as_deref().map(|text| check_size(n, text)).transpose()?,
        location: check_location(n, row, entries)?,
        frame: check_number(n, row, FRAME)?,
        slice: check_slice(n, row)?,
    })
}

/// What no other row has: the uri, what it names within the object, the frame and the slice.
fn place_of(uri: &str, row: &Row) -> String {
    let entry = row[ENTRY].as_deref();
    // Of two entries of one name, the listing refuses the second.
    let refused = row[OFFSET].as_deref().filter(|_| row[REFUSED].is_some());
    let [offset, row_of, frame, axis, index] = [OFFSET, ROW, FRAME, AXIS, INDEX].map(|n| row[n].as_deref());
    let within = [entry.or(offset), row_of, frame, axis, index, refused];
    within.into_iter().flatten().fold(uri.to_owned(), |place, within| format!("{place}\0{within}"))
}

fn is_sample_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
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

    /// No uri holds the separator, so no id of a sample is a part of this.
    fn manifest_hash(&self, sha256: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(b"manifest\0sha256\0");
        mac.update(sha256.as_bytes());
        hex::encode(mac.finalize().into_bytes())
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
