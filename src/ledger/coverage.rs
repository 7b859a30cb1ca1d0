//! Which samples are in which cells: where a manifest declares cells, not every sample is in every one.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Consecutive rows of the frozen list that are in the same cells: those whose cells the pipeline makes, or those of one declared
/// cell. One such group stands for any number of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Position of the first sample in the frozen list.
    pub first_row: u64,
    /// Samples at consecutive positions.
    pub n_samples: u64,
    /// Place of the first of their cells among the plan's.
    pub first_cell: u32,
    /// How many cells, one after the other.
    pub n_cells: u32,
}

impl Group {
    /// Positions of its samples.
    #[must_use]
    pub fn rows(&self) -> Range<u64> {
        self.first_row..self.first_row.saturating_add(self.n_samples)
    }

    /// Places of its cells.
    #[must_use]
    pub fn cells(&self) -> Range<usize> {
        self.first_cell as usize..(self.first_cell as usize).saturating_add(self.n_cells as usize)
    }

    /// How many of its samples stand in `rows`.
    fn n_within(&self, rows: &Range<u64>) -> u64 {
        self.rows().end.min(rows.end).saturating_sub(self.first_row.max(rows.start))
    }
}

/// All groups of a plan, by rising positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    groups: Vec<Group>,
}

impl Coverage {
    /// The groups that a plan holds; without any, all samples are in all cells.
    pub(super) fn new(groups: &[Group], n_samples: u64, n_cells: usize) -> Self {
        let groups = match groups {
            [] => {
                let n_cells = u32::try_from(n_cells).unwrap_or(u32::MAX);
                vec![Group { first_row: 0, n_samples, first_cell: 0, n_cells }]
            }
            groups => groups.to_vec(),
        };
        Self { groups }
    }

    /// Whether these are `n_samples` samples in cells of `n_cells`, and each group begins where its predecessor's last batch ends.
    pub(super) fn is_whole(&self, n_samples: u64, n_cells: usize, batch_size: u32) -> bool {
        let mut next = 0_u64;
        let mut n_all = 0_u64;
        for group in &self.groups {
            let is_next = group.first_row == next && group.n_samples > 0 && group.n_cells > 0;
            if !is_next || group.n_samples > n_samples || group.cells().end > n_cells {
                return false;
            }
            n_all = n_all.saturating_add(group.n_samples);
            let Some(begin) = group.rows().end.checked_next_multiple_of(u64::from(batch_size.max(1))) else {
                return false;
            };
            next = begin;
        }
        n_all == n_samples
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// One past the last position of the frozen list.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.rows().end)
    }

    /// The cells that the sample at a position is in; none where no sample stands.
    #[must_use]
    pub fn cells_of(&self, row: u64) -> Range<usize> {
        let behind = self.groups.partition_point(|group| group.first_row <= row);
        let group = behind.checked_sub(1).and_then(|n| self.groups.get(n));
        group.filter(|group| group.rows().contains(&row)).map_or(0..0, Group::cells)
    }

    /// Samples at these positions.
    #[must_use]
    pub fn n_samples(&self, rows: &Range<u64>) -> u64 {
        self.groups.iter().map(|group| group.n_within(rows)).sum()
    }

    /// (sample, cell) pairs of the samples at these positions.
    #[must_use]
    pub fn n_pairs(&self, rows: &Range<u64>) -> u64 {
        let pairs = |group: &Group| group.n_within(rows).saturating_mul(u64::from(group.n_cells));
        self.groups.iter().map(pairs).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(first_row: u64, n_samples: u64, first_cell: u32, n_cells: u32) -> Group {
        Group { first_row, n_samples, first_cell, n_cells }
    }

    /// Six samples in two made cells, three in the third, two that are declared to be in the first.
    fn mixed() -> Coverage {
        Coverage::new(&[group(0, 6, 0, 2), group(8, 3, 2, 1), group(12, 2, 0, 1)], 11, 3)
    }

    #[test]
    fn a_declared_sample_is_in_its_own_cell_alone_and_in_gaps_there_is_none() {
        let coverage = mixed();
        assert_eq!([0, 5, 8, 12, 13].map(|row| coverage.cells_of(row)), [0..2, 0..2, 2..3, 0..1, 0..1]);
        assert!([6, 7, 11, 14, u64::MAX].iter().all(|row| coverage.cells_of(*row).is_empty()));
        assert_eq!((coverage.end(), coverage.n_samples(&(0..14)), coverage.n_pairs(&(0..14))), (14, 11, 17));
        // Partitions of eight.
        assert_eq!((coverage.n_samples(&(0..8)), coverage.n_pairs(&(0..8))), (6, 12));
        assert_eq!((coverage.n_samples(&(8..16)), coverage.n_pairs(&(8..16))), (5, 5));
        assert_eq!(coverage.n_pairs(&(4..9)), 2 * 2 + 1);
    }

    #[test]
    fn without_groups_all_samples_are_in_all_cells() {
        let coverage = Coverage::new(&[], 19, 3);
        assert_eq!((coverage.end(), coverage.n_pairs(&(0..19)), coverage.cells_of(18)), (19, 57, 0..3));
        assert!(coverage.is_whole(19, 3, 4) && coverage.cells_of(19).is_empty());
    }

    #[test]
    fn groups_that_are_not_the_plans_samples_are_refused() {
        assert!(mixed().is_whole(11, 3, 4));
        assert!(!mixed().is_whole(12, 3, 4), "another number of samples");
        assert!(!mixed().is_whole(11, 2, 4), "a cell that the plan does not have");
        assert!(!mixed().is_whole(11, 3, 3), "a group that begins inside a batch");
        let broken = [
            vec![group(0, 6, 0, 2), group(4, 5, 2, 1)],
            vec![group(0, 11, 0, 0)],
            vec![group(4, 11, 0, 1)],
            vec![group(0, u64::MAX, 0, 1)],
            vec![group(0, 11, u32::MAX, u32::MAX)],
        ];
        assert!(broken.into_iter().all(|groups| !Coverage::new(&groups, 11, 3).is_whole(11, 3, 4)));
    }
}
