//! Quantisation: the only step of JPEG that loses more than rounding.

use super::dct::{Blocks, LANES};

/// How each of the 64 coefficients is rounded, row by row, the same for every lane.
///
/// Division by `d = 8 * step` is a multiplication: `n / d = n * ceil(2^k / d) >> k`. With `2^(l-1) < d <= 2^l` and
/// `k = 15 + l` this is exact for every `n` below 2^15 (Granlund and Montgomery, 1994), and the factor has 16
/// bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// 1 to 255.
    steps: [[i16; LANES]; 64],
    /// Half the divisor.
    halves: [[u16; LANES]; 64],
    factors: [[u16; LANES]; 64],
    /// Shifts right by `k - 16`, as the high half of a product.
    shifts: [[u16; LANES]; 64],
}

/// ITU-T T.81, table K.1.
#[rustfmt::skip]
const LUMA: [u8; 64] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

/// ITU-T T.81, table K.2.
#[rustfmt::skip]
const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

impl Table {
    /// The luma table at `quality`, 1 to 100.
    pub(super) fn luma(quality: u8) -> Self {
        Self::scaled(&LUMA, quality)
    }

    /// The chroma table at `quality`, 1 to 100.
    pub(super) fn chroma(quality: u8) -> Self {
        Self::scaled(&CHROMA, quality)
    }

    /// Reference: libjpeg `jpeg_quality_scaling` and `jpeg_add_quant_table`, forced to baseline.
    fn scaled(base: &[u8; 64], quality: u8) -> Self {
        let quality = i32::from(quality.clamp(1, 100));
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let steps = base.map(|step| ((i32::from(step) * percent + 50) / 100).clamp(1, 255));
        let divisor = |step: i32| 8 * step as u32;
        let bits = |step: i32| divisor(step).next_power_of_two().trailing_zeros();
        Self {
            steps: steps.map(|step| [step as i16; LANES]),
            halves: steps.map(|step| [(divisor(step) / 2) as u16; LANES]),
            factors: steps.map(|step| [(1u32 << (15 + bits(step))).div_ceil(divisor(step)) as u16; LANES]),
            shifts: steps.map(|step| [1 << (17 - bits(step)); LANES]),
        }
    }

    /// Rounds forward-transformed coefficients to their steps and scales them back.
    ///
    /// Takes coefficients with the transform's factor of 8, gives them without it.
    #[inline(always)]
    pub(super) fn round_trip(&self, blocks: &mut Blocks) {
        let divisions = self.halves.as_flattened().iter().zip(self.factors.as_flattened());
        let divisions = divisions.zip(self.shifts.as_flattened()).zip(self.steps.as_flattened());
        for (c, (((half, factor), shift), step)) in blocks.as_flattened_mut().iter_mut().zip(divisions) {
            let sign = *c >> 15;
            let numerator = c.unsigned_abs().wrapping_add(*half);
            let level = high_half(high_half(numerator, *factor), *shift) as i16;
            *c = (level.wrapping_mul(*step) ^ sign).wrapping_sub(sign);
        }
    }
}

/// The upper 16 bits of a product.
#[inline(always)]
fn high_half(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_integer_division_for_every_coefficient() {
        for quality in [1, 7, 50, 95, 100] {
            let table = Table::luma(quality);
            for first in (-12_000i16..12_000).step_by(LANES) {
                let mut blocks = [std::array::from_fn(|lane| first + lane as i16); 64];
                let before = blocks;
                table.round_trip(&mut blocks);
                for k in 0..64 {
                    let (step, divisor) = (table.steps[k][0], 8 * table.steps[k][0]);
                    for lane in 0..LANES {
                        let c = before[k][lane];
                        let expected = c.signum() * ((c.abs() + divisor / 2) / divisor) * step;
                        assert_eq!(blocks[k][lane], expected, "{c} by {step}");
                    }
                }
            }
        }
    }
}
