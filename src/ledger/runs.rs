//! The `runs` table: one row per complete run, written last; every shipped view joins it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::diagnostics::Diagnostics;
use super::layout::Layout;
use super::plan::Plan;
use super::receipt::{FileEntry, MAX_JSON_BYTES, Receipt};
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::{FORMAT_VERSION, Table, properties};

/// Reads the frozen plan; `None` when the run has not been planned.
///
/// # Errors
/// Store failures, `R007` unreadable.
pub async fn read_plan(root: &Root, layout: &Layout) -> Result<Option<Plan>, RunError> {
    let found = root.read(&layout.plan(), "plan", MAX_JSON_BYTES).await.map_err(Problem::from)?;
    let Some(bytes) = found else { return Ok(None) };
    let plan = serde_json::from_slice(&bytes);
    plan.map(Some).map_err(|_| Problem::new("R007", Exit::BadData, "the stored plan is unreadable").into())
}

/// What the row adds to the plan.
#[derive(Debug, Clone)]
pub(super) struct Totals<'a> {
    /// All receipts, by partition.
    pub(super) receipts: &'a [Receipt],
    /// All published objects.
    pub(super) files: &'a [FileEntry],
    /// Microseconds since 1970 at which the run was completed.
    pub(super) completed_at_us: i64,
}

impl Totals<'_> {
    fn sum(&self, field: fn(&Receipt) -> u64) -> i64 {
        i64::try_from(self.receipts.iter().map(field).sum::<u64>()).unwrap_or(i64::MAX)
    }

    fn status(&self, plan: &Plan) -> &'static str {
        let (scored, quarantined) = (self.sum(|r| r.n_scored), self.sum(|r| r.n_quarantined));
        let allowed = plan.spec.get("run.max_quarantine").and_then(Value::as_f64).unwrap_or(1.0);
        if is_over(scored, quarantined, allowed) { "complete_over_quarantine_limit" } else { "complete" }
    }

    /// Digest over the sorted list of a table's published objects.
    fn digest(&self, table: Table) -> String {
        let mut lines: Vec<String> = self
            .files
            .iter()
            .filter(|file| file.table == table.name())
            .map(|file| format!("{} {} {}\n", file.path, file.bytes, file.sha256))
            .collect();
        lines.sort_unstable();
        hex::encode(Sha256::digest(lines.concat()))
    }

    pub(super) fn diagnostics(&self) -> Diagnostics {
        self.receipts.iter().fold(Diagnostics::default(), |all, receipt| all.then(receipt.diagnostics))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn lambda_mean(&self) -> Option<f64> {
        let n = self.sum(|r| r.n_coefficients);
        (n > 0).then(|| self.receipts.iter().map(|r| r.lambda_sum).sum::<f64>() / n as f64)
    }
}

/// Whether the quarantined share of pairs is above what is allowed.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn is_over(n_scored: i64, n_quarantined: i64, allowed: f64) -> bool {
    n_quarantined as f64 > allowed * (n_scored + n_quarantined) as f64
}

