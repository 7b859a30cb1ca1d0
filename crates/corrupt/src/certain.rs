//! Levels from sums in single precision, where these are sure to be right.
//!
//! A level is a truncated sum, and the reference's sum has far more digits than single precision. But the level
//! depends on those digits only near a whole number. So the cheap sum decides wherever it is clear of whole
//! numbers by more than its error, and the few other values are summed in double precision.

/// Added to a number in `[0, 256)` this leaves 15 fraction bits, so the level lies ready in the bits above them.
const ALIGN: f32 = 256.0;

/// The level of `x`, clipped to `0..=255` and truncated, up to 2^-16 of a level.
///
/// A cast would say the same, but is done one number at a time on processors without newer instructions.
#[inline(always)]
pub(super) fn level(x: f32) -> u8 {
    ((x.clamp(0.0, 255.0) + ALIGN).to_bits() >> 15) as u8
}

/// The levels of sums that are off by less than `margin`; `exact` is asked, by index, for those with a whole number
/// that near.
///
/// `margin` need not include the error of [`level`].
#[inline(always)]
pub(super) fn levels<const N: usize>(
    sums: &[f32; N],
    margin: f32,
    mut exact: impl FnMut(usize) -> u8,
) -> [u8; N] {
    const OWN_ERROR: f32 = 1.0 / 16384.0;
    let margin = margin + OWN_ERROR;
    let (mut low, mut high) = ([0; N], [0; N]);
    for (low, sum) in low.iter_mut().zip(sums) {
        *low = level(sum - margin);
    }
    for (high, sum) in high.iter_mut().zip(sums) {
        *high = level(sum + margin);
    }
    if low != high {
        for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
            if *low != high {
                *low = exact(i);
            }
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::{level, levels};

    #[test]
    fn levels_are_clipped_and_truncated() {
        let found = [-3.0, 0.0, 0.9, 1.0, 199.99, 254.9, 255.0, 300.0].map(level);
        assert_eq!(found, [0, 0, 0, 1, 199, 254, 255, 255]);
    }

    #[test]
    fn only_sums_near_a_whole_number_are_asked_for() {
        let mut asked = Vec::new();
        let found = levels(&[3.5, 7.01, 0.0, 6.99, 260.0, 7.1], 0.05, |i| {
            asked.push(i);
            77
        });
        assert_eq!(found, [3, 77, 0, 77, 255, 7]);
        assert_eq!(asked, [1, 3]);
    }
}
