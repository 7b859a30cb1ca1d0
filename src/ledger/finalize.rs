//! Publishing a run whose partitions are all committed; any number of times, by anyone, at once.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::delta;
use super::diagnostics::Diagnostics;
use super::known::planned;
use super::layout::Layout;
use super::plan::{Plan, read_plan};
use super::published::{
    Completion, MAX_TABLE_BYTES, PublishedList, parse_completion, read_completion, read_entry, read_receipts,
};
use super::receipt::{FileEntry, Receipt};
use super::runs::{Totals, is_over};
use super::withdrawn::{check_stands, withdrawn};
use crate::error::{Exit, Problem, RunError};
use crate::store::{Created, Root};
use crate::tables::{FORMAT_VERSION, Table};

/// A published run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finalized {
    /// The plan it followed.
    pub plan: Plan,
    /// (sample, cell) pairs scored.
    pub n_scored: u64,
    /// (sample, cell) pairs quarantined.
    pub n_quarantined: u64,
    /// What the run says about its coefficients.
    pub diagnostics: Diagnostics,
    /// Objects this call wrote; 0 when everything was there.
    pub n_written: usize,
    /// Whether more was quarantined than the pipeline allows.
    pub over_quarantine: bool,
}

/// Publishes: copies every staged object under `tables/`, then the list of each table with its empty `_SUCCESS`, then the `runs` row,
/// and last, where the plan asks for it, an entry in each table's Delta log.
///
/// Every step is create-only and repeats to the same bytes, so a crash anywhere is mended by calling again.
///
/// # Errors
/// `R005` a run of another format, `R012` one that is withdrawn, `R008` when partitions have no receipt yet, `R006` when a staged or
/// published object has other bytes than its receipt says, and store failures.
pub async fn finalize(root: &Root, run_id: &str) -> Result<Finalized, RunError> {
    let plan = planned(root, run_id).await?;
    finalize_plan(root, plan).await
}

/// [`finalize`] of the run that follows `plan`, and of no other that was begun under its id.
///
/// # Errors
/// See there.
pub(crate) async fn finalize_plan(root: &Root, plan: Plan) -> Result<Finalized, RunError> {
    let layout = Layout::new(&plan.run_id);
    if plan.format_version != FORMAT_VERSION {
        let what = format!(
            "run {} has format {}, this program publishes {FORMAT_VERSION}",
            plan.run_id, plan.format_version
        );
        return Err(Problem::new("R005", Exit::Config, what)
            .hint("publish it with the version that began it")
            .into());
    }
    check_stands(root, &plan).await?;
    let receipts = read_receipts(root, &layout, &plan).await?;
    // Shards stay below the limit one by one and may be over it together.
    check_nonfinite(
        receipts.iter().map(|r| r.n_nonfinite).sum(),
        receipts.iter().map(|r| r.n_scored + r.n_quarantined).sum(),
    )?;
    let mut created = Vec::new();
    let published = publish_all(root, &layout, &plan, &receipts, &mut created).await;
    if let Some(problem) = withdrawn(root, &plan).await {
        take_back(root, &layout, created).await?;
        return Err(problem.into());
    }
    let published = published?;
    let mut n_written = created.len();
    if plan.facts.delta {
        n_written += delta::add(root, &layout, &plan, &published).await?;
    }
    let total = |field: fn(&Receipt) -> u64| receipts.iter().map(field).sum::<u64>();
    let (n_scored, n_quarantined) = (total(|r| r.n_scored), total(|r| r.n_quarantined));
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let over_quarantine = is_over(signed(n_scored), signed(n_quarantined), plan.facts.max_quarantine);
    let totals = Totals { receipts: &receipts, files: &published, completed_at_us: 0 };
    let diagnostics = totals.diagnostics();
    Ok(Finalized { plan, diagnostics, n_scored, n_quarantined, n_written, over_quarantine })
}

/// Every published object up to the `runs` row; `created` gets the keys of those that this call made.
async fn publish_all(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    receipts: &[Receipt],
    created: &mut Vec<String>,
) -> Result<Vec<FileEntry>, RunError> {
    let mut published = Vec::new();
    for receipt in receipts {
        for table in Table::ALL {
            published.push(publish(root, layout, plan, receipt, table, created).await?);
        }
    }
    for table in Table::ALL {
        let files = published.iter().filter(|file| file.table == table.name()).cloned().collect();
        let list = PublishedList { spec_sha256: plan.spec_sha256.clone(), files };
        let bytes = serde_json::to_vec_pretty(&list).expect("a list of files has a JSON text");
        let list = layout.published_list(table);
        create_same(root, list, "list of a published table", bytes.into(), created).await?;
        let marker = layout.success(table, &plan.run_date);
        create_same(root, marker, "success marker", Bytes::new(), created).await?;
    }
    check_stands(root, plan).await?;
    make_visible(root, layout, plan, receipts, &published, created).await?;
    Ok(published)
}

