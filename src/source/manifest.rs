//! The frozen, ordered list of samples: every row checked before anything is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::cells::Declared;
use super::fields::{
    AXIS, BYTES, ENTRY, FRAME, INDEX, Labelled, OFFSET, REFUSED, ROW, SAMPLE_ID, SHA256, SPLIT, URI,
    check_key, check_label, check_location, check_number, check_sha256, check_size, check_slice,
};
use super::header::Header;
use super::labels::{BadLabels, Splits};
use super::problems::bad;
use super::rows::{self, Row};
use crate::error::Problem;
use crate::messages::Sample;
use t3b_corrupt::Cell;

/// The manifest after filtering: in file order, rows that declare their cell behind the others, cell by cell.
#[derive(Debug)]
pub struct Manifest {
    /// Every sample; `row` rises, with gaps where a declared cell begins.
    pub samples: Vec<Arc<Sample>>,
    /// Content hash of the manifest file, lower-case hex.
    pub sha256: String,
    /// Every cell that is scored: those the pipeline makes, then those that rows declare and it does not make.
    pub cells: Arc<[Cell]>,
    /// How many of `cells` the pipeline makes of each row without a cell of its own; 0 when there is no such row.
    pub n_made: usize,
    /// What deserves a word and stops nothing.
    pub notes: Vec<String>,
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
    /// The cells that the pipeline makes, in scoring order.
    pub cells: &'a [Cell],
    /// Samples of a batch; declared cells begin at its multiples.
    pub batch_size: u32,
    /// Does not look at the columns `corruption` and `severity`: what is corrupted already is corrupted again.
    pub ignores_declared: bool,
}

impl Manifest {
    /// Parses and checks a manifest file; `name` decides the format by its ending.
    ///
    /// Order: the format, the columns, the split filter, then row by row the key, the id, the label, the
    /// declared hash and size, then duplicates. Row numbers in messages count data rows of the file from 0. Labels that are no
    /// class are told together.
    ///
    /// # Errors
    /// `M001` to `M028`, see `docs/errors.md`. Messages never repeat a key.
    pub fn parse(name: &str, bytes: &Bytes, rule: ManifestRule<'_>) -> Result<Self, Problem> {
        let mut checked = Checked::new(rule, Pseudonyms::new(rule.pseudonym_key, bytes));
        let (header, n_rows) = rows::read(name, bytes, &mut |header, n, row| checked.take(header, n, row))?;
        if n_rows == 0 {
            return Err(bad("M001", "manifest is empty").hint("it needs a header and at least one row"));
        }
        let Checked { ids, samples, declared, labels, splits, n_pseudonyms, .. } = checked;
        labels.check(rule.labels.len())?;
        if samples.is_empty() {
            let what = format!(
                "input.split: found no row of split {:?} among {n_rows}, which are of {}",
                rule.split.unwrap_or_default(),
                splits.told()
            );
            return Err(
                bad("M001", what).hint("set input.split to one of these, or leave it out to score all")
            );
        }
        let (samples, cells, n_made) = declared.place(samples, rule.cells, rule.batch_size);
        let sha256 = hex::encode(Sha256::digest(bytes));
        Ok(Self {
            samples,
            hmac_sha256: ids.manifest_hash(&sha256),
            sha256,
            n_pseudonyms,
            cells: cells.into(),
            n_made,
            notes: header.notes,
        })
    }

    /// (sample, cell) pairs.
    #[must_use]
    pub fn n_pairs(&self) -> u64 {
        self.samples.iter().map(|sample| self.n_cells_of(sample)).sum()
    }

    fn n_cells_of(&self, sample: &Sample) -> u64 {
        if sample.declared.is_some() { 1 } else { self.n_made as u64 }
    }

    /// Batches of some consecutive samples, over their cells.
    #[must_use]
    pub fn n_batches(&self, samples: &[Arc<Sample>], batch_size: u32) -> u64 {
        let slot = |sample: &Sample| sample.row / u64::from(batch_size.max(1));
        let mut before = None;
        let begins = samples.iter().filter(|sample| before.replace(slot(sample)) != Some(slot(sample)));
        begins.map(|sample| self.n_cells_of(sample)).sum()
    }
}

/// The rows that were read so far, each checked when it came.
struct Checked<'a> {
    rule: ManifestRule<'a>,
    ids: Pseudonyms,
    /// One copy of each name inside archives.
    entries: HashSet<Arc<str>>,
    declared: Declared,
    labels: BadLabels,
    splits: Splits,
    samples: Vec<(Option<usize>, Sample)>,
    /// The row of each id in each declared cell.
    seen: HashMap<(Box<str>, Option<usize>), usize>,
    n_pseudonyms: usize,
}

impl<'a> Checked<'a> {
    fn new(rule: ManifestRule<'a>, ids: Pseudonyms) -> Self {
        Self {
            rule,
            ids,
            entries: HashSet::new(),
            declared: Declared::default(),
            labels: BadLabels::default(),
            splits: Splits::default(),
            samples: Vec::new(),
            seen: HashMap::new(),
            n_pseudonyms: 0,
        }
    }

