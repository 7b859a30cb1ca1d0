//! The rows of a manifest file, each checked when it comes, and handed on in the order in which they are scored.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::aside::Aside;
use super::once::Once;
use super::pseudonyms::{Pseudonyms, sha256};
use super::write::ListWriter;
use super::{Manifest, ManifestFile, ManifestRule, Stretch, place_of};
use crate::error::Problem;
use crate::messages::{Location, Sample};
use crate::source::cells::Declared;
use crate::source::fields::{
    BYTES, CORRUPTION, FRAME, Labelled, REFUSED, SAMPLE_ID, SEVERITY, SHA256, SPLIT, URI, check_key,
    check_label, check_location, check_number, check_sha256, check_size, check_slice,
};
use crate::source::header::Header;
use crate::source::labels::{BadLabels, Splits};
use crate::source::problems::bad;
use crate::source::rows::{self, Row};
use crate::source::spool::unspooled;

/// Names of arrays that are kept so that each is in memory once; an archive has a few.
const MAX_ENTRIES: usize = 4096;

/// Reads and checks all rows; see [`Manifest::parse`].
pub(super) fn parse(file: &ManifestFile, rule: ManifestRule<'_>) -> Result<Manifest, Problem> {
    let spooled = |error: io::Error| unspooled(&error);
    let ids = Pseudonyms::new(rule.pseudonym_key, &file.spool).map_err(spooled)?;
    let mut checked = Checked::new(rule, &ids, file.spool.n_bytes());
    let (header, n_rows) =
        rows::read(&file.name, &file.spool, &mut |header, n, row| checked.take(header, n, row))?;
    if n_rows == 0 {
        return Err(bad("M001", "manifest is empty").hint("it needs a header and at least one row"));
    }
    if let Some(rows) = checked.once.twice().map_err(spooled)? {
        return Err(twice(rows));
    }
    checked.labels.check(rule.labels.len())?;
    if checked.n_samples == 0 {
        let what = format!(
            "input.split: found no row of split {:?} among {n_rows}, which are of {}",
            rule.split.unwrap_or_default(),
            checked.splits.told()
        );
        return Err(bad("M001", what).hint("set input.split to one of these, or leave it out to score all"));
    }
    let is_made = checked.declared.is_empty() || checked.needs_made;
    let (cells, n_made, places) = checked.declared.cells(rule.cells, is_made);
    let mut placed = checked.placed;
    if let Some(aside) = checked.aside {
        aside.place(is_made, |group, sample| placed.push(group.map(|group| places[group]), sample))?;
    }
    let sha256 = sha256(&file.spool).map_err(spooled)?;
    let n_pseudonyms = checked.n_pseudonyms;
    let Placed { ids: ids_hash, stretches, refused, n_bytes, list, .. } = placed;
    Ok(Manifest {
        n_samples: checked.n_samples,
        hmac_sha256: ids.manifest_hash(&sha256),
        ids_sha256: hex::encode(ids_hash.finalize()),
        sha256,
        is_keyed: rule.pseudonym_key.is_some(),
        n_pseudonyms,
        cells: cells.into(),
        n_made,
        stretches,
        refused,
        n_bytes,
        notes: header.notes,
        partition_size: rule.partition_size,
        list: list.finish()?,
    })
}

/// The rows that were read so far, each checked when it came.
struct Checked<'a> {
    rule: ManifestRule<'a>,
    ids: &'a Pseudonyms,
    /// One copy of each name inside archives.
    entries: HashSet<Arc<str>>,
    declared: Declared,
    /// Whether a sample is there that can be scored in the cells that the pipeline makes.
    needs_made: bool,
    labels: BadLabels,
    splits: Splits,
    once: Once,
    n_samples: u64,
    n_pseudonyms: u64,
    /// Where the file has columns for cells: all samples, by their cells.
    aside: Option<Aside>,
    placed: Placed,
}

