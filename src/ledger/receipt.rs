//! The small create-only object that commits a partition, and the staged objects it names.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostics::Diagnostics;
use super::layout::{Layout, MAX_JSON_BYTES};
use super::plan::Plan;
use super::seal;
use crate::error::{Exit, Problem, RunError};
use crate::store::{Created, Root};
use crate::tables::{FORMAT_VERSION, Table};

/// One object that a receipt or the list of a published table names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Table name.
    pub table: String,
    /// Key relative to the output root.
    pub path: String,
    /// Size of the object.
    pub bytes: u64,
    /// Lower-case hex content hash.
    pub sha256: String,
    /// Rows of the table.
    pub rows: u64,
}

/// Commits one partition: exactly the objects it names are its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Version of this object.
    pub format_version: u32,
    /// Hash of the receipt's own text, with zeros in this place; empty until it is stored, and in format 1.
    #[serde(default)]
    pub receipt_sha256: String,
    /// Hash of the plan this output follows, and so of the run; empty in format 1.
    #[serde(default)]
    pub plan_sha256: String,
    /// Which partition.
    pub partition: u32,
    /// Random name of the attempt that wrote it, 32 hex digits.
    pub nonce: String,
    /// Name of the worker that the attempt was made by; empty where an earlier program wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
    /// The plan this output follows.
    pub spec_sha256: String,
    /// Samples of the partition.
    pub n_samples: u64,
    /// (sample, cell) pairs that were scored.
    pub n_scored: u64,
    /// (sample, cell) pairs that were quarantined.
    pub n_quarantined: u64,
    /// What the partition says about its coefficients.
    pub diagnostics: Diagnostics,
    /// Numerics class of the lane, such as `cpu`.
    pub device: String,
    /// Numerics of the lane: hash of two fixed images' logits.
    pub canary: String,
    /// Pairs among the quarantined that a model gave no finite number for.
    pub n_nonfinite: u64,
    /// The staged objects, in [`Table::ALL`] order.
    pub files: Vec<FileEntry>,
}

/// A fresh random name, 128 bits.
///
/// # Errors
/// `B004` when the system gives no randomness.
pub fn nonce() -> Result<String, Problem> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::new("B004", Exit::Bug, "the system gives no random numbers"))?;
    Ok(hex::encode(bytes))
}

/// Describes `bytes` as stored at `path`.
#[must_use]
pub(crate) fn entry(table: &str, path: String, bytes: &[u8], rows: u64) -> FileEntry {
    let sha256 = hex::encode(Sha256::digest(bytes));
    FileEntry { table: table.to_owned(), path, bytes: bytes.len() as u64, sha256, rows }
}

impl Receipt {
    /// The staged object of `table`.
    ///
    /// # Errors
    /// `R007` when the receipt does not name it.
    pub fn file(&self, table: Table) -> Result<&FileEntry, Problem> {
        self.files.iter().find(|file| file.table == table.name()).ok_or_else(|| {
            let what = format!("receipt of partition {} names no {} object", self.partition, table.name());
            Problem::new("R007", Exit::BadData, what)
        })
    }

    /// Creates the receipt. `false` means that another attempt had committed the partition first, which is
    /// no loss: both would have published the same bytes.
    ///
    /// # Errors
    /// Store failures.
    pub async fn commit(&self, root: &Root, layout: &Layout) -> Result<bool, RunError> {
        let object = format!("receipt of partition {}", self.partition);
        let (text, _) = seal::sealed(self, "receipt_sha256");
        let bytes = Bytes::from(text);
        match root.create(&layout.receipt(self.partition), &object, bytes).await.map_err(Problem::from)? {
            Created::Ours => Ok(true),
            Created::Exists(_) => Ok(false),
        }
    }

