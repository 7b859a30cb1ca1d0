//! `signals`: one row per scored sample and cell, what the parents say of it together.

use super::column::{Column, ColumnType, Rows, Value};
use super::names::Position;
use crate::messages::Signal;

/// What the parents say of one sample in one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignalRow<'a> {
    pub(crate) at: Position<'a>,
    pub(crate) signal: &'a Signal,
    pub(crate) features: Option<&'a [f32]>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Signals;

impl Rows for Signals {
    type Row<'a> = SignalRow<'a>;

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::must("sample_id", ColumnType::Text, |row| row.at.sample_id()),
            Column::must("manifest_row", ColumnType::I64, |row| row.at.member.sample.manifest_row.into()),
            Column::must("sample_row", ColumnType::I64, |row| row.at.member.sample.row.into()),
            Column::must("corruption", ColumnType::Word, |row| row.at.corruption()),
            Column::must("severity", ColumnType::I32, |row| row.at.severity()),
            Column::must("batch", ColumnType::I64, |row| row.at.slot.batch.into()),
            Column::must("pos_in_batch", ColumnType::I16, |row| row.at.pos_in_batch()),
            Column::must("js_nats", ColumnType::F64, |row| row.signal.js_nats.into()),
            Column::must("lambda_sample", ColumnType::F64, |row| row.signal.lambda_sample.into()),
            Column::must("pt_entropy_nats", ColumnType::F64, |row| row.signal.pt_entropy_nats.into()),
            Column::must("ft_entropy_nats", ColumnType::F64, |row| row.signal.ft_entropy_nats.into()),
            Column::must("agree", ColumnType::Bool, |row| row.signal.agree.into()),
        ]
    }
}

/// The pretrained model's image features, in runs with `output.features` alone: they are hundreds of numbers a row.
pub(crate) fn features() -> Column<Signals> {
    Column::may("features", ColumnType::F32List, |row| row.features.map_or(Value::Null, Value::Singles))
}
