//! Values to 8 bits by the rule of [`Window`]; see `dicom/grey.rs`, whose formulas these are.

use super::super::rendering::{PERCENTILES, Window, to_level};
use super::header::NiftiHeader;

/// The two values that become black and white.
struct Range {
    low: f64,
    high: f64,
}

pub(super) fn render(values: &[f64], header: &NiftiHeader, window: Window) -> Vec<u8> {
    let range = match (window, header.window) {
        (Window::File, Some((low, high))) => Range { low, high },
        // The window of PS3.3 C.11.2.1.2.1 as a range: its linear part has these ends.
        (Window::Fixed { center, width }, _) => {
            let (center, width) = (center - 0.5, (width - 1.0).max(0.0));
            Range { low: center - width / 2.0, high: center + width / 2.0 }
        }
        (Window::File | Window::MinMax, _) => quantiles(values, (0.0, 1.0)),
        (Window::Percentile, _) => quantiles(values, PERCENTILES),
    };
    values.iter().map(|&value| range.level(value)).collect()
}

impl Range {
    /// Rounded to the nearest; a range of one value gives black, or white above it.
    fn level(&self, value: f64) -> u8 {
        let unit = if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            f64::from(u8::from(value > self.low))
        };
        to_level(unit)
    }
}

/// The values at two quantiles (nearest rank) of those that are finite.
fn quantiles(values: &[f64], (low, high): (f64, f64)) -> Range {
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let n = finite.len();
    if n == 0 {
        return Range { low: 0.0, high: 0.0 };
    }
    let mut at = |quantile: f64| {
        let rank = ((quantile * n as f64).ceil() as usize).clamp(1, n);
        *finite.select_nth_unstable_by(rank - 1, f64::total_cmp).1
    };
    Range { low: at(low), high: at(high) }
}
