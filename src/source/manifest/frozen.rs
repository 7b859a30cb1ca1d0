//! A manifest that was read, checked and written as a list once, so that any number of workers open it by a few reads.
//!
//! The head says what was checked under which settings and names the parts by their hashes; its last line is the hash of the one before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use t3b_corrupt::Cell;

use super::list::{List, Part, damaged};
use super::pseudonyms::Pseudonyms;
use super::{Manifest, ManifestRule, Stretch};
use crate::error::{Exit, Problem};
use crate::messages::{CellIdx, Reason};
use crate::source::spool::{Spool, unspooled};
use crate::store::{Created, Root};

/// Ending of a head's name.
const ENDING: &str = ".frozen";
/// Version of the head and of the columns of the parts.
const FORMAT_VERSION: u32 = 1;

/// Whether a name is that of a frozen manifest.
#[must_use]
pub fn is_frozen(name: &str) -> bool {
    name.ends_with(ENDING)
}

/// What freezing a manifest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// Files beside the head.
    pub n_parts: usize,
    /// Their bytes.
    pub n_bytes: u64,
}

/// The first line of a head.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format_version: u32,
    rule: Rule,
    n_samples: u64,
    sha256: String,
    hmac_sha256: String,
    ids_sha256: String,
    is_keyed: bool,
    n_pseudonyms: u64,
    /// Cells that rows declare and the pipeline does not make.
    declared: Vec<(String, u8)>,
    n_made: usize,
    stretches: Vec<(u64, u64, Option<CellIdx>)>,
    refused: BTreeMap<String, u64>,
    n_bytes: Option<u64>,
    notes: Vec<String>,
    parts: Vec<Part>,
}

/// The settings that a list was made under.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    split: Option<String>,
    labels: Vec<String>,
    cells: Vec<(String, u8)>,
    batch_size: u32,
    partition_size: u32,
    ignores_declared: bool,
}

impl Rule {
    fn of(rule: &ManifestRule<'_>) -> Self {
        Self {
            split: rule.split.map(str::to_owned),
            labels: rule.labels.to_vec(),
            cells: named(rule.cells),
            batch_size: rule.batch_size,
            partition_size: rule.partition_size,
            ignores_declared: rule.ignores_declared,
        }
    }

    /// The setting in which the two differ, with both values where they are short.
    fn differing(&self, other: &Self) -> Option<String> {
        let text = |split: &Option<String>| split.clone().unwrap_or_else(|| "none".to_owned());
        if self.split != other.split {
            return Some(format!("input.split {}, now {}", text(&self.split), text(&other.split)));
        }
        if self.batch_size != other.batch_size {
            return Some(format!("run.batch_size {}, now {}", self.batch_size, other.batch_size));
        }
        if self.partition_size != other.partition_size {
            return Some(format!("run.partition_size {}, now {}", self.partition_size, other.partition_size));
        }
        let is_same = [
            ("labels.names", self.labels == other.labels),
            ("the cells of [corrupt]", self.cells == other.cells),
            ("corrupt.declared", self.ignores_declared == other.ignores_declared),
        ];
        let differing = is_same.into_iter().find(|(_, is_same)| !is_same);
        differing.map(|(setting, _)| format!("another value of {setting}"))
    }
}

fn named(cells: &[Cell]) -> Vec<(String, u8)> {
    cells.iter().map(|cell| (cell.corruption.to_string(), cell.severity)).collect()
}

fn folder_of(name: &str) -> String {
    format!("{name}.parts")
}

impl Manifest {
    /// Writes the list below `<name>.parts`, then its head as `name`. The bytes depend on the manifest and on `rule`, under which it was
    /// read, alone: a call that was cut short is made again.
    ///
    /// # Errors
    /// `C007` when another list stands there; store failures.
    pub async fn freeze(&self, root: &Root, name: &str, rule: &ManifestRule<'_>) -> Result<Frozen, Problem> {
        for (n, part) in self.list.parts.iter().enumerate() {
            let bytes = self.list.bytes(n, 0..part.n_bytes).await?;
            let key = format!("{}/{}", folder_of(name), List::part_name(n));
            create(root, &key, bytes).await?;
        }
        create(root, name, self.head(rule).into()).await?;
        let n_bytes = self.list.parts.iter().map(|part| part.n_bytes).sum();
        Ok(Frozen { n_parts: self.list.parts.len(), n_bytes })
    }

