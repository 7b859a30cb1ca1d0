//! The small create-only object that commits a partition, and the staged objects it names.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostics::Diagnostics;
use super::layout::Layout;
use crate::error::{Exit, Problem, RunError};
use crate::store::{Created, Root};
use crate::tables::{FORMAT_VERSION, Table};

/// Most bytes a receipt or plan may have.
pub(super) const MAX_JSON_BYTES: u64 = 64 << 20;

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
    /// Which partition.
    pub partition: u32,
    /// Random name of the attempt that wrote it, 32 hex digits.
    pub nonce: String,
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
        let bytes = Bytes::from(serde_json::to_vec_pretty(self).expect("a receipt has a JSON text"));
        match root.create(&layout.receipt(self.partition), &object, bytes).await.map_err(Problem::from)? {
            Created::Ours => Ok(true),
            Created::Exists(_) => Ok(false),
        }
    }

    /// Reads the receipt of `partition`; `None` when it is not committed.
    ///
    /// # Errors
    /// Store failures, `R007` unreadable, `R005` a later format.
    pub async fn read(root: &Root, layout: &Layout, partition: u32) -> Result<Option<Self>, RunError> {
        let object = format!("receipt of partition {partition}");
        let found =
            root.read(&layout.receipt(partition), &object, MAX_JSON_BYTES).await.map_err(Problem::from)?;
        let Some(bytes) = found else { return Ok(None) };
        let unreadable = || Problem::new("R007", Exit::BadData, format!("{object} is unreadable"));
        let mut value: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        let version = value.get("format_version").and_then(Value::as_u64).ok_or_else(unreadable)?;
        if version > u64::from(FORMAT_VERSION) {
            let what = format!("receipt format {version}, this program reads up to {FORMAT_VERSION}");
            return Err(Problem::new("R005", Exit::Config, what).into());
        }
        if version == 1 {
            // Format 1 had two more facts, of T3's coefficients whatever the methods were.
            let fields = value.as_object_mut().ok_or_else(unreadable)?;
            fields.retain(|name, _| name != "n_coefficients" && name != "lambda_sum");
        }
        let receipt = serde_json::from_value(value).map_err(|_| unreadable())?;
        Ok(Some(receipt))
    }
}

/// Partitions that have a receipt, ascending, from one listing.
///
/// # Errors
/// Store failures.
pub async fn committed(root: &Root, layout: &Layout) -> Result<Vec<u32>, RunError> {
    let names = root.list(&layout.receipts(), "receipts").await.map_err(Problem::from)?;
    let number = |(name, _): &(String, u64)| name.rsplit('/').next()?.strip_suffix(".json")?.parse().ok();
    let mut partitions: Vec<u32> = names.iter().filter_map(number).collect();
    partitions.sort_unstable();
    Ok(partitions)
}
