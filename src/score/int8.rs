//! When a batch's coefficient comes from parents in 8-bit integers, and how far it and what follows from it are from those in `f32`.

use super::parents::Numbers;
use super::predict::argmax;
use super::scorer::{Parental, Said};
use crate::error::{Exit, Problem};
use crate::merge::deviation::Deviation;
use crate::messages::{Scored, Slot};

/// How lanes use 8-bit integers: for coefficients and signals, and for merges where that is set; measured in every run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Int8Rule {
    /// The most that a batch's coefficient may be off, `models.coefficient_bound`.
    pub bound: f64,
    /// Whether the merge that a batch is predicted with is computed in them too.
    pub merges: bool,
    /// Batches of a partition: the first of each is measured, in every cell that it has samples in, whoever scores it.
    pub n_batches: u32,
}

impl Int8Rule {
    /// Whether a batch is computed both ways: a fact about the manifest, so that a run has one answer.
    pub(super) fn measures(&self, slot: &Slot) -> bool {
        slot.batch.is_multiple_of(u64::from(self.n_batches.max(1)))
    }

    /// Refuses a batch whose coefficient is farther off than is allowed.
    ///
    /// # Errors
    /// `N003`.
    pub(super) fn check(&self, scored: &Scored) -> Result<(), Problem> {
        let Some(found) = scored.deviation.filter(|found| found.lambda_max > self.bound) else {
            return Ok(());
        };
        let what = format!(
            "batch {}: with parents in 8-bit integers its coefficient is {:.4} away from that in f32, models.coefficient_bound \
             allows {}",
            scored.slot.batch, found.lambda_max, self.bound
        );
        Err(Problem::new("N003", Exit::BadData, what).hint(
            "set models.coefficient_dtype = \"f32\", which is exact; or a larger models.coefficient_bound if that much is harmless",
        ))
    }
}

/// In which numbers a batch's merge is computed.
pub(super) fn numbers_of(int8: Option<Int8Rule>) -> Numbers {
    if int8.is_some_and(|int8| int8.merges) { Numbers::Int8 } else { Numbers::Whole }
}

/// Adds what the parents say of a batch, `ours` in integers and `exact` in `f32`: samples that are finite both ways.
pub(super) fn push_parents(found: &mut Deviation, ours: &Parental<'_>, exact: &Parental<'_>) {
    let finite = ours.finite.iter().zip(&exact.finite);
    let compared = ours.compared.iter().zip(&exact.compared).zip(finite);
    for ((ours, exact), _) in compared.filter(|(_, (ours, exact))| **ours && **exact) {
        found.push_js(ours.js_nats, exact.js_nats);
    }
}

/// Adds what a method says of the same batch with the coefficients of either: samples that are finite both ways.
pub(super) fn push_method(found: &mut Deviation, ours: &Said, exact: &Said) {
    if let (Some(ours), Some(exact)) = (ours.merged_with, exact.merged_with) {
        found.push_lambda(ours.lambda_mean, exact.lambda_mean);
    }
    for (ours, exact) in ours.log_p.iter().zip(&exact.log_p) {
        if ours.iter().chain(exact).all(|log_p| !log_p.is_nan()) {
            found.push_prediction(argmax(ours) != argmax(exact));
        }
    }
}