    fn take(&mut self, header: &Header, n: usize, row: &Row) -> Result<(), Problem> {
        if n == 0 {
            header.needs(URI)?;
            if self.rule.split.is_some() {
                header.needs(SPLIT)?;
            }
        }
        if self.rule.split.is_some() && row[SPLIT].as_deref() != self.rule.split {
            self.splits.push(row[SPLIT].as_deref());
            return Ok(());
        }
        self.n_pseudonyms += usize::from(row[SAMPLE_ID].is_none());
        let group = if self.rule.ignores_declared { None } else { self.declared.group(n, row)? };
        let mut sample = check_row(n, row, &self.ids, &mut self.entries)?;
        match check_label(n, row, self.rule.labels)? {
            Labelled::Class(index) => sample.label_idx = Some(index),
            Labelled::No => {}
            bad => self.labels.push(n, bad),
        }
        // One image may stand in several cells under one id.
        if let Some(first) = self.seen.insert((sample.id.clone(), group), n) {
            let what = format!("sample_id at rows {first} and {n} is the same");
            return Err(bad("M003", what).hint("ids must be unique; without the column, uris must be"));
        }
        self.samples.push((group, sample));
        Ok(())
    }
}

/// A row without its label and its place.
fn check_row(
    n: usize,
    row: &Row,
    ids: &Pseudonyms,
    entries: &mut HashSet<Arc<str>>,
) -> Result<Sample, Problem> {
    let uri = row[URI].as_deref().ok_or_else(|| bad("M002", format!("row {n}: uri is empty")))?;
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
        row: 0,
        manifest_row: n as u64,
        id,
        // What is refused is never read, and may have a name that no key can be.
        key: if row[REFUSED].is_some() { Path::from(uri) } else { check_key(n, uri)? },
        label_idx: None,
        sha256: row[SHA256].as_deref().map(|text| check_sha256(n, text)).transpose()?,
        size_bytes: row[BYTES].as_deref().map(|text| check_size(n, text)).transpose()?,
        location: check_location(n, row, entries)?,
        frame: check_number(n, row, FRAME)?,
        slice: check_slice(n, row)?,
        declared: None,
    })
}