impl<'a> Checked<'a> {
    fn new(rule: ManifestRule<'a>, ids: &'a Pseudonyms, n_file_bytes: u64) -> Self {
        Self {
            rule,
            ids,
            entries: HashSet::new(),
            declared: Declared::default(),
            needs_made: false,
            labels: BadLabels::default(),
            splits: Splits::default(),
            once: Once::new(n_file_bytes),
            n_samples: 0,
            n_pseudonyms: 0,
            aside: None,
            placed: Placed::new(rule.batch_size, rule.partition_size),
        }
    }

    fn take(&mut self, header: &Header, n: usize, row: &Row) -> Result<(), Problem> {
        if n == 0 {
            header.needs(URI)?;
            if self.rule.split.is_some() {
                header.needs(SPLIT)?;
            }
            let declares = [CORRUPTION, SEVERITY].into_iter().any(|column| header.has(column));
            self.aside = (declares && !self.rule.ignores_declared).then(Aside::default);
        }
        if self.rule.split.is_some() && row[SPLIT].as_deref() != self.rule.split {
            self.splits.push(row[SPLIT].as_deref());
            return Ok(());
        }
        self.n_samples += 1;
        self.n_pseudonyms += u64::from(row[SAMPLE_ID].is_none());
        let group = if self.rule.ignores_declared { None } else { self.declared.group(n, row)? };
        if self.entries.len() > MAX_ENTRIES {
            self.entries.clear();
        }
        let mut sample = check_row(n, row, self.ids, &mut self.entries)?;
        match check_label(n, row, self.rule.labels)? {
            Labelled::Class(index) => sample.label_idx = Some(index),
            Labelled::No => {}
            bad => self.labels.push(n, bad),
        }
        // One image may stand in several cells under one id.
        let found = self.once.push(group, &sample.id, n as u64).map_err(|error| unspooled(&error))?;
        if let Some(rows) = found {
            return Err(twice(rows));
        }
        self.needs_made |= group.is_none() && !matches!(sample.location, Location::Refused(..));
        match &mut self.aside {
            Some(aside) => aside.push(group, sample),
            None => self.placed.push(None, sample),
        }
    }
}

/// The samples in the order in which they are scored.
struct Placed {
    batch_size: u64,
    row: u64,
    stretches: Vec<Stretch>,
    ids: Sha256,
    refused: BTreeMap<&'static str, u64>,
    n_bytes: Option<u64>,
    list: ListWriter,
}

impl Placed {
    fn new(batch_size: u32, partition_size: u32) -> Self {
        Self {
            batch_size: u64::from(batch_size.max(1)),
            row: 0,
            stretches: Vec::new(),
            ids: Sha256::new(),
            refused: BTreeMap::new(),
            n_bytes: Some(0),
            list: ListWriter::new(partition_size),
        }
    }

    /// Gives a sample its cell and its place. Each declared cell begins at a multiple of the batch size, so no batch holds two.
    fn push(&mut self, declared: Option<usize>, mut sample: Sample) -> Result<(), Problem> {
        match self.stretches.last_mut().filter(|last| last.declared == declared) {
            Some(last) => last.n_samples += 1,
            None => {
                self.row = self.row.next_multiple_of(self.batch_size);
                self.stretches.push(Stretch { first_row: self.row, n_samples: 1, declared });
            }
        }
        (sample.row, sample.declared) = (self.row, declared);
        self.row += 1;
        self.ids.update(sample.id.as_bytes());
        self.ids.update(b"\n");
        if let Location::Refused(reason, _) = sample.location {
            *self.refused.entry(reason.code()).or_default() += 1;
        }
        self.n_bytes = self.n_bytes.zip(sample.size_bytes).map(|(all, one)| all.saturating_add(one));
        self.list.push(sample)
    }
}

fn twice((first, second): (u64, u64)) -> Problem {
    bad("M003", format!("sample_id at rows {first} and {second} is the same"))
        .hint("ids must be unique; without the column, uris must be")
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

fn is_sample_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
