//! `coefficients`: one row per batch, cell and merging method: what the weights were merged with.

use super::column::{Column, ColumnType, Rows, Value};
use super::names::Names;
use crate::merge::method::Method;
use crate::merge::statistics::Running;
use crate::messages::{Coefficients as MergedWith, MethodScores, Slot};

/// What one method merged one batch with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoefficientRow<'a> {
    slot: &'a Slot,
    names: &'a Names,
    method: Method,
    with: MergedWith,
    entropy_mean_nats: Option<f64>,
}

impl<'a> CoefficientRow<'a> {
    /// The row of a method, or `None` for one that merges nothing.
    pub(crate) fn of(slot: &'a Slot, scores: &MethodScores, names: &'a Names) -> Option<Self> {
        let with = scores.merged_with?;
        let entropies: Vec<f64> = scores.predictions.iter().map(|said| said.entropy_nats).collect();
        let entropy_mean_nats = Running::of(&entropies).mean();
        Some(Self { slot, names, method: scores.method, with, entropy_mean_nats })
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Coefficients;

impl Rows for Coefficients {
    type Row<'a> = CoefficientRow<'a>;

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::must("batch", ColumnType::I64, |row| row.slot.batch.into()),
            Column::must("corruption", ColumnType::Word, |row| row.names.batch_cell(row.slot).0.into()),
            Column::must("severity", ColumnType::I32, |row| Value::Whole(row.names.batch_cell(row.slot).1)),
            Column::must("method", ColumnType::Word, |row| row.method.name().into()),
            Column::must("lambda_mean", ColumnType::F64, |row| row.with.lambda_mean.into()),
            Column::must("lambda_std", ColumnType::F64, |row| row.with.lambda_std.into()),
            Column::must("lambda_min", ColumnType::F64, |row| row.with.lambda_min.into()),
            Column::must("lambda_max", ColumnType::F64, |row| row.with.lambda_max.into()),
            Column::must("guard_plus", ColumnType::I32, |row| row.with.guard_plus.into()),
            Column::must("guard_minus", ColumnType::I32, |row| row.with.guard_minus.into()),
            Column::must("heterogeneous", ColumnType::Bool, |row| row.with.is_heterogeneous.into()),
            Column::may("entropy_mean_nats", ColumnType::F64, |row| row.entropy_mean_nats.into()),
        ]
    }
}
