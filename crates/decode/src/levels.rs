//! Grey values of any unit to 8 bits by the rule of [`Window`], for every format whose values are not levels already.
//!
//! The formulas are those of `dicom/grey.rs`, for values that are not few enough for a table.

use super::facts::{Facts, MOSTLY_DARK};
use super::rendering::{PERCENTILES, Window, to_level};

/// The two values that become black and white.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    low: f64,
    high: f64,
}

/// Renders values; `file` is the range that the file itself asks for, else the values' own is taken.
pub(super) fn render(values: &[f64], file: Option<(f64, f64)>, window: Window, facts: &mut Facts) -> Vec<u8> {
    let range = match (window, file) {
        (Window::File, Some((low, high))) => Range { low, high },
        (Window::Fixed { center, width }, _) => Range::of_window(center, width),
        (Window::File | Window::MinMax, _) => quantiles(values, (0.0, 1.0)),
        (Window::Percentile, _) => quantiles(values, PERCENTILES),
    };
    let rule = match (window, file) {
        (Window::File, Some(_)) => "the file's range",
        (Window::Fixed { .. }, _) => "decode.window",
        (Window::File | Window::MinMax, _) => "smallest to largest value",
        (Window::Percentile, _) => "1st to 99th percentile",
    };
    facts.note("rule", rule);
    facts.note("black_white", format!("{} {}", range.low, range.high));
    values.iter().map(|&value| range.level(value)).collect()
}

/// 16-bit grey values of PNG, TIFF and PNM, shape kept.
///
/// With [`Window::File`] the range is that of `bits`, where the file says how many of the 16 are used, else values keep
/// their high byte. A picture most of whose values lie below 5 % of the range is noted: it is nearly black.
pub(super) fn render_16(values: &[u16], bits: Option<u32>, window: Window, facts: &mut Facts) -> Vec<u8> {
    // A writer that follows its standard has spread the values over all 16 bits and says what they had before.
    let bits = bits.filter(|&bits| bits < 16 && values.iter().all(|&value| u32::from(value) >> bits == 0));
    let largest = bits.map(|bits| (1_u32 << bits) - 1);
    if window == Window::File && bits.is_none() {
        warn_if_dark(values, facts);
        facts.note("rule", "high byte");
        return values.iter().map(|&value| (value >> 8) as u8).collect();
    }
    let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    render(&values, largest.map(|largest| (0.0, largest.into())), window, facts)
}

fn warn_if_dark(values: &[u16], facts: &mut Facts) {
    const FIVE_PERCENT: u16 = 3277;
    let n_dark = values.iter().filter(|&&value| value < FIVE_PERCENT).count();
    if 2 * n_dark > values.len() && values.iter().any(|&value| value > 0) {
        let advice = "most 16-bit values lie below 5 % of the range: nearly black, see decode.window";
        facts.note(MOSTLY_DARK, advice);
    }
}

impl Range {
    /// The window of PS3.3 C.11.2.1.2.1 as a range: its linear part has these ends.
    fn of_window(center: f64, width: f64) -> Self {
        let (center, width) = if width < 1.0 { (center, width) } else { (center - 0.5, width - 1.0) };
        Self { low: center - width / 2.0, high: center + width / 2.0 }
    }

    /// Rounded to the nearest; a range of one value gives black, or white above it.
    fn level(self, value: f64) -> u8 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p03b_twelve_bit_values_in_sixteen_bits_follow_the_window_and_are_warned_of() {
        let values = [0, 1000, 2000, 4095];
        let mut facts = Facts::default();
        assert_eq!(render_16(&values, None, Window::File, &mut facts), [0, 3, 7, 15]);
        assert!(facts.warning().is_some());
        let mut facts = Facts::default();
        assert_eq!(render_16(&values, Some(12), Window::File, &mut facts), [0, 62, 125, 255]);
        assert_eq!(render_16(&values, None, Window::MinMax, &mut facts), [0, 62, 125, 255]);
        let fixed = Window::Fixed { center: 1000.5, width: 2001.0 };
        assert_eq!(render_16(&values, None, fixed, &mut facts), [0, 128, 255, 255]);
        assert!(facts.warning().is_none());
        let bright = [0, 4000, 40_000, 65_535];
        assert_eq!(render_16(&bright, None, Window::File, &mut facts), [0, 15, 156, 255]);
        assert!(facts.warning().is_none());
    }
}
