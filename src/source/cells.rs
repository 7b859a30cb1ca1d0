//! Cells that a manifest declares: images that somebody else has corrupted already.

use std::sync::Arc;

use t3b_corrupt::Cell;

use super::fields::{CORRUPTION, SEVERITY};
use super::problems::bad;
use super::rows::Row;
use crate::error::Problem;

/// Longest name of a corruption.
const MAX_NAME: usize = 40;

/// The cells that were declared so far, in the order of their first rows.
#[derive(Debug, Default)]
pub(super) struct Declared {
    cells: Vec<(Arc<str>, u8)>,
}

/// A row's cell, by its place among the declared ones; `None` where the pipeline makes the cells.
pub(super) type Group = Option<usize>;

impl Declared {
    /// What the columns `corruption` and `severity` of a row say.
    ///
    /// # Errors
    /// `M028` when they name no cell.
    pub(super) fn group(&mut self, n: usize, row: &Row) -> Result<Group, Problem> {
        let (name, severity) = (row[CORRUPTION].as_deref(), row[SEVERITY].as_deref());
        let Some(cell) = cell(name, severity).ok_or_else(|| {
            let what = format!("row {n}: corruption and severity do not name a cell");
            bad("M028", what).hint(
                "allowed a name of [a-z0-9_] with a severity of 1 to 5, clean with 0, or neither: then the \
                 pipeline corrupts the image",
            )
        })?
        else {
            return Ok(None);
        };
        let known = self.cells.iter().position(|(known, severity)| (&**known, *severity) == cell);
        Ok(Some(known.unwrap_or_else(|| {
            self.cells.push((cell.0.into(), cell.1));
            self.cells.len() - 1
        })))
    }

    /// All cells, how many of these the pipeline makes, and where each declared one stands among all.
    ///
    /// Made cells come first; there are none where every row declares its cell.
    pub(super) fn cells(&self, made: &[Cell], is_made: bool) -> (Vec<Cell>, usize, Vec<usize>) {
        let mut cells = if is_made { made.to_vec() } else { Vec::new() };
        let n_made = cells.len();
        let places = self.cells.iter().map(|cell| place_of(cell, &mut cells)).collect();
        (cells, n_made, places)
    }

    /// Whether no row declares a cell.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Where a declared cell stands among all; at their end where the pipeline has none of that name and severity.
fn place_of((name, severity): &(Arc<str>, u8), cells: &mut Vec<Cell>) -> usize {
    let known = cells.iter().position(|cell| (&cell.corruption, cell.severity) == (name, *severity));
    known.unwrap_or_else(|| {
        cells.push(Cell::declared(name, *severity));
        cells.len() - 1
    })
}

/// The outer `None` when the two texts contradict each other.
fn cell<'a>(name: Option<&'a str>, severity: Option<&str>) -> Option<Option<(&'a str, u8)>> {
    let number = severity.map(|text| super::fields::whole(text).and_then(|n| u8::try_from(n).ok()));
    Some(match (name, number) {
        (None, None) => None,
        (Some("clean"), None | Some(Some(0))) => Some(("clean", 0)),
        (Some(name), Some(Some(severity @ 1..=5))) if is_name(name) => Some((name, severity)),
        _ => return None,
    })
}

/// Whether a text can be the name of a corruption.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=MAX_NAME).contains(&name.len()) && name != "clean" && name.chars().all(plain)
}
