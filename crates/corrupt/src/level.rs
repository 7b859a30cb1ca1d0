//! Levels from numbers: clipped to `0..=255` and truncated.
//!
//! A cast to `u8` says the same, but is done one number at a time. These are additions and comparisons only, so a
//! loop over them becomes vector instructions.

/// The level of `x`.
#[inline(always)]
pub(super) fn of_f32(x: f32) -> u8 {
    // Adding this leaves no room for fraction bits, so the addition itself rounds, and the integer lies ready in the
    // low bits.
    const SHIFT: f32 = 8_388_608.0;
    let x = x.clamp(0.0, 255.0);
    let rounded = x + SHIFT;
    let excess = if rounded - SHIFT > x { 1.0 } else { 0.0 };
    (rounded - excess).to_bits() as u8
}

/// The level of `x`.
#[inline(always)]
pub(super) fn of_f64(x: f64) -> u8 {
    whole(x.clamp(0.0, 255.0)) as u8
}

/// The whole part of a number in `[0, 2^31)`.
#[inline(always)]
pub(super) fn whole(x: f64) -> u32 {
    const SHIFT: f64 = 4_503_599_627_370_496.0;
    let rounded = x + SHIFT;
    let excess = if rounded - SHIFT > x { 1.0 } else { 0.0 };
    (rounded - excess).to_bits() as u32
}

#[cfg(test)]
mod tests {
    use super::{of_f32, of_f64};

    #[test]
    fn levels_are_what_a_cast_gives() {
        for i in -2_000..20_000 {
            let x = i as f32 / 64.0;
            for x in [x.next_down(), x, x.next_up()] {
                assert_eq!(of_f32(x), x as u8, "{x}");
            }
            let x = f64::from(i) / 64.0;
            for x in [x.next_down(), x, x.next_up()] {
                assert_eq!(of_f64(x), x as u8, "{x}");
            }
        }
    }
}
