//! `batches`: one row per batch and cell: who was in it and what the parents say of it.

use sha2::{Digest, Sha256};

use super::column::{Column, ColumnType, Rows, Value};
use super::names::Names;
use crate::merge::statistics::{Running, quantile};
use crate::messages::{Member, Scored, Signal, Slot};

/// One batch in numbers.
#[derive(Debug, Clone)]
pub(crate) struct BatchRow<'a> {
    slot: &'a Slot,
    names: &'a Names,
    n_scored: u32,
    js_nats: Vec<f64>,
    pt_entropy_mean_nats: Option<f64>,
    ft_entropy_mean_nats: Option<f64>,
    agree_frac: Option<f64>,
    composition_sha256: String,
}

impl<'a> BatchRow<'a> {
    /// The summary of one scored batch.
    pub(crate) fn of(scored: &'a Scored, names: &'a Names) -> Self {
        let column = |field: fn(&Signal) -> f64| scored.signals.iter().map(field).collect::<Vec<f64>>();
        let mean = |field: fn(&Signal) -> f64| Running::of(&column(field)).mean();
        Self {
            slot: &scored.slot,
            names,
            n_scored: u32::try_from(scored.members.len()).unwrap_or(u32::MAX),
            js_nats: column(|signal| signal.js_nats),
            pt_entropy_mean_nats: mean(|signal| signal.pt_entropy_nats),
            ft_entropy_mean_nats: mean(|signal| signal.ft_entropy_nats),
            agree_frac: mean(|signal| f64::from(u8::from(signal.agree))),
            composition_sha256: composition(&scored.members),
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Batches;

impl Rows for Batches {
    type Row<'a> = BatchRow<'a>;

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::must("batch", ColumnType::I64, |row| row.slot.batch.into()),
            Column::must("corruption", ColumnType::Word, |row| row.names.batch_cell(row.slot).0.into()),
            Column::must("severity", ColumnType::I32, |row| Value::Whole(row.names.batch_cell(row.slot).1)),
            Column::must("first_sample_row", ColumnType::I64, |row| row.slot.first_row.into()),
            Column::must("last_sample_row", ColumnType::I64, |row| {
                (row.slot.first_row + u64::from(row.slot.n_planned) - 1).into()
            }),
            Column::must("n_planned", ColumnType::I32, |row| row.slot.n_planned.into()),
            Column::must("n_scored", ColumnType::I32, |row| row.n_scored.into()),
            Column::must("n_quarantined", ColumnType::I32, |row| (row.slot.n_planned - row.n_scored).into()),
            Column::may("js_mean_nats", ColumnType::F64, |row| Running::of(&row.js_nats).mean().into()),
            Column::may("js_p50_nats", ColumnType::F64, |row| quantile(&row.js_nats, 0.5).into()),
            Column::may("js_p95_nats", ColumnType::F64, |row| quantile(&row.js_nats, 0.95).into()),
            Column::may("pt_entropy_mean_nats", ColumnType::F64, |row| row.pt_entropy_mean_nats.into()),
            Column::may("ft_entropy_mean_nats", ColumnType::F64, |row| row.ft_entropy_mean_nats.into()),
            Column::may("agree_frac", ColumnType::F64, |row| row.agree_frac.into()),
            Column::must("composition_sha256", ColumnType::Text, |row| {
                row.composition_sha256.as_str().into()
            }),
        ]
    }
}

/// Hash of the scored ids in order, so that two runs can be compared batch by batch.
fn composition(members: &[Member]) -> String {
    let mut hash = Sha256::new();
    for member in members {
        hash.update(member.sample.id.as_bytes());
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}
