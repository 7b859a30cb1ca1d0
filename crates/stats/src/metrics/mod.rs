//! What is measured: from single predictions to tallies, and from tallies to figures.

mod auc;
mod baselines;
mod calibration;
mod confusion;
mod corruption;
mod margins;
mod name;
mod tally;

pub use auc::{AscendingAuc, Auc, OneVsRest, Ranked, one_vs_rest};
pub use baselines::{Suite, alexnet_error};
pub use calibration::{AdaptiveEce, Bins, Ece, adaptive_ece};
pub use confusion::Confusion;
pub use corruption::{
    CellErrors, Normalised, balanced_against_alexnet, corruption_error, mean_error, relative_corruption_error,
};
pub use margins::{ClassScores, Margins};
pub use name::Metric;
pub use tally::{Outcome, Tally, Totals};

/// A count as a real number; counts stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}
