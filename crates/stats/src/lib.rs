#![doc = include_str!("../README.md")]

mod assignment;
mod cbpe;
mod detectable;
mod drift;
mod inference;
mod isotonic;
mod metrics;

pub use assignment::{best_assignment, permuted_classes};
pub use cbpe::{Calibrator, Estimate, ExpectedTie, expected_auc, expected_auc_of_ties};
pub use detectable::{Detectable, detectable};
pub use drift::{Compared, Effect, Grid, Histogram, Mmd, compare, linear_mmd, mmd_null};
pub use inference::{
    CalibratedNull, Interval, Resamples, calibration_interval, expanded_percentile, holm, mcnemar_exact,
    normal_quantile, paired_p_value, percentile, wilson,
};
pub use isotonic::Isotonic;
pub use metrics::{
    AdaptiveEce, AscendingAuc, Auc, Bins, CellErrors, ClassScores, Confusion, Ece, Margins, Metric,
    Normalised, OneVsRest, Outcome, Ranked, Suite, Tally, Totals, adaptive_ece, alexnet_error,
    balanced_against_alexnet, corruption_error, mean_error, one_vs_rest, relative_corruption_error,
};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// Two inputs that belong together have different lengths.
    #[error("{what}: found {found} values, expected {expected}")]
    Length {
        /// Which input.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that the other inputs ask for.
        expected: usize,
    },
    /// A class index is not below the number of classes.
    #[error("class {class} of {n_classes}")]
    Class {
        /// The index found.
        class: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// A probability or score is NaN, infinite or outside its range.
    #[error("{what}: a value outside its range")]
    Range {
        /// Which input.
        what: &'static str,
    },
}
