//! Picking lambda from a grid that was scored already: no model runs again.

use t3b_report::{Figures, line_lambda};
use t3b_stats::Metric;

/// The best constant of a grid on one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// Weight on the expert.
    pub lambda: f64,
    /// Its objective: mean of clean and corrupted top-1, or clean alone without corruptions.
    pub top1: f64,
    /// The same of `oracle_line`, when it was derived: what any rule could reach at most.
    pub oracle: Option<f64>,
    /// The same of the run's primary method.
    pub primary: Option<f64>,
    /// Objective by weight, ascending.
    pub curve: Vec<(f64, f64)>,
}

/// Mean of clean top-1 and the mean over corruptions; one of them where the other was not scored.
fn objective(figures: &Figures, method: &str) -> Option<f64> {
    let value = |corruption, severity| {
        figures.line(method, corruption, severity, Metric::Top1).map(|line| line.value)
    };
    match (value(Some("clean"), Some(0)), value(None, None)) {
        (Some(clean), Some(corrupted)) => Some((clean + corrupted) / 2.0),
        (clean, corrupted) => clean.or(corrupted),
    }
}

/// The weight with the best objective; the smallest among equals. `None` without a grid.
#[must_use]
pub fn best_lambda(figures: &Figures) -> Option<Picked> {
    let of = |method: &String| Some((line_lambda(method)?, objective(figures, method)?));
    let mut curve: Vec<(f64, f64)> = figures.facts.methods.iter().filter_map(of).collect();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best = curve.iter().copied().reduce(|best, one| if one.1 > best.1 { one } else { best })?;
    Some(Picked {
        lambda: best.0,
        top1: best.1,
        oracle: objective(figures, "oracle_line"),
        primary: objective(figures, &figures.facts.primary),
        curve,
    })
}