/// Deletes what this call published of a run that was withdrawn meanwhile, the row first. Where the run was begun anew, its
/// objects have the same names and, where they are tables, the same bytes: then they are the new run's.
async fn take_back(root: &Root, layout: &Layout, created: Vec<String>) -> Result<(), RunError> {
    if read_plan(root, layout).await?.is_some() {
        return Ok(());
    }
    for key in created.iter().rev() {
        root.delete(key, "object of a withdrawn run").await.map_err(Problem::from)?;
    }
    Ok(())
}

async fn publish(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    receipt: &Receipt,
    table: Table,
    created: &mut Vec<String>,
) -> Result<FileEntry, RunError> {
    let staged = receipt.file(table)?;
    let path = layout.part(table, &plan.run_date, receipt.partition);
    let file = FileEntry { path: path.clone(), ..staged.clone() };
    let object = format!("{} of partition {}", table.name(), receipt.partition);
    if read_entry(root, &file, &object).await?.is_some() {
        return Ok(file);
    }
    let bytes = read_entry(root, staged, &format!("staged {object}")).await?;
    let bytes =
        bytes.ok_or_else(|| Problem::new("R006", Exit::StoreIo, format!("staged {object} is gone")))?;
    create_same(root, path, &object, bytes, created).await?;
    Ok(file)
}

/// Creates an object that every finalizer writes with the same bytes; `created` gets its key when this call did.
async fn create_same(
    root: &Root,
    key: String,
    object: &str,
    bytes: Bytes,
    created: &mut Vec<String>,
) -> Result<(), RunError> {
    if let Some(found) = root.read(&key, object, MAX_TABLE_BYTES).await.map_err(Problem::from)? {
        return if found == bytes { Ok(()) } else { Err(differs(&key).into()) };
    }
    match root.create(&key, object, bytes).await.map_err(Problem::from)? {
        Created::Ours => {
            created.push(key);
            Ok(())
        }
        Created::Exists(_) => Err(differs(&key).into()),
    }
}

fn differs(key: &str) -> Problem {
    Problem::new("R006", Exit::Fenced, format!("{key} exists with other bytes"))
        .hint("another program version published this run; use a new run id")
}

/// When the run was completed, as its row says.
fn completed_at(row: &Bytes) -> Option<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(row.clone()).ok()?.build().ok()?;
    let batch = reader.collect::<Result<Vec<_>, _>>().ok()?.into_iter().next()?;
    let column = batch.column_by_name("completed_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    (column.len() == 1).then(|| column.value(0))
}

/// Creates the completion record and the `runs` row; the first finalizer's completion time stays.
async fn make_visible(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    receipts: &[Receipt],
    files: &[FileEntry],
    created: &mut Vec<String>,
) -> Result<(), RunError> {
    let key = layout.runs_row(&plan.run_date);
    let row = root.read(&key, "runs row", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
    let record = read_completion(root, layout).await?;
    let at = match (&record, &row) {
        (Some((record, _)), _) => record.completed_at_us(),
        // The record can be told from the row, and the row is checked against it below.
        (None, Some(row)) => completed_at(row).ok_or_else(|| differs(&key))?,
        (None, None) => chrono::Utc::now().timestamp_micros(),
    };
    let (mut wanted, mut wanted_row) = Completion::at(at, plan, receipts, files)?;
    match record {
        Some((_, found)) if found != wanted => return Err(differs(&layout.completion()).into()),
        Some(_) => {}
        None => {
            if row.as_ref().is_some_and(|row| *row != wanted_row) {
                return Err(differs(&key).into());
            }
            let made = root.create(&layout.completion(), "completion record", wanted.clone()).await;
            match made.map_err(Problem::from)? {
                Created::Ours => created.push(layout.completion()),
                Created::Exists(theirs) => {
                    let at = parse_completion(&theirs)?.completed_at_us();
                    (wanted, wanted_row) = Completion::at(at, plan, receipts, files)?;
                    if theirs != wanted {
                        return Err(differs(&layout.completion()).into());
                    }
                }
            }
        }
    }
    create_same(root, key, "runs row", wanted_row, created).await
}

/// A thousandth: below it a freak image, above it broken weights or a broken device.
const ALLOWED_NONFINITE: f64 = 0.001;

/// Refuses a run whose models answer with NaN or infinity too often.
///
/// # Errors
/// `N001` when more than a thousandth of all pairs are not finite.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn check_nonfinite(n_nonfinite: u64, n_pairs: u64) -> Result<(), Problem> {
    if n_nonfinite as f64 <= ALLOWED_NONFINITE * n_pairs as f64 {
        return Ok(());
    }
    let what = format!(
        "{n_nonfinite} of {n_pairs} (sample, cell) pairs have logits that are not finite, allowed 0.1 %"
    );
    Err(Problem::new("N001", Exit::BadData, what)
        .hint("the weights or the device are broken; nothing is published"))
}
