//! Cells that a manifest declares: images that somebody else has corrupted already, and where each stands in the order of batches.

use std::sync::Arc;

use t3b_corrupt::Cell;

use super::fields::{CORRUPTION, SEVERITY};
use super::problems::bad;
use super::rows::Row;
use crate::error::Problem;
use crate::messages::{Location, Sample};

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

    /// Orders the samples for batches and gives each its cell and its place: those whose cells the pipeline makes first, then cell by
    /// declared cell. Each declared cell begins at a multiple of `batch_size`, so no batch holds two.
    ///
    /// Returns the samples, all cells, and how many of these the pipeline makes; none when every row declares its cell. A refused row
    /// without one counts in the first then.
    pub(super) fn place(
        self,
        mut samples: Vec<(Group, Sample)>,
        made: &[Cell],
        batch_size: u32,
    ) -> (Vec<Arc<Sample>>, Vec<Cell>, usize) {
        let needs_made = |(group, sample): &(Group, Sample)| {
            group.is_none() && !matches!(sample.location, Location::Refused(..))
        };
        let is_made = self.cells.is_empty() || samples.iter().any(needs_made);
        if !is_made {
            // What is refused unread must count somewhere, and is no reason to make cells that nothing is scored in.
            samples.iter_mut().for_each(|(group, _)| *group = Some(group.unwrap_or_default()));
        }
        let mut cells = if is_made { made.to_vec() } else { Vec::new() };
        let n_made = cells.len();
        let places: Vec<usize> = self.cells.iter().map(|cell| place_of(cell, &mut cells)).collect();
        samples.sort_by_key(|(group, _)| *group);
        let (mut row, mut before) = (0_u64, None);
        let placed = samples.into_iter().map(|(group, mut sample)| {
            if before.replace(group).is_some_and(|before| before != group) {
                row = row.next_multiple_of(u64::from(batch_size.max(1)));
            }
            sample.row = row;
            sample.declared = group.map(|group| places[group]);
            row += 1;
            Arc::new(sample)
        });
        (placed.collect(), cells, n_made)
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