/// The row as a Parquet object.
pub(super) fn encode(plan: &Plan, totals: &Totals<'_>) -> Result<Vec<u8>, Problem> {
    let mut row = Row::default();
    let spec = |key: &str| plan.spec.get(key).cloned().unwrap_or(Value::Null);
    row.text("status", Some(totals.status(plan).into()));
    row.whole32("format_version", i64::from(FORMAT_VERSION));
    row.text("name", spec("run.name").as_str().map(str::to_owned));
    row.text("spec_sha256", Some(plan.spec_sha256.clone()));
    row.text("spec_json", serde_json::to_string(&plan.spec).ok());
    for (column, key) in [
        ("manifest_sha256", "content.manifest_sha256"),
        ("pretrained_sha256", "content.pretrained_sha256"),
        ("expert_sha256", "content.expert_sha256"),
    ] {
        row.text(column, spec(key).as_str().map(str::to_owned));
    }
    row.whole64("n_samples", i64::try_from(plan.n_samples).unwrap_or(i64::MAX));
    row.whole32("n_cells", i64::try_from(plan.cells.len()).unwrap_or(i64::MAX));
    row.whole32("n_partitions", i64::from(plan.n_partitions));
    row.whole32("batch_size", spec("run.batch_size").as_i64().unwrap_or_default());
    row.whole64("n_scored", totals.sum(|r| r.n_scored));
    row.whole64("n_quarantined", totals.sum(|r| r.n_quarantined));
    row.texts("classes", &spec("labels.names"));
    row.texts("methods", &spec("merge.methods"));
    row.text("primary_method", spec("merge.primary").as_str().map(str::to_owned));
    for key in ["gamma", "lambda_min", "lambda_max"] {
        row.number(key, spec(&format!("merge.{key}")).as_f64());
    }
    row.number("guard_delta", spec("merge.guard.delta").as_f64());
    row.number("guard_tau", spec("merge.guard.tau").as_f64());
    row.text("log_base", spec("merge.log_base").as_str().map(str::to_owned));
    row.whole64("seed", spec("run.seed").as_i64().unwrap_or_default());
    row.number("lambda_mean", totals.lambda_mean());
    let found = totals.diagnostics();
    for (column, number) in [
        ("lambda_var_within", found.lambda_var_within()),
        ("heterogeneous_share", found.heterogeneous_share()),
        ("guarded_share", found.guarded_share()),
        ("js_max_nats", (found.n_signals > 0).then_some(found.js_max_nats)),
        ("r_js_correct", found.js_correct.pearson_r()),
        ("r_entropy_gap_correct", found.entropy_gap_correct.pearson_r()),
        ("pt_overconfidence", found.pt_confidence.mean_difference()),
        ("ft_overconfidence", found.ft_confidence.mean_difference()),
    ] {
        row.number(column, number);
    }
    row.text("device", totals.receipts.first().map(|receipt| receipt.device.clone()));
    row.text("numerics_canary", Some(plan.canary.clone()));
    row.text("code_version", Some(plan.code_version.clone()));
    for table in Table::ALL {
        row.text(&format!("{}_sha256", table.name()), Some(totals.digest(table)));
    }
    row.time(
        "planned_at",
        chrono::DateTime::parse_from_rfc3339(&plan.planned_at).ok().map(|t| t.timestamp_micros()),
    );
    row.time("completed_at", Some(totals.completed_at_us));
    row.encode("runs", plan)
}

/// One row, column by column.
#[derive(Default)]
pub(super) struct Row {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Row {
    fn add(&mut self, name: &str, column: impl Array + 'static) {
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.columns.push(Arc::new(column));
    }

    pub(super) fn text(&mut self, name: &str, value: Option<String>) {
        self.add(name, StringArray::from(vec![value]));
    }

    pub(super) fn whole32(&mut self, name: &str, value: i64) {
        self.add(name, Int32Array::from(vec![i32::try_from(value).unwrap_or(i32::MAX)]));
    }

    pub(super) fn whole64(&mut self, name: &str, value: i64) {
        self.add(name, Int64Array::from(vec![value]));
    }

    fn number(&mut self, name: &str, value: Option<f64>) {
        self.add(name, Float64Array::from(vec![value]));
    }

    pub(super) fn time(&mut self, name: &str, value: Option<i64>) {
        self.add(name, TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"));
    }

    fn texts(&mut self, name: &str, values: &Value) {
        let items: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let field = Arc::new(Field::new("item", DataType::Utf8, false));
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        self.add(name, ListArray::new(field, offsets, Arc::new(StringArray::from(items)), None));
    }

    pub(super) fn encode(self, table: &str, plan: &Plan) -> Result<Vec<u8>, Problem> {
        let schema = Arc::new(Schema::new(self.fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), self.columns)
            .map_err(|_| Problem::new("B005", Exit::Bug, "a row does not fit its schema"))?;
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties(table, &plan.origin())))?;
        writer.write(&batch)?;
        Ok(writer.into_inner()?)
    }
}