/// What no other row has: the uri, what it names within the object, the frame and the slice.
pub(super) fn place_of(uri: &str, row: &Row) -> String {
    let entry = row[ENTRY].as_deref();
    // Of two entries of one name, the listing refuses the second.
    let refused = row[OFFSET].as_deref().or(row[REFUSED].as_deref()).filter(|_| row[REFUSED].is_some());
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

/// The keyed hash by which a plan names its manifest file.
pub(super) fn manifest_hash(secret: Option<&str>, bytes: &[u8]) -> String {
    Pseudonyms::new(secret, bytes).manifest_hash(&hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, Problem> {
        let labels = ["red".to_owned(), "white".to_owned()];
        Manifest::parse("m.csv", &Bytes::from(text.to_owned()), rule(&labels, None, Some("k")))
    }

    fn rule<'a>(labels: &'a [String], split: Option<&'a str>, key: Option<&'a str>) -> ManifestRule<'a> {
        ManifestRule { labels, split, pseudonym_key: key, cells: &[], batch_size: 4, ignores_declared: false }
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
            ("uri\n./DOE", "M005"),
            ("uri\na//DOE", "M005"),
            ("uri\nDOE%252f..%252fx", "M005"),
            ("uri\n..%2fDOE", "M005"),
            ("uri,label,Label\nDOE,red,red", "M027"),
            ("uri,corruption,severity\nDOE,fog,6", "M028"),
            ("uri,corruption,severity\nDOE,,3", "M028"),
            ("uri,corruption,severity\nDOE,DOE^JOHN,3", "M028"),
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
        let rule = rule(&labels, Some("test"), None);
        let manifest = Manifest::parse("m.csv", &Bytes::from(text), rule).unwrap();
        let rows: Vec<_> =
            manifest.samples.iter().map(|s| (s.row, s.manifest_row, s.key.as_ref(), s.label_idx)).collect();
        assert_eq!(rows, [(0, 1, "b", Some(1)), (1, 2, "c", Some(0))]);
    }

    #[test]
    fn odd_names_that_a_store_can_address_are_keys() {
        for name in
            ["~a.png", "Dr. X./a.png", "a..png", "a%2fb.png", "back\\slash.png", ".../x.png", "a #1.png"]
        {
            let manifest = parse(&format!("uri\n\"{name}\"")).unwrap();
            assert_eq!(manifest.samples[0].key.as_ref(), name);
        }
    }

    #[test]
    fn labels_are_read_however_a_table_writes_them() {
        let text = "uri, Label_IDX\na,1.0\nb,\nc,-1\nd,0\ne,NaN\nf,true\n";
        let labels: Vec<_> = parse(text).unwrap().samples.iter().map(|sample| sample.label_idx).collect();
        assert_eq!(labels, [Some(1), None, None, Some(0), None, Some(1)]);
        let labels: Vec<_> =
            parse("uri, label\na, white\nb, red\n").unwrap().samples.iter().map(|s| s.label_idx).collect();
        assert_eq!(labels, [Some(1), Some(0)]);
    }

    #[test]
    fn all_bad_labels_are_told_at_once_by_rows_from_zero() {
        let problem = parse("uri,label\na,red\nb,DOE\nc,white\nd,DOE\n").unwrap_err();
        assert_eq!(problem.code, "M010");
        assert!(problem.what.contains("rows 1, 3"), "{problem}");
        let problem = parse("uri,label_idx\na,7\nb,1\nc,19700101123\n").unwrap_err();
        assert!(problem.what.contains("0 (7), 2") && !problem.what.contains("1970"), "{problem}");
    }

    #[test]
    fn a_declared_cell_begins_a_batch_and_ids_may_return_in_another_cell() {
        let labels = ["red".to_owned(), "white".to_owned()];
        let made = [Cell::clean(), Cell::declared("fog", 1)];
        let rule = ManifestRule { cells: &made, ..rule(&labels, None, None) };
        let text =
            "uri,sample_id,corruption,severity\na,x,fog,1\nb,x,,\nc,x,snow,5\nd,y,fog,1\ne,y,,\nf,z,clean,0";
        let manifest = Manifest::parse("m.csv", &Bytes::from(text), rule).unwrap();
        let placed: Vec<_> =
            manifest.samples.iter().map(|s| (s.key.as_ref(), s.row, s.manifest_row, s.declared)).collect();
        let wanted = [
            ("b", 0, 1, None),
            ("e", 1, 4, None),
            ("a", 4, 0, Some(1)),
            ("d", 5, 3, Some(1)),
            ("c", 8, 2, Some(2)),
            ("f", 12, 5, Some(0)),
        ];
        assert_eq!(placed, wanted);
        assert_eq!((manifest.cells.len(), manifest.n_made, manifest.n_pairs()), (3, 2, 2 * 2 + 4));
        assert_eq!(manifest.n_batches(&manifest.samples, 4), 2 + 3);
        let twice = "uri,sample_id,corruption,severity\na,x,fog,1\nb,x,fog,1";
        assert_eq!(Manifest::parse("m.csv", &Bytes::from(twice), rule).unwrap_err().code, "M003");
        // Where every row declares its cell the pipeline makes none.
        let only = "uri,corruption,severity\na,fog,1\nb,fog,2";
        let manifest = Manifest::parse("m.csv", &Bytes::from(only), rule).unwrap();
        assert_eq!((manifest.cells.len(), manifest.n_made), (2, 0));
    }

    #[test]
    fn json_lines_and_csv_agree() {
        let labels = ["red".to_owned(), "white".to_owned()];
        let rule = rule(&labels, None, Some("k"));
        let json = "{\"uri\":\"a\",\"label_idx\":1}\n\n{\"uri\":\"b\",\"label_idx\":0,\"bytes\":7}\n";
        let json = Manifest::parse("m.jsonl", &Bytes::from(json), rule).unwrap();
        let csv = parse("uri,label_idx,bytes\na,1,\nb,0,7\n").unwrap();
        assert_eq!(json.samples, csv.samples);
        let array = "\u{feff} [{\"uri\":\"a\",\"label_idx\":1.0}, {\"URI\":\"b\",\"label_idx\":0}]";
        assert_eq!(Manifest::parse("m.json", &Bytes::from(array), rule).unwrap_err().code, "M027");
        let array = array.replace("URI", "uri");
        let array = Manifest::parse("m.json", &Bytes::from(array), rule).unwrap();
        assert_eq!(array.samples.len(), 2);
        let nested = Manifest::parse("m.jsonl", &Bytes::from("{\"uri\":\"a\",\"label\":[1]}"), rule);
        assert_eq!(nested.unwrap_err().code, "M018");
        for (odd, code) in [
            ("{\"uri\":\"a\",\"sha256\":[1]}", "M018"),
            ("{\"uri\":\"a\",\"bytes\":{\"n\":1}}", "M018"),
            ("{\"uri\":\"a\",\"uri\":\"b\"}", "M027"),
            ("{\"uri\":\"a\",\"label_idx\":0,\"label_idx\":1}", "M027"),
        ] {
            assert_eq!(Manifest::parse("m.jsonl", &Bytes::from(odd), rule).unwrap_err().code, code, "{odd}");
        }
        // A switch is a class, as in every format; see docs/manifest.md.
        let switch = Manifest::parse("m.jsonl", &Bytes::from("{\"uri\":\"a\",\"label_idx\":true}"), rule);
        assert_eq!(switch.unwrap().samples[0].label_idx, Some(1));
    }

    #[test]
    fn pseudonyms_depend_on_the_key() {
        let ids = |secret| Pseudonyms::new(secret, b"manifest").pseudonym("a.png");
        assert_ne!(ids(Some("one")), ids(Some("two")));
        assert_ne!(ids(Some("one")), ids(None));
        assert_eq!(ids(None).len(), 32);
    }
}
