//! Publishing a run whose partitions are all committed; any number of times, by anyone, at once.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::copying::Run;
use super::delta;
use super::diagnostics::Diagnostics;
use super::known::planned;
use super::layout::Layout;
use super::parts::{has_lists, read_list};
use super::plan::{Plan, read_plan};
use super::published::{
    Completion, MAX_TABLE_BYTES, PublishedList, check_all_committed, differs, is_published, parse_completion,
    read_completion, read_receipts,
};
use super::receipt::Listed;
use super::runs::Totals;
use super::span::{Span, Sums, recorded};
use super::withdrawn::{check_stands, withdrawn};
use crate::error::{Exit, Problem, RunError};
use crate::store::{Created, Root};
use crate::tables::{FORMAT_VERSION, Table};

/// Records of spans that are read at once.
const RECORDS: usize = 4;

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

/// Publishes: span by span copies what receipts name under `tables/` and records the span; then each table's empty `_SUCCESS`, the
/// `runs` row, and last, where the plan asks for it, an entry in each table's Delta log. A run of one span has a list of each table's
/// objects in the place of records.
///
/// Every step is create-only and repeats to the same bytes, so a crash anywhere is mended by calling again: a span with a record is
/// not published again. Of a run that is published already every object is looked for, and what is missing is restored.
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
    check_all_committed(root, &layout, &plan).await?;
    if has_lists(root, &layout, &plan).await? {
        return publish_whole(root, &layout, plan).await;
    }
    let is_again = is_published(root, &plan).await?;
    let done = if is_again { Listed::default() } else { recorded(root, &layout, plan.n_spans()).await? };
    let mut n_written = 0;
    for span in (0..plan.n_spans()).filter(|&span| !done.has(span)) {
        n_written += write_span(root, &plan, span, is_again).await?;
    }
    let mut closed = close(root, plan).await?;
    closed.n_written += n_written;
    Ok(closed)
}

/// Publishes one span of a run of several, and records it, unless it has a record; the objects this call wrote.
///
/// # Errors
/// As [`finalize`].
pub(crate) async fn publish_span(root: &Root, plan: &Plan, span: u32) -> Result<usize, RunError> {
    write_span(root, plan, span, false).await
}

/// [`publish_span`]; where it is done `again`, one with a record too, of which what is missing is restored.
async fn write_span(root: &Root, plan: &Plan, span: u32, is_again: bool) -> Result<usize, RunError> {
    let layout = Layout::new(&plan.run_id);
    check_stands(root, plan).await?;
    let mut created = Vec::new();
    let published = record_span(root, &layout, plan, (span, is_again), &mut created).await;
    settled(root, &layout, plan, published, &created).await?;
    Ok(created.len())
}

async fn record_span(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    (span, is_again): (u32, bool),
    created: &mut Vec<String>,
) -> Result<(), RunError> {
    let known = Span::read(root, layout, plan, span).await?;
    if known.is_some() && !is_again {
        return Ok(());
    }
    let receipts = read_receipts(root, layout, plan, span).await?;
    let known = known.map(|(record, _)| record.files).unwrap_or_default();
    let files = Run { root, layout, plan }.copy(&receipts, &known, created).await?;
    let record = Span::of(plan, span, &receipts, files).text();
    check_stands(root, plan).await?;
    create_same(root, layout.span(span), "record of a span", record, created).await
}

/// What is done once every span is published: the markers, the completion record and the row. Reads the spans' records, one at a
/// time.
///
/// # Errors
/// `R008` a span without a record; `N001`; as [`finalize`].
pub(crate) async fn close(root: &Root, plan: Plan) -> Result<Finalized, RunError> {
    let layout = Layout::new(&plan.run_id);
    let totals = recorded_totals(root, &layout, &plan).await?;
    check_finite(&totals)?;
    let mut created = Vec::new();
    let made = async {
        mark(root, &layout, &plan, &mut created).await?;
        make_visible(root, &layout, &plan, &totals, &mut created).await
    };
    let made = made.await;
    settled(root, &layout, &plan, made, &created).await?;
    finalized(root, &layout, plan, &totals, created.len()).await
}

/// What the records of all spans come to.
///
/// # Errors
/// `R008` a span without a record; damaged records; store failures.
pub(super) async fn recorded_totals(root: &Root, layout: &Layout, plan: &Plan) -> Result<Totals, RunError> {
    let mut totals = Totals::default();
    let reads = (0..plan.n_spans()).map(async |span| (span, Span::read(root, layout, plan, span).await));
    let mut reads = stream::iter(reads).buffered(RECORDS);
    while let Some((span, read)) = reads.next().await {
        let missing = || {
            let what = format!("span {span} of {} has no record", plan.n_spans());
            Problem::new("R008", Exit::StoreIo, what).hint("t3b finalize RUN_URI publishes it")
        };
        let (record, _) = read?.ok_or_else(missing)?;
        totals.add(&record.sums, &record.files);
    }
    Ok(totals)
}

