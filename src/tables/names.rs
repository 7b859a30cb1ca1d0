//! What the rows of every table share: names by index, and the position of a sample.

use std::sync::Arc;

use t3b_corrupt::Cell;

use super::column::Value;
use crate::messages::{CellIdx, Member, Mixing, Slot};

/// Names that rows refer to by index.
#[derive(Debug, Clone)]
pub struct Names {
    /// Class names in index order.
    pub classes: Arc<[String]>,
    /// Cells in scoring order.
    pub cells: Arc<[Cell]>,
    /// Samples of a full batch.
    pub batch_size: u32,
    /// Whether a batch is of one cell.
    pub mixing: Mixing,
}

impl Names {
    /// Name of the class at `idx`.
    pub(crate) fn class(&self, idx: u32) -> &str {
        &self.classes[idx as usize]
    }

    /// How a table with one row per batch names the cell of `slot`: `mixed` and a number where it has none.
    pub(crate) fn batch_cell(&self, slot: &Slot) -> (&str, i64) {
        match self.mixing {
            Mixing::Pure => {
                let cell = &self.cells[slot.cell];
                (&cell.corruption, i64::from(cell.severity))
            }
            Mixing::Mixed => ("mixed", i64::try_from(slot.cell).unwrap_or(i64::MAX)),
        }
    }
}

/// Which sample in which cell and batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position<'a> {
    pub(crate) member: &'a Member,
    pub(crate) slot: &'a Slot,
    pub(crate) names: &'a Names,
}

impl<'a> Position<'a> {
    pub(crate) fn sample_id(self) -> Value<'a> {
        Value::Text(&self.member.sample.id)
    }

    pub(crate) fn corruption(self) -> Value<'a> {
        Value::Text(&self.names.cells[self.member.cell].corruption)
    }

    pub(crate) fn severity(self) -> Value<'a> {
        severity(self.names, self.member.cell)
    }

    pub(crate) fn pos_in_batch(self) -> Value<'a> {
        (self.member.sample.row % u64::from(self.names.batch_size)).into()
    }
}

/// Severity of a cell, 0 for `clean`.
pub(crate) fn severity(names: &Names, cell: CellIdx) -> Value<'_> {
    u32::from(names.cells[cell].severity).into()
}
