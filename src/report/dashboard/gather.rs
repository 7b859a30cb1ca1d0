//! Which nights there are below a root, and the small tables that belong to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use futures::{StreamExt, TryStreamExt, stream};

use super::rows::Night;
use super::settled::Settled;
use crate::error::{Exit, Problem, RunError};
use crate::ledger::{Layout, read_plan};
use crate::report::reasons;
use crate::store::Root;
use crate::tables;

/// Objects read at once.
const READS: usize = 8;
/// Most bytes of a row of `runs` or `attempts`.
const MAX_ROW_BYTES: u64 = 16 << 20;
/// Most bytes of a summary: a night of fifty methods in a hundred cells has about 2 MiB.
const MAX_SUMMARY_BYTES: u64 = 64 << 20;

/// Nights with the tables written for them, oldest first.
#[derive(Debug, Default)]
pub struct Nights {
    pub(super) nights: Vec<Night>,
    /// Lines of the summary by run.
    pub(super) summary: BTreeMap<String, Vec<RecordBatch>>,
    /// Rows of drift by run.
    pub(super) drift: BTreeMap<String, Vec<RecordBatch>>,
    /// What could not be used, in words; nothing of it ends the command.
    pub notes: Vec<String>,
}

impl Nights {
    /// How many nights there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nights.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nights.is_empty()
    }

    /// Nights without a summary.
    #[must_use]
    pub fn n_unevaluated(&self) -> usize {
        self.nights.iter().filter(|night| !self.summary.contains_key(&night.run_id)).count()
    }
}

/// Reads the newest `last` published runs below `root`, and every `summary.parquet`, `drift.parquet` and `night.json` below `reports`.
/// Where a run is in several of them, the last in the order of their keys counts. A night whose tables were withdrawn stays, with
/// what was written of it.
///
/// # Errors
/// Store failures, `V002` a row of `runs` that cannot be read.
pub async fn nights(root: &Root, reports: &[Root], last: usize) -> Result<Nights, RunError> {
    let mut found = Nights { nights: published(root, last).await?, ..Nights::default() };
    add_attempts(root, &mut found.nights).await?;
    add_reasons(root, &mut found).await?;
    let settled = add_settled(reports, &mut found.nights, last).await?;
    add_reports(reports, &mut found).await?;
    for (run_id, rows) in &mut found.drift {
        let Some(state) = settled.get(run_id) else { continue };
        *rows = rows.iter().filter_map(|rows| state.with_alarms(rows)).collect();
    }
    for night in &mut found.nights {
        if let Some(lines) = found.summary.get(&night.run_id).and_then(|lines| lines.first()) {
            night.complete_from(lines);
        }
    }
    Ok(found)
}

/// Day and run id of a key below `tables/<table>`.
fn night_of(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.split('/').skip(2);
    Some((parts.next()?.strip_prefix("run_date=")?, parts.next()?.strip_prefix("run_id=")?))
}

async fn published(root: &Root, last: usize) -> Result<Vec<Night>, RunError> {
    let listed = root.list("tables/runs", "runs").await.map_err(Problem::from)?;
    // Sorted by key, and so by day.
    let rows = listed.iter().map(|(key, _)| key.as_str()).filter(|key| {
        night_of(key).is_some_and(|(date, run_id)| Layout::new(run_id).runs_row(date) == **key)
    });
    let rows: Vec<&str> = rows.collect();
    let read = async |key: &&str| -> Result<Option<Night>, RunError> {
        let (date, run_id) = night_of(key).unwrap_or_default();
        let bytes = root.read(key, "runs row", MAX_ROW_BYTES).await.map_err(Problem::from)?;
        // A run that was withdrawn since the listing.
        let Some(bytes) = bytes else { return Ok(None) };
        let unreadable = || {
            let problem = Problem::new("V002", Exit::BadData, format!("{key} cannot be read as a table"));
            problem.hint("t3b verify names every damaged object")
        };
        Ok(Some(Night::read(date, run_id, bytes).ok_or_else(unreadable)?))
    };
    let newest = &rows[rows.len().saturating_sub(last)..];
    let reads = stream::iter(newest.iter().map(read)).buffered(READS);
    reads.try_filter_map(async |night| Ok(night)).try_collect().await
}

async fn add_attempts(root: &Root, nights: &mut [Night]) -> Result<(), RunError> {
    for night in nights {
        let folder = Layout::new(&night.run_id).published("attempts", &night.run_date);
        let listed = root.list(&folder, "attempts").await.map_err(Problem::from)?;
        for (key, _) in listed.iter().filter(|(key, _)| key.ends_with(".parquet")) {
            if let Some(row) = root.read(key, "attempts row", MAX_ROW_BYTES).await.map_err(Problem::from)? {
                night.add_attempt(row);
            }
        }
    }
    Ok(())
}