/// [`finalize`] of a run that has lists, and no records of spans.
async fn publish_whole(root: &Root, layout: &Layout, plan: Plan) -> Result<Finalized, RunError> {
    let mut created = Vec::new();
    let published = publish_all(root, layout, &plan, &mut created).await;
    let totals = settled(root, layout, &plan, published, &created).await?;
    finalized(root, layout, plan, &totals, created.len()).await
}

/// Every published object up to the `runs` row; `created` gets the keys of those that this call made.
async fn publish_all(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    created: &mut Vec<String>,
) -> Result<Totals, RunError> {
    let (mut totals, mut files) = (Totals::default(), Vec::new());
    let mut known = Vec::new();
    for table in Table::ALL.into_iter().filter(|_| plan.facts.compact) {
        known.extend(read_list(root, plan, table).await?.map(|list| list.files).unwrap_or_default());
    }
    for span in 0..plan.n_spans().max(1) {
        let receipts = read_receipts(root, layout, plan, span).await?;
        if plan.n_spans() <= 1 {
            let sums = Sums::of(&receipts);
            check_nonfinite(sums.n_nonfinite, sums.n_scored + sums.n_quarantined)?;
        }
        let copied = Run { root, layout, plan }.copy(&receipts, &known, created).await?;
        totals.add_receipts(&receipts, &copied);
        files.extend(copied);
    }
    check_finite(&totals)?;
    for table in Table::ALL {
        let files = files.iter().filter(|file| file.table == table.name()).cloned().collect();
        let list = PublishedList { spec_sha256: plan.spec_sha256.clone(), files };
        create_same(root, layout.published_list(table), "list of a published table", list.text(), created)
            .await?;
    }
    mark(root, layout, plan, created).await?;
    make_visible(root, layout, plan, &totals, created).await?;
    Ok(totals)
}

/// Shards stay below the limit one by one and may be over it together.
fn check_finite(totals: &Totals) -> Result<(), Problem> {
    let sums = &totals.sums;
    check_nonfinite(sums.n_nonfinite, sums.n_scored + sums.n_quarantined)
}

/// The empty object of each table that tells readers of folders that it is complete.
async fn mark(root: &Root, layout: &Layout, plan: &Plan, created: &mut Vec<String>) -> Result<(), RunError> {
    for table in Table::ALL {
        let marker = layout.success(table, &plan.run_date);
        create_same(root, marker, "success marker", Bytes::new(), created).await?;
    }
    Ok(())
}

/// What was done, unless the run was withdrawn meanwhile: then what this call created is taken back.
async fn settled<T>(
    root: &Root,
    layout: &Layout,
    plan: &Plan,
    done: Result<T, RunError>,
    created: &[String],
) -> Result<T, RunError> {
    if let Some(problem) = withdrawn(root, plan).await {
        take_back(root, layout, plan, created).await?;
        return Err(problem.into());
    }
    done
}

async fn finalized(
    root: &Root,
    layout: &Layout,
    plan: Plan,
    totals: &Totals,
    mut n_written: usize,
) -> Result<Finalized, RunError> {
    if plan.facts.delta {
        n_written += delta::add(root, layout, &plan).await?;
    }
    let Sums { n_scored, n_quarantined, diagnostics, .. } = totals.sums;
    let over_quarantine = totals.is_over(&plan);
    Ok(Finalized { plan, diagnostics, n_scored, n_quarantined, n_written, over_quarantine })
}

/// Deletes what this call published of a run that was withdrawn meanwhile, the row first. Where the run was begun anew, its
/// objects have the same names and, where they are tables, the same bytes: then they are the new run's. The record of a span follows one
/// plan alone.
async fn take_back(root: &Root, layout: &Layout, plan: &Plan, created: &[String]) -> Result<(), RunError> {
    let is_anew = read_plan(root, layout).await?.is_some();
    for key in created.iter().rev() {
        if is_anew {
            let Some(span) = layout.span_of(key) else { continue };
            if !matches!(Span::read(root, layout, plan, span).await, Ok(Some(_))) {
                continue;
            }
        }
        root.delete(key, "object of a withdrawn run").await.map_err(Problem::from)?;
    }
    Ok(())
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
    totals: &Totals,
    created: &mut Vec<String>,
) -> Result<(), RunError> {
    check_stands(root, plan).await?;
    let key = layout.runs_row(&plan.run_date);
    let row = root.read(&key, "runs row", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
    let record = read_completion(root, layout).await?;
    let at = match (&record, &row) {
        (Some((record, _)), _) => record.completed_at_us(),
        // The record can be told from the row, and the row is checked against it below.
        (None, Some(row)) => completed_at(row).ok_or_else(|| differs(&key))?,
        (None, None) => chrono::Utc::now().timestamp_micros(),
    };
    let (mut wanted, mut wanted_row) = Completion::at(at, plan, totals)?;
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
                    (wanted, wanted_row) = Completion::at(at, plan, totals)?;
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
