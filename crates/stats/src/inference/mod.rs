//! How sure a figure is, and whether two differ.

mod interval;
mod paired;
mod resample;

pub use interval::{
    CalibratedNull, Interval, calibration_interval, expanded_percentile, normal_quantile, percentile, wilson,
};
pub use paired::{holm, mcnemar_exact, paired_p_value};
pub use resample::Resamples;
pub(crate) use resample::{below, stream};
