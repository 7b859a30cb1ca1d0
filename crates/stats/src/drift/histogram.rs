//! Counts on a fine grid, from which every binned effect follows in one pass over the rows.

use crate::metrics::real;

/// Cells of a fine grid over a number's range, or one a category.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    low: f64,
    high: f64,
    n_cells: usize,
}

impl Grid {
    /// Cells of equal width from `low` to `high`; values outside are counted at the ends.
    #[must_use]
    pub fn new(low: f64, high: f64, n_cells: usize) -> Self {
        Self { low, high, n_cells: n_cells.max(1) }
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float as an index saturates"
    )]
    fn place(&self, value: f64) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        ((share * real(self.n_cells as u64)) as usize).min(self.n_cells - 1)
    }
}

/// How many rows fall into each cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    /// Cells of a number have neighbours and may be joined; categories have none.
    is_ordered: bool,
}

impl Histogram {
    /// No rows yet of a number on a grid.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        Self { counts: vec![0; grid.n_cells()], is_ordered: true }
    }

    /// No rows yet of `n` categories.
    #[must_use]
    pub fn categories(n: usize) -> Self {
        Self { counts: vec![0; n], is_ordered: false }
    }

    /// From counts by category.
    #[must_use]
    pub fn of(counts: Vec<u64>) -> Self {
        Self { counts, is_ordered: false }
    }

    /// From counts by the cells of a grid, rising.
    #[must_use]
    pub fn ordered(counts: Vec<u64>) -> Self {
        Self { counts, is_ordered: true }
    }

    /// Adds a number on a grid; NaN counts as the lowest.
    pub fn add(&mut self, grid: &Grid, value: f64) {
        self.counts[grid.place(value)] += 1;
    }

    /// Adds a row of a category.
    ///
    /// # Panics
    /// When there is no such category.
    pub fn add_category(&mut self, category: usize) {
        self.counts[category] += 1;
    }

    /// Adds another histogram of the same cells.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    /// The same cells with other counts.
    pub(crate) fn with(&self, counts: Vec<u64>) -> Self {
        Self { counts, is_ordered: self.is_ordered }
    }

    /// Rows by cell.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All rows.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Neighbouring cells joined into at most `n_bins` bins of about equal size in `pooled`.
    pub(crate) fn joined(&self, pooled: &[u64], n_bins: usize) -> Vec<u64> {
        if !self.is_ordered || self.counts.len() <= n_bins {
            return self.counts.clone();
        }
        let total: u64 = pooled.iter().sum();
        let (mut bins, mut open, mut seen) = (Vec::with_capacity(n_bins), 0, 0);
        let mut has_open = false;
        for (count, both) in self.counts.iter().zip(pooled) {
            open += count;
            seen += both;
            has_open |= *both > 0;
            let edge = real(total) * real(bins.len() as u64 + 1) / real(n_bins as u64);
            if has_open && real(seen) >= edge {
                bins.push(open);
                (open, has_open) = (0, false);
            }
        }
        if has_open || bins.is_empty() {
            bins.push(open);
        }
        bins
    }
}
