//! Picking lambda from a grid that was scored already: no model runs again.

use t3b_report::{Figures, line_lambda};
use t3b_stats::Metric;

use crate::ledger::Facts;

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

/// One setting of T3_B with its estimated objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Steepness of the sigmoid.
    pub gamma: f64,
    /// Lower and upper bound of lambda.
    pub bounds: [f64; 2],
    /// Samples that share a coefficient.
    pub batch_size: usize,
    /// Mean of clean and corrupted top-1, from the rows of the grid next to each batch's lambda.
    pub top1: f64,
}

/// T3_B at every setting of a small grid, best first. `js_nats` holds the divergences by cell and sample (NaN: not
/// scored). An estimate: each batch takes the rows of the weight on the grid next to its own, so it is as coarse as the
/// grid; the constant of [`best_lambda`] is exact.
#[must_use]
pub fn t3_settings(figures: &Figures, js_nats: &[Vec<f64>]) -> Vec<Setting> {
    let of = |(place, method): (usize, &String)| Some((line_lambda(method)?, place));
    let mut lines: Vec<(f64, usize)> = figures.facts.methods.iter().enumerate().filter_map(of).collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = Vec::new();
    for gamma in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        for bounds in [[0.0, 1.0], [0.0, 0.5], [0.25, 0.75], [0.5, 1.0]] {
            for batch_size in [1, 8, 32, 128] {
                let top1 = estimate(figures, &lines, js_nats, gamma, bounds, batch_size);
                found.extend(top1.map(|top1| Setting { gamma, bounds, batch_size, top1 }));
            }
        }
    }
    found.sort_by(|a, b| b.top1.total_cmp(&a.top1));
    found
}

/// The setting to take: among those that are best alike, the run's own, else the first.
#[must_use]
pub fn best_setting<'f>(found: &'f [Setting], own: &Facts) -> Option<&'f Setting> {
    let is_own = |one: &&Setting| {
        one.gamma == own.gamma
            && one.bounds == [own.lambda_min, own.lambda_max]
            && one.batch_size == own.batch_size as usize
    };
    let first = found.first()?;
    found.iter().take_while(|one| one.top1 == first.top1).find(is_own).or(Some(first))
}

fn estimate(
    figures: &Figures,
    lines: &[(f64, usize)],
    js_nats: &[Vec<f64>],
    gamma: f64,
    [low, high]: [f64; 2],
    batch_size: usize,
) -> Option<f64> {
    let lambda = |js: f64| low + (high - low) / (1.0 + (-gamma * js).exp());
    let mut shares = Vec::new();
    for (cell, js) in js_nats.iter().enumerate() {
        let (mut n, mut n_right) = (0_u64, 0_u64);
        for (batch, members) in js.chunks(batch_size).enumerate() {
            let scored: Vec<f64> = members.iter().copied().filter(|js| js.is_finite()).map(lambda).collect();
            if scored.is_empty() {
                continue;
            }
            let mean = scored.iter().sum::<f64>() / scored.len() as f64;
            let near = lines.iter().min_by(|a, b| (a.0 - mean).abs().total_cmp(&(b.0 - mean).abs()))?.1;
            for k in 0..members.len() {
                if let Some(right) = figures.rows.is_right(near, cell, (batch * batch_size + k) as u64) {
                    n += 1;
                    n_right += u64::from(right);
                }
            }
        }
        shares.push((n > 0).then(|| n_right as f64 / n as f64)?);
    }
    let mean = |cells: &[usize]| cells.iter().map(|cell| shares[*cell]).sum::<f64>() / cells.len() as f64;
    let corruptions = figures.facts.corruptions();
    let corrupted =
        corruptions.iter().map(|(_, cells)| mean(cells)).sum::<f64>() / corruptions.len().max(1) as f64;
    match (figures.facts.clean(), corruptions.is_empty()) {
        (Some(clean), false) => Some((shares[clean] + corrupted) / 2.0),
        (Some(clean), true) => Some(shares[clean]),
        (None, false) => Some(corrupted),
        (None, true) => None,
    }
}
