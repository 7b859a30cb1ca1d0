//! The nights as plain lines at names that stay: for spreadsheets, monitors and whatever reads CSV or JSON by its address.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use bytes::Bytes;
use serde::Serialize;

use super::gather::Nights;
use super::rows::Night;
use crate::error::{Exit, Problem};

/// One night in a line. Shares are fractions; fields without a value are empty or null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NightLine {
    /// The run.
    pub run_id: String,
    /// Its day, `YYYY-MM-DD`.
    pub run_date: String,
    /// `run.name` of its pipeline.
    pub name: Option<String>,
    /// Tags of the pipeline.
    pub modality: Option<String>,
    /// Tags of the pipeline.
    pub dataset: Option<String>,
    /// Tags of the pipeline.
    pub setting: Option<String>,
    /// Tags of the pipeline.
    pub site: Option<String>,
    /// `complete` or `complete_over_quarantine_limit`.
    pub status: Option<String>,
    /// The method that the figures below are of.
    pub primary_method: Option<String>,
    /// Samples of the manifest.
    pub n_samples: Option<i64>,
    /// (sample, cell) pairs scored.
    pub n_scored: Option<i64>,
    /// Pairs left out.
    pub n_quarantined: Option<i64>,
    /// Accuracy on clean images with labels, and its 95 % interval.
    pub top1: Option<f64>,
    /// Lower end.
    pub top1_low: Option<f64>,
    /// Upper end.
    pub top1_high: Option<f64>,
    /// Mean accuracy over corruptions.
    pub top1_corrupted: Option<f64>,
    /// Accuracy on clean images as estimated without labels, and its 95 % interval.
    pub top1_estimated: Option<f64>,
    /// Lower end.
    pub top1_estimated_low: Option<f64>,
    /// Upper end.
    pub top1_estimated_high: Option<f64>,
    /// Mean coefficient over all scored pairs.
    pub lambda_mean: Option<f64>,
    /// Quantities that alarmed; none for a night that was not compared.
    pub n_drift_alarms: Option<i64>,
    /// Largest population stability index.
    pub psi_max: Option<f64>,
    /// Seconds at work, all processes together.
    pub seconds: Option<f64>,
    /// When it was completed, RFC 3339.
    pub completed_at: Option<String>,
}

/// `nights.csv` and `nights.json` with a line a night, `latest.csv` and `latest.json` with the newest of each pipeline name.
///
/// # Errors
/// `B005` when a line cannot be encoded.
pub fn latest_files(nights: &Nights) -> Result<Vec<(String, Bytes)>, Problem> {
    let lines: Vec<NightLine> = nights.nights.iter().map(|night| nights.line(night)).collect();
    // Nights are in the order of their days, so that the last of a name is its newest.
    let newest: BTreeMap<_, _> = lines.iter().map(|line| (&line.name, line)).collect();
    let newest: Vec<&NightLine> = newest.into_values().collect();
    Ok(vec![
        ("latest.csv".to_owned(), csv_of(&newest)?),
        ("latest.json".to_owned(), json_of(&newest)),
        ("nights.csv".to_owned(), csv_of(&lines)?),
        ("nights.json".to_owned(), json_of(&lines)),
    ])
}

fn csv_of(lines: &[impl Serialize]) -> Result<Bytes, Problem> {
    let bug = || Problem::new("B005", Exit::Bug, "a line of a night cannot be written as CSV");
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.serialize(line).map_err(|_| bug())?;
    }
    writer.into_inner().map(Bytes::from).map_err(|_| bug())
}

fn json_of(lines: &[impl Serialize]) -> Bytes {
    serde_json::to_vec_pretty(lines).expect("lines of text and numbers have a JSON text").into()
}

impl Nights {
    fn line(&self, night: &Night) -> NightLine {
        let text = |name: &str| night.text(name).map(str::to_owned);
        let primary = night.text("primary_method").unwrap_or_default();
        let lines = self.summary.get(&night.run_id).map(Vec::as_slice).unwrap_or_default();
        let drift = self.drift.get(&night.run_id).map(Vec::as_slice);
        let clean = figure(lines, primary, "top1", Some("clean"));
        let guess = figure(lines, primary, "top1_estimated", Some("clean"));
        NightLine {
            run_id: night.run_id.clone(),
            run_date: night.run_date.clone(),
            name: text("name"),
            modality: text("modality"),
            dataset: text("dataset"),
            setting: text("setting"),
            site: text("site"),
            status: text("status"),
            primary_method: text("primary_method"),
            n_samples: night.count("n_samples"),
            n_scored: night.count("n_scored"),
            n_quarantined: night.count("n_quarantined"),
            top1: clean[0],
            top1_low: clean[1],
            top1_high: clean[2],
            top1_corrupted: figure(lines, primary, "top1", None)[0],
            top1_estimated: guess[0],
            top1_estimated_low: guess[1],
            top1_estimated_high: guess[2],
            lambda_mean: night.number("lambda_mean"),
            n_drift_alarms: drift.map(n_alarms),
            psi_max: drift.and_then(psi_max),
            seconds: night.number("seconds"),
            completed_at: text("completed_at"),
        }
    }
}

/// Value, lower and upper end of one figure; `corruption` none is the mean over corruptions.
fn figure(lines: &[RecordBatch], method: &str, metric: &str, corruption: Option<&str>) -> [Option<f64>; 3] {
    let found = lines.iter().find_map(|batch| {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let (methods, metrics, corruptions) = (text("method")?, text("metric")?, text("corruption")?);
        let is_it = |&n: &usize| {
            let found = corruptions.is_valid(n).then(|| corruptions.value(n));
            methods.value(n) == method && metrics.value(n) == metric && found == corruption
        };
        let n = (0..batch.num_rows()).find(is_it)?;
        Some(["value", "low", "high"].map(|name| {
            let column = batch.column_by_name(name)?.as_primitive_opt::<Float64Type>()?;
            column.is_valid(n).then(|| column.value(n))
        }))
    });
    found.unwrap_or_default()
}

fn n_alarms(drift: &[RecordBatch]) -> i64 {
    let column = |batch: &RecordBatch| batch.column_by_name("is_alarm")?.as_boolean_opt().cloned();
    let alarms = drift.iter().filter_map(column).map(|column| column.true_count()).sum::<usize>();
    i64::try_from(alarms).unwrap_or(i64::MAX)
}

fn psi_max(drift: &[RecordBatch]) -> Option<f64> {
    let column = |batch: &RecordBatch| {
        batch.column_by_name("psi").and_then(|psi| psi.as_primitive_opt::<Float64Type>().cloned())
    };
    drift.iter().filter_map(column).flat_map(|psi| psi.iter().flatten().collect::<Vec<_>>()).reduce(f64::max)
}
