//! The `runs` table: one row per complete run, written last; every shipped view joins it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};

use super::facts::Facts;
use super::plan::Plan;
use super::receipt::{FileEntry, Receipt};
use super::span::Sums;
use crate::error::{Exit, Problem};
use crate::merge::deviation::Deviation;
use crate::tables::{FORMAT_VERSION, Table, properties};

/// What the row adds to the plan, taken in span by span, in order.
#[derive(Clone, Default)]
pub(super) struct Totals {
    /// Of everything so far.
    pub(super) sums: Sums,
    /// Digests over the published objects of the tables, in [`Table::ALL`] order.
    digests: [Sha256; Table::ALL.len()],
}

impl Totals {
    /// Adds a span by its record.
    pub(super) fn add(&mut self, sums: &Sums, files: &[FileEntry]) {
        self.sums = std::mem::take(&mut self.sums).then(sums);
        self.add_files(files);
    }

    /// Adds partitions by their receipts: sums of floating-point numbers are those of one fold over all partitions, as runs without
    /// records of spans have them.
    pub(super) fn add_receipts(&mut self, receipts: &[Receipt], files: &[FileEntry]) {
        for receipt in receipts {
            self.sums = std::mem::take(&mut self.sums).then(&Sums::of(std::slice::from_ref(receipt)));
        }
        self.add_files(files);
    }

    fn add_files(&mut self, files: &[FileEntry]) {
        for (table, digest) in Table::ALL.iter().zip(&mut self.digests) {
            for file in files.iter().filter(|file| file.table == table.name()) {
                digest.update(format!("{} {} {}\n", file.path, file.bytes, file.sha256));
            }
        }
    }

    fn counted(&self) -> (i64, i64) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        (signed(self.sums.n_scored), signed(self.sums.n_quarantined))
    }

    /// Whether more was quarantined than the pipeline allows.
    pub(super) fn is_over(&self, plan: &Plan) -> bool {
        let (n_scored, n_quarantined) = self.counted();
        is_over(n_scored, n_quarantined, plan.facts.max_quarantine)
    }
}

/// Whether the quarantined share of pairs is above what is allowed.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn is_over(n_scored: i64, n_quarantined: i64, allowed: f64) -> bool {
    n_quarantined as f64 > allowed * (n_scored + n_quarantined) as f64
}

/// The row as a Parquet object.
pub(super) fn encode(plan: &Plan, totals: &Totals, completed_at_us: i64) -> Result<Vec<u8>, Problem> {
    let (mut row, facts) = (Row::default(), &plan.facts);
    let (n_scored, n_quarantined) = totals.counted();
    let status = if totals.is_over(plan) { "complete_over_quarantine_limit" } else { "complete" };
    row.text("status", Some(status.into()));
    row.whole32("format_version", i64::from(FORMAT_VERSION));
    row.text("name", Some(facts.name.clone()));
    for tag in Facts::TAGS {
        row.text(tag, facts.tags.get(tag).cloned());
    }
    row.text("spec_sha256", Some(plan.spec_sha256.clone()));
    row.text("spec_json", serde_json::to_string(&plan.spec).ok());
    row.text("manifest_hmac_sha256", Some(facts.manifest_hmac_sha256.clone()));
    row.text("pretrained_sha256", Some(facts.pretrained_sha256.clone()));
    row.text("expert_sha256", Some(facts.expert_sha256.clone()));
    row.whole64("n_samples", i64::try_from(plan.n_samples).unwrap_or(i64::MAX));
    row.whole32("n_cells", i64::try_from(plan.cells.len()).unwrap_or(i64::MAX));
    row.whole32("n_partitions", i64::from(plan.n_partitions));
    row.whole32("batch_size", i64::from(facts.batch_size));
    row.whole64("n_scored", n_scored);
    row.whole64("n_quarantined", n_quarantined);
    row.texts("classes", &facts.classes);
    row.texts("methods", &facts.methods);
    row.whole64("n_truncated_prompts", i64::try_from(facts.n_truncated_prompts).unwrap_or(i64::MAX));
    row.text("primary_method", Some(facts.primary_method.clone()));
    row.number("gamma", Some(facts.gamma));
    row.number("lambda_min", Some(facts.lambda_min));
    row.number("lambda_max", Some(facts.lambda_max));
    row.number("guard_delta", Some(facts.guard_delta));
    row.number("guard_tau", Some(facts.guard_tau));
    row.text("log_base", Some(facts.log_base.clone()));
    row.whole64("seed", i64::try_from(facts.seed).unwrap_or(i64::MAX));
    let found = &totals.sums.diagnostics;
    for (column, number) in [
        ("lambda_mean", found.lambda_mean()),
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
    // A row without them keeps the bytes that earlier programs gave it, by which a run is published again.
    for (column, number) in found.int8.iter().flat_map(deviation) {
        row.number(column, number);
    }
    row.text("device", totals.sums.device.clone());
    row.text("numerics_canary", Some(plan.canary.clone()));
    row.text("code_version", Some(plan.code_version.clone()));
    for (table, digest) in Table::ALL.iter().zip(&totals.digests) {
        row.text(&format!("{}_sha256", table.name()), Some(hex::encode(digest.clone().finalize())));
    }
    row.time(
        "planned_at",
        chrono::DateTime::parse_from_rfc3339(&plan.planned_at).ok().map(|t| t.timestamp_micros()),
    );
    row.time("completed_at", Some(completed_at_us));
    row.encode("runs", plan)
}

/// What a run in 8-bit integers says of its coefficients.
fn deviation(int8: &Deviation) -> [(&'static str, Option<f64>); 5] {
    [
        ("int8_js_max_nats", Some(int8.js_max_nats)),
        ("int8_js_mean_nats", int8.js_mean_nats()),
        ("int8_lambda_max", Some(int8.lambda_max)),
        ("int8_lambda_mean", int8.lambda_mean()),
        ("int8_changed_share", int8.changed_share()),
    ]
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

    pub(super) fn number(&mut self, name: &str, value: Option<f64>) {
        self.add(name, Float64Array::from(vec![value]));
    }

    pub(super) fn time(&mut self, name: &str, value: Option<i64>) {
        self.add(name, TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"));
    }

    pub(super) fn texts(&mut self, name: &str, items: &[String]) {
        let field = Arc::new(Field::new("item", DataType::Utf8, false));
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        self.add(name, ListArray::new(field, offsets, Arc::new(StringArray::from_iter_values(items)), None));
    }

    pub(super) fn numbers(&mut self, name: &str, items: Vec<f64>) {
        let field = Arc::new(Field::new("item", DataType::Float64, false));
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        self.add(name, ListArray::new(field, offsets, Arc::new(Float64Array::from(items)), None));
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
