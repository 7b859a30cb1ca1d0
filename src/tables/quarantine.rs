//! `quarantine`: one row per rejected sample, or per rejected (sample, cell).

use super::column::{Column, ColumnType, Rows};
use super::names::{Names, severity};
use crate::messages::Reject;

/// One rejected sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuarantineRow<'a> {
    pub(crate) reject: &'a Reject,
    pub(crate) names: &'a Names,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Quarantine;

impl Rows for Quarantine {
    type Row<'a> = QuarantineRow<'a>;

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::must("sample_id", ColumnType::Text, |row| (&*row.reject.sample.id).into()),
            Column::must("manifest_row", ColumnType::I64, |row| row.reject.sample.manifest_row.into()),
            Column::must("sample_row", ColumnType::I64, |row| row.reject.sample.row.into()),
            Column::may("corruption", ColumnType::Word, |row| {
                row.reject.cell.map(|cell| &*row.names.cells[cell].corruption).into()
            }),
            Column::may("severity", ColumnType::I32, |row| {
                row.reject.cell.map(|cell| severity(row.names, cell)).into()
            }),
            Column::must("stage", ColumnType::Word, |row| row.reject.stage.name().into()),
            Column::must("reason_code", ColumnType::Word, |row| row.reject.reason.code().into()),
            Column::must("detail", ColumnType::Text, |row| row.reject.detail.as_str().into()),
            Column::may("bytes", ColumnType::I64, |row| row.reject.size_bytes.into()),
            Column::may("format_sniffed", ColumnType::Word, |row| row.reject.format.into()),
            Column::may("declared_width_px", ColumnType::I32, |row| {
                row.reject.declared_px.map(|px| px.0).into()
            }),
            Column::may("declared_height_px", ColumnType::I32, |row| {
                row.reject.declared_px.map(|px| px.1).into()
            }),
        ]
    }
}
