//! What a run consists of once it is published, read back: lists, receipts, objects by their hashes, the completion record.

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{Layout, MAX_JSON_BYTES};
use super::plan::Plan;
use super::receipt::{FileEntry, Receipt, committed, entry};
use super::runs::{Totals, encode};
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;

/// Most bytes a staged or published object may have; the writers stay far below.
pub(super) const MAX_TABLE_BYTES: u64 = 4 << 30;

/// Receipts that are read at once: most of the time of each is the store's.
const AT_ONCE: usize = 16;

/// The list of a table's published objects; in format 1 the content of its `_SUCCESS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedList {
    pub(super) spec_sha256: String,
    pub(super) files: Vec<FileEntry>,
}

impl PublishedList {
    pub(super) fn text(&self) -> Bytes {
        serde_json::to_vec_pretty(self).expect("a list of files has a JSON text").into()
    }
}

/// Whether the run's row is there, so that readers see it.
///
/// # Errors
/// Store failures.
pub async fn is_published(root: &Root, plan: &Plan) -> Result<bool, RunError> {
    let row = object_store::path::Path::from(Layout::new(&plan.run_id).runs_row(&plan.run_date));
    Ok(root.size(&row, "runs row").await.map_err(Problem::from)?.is_some())
}

/// Checks that every partition has a receipt, by one listing.
///
/// # Errors
/// `R008` which have none; store failures.
pub(super) async fn check_all_committed(root: &Root, layout: &Layout, plan: &Plan) -> Result<(), RunError> {
    let have = committed(root, layout, plan.n_partitions).await?;
    let n_missing = plan.n_partitions as usize - have.receipts.len();
    if n_missing == 0 {
        return Ok(());
    }
    let missing = (0..plan.n_partitions).filter(|&p| !have.has(p));
    let shown: Vec<String> = missing.take(10).map(|p| p.to_string()).collect();
    let more = if n_missing > 10 { ", ..." } else { "" };
    let what = format!(
        "{n_missing} of {} partitions are not committed: {}{more}",
        plan.n_partitions,
        shown.join(", ")
    );
    let problem = Problem::new("R008", Exit::StoreIo, what);
    Err(problem.hint("run the same t3b run command again; it resumes").into())
}

/// The receipts of a span, by partition. Every damaged one is named at once.
///
/// # Errors
/// `R007` one that is not there; `R020` and others as [`Receipt::read_of`].
pub(super) async fn read_receipts(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    span: u32,
) -> Result<Vec<Receipt>, RunError> {
    let (mut receipts, mut problems) = (Vec::new(), Vec::new());
    let reads = plan
        .span(span)
        .map(async |partition| (partition, Receipt::read_of(root, layout, plan, partition).await));
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some((partition, read)) = reads.next().await {
        match read {
            Ok(receipt) => receipts.push(receipt.ok_or_else(|| unreadable(partition))?),
            Err(error) if error.exit() == Exit::BadData => problems.extend(error.problems().to_vec()),
            Err(error) => return Err(error),
        }
    }
    if problems.is_empty() { Ok(receipts) } else { Err(RunError::all(problems)) }
}

fn unreadable(partition: u32) -> Problem {
    Problem::new("R007", Exit::StoreIo, format!("receipt of partition {partition} was listed but is gone"))
}

/// Reads of an object that is not what its receipt says.
const READS: u32 = 4;

/// Reads an object and checks its size and content hash; `None` when there is none. Other bytes are read again: what is
/// damaged at rest is the same twice.
///
/// # Errors
/// `R006` other bytes, twice the same; `S007` other bytes each time, and store failures.
pub(crate) async fn read_entry(
    root: &Root,
    file: &FileEntry,
    object: &str,
) -> Result<Option<Bytes>, Problem> {
    let mut before = None;
    for _ in 0..READS {
        let Some(bytes) = root.read(&file.path, object, MAX_TABLE_BYTES).await? else { return Ok(None) };
        let Err(problem) = check_bytes(file, &bytes) else { return Ok(Some(bytes)) };
        let found = Sha256::digest(&bytes);
        if before == Some(found) {
            return Err(problem);
        }
        before = Some(found);
    }
    let what = format!("read {object}: the store gave other bytes each time");
    Err(Problem::new("S007", Exit::StoreIo, what)
        .hint("run the same command again; committed partitions are kept"))
}

/// Checks size and content hash.
pub(super) fn check_bytes(file: &FileEntry, bytes: &Bytes) -> Result<(), Problem> {
    let found = hex::encode(Sha256::digest(bytes));
    if file.bytes == bytes.len() as u64 && file.sha256 == found {
        return Ok(());
    }
    let start = |hash: &str| hash.chars().take(12).collect::<String>();
    let what = format!(
        "{}: {} bytes with sha256 {}..., its receipt says {} with {}...",
        file.path,
        bytes.len(),
        start(&found),
        file.bytes,
        start(&file.sha256)
    );
    Err(Problem::new("R006", Exit::BadData, what)
        .hint("the object changed at rest; restore it or use a new run id"))
}

/// An object that another program version, or somebody else, has published.
pub(super) fn differs(key: &str) -> Problem {
    Problem::new("R006", Exit::Fenced, format!("{key} exists with other bytes"))
        .hint("another program version published this run; use a new run id")
}

/// When a run was completed and what its row is, frozen once so that the row is the same bytes for every finalizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Completion {
    completed_at_us: i64,
    pub(super) row: FileEntry,
}

impl Completion {
    /// Microseconds since 1970.
    pub(super) fn completed_at_us(&self) -> i64 {
        self.completed_at_us
    }

    /// What was written when the run was completed at that time, and the row that goes with it.
    pub(super) fn at(completed_at_us: i64, plan: &Plan, totals: &Totals) -> Result<(Bytes, Bytes), Problem> {
        let row = encode(plan, totals, completed_at_us)?;
        let key = Layout::new(&plan.run_id).runs_row(&plan.run_date);
        let completion = Self { completed_at_us, row: entry("runs", key, &row, 1) };
        let bytes = serde_json::to_vec_pretty(&completion).expect("a completion has a JSON text");
        Ok((bytes.into(), row.into()))
    }
}

/// Reads the completion record and its bytes; `None` when nobody has come that far.
pub(super) async fn read_completion(
    root: &Root,
    layout: &Layout,
) -> Result<Option<(Completion, Bytes)>, RunError> {
    let found = root.read(&layout.completion(), "completion record", MAX_JSON_BYTES).await;
    Ok(found
        .map_err(Problem::from)?
        .map(|bytes| parse_completion(&bytes).map(|record| (record, bytes)))
        .transpose()?)
}

pub(super) fn parse_completion(bytes: &Bytes) -> Result<Completion, Problem> {
    let unreadable = |_| {
        Problem::new("R007", Exit::BadData, "the completion record is unreadable")
            .hint("delete completed.json and run t3b finalize, which restores it from the runs row")
    };
    serde_json::from_slice(bytes).map_err(unreadable)
}
