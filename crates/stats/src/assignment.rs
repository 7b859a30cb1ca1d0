//! Whether class names are permuted: the declared pairing of names against the best one.

use crate::metrics::{Confusion, real};

/// For every row of a square matrix the column that it is assigned to, such that the assigned values sum to the most
/// possible (the Hungarian method with potentials, O(n^3)).
#[must_use]
pub fn best_assignment(values: &[Vec<f64>]) -> Vec<usize> {
    let n = values.len();
    // 1-based, with column 0 as the place from which a row starts its search; costs are negated values.
    let (mut row_price, mut column_price) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let mut row_of = vec![0_usize; n + 1];
    let mut came_from = vec![0_usize; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let mut at = 0;
        let (mut slack, mut used) = (vec![f64::INFINITY; n + 1], vec![false; n + 1]);
        while row_of[at] != 0 {
            used[at] = true;
            let (from, mut least, mut next) = (row_of[at], f64::INFINITY, 0);
            for column in (1..=n).filter(|column| !used[*column]) {
                let cost = -values[from - 1][column - 1] - row_price[from] - column_price[column];
                if cost < slack[column] {
                    (slack[column], came_from[column]) = (cost, at);
                }
                if slack[column] < least {
                    (least, next) = (slack[column], column);
                }
            }
            for column in 0..=n {
                if used[column] {
                    row_price[row_of[column]] += least;
                    column_price[column] -= least;
                } else {
                    slack[column] -= least;
                }
            }
            at = next;
        }
        while at != 0 {
            row_of[at] = row_of[came_from[at]];
            at = came_from[at];
        }
    }
    let mut columns = vec![0; n];
    (1..=n).for_each(|column| columns[row_of[column] - 1] = column - 1);
    columns
}

/// When naming predictions otherwise would make many more rows right, the better naming: place `k` holds the class that
/// predictions of class `k`'s label should be called. `None` when the declared names are about as good as any.
///
/// "Many more": at least 10 points of accuracy and 4 standard errors, so that a weak model's noise does not warn.
#[must_use]
pub fn permuted_classes(confusion: &Confusion) -> Option<Vec<usize>> {
    let c = confusion.n_classes();
    let values: Vec<Vec<f64>> =
        (0..c).map(|label| (0..c).map(|pred| real(confusion.count(label, pred))).collect()).collect();
    let best = best_assignment(&values);
    let n = real(confusion.n());
    let right: f64 = best.iter().enumerate().map(|(label, pred)| values[label][*pred]).sum();
    let gain = (right - real(confusion.n_correct())) / n;
    let error = (0.5 / n).sqrt();
    (n > 0.0 && gain >= 0.1 && gain >= 4.0 * error).then_some(best)
}