    fn head(&self, rule: &ManifestRule<'_>) -> String {
        let head = Head {
            format_version: FORMAT_VERSION,
            n_samples: self.n_samples,
            sha256: self.sha256.clone(),
            hmac_sha256: self.hmac_sha256.clone(),
            ids_sha256: self.ids_sha256.clone(),
            is_keyed: self.is_keyed,
            n_pseudonyms: self.n_pseudonyms,
            declared: named(&self.cells[self.n_made..]),
            n_made: self.n_made,
            stretches: self
                .stretches
                .iter()
                .map(|one| (one.first_row, one.n_samples, one.declared))
                .collect(),
            refused: self.refused.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect(),
            n_bytes: self.n_bytes,
            notes: self.notes.clone(),
            parts: self.list.parts.clone(),
            rule: Rule::of(rule),
        };
        let line = serde_json::to_string(&head).expect("a head has a JSON text");
        let sha256 = hex::encode(Sha256::digest(&line));
        format!("{line}\n{sha256}\n")
    }

    /// Opens the list whose head is `bytes`, read as `name`.
    ///
    /// # Errors
    /// `M033` a head that is damaged or of another version; `M034` one that was made under other settings or another secret.
    pub fn open(root: &Root, name: &str, bytes: &[u8], rule: &ManifestRule<'_>) -> Result<Self, Problem> {
        let head = parse(bytes)?;
        let ours = Rule::of(rule);
        if let Some(differing) = head.rule.differing(&ours) {
            return Err(other(&format!("with {differing}")));
        }
        if let Some(secret) = rule.pseudonym_key {
            let ids = Pseudonyms::new(Some(secret), &Spool::new()).map_err(|error| unspooled(&error))?;
            if ids.manifest_hash(&head.sha256) != head.hmac_sha256 {
                return Err(other("under another T3B_PSEUDONYM_KEY, or none"));
            }
        }
        let made = if head.n_made == 0 { &[] } else { rule.cells };
        let declared = head.declared.iter().map(|(name, severity)| Cell::declared(name, *severity));
        let refused = head.refused.iter().map(|(code, n)| {
            Reason::from_code(code)
                .map(|reason| (reason.code(), *n))
                .ok_or_else(|| damaged("has an unknown reason"))
        });
        let size = u64::from(rule.partition_size.max(1));
        Ok(Self {
            n_samples: head.n_samples,
            sha256: head.sha256,
            hmac_sha256: head.hmac_sha256,
            ids_sha256: head.ids_sha256,
            is_keyed: head.is_keyed,
            n_pseudonyms: head.n_pseudonyms,
            cells: made.iter().cloned().chain(declared).collect::<Vec<_>>().into(),
            n_made: head.n_made,
            stretches: head
                .stretches
                .iter()
                .map(|&(first_row, n_samples, declared)| Stretch { first_row, n_samples, declared })
                .collect(),
            refused: refused.collect::<Result<_, _>>()?,
            n_bytes: head.n_bytes,
            notes: head.notes,
            partition_size: rule.partition_size,
            list: List::stored(root.clone(), folder_of(name), head.parts, size),
        })
    }
}

fn parse(bytes: &[u8]) -> Result<Head, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("has changed"))?;
    let (line, hash) = text.split_once('\n').ok_or_else(|| damaged("has changed"))?;
    if hash.trim_end() != hex::encode(Sha256::digest(line)) {
        return Err(damaged("has changed"));
    }
    let head: Head =
        serde_json::from_str(line).map_err(|_| damaged("was written by another version of the program"))?;
    if head.format_version != FORMAT_VERSION {
        return Err(damaged("was written by another version of the program"));
    }
    Ok(head)
}

async fn create(root: &Root, key: &str, bytes: bytes::Bytes) -> Result<(), Problem> {
    match root.create(key, "frozen manifest", bytes.clone()).await? {
        Created::Ours => Ok(()),
        Created::Exists(found) if found == bytes => Ok(()),
        Created::Exists(_) => {
            let what = "-o: another frozen manifest stands there";
            Err(Problem::new("C007", Exit::Config, what)
                .hint("choose another name, or delete it and its parts"))
        }
    }
}

fn other(how: &str) -> Problem {
    Problem::new("M034", Exit::Config, format!("the manifest was frozen {how}"))
        .hint("freeze it again with this pipeline, t3b manifest freeze, or restore the setting")
}
