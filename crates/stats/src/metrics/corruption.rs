//! Means over corruptions and severities, each with its order of operations stated.
//!
//! "mCE" names at least four different figures in print. Here: [`mean_error`] is no ratio at all;
//! [`corruption_error`] divides sums over severities, then averages corruptions (ImageNet-C's order);
//! [`balanced_against_alexnet`] is MedMNIST-C's, of balanced errors against figures of its AlexNet.

use super::baselines::Suite;
use super::real;

/// Errors of one method on one set: clean, and per corruption by severity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CellErrors {
    /// Error without corruption.
    pub clean: Option<f64>,
    /// Name of the corruption and its errors, one a severity.
    pub corruptions: Vec<(String, Vec<f64>)>,
}

/// A mean of ratios, with what it consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalised {
    /// Mean over corruptions; 1 is the reference.
    pub value: f64,
    /// By corruption.
    pub parts: Vec<(String, f64)>,
    /// Corruptions without a usable denominator (0, or below 0.01 for relative figures): in `parts` and the mean where
    /// the original has them, and to be read with care.
    pub unstable: Vec<String>,
}

/// Denominators of relative figures below this are called unstable.
const SMALL_DENOMINATOR: f64 = 0.01;

/// Mean over corruptions of the mean error over severities; `None` without corruptions.
#[must_use]
pub fn mean_error(errors: &CellErrors) -> Option<f64> {
    let means = errors.corruptions.iter().map(|(_, by_severity)| mean(by_severity));
    let means: Vec<f64> = means.collect::<Option<_>>()?;
    mean(&means)
}

/// Mean over corruptions of `sum_s E[s] / sum_s E_ref[s]`; `None` when the reference lacks a corruption or has no
/// error in one.
#[must_use]
pub fn corruption_error(errors: &CellErrors, reference: &CellErrors) -> Option<Normalised> {
    let part = |(name, by_severity): &(String, Vec<f64>)| {
        let below = of(reference, name).filter(|below| below.len() == by_severity.len())?;
        let below: f64 = below.iter().sum();
        (below > 0.0).then(|| (name.clone(), by_severity.iter().sum::<f64>() / below))
    };
    collected(errors.corruptions.iter().map(part).collect::<Option<_>>()?, Vec::new())
}

/// Mean over corruptions of `sum_s (E[s] - E_clean) / sum_s (E_ref[s] - E_ref_clean)`; `None` when a figure is missing
/// or a denominator is 0.
#[must_use]
pub fn relative_corruption_error(errors: &CellErrors, reference: &CellErrors) -> Option<Normalised> {
    let (clean, clean_ref) = (errors.clean?, reference.clean?);
    let mut unstable = Vec::new();
    let mut parts = Vec::new();
    for (name, by_severity) in &errors.corruptions {
        let below = of(reference, name).filter(|below| below.len() == by_severity.len())?;
        let beyond = |errors: &[f64], clean: f64| errors.iter().map(|error| error - clean).sum::<f64>();
        let denominator = beyond(below, clean_ref);
        if denominator == 0.0 {
            return None;
        }
        if denominator / real(below.len() as u64) < SMALL_DENOMINATOR {
            unstable.push(name.clone());
        }
        parts.push((name.clone(), beyond(by_severity, clean) / denominator));
    }
    collected(parts, unstable)
}

/// MedMNIST-C's BE and rBE from balanced errors: `E_c / A_c` and `(E_c - E_clean) / (A_c - A_clean)`, each averaged
/// over the corruptions given; fractions. `None` when the suite lacks a corruption or the set was not scored clean.
///
/// Some of the published denominators of rBE are negative or tiny (pneumoniamnist `contrast_up`, chestmnist
/// `contrast_up`): they are used as published and named in `unstable`.
#[must_use]
pub fn balanced_against_alexnet(balanced: &CellErrors, suite: &Suite) -> Option<(Normalised, Normalised)> {
    let (clean, alexnet_clean) = (balanced.clean?, *suite.get("clean")?);
    let (mut plain, mut relative, mut unstable) = (Vec::new(), Vec::new(), Vec::new());
    for (name, by_severity) in &balanced.corruptions {
        let (error, alexnet) = (mean(by_severity)?, *suite.get(name.as_str())?);
        plain.push((name.clone(), error / alexnet));
        relative.push((name.clone(), (error - clean) / (alexnet - alexnet_clean)));
        if alexnet - alexnet_clean < SMALL_DENOMINATOR {
            unstable.push(name.clone());
        }
    }
    Some((collected(plain, Vec::new())?, collected(relative, unstable)?))
}

fn of<'a>(errors: &'a CellErrors, name: &str) -> Option<&'a [f64]> {
    errors.corruptions.iter().find(|(found, _)| found == name).map(|(_, by_severity)| by_severity.as_slice())
}

fn collected(parts: Vec<(String, f64)>, unstable: Vec<String>) -> Option<Normalised> {
    let values: Vec<f64> = parts.iter().map(|(_, value)| *value).collect();
    Some(Normalised { value: mean(&values)?, parts, unstable })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / real(values.len() as u64))
}
