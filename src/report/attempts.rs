//! The `attempts` table: what processes at work on a run counted and timed.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampMicrosecondType};
use t3b_report::{Attempt, Stage};

use crate::error::{Problem, RunError};
use crate::ledger::{Layout, Plan};
use crate::store::Root;

/// Most bytes of an attempts row.
const MAX_ROW_BYTES: u64 = 1 << 20;

/// Stages in flow order with the columns of what they sent on, and what that is.
const STAGES: [(&str, Option<&str>, &str); 6] = [
    ("source", Some("n_fetched"), "objects read"),
    ("decode", Some("n_decoded"), "images decoded"),
    ("corrupt", Some("n_corrupted"), "images x cells"),
    ("batch", Some("n_batches"), "batches cut"),
    ("score", Some("n_batches"), "batches scored"),
    ("sink", None, "tables"),
];

/// Every attempt at a run; a run without the table has none, and a row of an earlier version no times of stages and methods.
pub(super) async fn read_attempts(root: &Root, plan: &Plan) -> Result<Vec<Attempt>, RunError> {
    let folder = Layout::new(&plan.run_id).published("attempts", &plan.run_date);
    let listed = root.list(&folder, "attempts").await.map_err(Problem::from)?;
    let mut found = Vec::new();
    for (key, _) in listed {
        let Some(bytes) = root.read(&key, "attempts row", MAX_ROW_BYTES).await.map_err(Problem::from)? else {
            continue;
        };
        let mut columns = vec!["opened_at", "closed_at", "n_batches", "rss_peak_mib", "parents_busy_s"];
        columns.extend(["methods", "method_busy_s", "n_fetched", "n_decoded", "n_corrupted"]);
        let busy = STAGES.map(|(stage, _, _)| format!("{stage}_busy_s"));
        columns.extend(busy.iter().map(String::as_str));
        let mut look = |batch: &RecordBatch| {
            found.push(attempt(batch)?);
            Some(())
        };
        crate::tables::each_batch(&key, bytes, &columns, &mut look)?;
    }
    Ok(found)
}

fn value<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Option<T::Native> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<T>()?;
    (!column.is_empty() && !column.is_null(0)).then(|| column.value(0))
}

fn attempt(batch: &RecordBatch) -> Option<Attempt> {
    let count = |name: &str| value::<Int64Type>(batch, name).map(i64::unsigned_abs);
    let time = |name: &str| value::<TimestampMicrosecondType>(batch, name);
    let stage = |(name, sent, unit): (&str, Option<&str>, &'static str)| {
        let busy_s = value::<Float64Type>(batch, &format!("{name}_busy_s"))?;
        Some(Stage { name: name.to_owned(), n_items: sent.and_then(count), unit, busy_s })
    };
    Some(Attempt {
        n_batches: count("n_batches")?,
        seconds: (time("closed_at")? - time("opened_at")?) as f64 / 1e6,
        rss_peak_mib: count("rss_peak_mib")?,
        stages: STAGES.into_iter().filter_map(stage).collect(),
        methods: methods(batch).unwrap_or_default(),
    })
}

fn methods(batch: &RecordBatch) -> Option<Vec<(String, f64)>> {
    let parents = value::<Float64Type>(batch, "parents_busy_s")?;
    let list = |name: &str| Some(batch.column_by_name(name)?.as_list_opt::<i32>()?.value(0));
    let (names, seconds) = (list("methods")?, list("method_busy_s")?);
    let (names, seconds) = (names.as_string_opt::<i32>()?, seconds.as_primitive_opt::<Float64Type>()?);
    let pairs = names.iter().zip(seconds).filter_map(|(name, seconds)| Some((name?.to_owned(), seconds?)));
    Some(std::iter::once(("both parents".to_owned(), parents)).chain(pairs).collect())
}
