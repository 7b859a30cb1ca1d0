//! Top-1 accuracy per method and corruption, counted from the published `predictions` table.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};

use super::parts::each_batch;
use crate::error::RunError;
use crate::ledger::Plan;
use crate::store::Root;
use crate::tables::Table;

/// Correct and labelled rows of one (method, corruption, severity).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Rows whose prediction equals the label.
    pub n_correct: u64,
    /// Rows with a label.
    pub n_labelled: u64,
}

impl Accuracy {
    /// Share of correct rows, 0 to 1; `None` without labels.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn share(&self) -> Option<f64> {
        (self.n_labelled > 0).then(|| self.n_correct as f64 / self.n_labelled as f64)
    }
}

/// Accuracies of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccuracyTable {
    /// Methods in pipeline order.
    pub methods: Vec<String>,
    /// Cells in scoring order.
    pub cells: Vec<(String, u8)>,
    /// By method, corruption and severity.
    pub counts: BTreeMap<(String, String, u8), Accuracy>,
}

/// Counts the published predictions of a run.
///
/// # Errors
/// Store failures, `V002` a part that is no table.
pub async fn accuracy(root: &Root, plan: &Plan) -> Result<AccuracyTable, RunError> {
    let methods = plan.facts.methods.clone();
    let mut table = AccuracyTable { methods, cells: plan.cells.clone(), counts: BTreeMap::new() };
    let columns = ["corruption", "severity", "method", "correct"];
    each_batch(root, plan, Table::Predictions, &columns, |batch| table.count_batch(batch)).await?;
    Ok(table)
}

impl AccuracyTable {
    fn count_batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let text = |name| cast(batch.column_by_name(name)?, &DataType::Utf8).ok();
        let (corruption, method) = (text("corruption")?, text("method")?);
        let (corruption, method) = (corruption.as_string::<i32>(), method.as_string::<i32>());
        let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?;
        let correct = batch.column_by_name("correct")?.as_boolean_opt()?;
        for n in 0..batch.num_rows() {
            let severity = u8::try_from(severity.value(n)).ok()?;
            let key = (method.value(n).to_owned(), corruption.value(n).to_owned(), severity);
            let counts = self.counts.entry(key).or_default();
            if !correct.is_null(n) {
                counts.n_labelled += 1;
                counts.n_correct += u64::from(correct.value(n));
            }
        }
        Some(())
    }

    /// Accuracy of `method` in one cell.
    #[must_use]
    pub fn cell(&self, method: &str, corruption: &str, severity: u8) -> Option<f64> {
        self.counts.get(&(method.to_owned(), corruption.to_owned(), severity))?.share()
    }

    /// Mean accuracy of `method` over the severities of `corruption`.
    #[must_use]
    pub fn mean_over_severities(&self, method: &str, corruption: &str) -> Option<f64> {
        let severities = self.cells.iter().filter(|(name, _)| name == corruption);
        mean(severities.map(|(_, severity)| self.cell(method, corruption, *severity)))
    }

    /// Corruptions in scoring order, `clean` left out.
    #[must_use]
    pub fn corruptions(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.cells {
            // Declared cells of one corruption need not stand side by side.
            if name != "clean" && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Mean of [`AccuracyTable::mean_over_severities`] over all corruptions.
    #[must_use]
    pub fn mean_over_corruptions(&self, method: &str) -> Option<f64> {
        mean(self.corruptions().into_iter().map(|name| self.mean_over_severities(method, name)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn mean(shares: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let shares: Vec<f64> = shares.collect::<Option<_>>()?;
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

impl fmt::Display for AccuracyTable {
    /// One line per method: clean, each corruption averaged over severities, and the mean over corruptions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corruptions = self.corruptions();
        write!(f, "{:<18}{:>8}", "accuracy %", "clean")?;
        for name in &corruptions {
            write!(f, "{name:>19}")?;
        }
        writeln!(f, "{:>10}", "mean")?;
        let percent =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1}", share * 100.0));
        for method in &self.methods {
            write!(f, "{method:<18}{:>8}", percent(self.cell(method, "clean", 0)))?;
            for name in &corruptions {
                write!(f, "{:>19}", percent(self.mean_over_severities(method, name)))?;
            }
            writeln!(f, "{:>10}", percent(self.mean_over_corruptions(method)))?;
        }
        Ok(())
    }
}
