//! `predictions`: one row per scored sample, cell and method.

use super::column::{Column, ColumnType, Rows, Value};
use super::names::Position;
use crate::merge::method::Method;
use crate::messages::Prediction;

/// What `method` says of one sample in one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PredictionRow<'a> {
    pub(crate) at: Position<'a>,
    pub(crate) method: Method,
    pub(crate) said: &'a Prediction,
}

impl<'a> PredictionRow<'a> {
    fn label_idx(&self) -> Option<u32> {
        self.at.member.sample.label_idx
    }

    fn class(&self, idx: u32) -> &'a str {
        self.at.names.class(idx)
    }
}

/// The table but for its last column, the class probabilities.
#[derive(Debug)]
pub(crate) struct Predictions;

impl Rows for Predictions {
    type Row<'a> = PredictionRow<'a>;

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::must("sample_id", ColumnType::Text, |row| row.at.sample_id()),
            Column::must("manifest_row", ColumnType::I64, |row| row.at.member.sample.manifest_row.into()),
            Column::must("sample_row", ColumnType::I64, |row| row.at.member.sample.row.into()),
            Column::must("corruption", ColumnType::Word, |row| row.at.corruption()),
            Column::must("severity", ColumnType::I32, |row| row.at.severity()),
            Column::must("batch", ColumnType::I64, |row| row.at.slot.batch.into()),
            Column::must("pos_in_batch", ColumnType::I16, |row| row.at.pos_in_batch()),
            Column::must("method", ColumnType::Word, |row| row.method.name().into()),
            Column::may("label_idx", ColumnType::I32, |row| row.label_idx().into()),
            Column::may("label", ColumnType::Word, |row| row.label_idx().map(|idx| row.class(idx)).into()),
            Column::must("pred_idx", ColumnType::I32, |row| row.said.pred_idx.into()),
            Column::must("pred", ColumnType::Word, |row| row.class(row.said.pred_idx).into()),
            Column::must("pred_prob", ColumnType::F32, |row| row.said.pred_prob.into()),
            Column::must("margin", ColumnType::F32, |row| row.said.margin.into()),
            Column::must("entropy_nats", ColumnType::F32, |row| row.said.entropy_nats.into()),
            Column::may("correct", ColumnType::Bool, |row| {
                row.label_idx().map(|l| l == row.said.pred_idx).into()
            }),
        ]
    }
}

/// The class probabilities; null in every row of a run without `output.probs`, so that runs with and without them have one schema
/// and are read together.
pub(crate) fn probs(is_on: bool) -> Column<Predictions> {
    Column::may(
        "probs",
        ColumnType::F32List,
        if is_on { |row| Value::Numbers(&row.said.probs) } else { |_| Value::Null },
    )
}
