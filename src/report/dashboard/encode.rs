//! The page's tables as Parquet.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};

use super::gather::{Nights, drift_schema, summary_schema};
use super::rows::{COUNTS, NUMBERS, Night, TEXTS};
use crate::error::{Exit, Problem};
use crate::report::summary::encode;

fn bug<E>(_: E) -> Problem {
    Problem::new("B005", Exit::Bug, "a row does not fit its schema")
}

impl Nights {
    /// One row a night.
    pub(super) fn runs_table(&self) -> Result<Vec<u8>, Problem> {
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        let texts = |of: &dyn Fn(&Night) -> Option<String>| -> ArrayRef {
            Arc::new(self.nights.iter().map(of).collect::<StringArray>())
        };
        columns.push(("run_id", texts(&|night| Some(night.run_id.clone()))));
        columns.push(("run_date", texts(&|night| Some(night.run_date.clone()))));
        for name in TEXTS.into_iter().chain(["completed_at"]) {
            columns.push((name, texts(&|night| night.text(name).map(str::to_owned))));
        }
        for name in COUNTS.into_iter().chain(["n_attempts", "rss_peak_mib"]) {
            let counts = self.nights.iter().map(|night| night.count(name)).collect::<Int64Array>();
            columns.push((name, Arc::new(counts)));
        }
        for name in NUMBERS.into_iter().chain(["seconds"]) {
            let numbers = self.nights.iter().map(|night| night.number(name)).collect::<Float64Array>();
            columns.push((name, Arc::new(numbers)));
        }
        let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        encode(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
    }

    /// One row a night and reason.
    pub(super) fn quarantine_table(&self) -> Result<Vec<u8>, Problem> {
        let rows = || {
            let of = |night: &Night| {
                let reasons = night.reasons.clone().into_iter();
                let run_id = night.run_id.clone();
                reasons.map(move |(reason, n)| (run_id.clone(), reason, n))
            };
            self.nights.iter().flat_map(of)
        };
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows().map(|row| count(row.2)))),
        ];
        let text = |name| Field::new(name, DataType::Utf8, false);
        let fields = vec![text("run_id"), text("reason_code"), Field::new("n", DataType::Int64, false)];
        encode(Arc::new(Schema::new(fields)), columns)
    }

    /// The summary's lines of every night that the overview draws: clean images and the mean, the grid left out.
    pub(super) fn summary_table(&self) -> Result<Vec<u8>, Problem> {
        let schema = summary_schema();
        let lines = self.nights.iter().filter_map(|night| self.summary.get(&night.run_id)).flatten();
        let all = concat_batches(&schema, lines).map_err(bug)?;
        let kept = filter_record_batch(&all, &is_of_overview(&all)).map_err(bug)?;
        encode(schema, kept.columns().to_vec())
    }

    /// All lines of one night; `None` for a night without a summary.
    pub(super) fn night_table(&self, night: &Night) -> Result<Option<Vec<u8>>, Problem> {
        let Some(lines) = self.summary.get(&night.run_id) else { return Ok(None) };
        let schema = summary_schema();
        let all = concat_batches(&schema, lines).map_err(bug)?;
        encode(schema, all.columns().to_vec()).map(Some)
    }

    /// Drift of every night that was compared.
    pub(super) fn drift_table(&self) -> Result<Vec<u8>, Problem> {
        let schema = drift_schema();
        let rows = self.nights.iter().filter_map(|night| self.drift.get(&night.run_id)).flatten();
        let all = concat_batches(&schema, rows).map_err(bug)?;
        encode(schema, all.columns().to_vec())
    }
}

fn is_of_overview(lines: &RecordBatch) -> BooleanArray {
    let column = |name: &str| lines.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let (Some(corruption), Some(method)) = (column("corruption"), column("method")) else {
        return BooleanArray::from(vec![false; lines.num_rows()]);
    };
    let is_drawn = |n: usize| {
        let is_clean_or_mean = corruption.is_null(n) || corruption.value(n) == "clean";
        is_clean_or_mean && t3b_report::line_lambda(method.value(n)).is_none()
    };
    (0..lines.num_rows()).map(|n| Some(is_drawn(n))).collect()
}
