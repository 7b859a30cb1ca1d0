//! One night as the page's table `runs` has it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;

use crate::tables;

/// What of a run's `runs` row, attempts and quarantine a dashboard shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Night {
    pub(super) run_id: String,
    pub(super) run_date: String,
    /// Columns of text by name: the pipeline's name, tags, status and what it ran on.
    pub(super) texts: BTreeMap<&'static str, Option<String>>,
    /// Columns of whole numbers by name.
    pub(super) counts: BTreeMap<&'static str, Option<i64>>,
    /// Columns of numbers by name.
    pub(super) numbers: BTreeMap<&'static str, Option<f64>>,
    /// Quarantine rows by reason.
    pub(super) reasons: BTreeMap<String, u64>,
}

/// Columns of text that are taken from the `runs` row as they are.
pub(super) const TEXTS: [&str; 9] =
    ["name", "modality", "dataset", "setting", "site", "status", "primary_method", "device", "code_version"];
/// Whole numbers that are.
pub(super) const COUNTS: [&str; 4] = ["n_samples", "n_cells", "n_scored", "n_quarantined"];
/// Numbers that are.
pub(super) const NUMBERS: [&str; 5] =
    ["lambda_mean", "lambda_var_within", "heterogeneous_share", "guarded_share", "js_max_nats"];

impl Night {
    /// Reads a `runs` row; `None` when it is no such table. A column that a format lacks is null.
    pub(super) fn read(run_date: &str, run_id: &str, row: Bytes) -> Option<Self> {
        let mut night = None;
        let columns: Vec<&str> =
            TEXTS.iter().chain(&COUNTS).chain(&NUMBERS).copied().chain(["completed_at"]).collect();
        let mut look = |batch: &RecordBatch| {
            let text = |name: &'static str| (name, text_at(batch, name));
            let count = |name: &'static str| (name, count_at(batch, name));
            let number = |name: &'static str| (name, number_at(batch, name));
            let mut found = Self {
                run_id: run_id.to_owned(),
                run_date: run_date.to_owned(),
                texts: TEXTS.into_iter().map(text).collect(),
                counts: COUNTS.into_iter().map(count).collect(),
                numbers: NUMBERS.into_iter().map(number).collect(),
                reasons: BTreeMap::new(),
            };
            let completed = time_at(batch, "completed_at").and_then(chrono::DateTime::from_timestamp_micros);
            let completed = completed.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
            found.texts.insert("completed_at", completed);
            night = Some(found);
            Some(())
        };
        tables::each_batch("runs row", row, &columns, &mut look).ok()?;
        night.filter(|night| night.counts["n_scored"].is_some())
    }

    /// Adds what one process spent; a part that cannot be read counts for nothing, as the table is outside every promise.
    pub(super) fn add_attempt(&mut self, row: Bytes) {
        let mut look = |batch: &RecordBatch| {
            let seconds = (time_at(batch, "closed_at")? - time_at(batch, "opened_at")?) as f64 / 1e6;
            let peak = count_at(batch, "rss_peak_mib")?;
            let spent = self.numbers.entry("seconds").or_default();
            *spent = Some(spent.unwrap_or_default() + seconds);
            let attempts = self.counts.entry("n_attempts").or_default();
            *attempts = Some(attempts.unwrap_or_default() + 1);
            let most = self.counts.entry("rss_peak_mib").or_default();
            *most = Some(most.unwrap_or_default().max(peak));
            Some(())
        };
        let columns = ["opened_at", "closed_at", "rss_peak_mib"];
        if tables::each_batch("attempts row", row, &columns, &mut look).is_err() {
            tracing::warn!(run_id = self.run_id, "an attempts row cannot be read; its time is not counted");
        }
    }

    /// Fills what a night without its `runs` row lacks from the lines of its summary: its tags and its own method.
    pub(super) fn complete_from(&mut self, lines: &RecordBatch) {
        for tag in ["modality", "dataset", "setting", "site"] {
            self.texts.entry(tag).or_insert_with(|| text_at(lines, tag));
        }
        if self.texts.contains_key("primary_method") {
            return;
        }
        // Estimates are of the primary method alone.
        let column = |name: &str| lines.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (Some(metric), Some(method)) = (column("metric"), column("method")) else { return };
        let own = (0..lines.num_rows()).find(|&n| metric.value(n) == "top1_estimated");
        self.texts.insert("primary_method", own.map(|n| method.value(n).to_owned()));
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name)?.as_deref()
    }

    pub(super) fn count(&self, name: &str) -> Option<i64> {
        *self.counts.get(name)?
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        *self.numbers.get(name)?
    }
}

fn text_at(batch: &RecordBatch, name: &str) -> Option<String> {
    let column = cast(batch.column_by_name(name)?, &DataType::Utf8).ok()?;
    let column = column.as_string_opt::<i32>()?;
    column.is_valid(0).then(|| column.value(0).to_owned())
}

fn count_at(batch: &RecordBatch, name: &str) -> Option<i64> {
    let column = cast(batch.column_by_name(name)?, &DataType::Int64).ok()?;
    let column = column.as_primitive_opt::<Int64Type>()?;
    column.is_valid(0).then(|| column.value(0))
}

fn number_at(batch: &RecordBatch, name: &str) -> Option<f64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<Float64Type>()?;
    column.is_valid(0).then(|| column.value(0))
}

fn time_at(batch: &RecordBatch, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    column.is_valid(0).then(|| column.value(0))
}