    /// Reads the receipt of `partition` as it is stored; `None` when it is not committed.
    ///
    /// # Errors
    /// Store failures, `R007` unreadable, `R005` a later format, `R020` damaged.
    pub async fn read(root: &Root, layout: &Layout, partition: u32) -> Result<Option<Self>, RunError> {
        let object = format!("receipt of partition {partition}");
        let found =
            root.read(&layout.receipt(partition), &object, MAX_JSON_BYTES).await.map_err(Problem::from)?;
        Ok(found.map(|bytes| Self::parse(&bytes, &object)).transpose()?)
    }

    /// [`Receipt::read`], for a receipt that must be what commits `partition` of `plan`.
    ///
    /// # Errors
    /// As [`Receipt::read`]; `R020` when it is of another partition, run or plan, names other objects, or counts otherwise.
    pub async fn read_of(
        root: &Root,
        layout: &Layout,
        plan: &Plan,
        partition: u32,
    ) -> Result<Option<Self>, RunError> {
        let Some(receipt) = Self::read(root, layout, partition).await? else { return Ok(None) };
        let why = match receipt.contradicts(layout, plan, partition) {
            None => return Ok(Some(receipt)),
            Some(why) => why,
        };
        let what = format!("receipt of partition {partition} {why}");
        let hint =
            "delete that receipt and run the same t3b run command again: its partition is scored again";
        Err(Problem::new("R020", Exit::BadData, what).hint(hint).into())
    }

    fn contradicts(&self, layout: &Layout, plan: &Plan, partition: u32) -> Option<&'static str> {
        if self.spec_sha256 != plan.spec_sha256 || self.plan_sha256 != plan.plan_sha256 {
            return Some("follows another plan");
        }
        if self.format_version != plan.format_version {
            return Some("has another format than the plan");
        }
        if self.partition != partition || partition >= plan.n_partitions {
            return Some("is that of another partition");
        }
        let tables = Table::of_format(plan.format_version);
        let is_named = |(table, file): (&Table, &FileEntry)| {
            file.table == table.name() && file.path == layout.staged(partition, &self.nonce, *table)
        };
        if self.files.len() != tables.len() || !tables.iter().zip(&self.files).all(is_named) {
            return Some("names other objects than its own");
        }
        let (rows, coverage) = (plan.rows_of(partition), plan.coverage());
        let is_counted = self.n_samples == coverage.n_samples(&rows)
            && self.n_scored.checked_add(self.n_quarantined) == Some(coverage.n_pairs(&rows));
        (!is_counted).then_some("counts other samples than the plan gives it")
    }

    /// A receipt as it is stored, of any format that is read; messages call it `object`.
    ///
    /// # Errors
    /// `R007` unreadable, `R005` a later format, `R020` damaged.
    pub fn parse(bytes: &[u8], object: &str) -> Result<Self, Problem> {
        let unreadable = || Problem::new("R007", Exit::BadData, format!("{object} is unreadable"));
        let parsed = serde_json::from_slice::<Value>(bytes).ok();
        let version = parsed.as_ref().and_then(|value| value.get("format_version")).and_then(Value::as_u64);
        let has_hash = parsed.as_ref().is_some_and(|value| value.get("receipt_sha256").is_some());
        if version == Some(1) && !has_hash {
            // Format 1 had two more facts, of T3's coefficients whatever the methods were.
            let mut value = parsed.ok_or_else(unreadable)?;
            let fields = value.as_object_mut().ok_or_else(unreadable)?;
            fields.retain(|name, _| name != "n_coefficients" && name != "lambda_sum");
            return serde_json::from_value(value).map_err(|_| unreadable());
        }
        let text = seal::check(bytes, "receipt_sha256", object)?;
        if version.is_some_and(|version| version > u64::from(FORMAT_VERSION)) {
            let what = format!("{object} has a later format, this program reads up to {FORMAT_VERSION}");
            return Err(Problem::new("R005", Exit::Config, what));
        }
        serde_json::from_str(text).map_err(|_| unreadable())
    }
}

/// What stands where receipts do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Partitions whose receipt has exactly its name, ascending, with the store's time in milliseconds since 1970.
    pub receipts: Vec<(u32, i64)>,
    /// Everything else: never counted, and no reason to delete anything.
    pub foreign: Vec<String>,
}