/// Why samples were left out, of the nights that left some out.
async fn add_reasons(root: &Root, found: &mut Nights) -> Result<(), RunError> {
    for night in found.nights.iter_mut().filter(|night| night.count("n_quarantined") != Some(0)) {
        let Some(plan) = read_plan(root, &Layout::new(&night.run_id)).await? else { continue };
        match reasons(root, &plan).await {
            Ok(reasons) => night.reasons = reasons,
            // Tables of old nights may be gone while their row stays.
            Err(error) if error.exit() == Exit::BadData => {
                found.notes.push(format!("run {}: its quarantine table cannot be read whole", night.run_id));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Columns of a summary with their types, in the order of [`t3b_report::SUMMARY_COLUMNS`].
pub(super) fn summary_schema() -> Arc<Schema> {
    let kind = |name: &str| match name {
        "severity" => DataType::Int32,
        "value" | "low" | "high" => DataType::Float64,
        "n" | "n_excluded" => DataType::Int64,
        _ => DataType::Utf8,
    };
    let must = |name| ["run_id", "method", "metric", "value"].contains(&name);
    let fields = t3b_report::SUMMARY_COLUMNS.map(|name| Field::new(name, kind(name), !must(name)));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Columns of `drift.parquet` that the page shows.
pub(super) fn drift_schema() -> Arc<Schema> {
    let numbers = ["psi", "psi_null_p95", "ks", "js_nats", "mmd2", "p_value", "p_adjusted"];
    let mut fields =
        vec![Field::new("run_id", DataType::Utf8, false), Field::new("quantity", DataType::Utf8, false)];
    fields.extend(numbers.map(|name| Field::new(name, DataType::Float64, true)));
    fields.extend(["n", "n_reference"].map(|name| Field::new(name, DataType::Int64, true)));
    fields.push(Field::new("is_alarm", DataType::Boolean, true));
    Arc::new(Schema::new(fields))
}

/// Nights whose tables were withdrawn, as `night.json` tells of them; what was settled, by run.
async fn add_settled(
    reports: &[Root],
    nights: &mut Vec<Night>,
    last: usize,
) -> Result<BTreeMap<String, Settled>, RunError> {
    let mut settled = BTreeMap::new();
    let known: BTreeSet<String> = nights.iter().map(|night| night.run_id.clone()).collect();
    for (root, key) in listed(reports, "night.json").await? {
        let bytes = root.read(&key, "state of a night", MAX_ROW_BYTES).await.map_err(Problem::from)?;
        let Some(state) = bytes.and_then(|bytes| serde_json::from_slice::<Settled>(&bytes).ok()) else {
            continue;
        };
        let Some(run_id) = state.run_id.clone() else { continue };
        nights.extend(state.night().filter(|night| !known.contains(&night.run_id)));
        settled.insert(run_id, state);
    }
    nights.sort_by(|a, b| (&a.run_date, &a.run_id).cmp(&(&b.run_date, &b.run_id)));
    nights.drain(..nights.len().saturating_sub(last));
    Ok(settled)
}

/// Keys below the roots whose last part is `name`, in order.
async fn listed<'r>(roots: &'r [Root], name: &str) -> Result<Vec<(&'r Root, String)>, RunError> {
    let mut found = Vec::new();
    for root in roots {
        let keys = root.list("", "reports").await.map_err(Problem::from)?.into_iter().map(|(key, _)| key);
        found.extend(keys.filter(|key| key.rsplit('/').next() == Some(name)).map(|key| (root, key)));
    }
    Ok(found)
}

async fn add_reports(reports: &[Root], found: &mut Nights) -> Result<(), RunError> {
    let wanted: BTreeSet<String> = found.nights.iter().map(|night| night.run_id.clone()).collect();
    let Nights { summary, drift, notes, .. } = found;
    for (name, schema, by_run) in
        [("summary.parquet", summary_schema(), summary), ("drift.parquet", drift_schema(), drift)]
    {
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        for (root, key) in listed(reports, name).await? {
            let bytes = root.read(&key, "report", MAX_SUMMARY_BYTES).await.map_err(Problem::from)?;
            let Some(bytes) = bytes else { continue };
            let mut of_file: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
            let mut look = |batch: &RecordBatch| split(&as_schema(batch, &schema)?, &wanted, &mut of_file);
            if tables::each_batch(&key, bytes, &columns, &mut look).is_err() {
                notes.push(format!("{key} is not what t3b evaluate or t3b drift writes; it was left out"));
                continue;
            }
            by_run.append(&mut of_file);
        }
    }
    Ok(())
}

/// The batch with the columns of a schema; `None` when one is of another kind, or lacks and may not be null. What an earlier version
/// did not write is null.
fn as_schema(batch: &RecordBatch, schema: &Arc<Schema>) -> Option<RecordBatch> {
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()).ok(),
        None => field.is_nullable().then(|| new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Option<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).ok()
}

/// Puts the rows of each wanted run with that run.
fn split(
    batch: &RecordBatch,
    wanted: &BTreeSet<String>,
    by_run: &mut BTreeMap<String, Vec<RecordBatch>>,
) -> Option<()> {
    let ids = batch.column_by_name("run_id")?.as_string_opt::<i32>()?;
    let present: BTreeSet<&str> = ids.iter().flatten().filter(|id| wanted.contains(*id)).collect();
    for run_id in present {
        let rows = ids.iter().map(|id| Some(id == Some(run_id))).collect::<BooleanArray>();
        by_run.entry(run_id.to_owned()).or_default().push(filter_record_batch(batch, &rows).ok()?);
    }
    Some(())
}
