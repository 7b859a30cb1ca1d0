//! How much of the coefficients' spread lies inside batches: what a batch coefficient averages away.

use super::operations::{row, titled};
use crate::figures::Figures;
use crate::signals::CellSignals;

/// A table by corruption: standard deviations of T3's coefficient over all samples and inside batches.
pub(super) fn in_batch(set: &Figures, signals: &[CellSignals]) -> String {
    let mean = |cells: &[usize], of: fn(&CellSignals) -> f64| -> Option<f64> {
        let found: Option<Vec<f64>> = cells.iter().map(|cell| signals.get(*cell).map(of)).collect();
        found.filter(|all| !all.is_empty()).map(|all| crate::figures::mean(all.into_iter()))
    };
    let clean = set.facts.clean().map(|cell| ("clean", vec![cell]));
    let places = clean.into_iter().chain(set.facts.corruptions());
    let rows: String = places
        .filter_map(|(name, cells)| {
            let all = mean(&cells, |cell| cell.lambda_std)?;
            let within = mean(&cells, |cell| cell.lambda_std_within)?;
            let share =
                if all > 0.0 { format!("{:.0}", 100.0 * (within / all).powi(2)) } else { "-".to_owned() };
            Some(row(name, &[format!("{all:.4}"), format!("{within:.4}"), share]))
        })
        .collect();
    titled(
        "Spread of lambda inside batches",
        &["images", "standard deviation, all", "inside batches", "share of the variance, %"],
        &rows,
        "Means over severities. One coefficient a batch gives up what varies inside it; batches that mix kinds of images show here.",
    )
}