impl Listed {
    /// Lists a folder by the number that `number` reads from a name, 16 bytes each.
    pub(super) async fn read(
        root: &Root,
        folder: &str,
        after: Option<&str>,
        object: &str,
        number: impl Fn(&str) -> Option<u32>,
    ) -> Result<Self, RunError> {
        let mut listed = Self::default();
        let see = |entry: crate::store::Listed| match number(&entry.name) {
            Some(number) => listed.receipts.push((number, entry.modified_ms)),
            None => listed.foreign.push(entry.name),
        };
        root.each_listed(folder, after, object, see).await.map_err(Problem::from)?;
        listed.receipts.sort_unstable();
        listed.foreign.sort_unstable();
        Ok(listed)
    }

    /// Whether the partition has a receipt.
    #[must_use]
    pub fn has(&self, partition: u32) -> bool {
        self.receipts.binary_search_by_key(&partition, |&(known, _)| known).is_ok()
    }
}

/// Whether a partition has a receipt, asked of the store for this one alone.
///
/// # Errors
/// Store failures.
pub async fn is_committed(root: &Root, layout: &Layout, partition: u32) -> Result<bool, RunError> {
    let key = object_store::path::Path::from(layout.receipt(partition));
    let object = format!("receipt of partition {partition}");
    Ok(root.size(&key, &object).await.map_err(Problem::from)?.is_some())
}

/// What stands where the receipts of a run of `n_partitions` do, from one listing.
///
/// # Errors
/// Store failures.
pub async fn committed(root: &Root, layout: &Layout, n_partitions: u32) -> Result<Listed, RunError> {
    committed_from(root, layout, n_partitions, 0).await
}

/// [`committed`], for somebody who knows the receipts of all partitions before `first`: those, or most of them, are not listed.
///
/// # Errors
/// Store failures.
pub(super) async fn committed_from(
    root: &Root,
    layout: &Layout,
    n_partitions: u32,
    first: u32,
) -> Result<Listed, RunError> {
    let number = |name: &str| name.rsplit('/').next()?.strip_suffix(".json")?.parse::<u32>().ok();
    let is_own = |name: &str, p: u32| p < n_partitions && layout.receipt(p) == name;
    let of = |name: &str| number(name).filter(|&p| is_own(name, p));
    let after = before_all(first, n_partitions);
    let listed = Listed::read(root, &layout.receipts(), after.as_deref(), "receipts", of).await?;
    if !listed.foreign.is_empty() {
        tracing::warn!(n = listed.foreign.len(), "objects among the receipts that are none are left alone");
    }
    Ok(listed)
}

/// A name that stands in a store's order before every receipt, and every claim, from `first` on; `None` where that is all of them. Names have five digits or, where there are that many
/// partitions, more, and `100000` stands before `99999`.
pub(super) fn before_all(first: u32, n_partitions: u32) -> Option<String> {
    let wider = (5..10).map(|digits| 10_u32.pow(digits)).filter(|&p| p > first && p < n_partitions);
    let names = std::iter::once(first).chain(wider).map(|partition| format!("{partition:05}"));
    names.min().filter(|_| first > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_begins_before_every_receipt_that_is_looked_for() {
        for n_partitions in [1, 300, 100_000, 100_001, 250_000, 1_000_001] {
            for first in [0, 1, 299, 9_999, 10_000, 12_345, 99_999, 100_000, 200_000, 999_999] {
                let before = before_all(first, n_partitions).unwrap_or_default();
                let around = [first, 99_999, 100_000, 123_456, 999_999, 1_000_000];
                for partition in around.into_iter().filter(|p| (first..n_partitions).contains(p)) {
                    assert!(
                        before < format!("{partition:05}.json"),
                        "{partition} from {first} of {n_partitions}"
                    );
                }
            }
        }
        assert_eq!(before_all(768, 1_000).as_deref(), Some("00768"));
        assert_eq!(before_all(50_000, 200_000).as_deref(), Some("100000"));
    }
}
