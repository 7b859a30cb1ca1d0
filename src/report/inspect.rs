//! Reading a run: why samples were quarantined, and everything that is said of one sample.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use serde::Serialize;

use super::parts::each_batch;
use crate::error::{Exit, Problem, RunError};
use crate::ledger::Plan;
use crate::store::Root;
use crate::tables::Table;

/// Quarantine rows by reason code. A sample that could not be read at all is one row, one that failed in a cell a row for it.
///
/// # Errors
/// Store failures, `V002` a part that is no table.
pub async fn reasons(root: &Root, plan: &Plan) -> Result<BTreeMap<String, u64>, RunError> {
    let mut counts = BTreeMap::new();
    each_batch(root, plan, Table::Quarantine, &["reason_code"], |batch| {
        for reason in texts(batch, "reason_code")?.into_iter().flatten() {
            *counts.entry(reason).or_default() += 1;
        }
        Some(())
    })
    .await?;
    Ok(counts)
}

/// Mean over its batches of the coefficient that each merging method merged with; methods without one are not in it.
///
/// # Errors
/// Store failures, `V002` a part that is no table.
pub async fn coefficient_means(root: &Root, plan: &Plan) -> Result<BTreeMap<String, f64>, RunError> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    each_batch(root, plan, Table::Coefficients, &["method", "lambda_mean"], |batch| {
        let methods = texts(batch, "method")?;
        let means = batch.column_by_name("lambda_mean")?.as_primitive_opt::<Float64Type>()?;
        for (method, &mean) in methods.into_iter().flatten().zip(means.values()) {
            let sum = sums.entry(method).or_default();
            *sum = (sum.0 + mean, sum.1 + 1.0);
        }
        Some(())
    })
    .await?;
    Ok(sums.into_iter().map(|(method, (sum, n))| (method, sum / n)).collect())
}

/// One method's answer in one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Corruption of the cell.
    pub corruption: String,
    /// Its severity; 0 for clean.
    pub severity: i32,
    /// The method.
    pub method: String,
    /// Class it predicts.
    pub pred: String,
    /// Probability of that class.
    pub pred_prob: f32,
    /// Whether it is the label's; `None` without a label.
    pub correct: Option<bool>,
}

/// Why a sample, or the sample in one cell, was not scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Corruption of the cell; `None` for every cell.
    pub corruption: Option<String>,
    /// Its severity.
    pub severity: Option<i32>,
    /// The reason's code.
    pub reason_code: String,
    /// What was found.
    pub detail: String,
}

/// Everything that a run says of one sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleStory {
    /// The pseudonym.
    pub sample_id: String,
    /// Its label's class, where it has one.
    pub label: Option<String>,
    /// Predictions in table order.
    pub answers: Vec<Answer>,
    /// Quarantine rows.
    pub refusals: Vec<Refusal>,
}

/// Reads what a published run says of one sample.
///
/// # Errors
/// `R010` when the run has no such sample; store failures, `V002` a part that is no table.
pub async fn story(root: &Root, plan: &Plan, sample_id: &str) -> Result<SampleStory, RunError> {
    let mut story =
        SampleStory { sample_id: sample_id.to_owned(), label: None, answers: vec![], refusals: vec![] };
    let columns = ["sample_id", "corruption", "severity", "method", "label", "pred", "pred_prob", "correct"];
    each_batch(root, plan, Table::Predictions, &columns, |batch| {
        let ids = texts(batch, "sample_id")?;
        let [corruption, method, label, pred] =
            ["corruption", "method", "label", "pred"].map(|name| texts(batch, name));
        let (corruption, method, label, pred) = (corruption?, method?, label?, pred?);
        let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?;
        let prob = batch.column_by_name("pred_prob")?.as_primitive_opt::<arrow::datatypes::Float32Type>()?;
        let correct = batch.column_by_name("correct")?.as_boolean_opt()?;
        for n in (0..batch.num_rows()).filter(|&n| ids[n].as_deref() == Some(sample_id)) {
            story.label.clone_from(&label[n]);
            story.answers.push(Answer {
                corruption: corruption[n].clone()?,
                severity: severity.value(n),
                method: method[n].clone()?,
                pred: pred[n].clone()?,
                pred_prob: prob.value(n),
                correct: correct.is_valid(n).then(|| correct.value(n)),
            });
        }
        Some(())
    })
    .await?;
    let columns = ["sample_id", "corruption", "severity", "reason_code", "detail"];
    each_batch(root, plan, Table::Quarantine, &columns, |batch| {
        let ids = texts(batch, "sample_id")?;
        let [corruption, reason, detail] =
            ["corruption", "reason_code", "detail"].map(|name| texts(batch, name));
        let (corruption, reason, detail) = (corruption?, reason?, detail?);
        let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?;
        for n in (0..batch.num_rows()).filter(|&n| ids[n].as_deref() == Some(sample_id)) {
            story.refusals.push(Refusal {
                corruption: corruption[n].clone(),
                severity: severity.is_valid(n).then(|| severity.value(n)),
                reason_code: reason[n].clone()?,
                detail: detail[n].clone()?,
            });
        }
        Some(())
    })
    .await?;
    if story.answers.is_empty() && story.refusals.is_empty() {
        let what = format!("run {} has no sample of that id", plan.run_id);
        return Err(Problem::new("R010", Exit::Usage, what)
            .hint("ids are in the column sample_id of its tables; without T3B_PSEUDONYM_KEY they change with the manifest")
            .into());
    }
    Ok(story)
}

/// A column of texts, dictionaries unfolded.
fn texts(batch: &RecordBatch, name: &str) -> Option<Vec<Option<String>>> {
    let column = cast(batch.column_by_name(name)?, &DataType::Utf8).ok()?;
    let column = column.as_string_opt::<i32>()?;
    Some(column.iter().map(|text| text.map(str::to_owned)).collect())
}
