//! Quantisation: the only step of JPEG that loses more than rounding.

use super::dct::{Blocks, LANES};

/// Steps of the 64 coefficients, row by row, 1 to 255.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    steps: [i16; 64],
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
        Self { steps: base.map(|step| ((i32::from(step) * percent + 50) / 100).clamp(1, 255) as i16) }
    }

    /// Rounds forward-transformed coefficients to their steps and scales them back.
    ///
    /// Takes coefficients with the transform's factor of 8, gives them without it.
    pub(super) fn round_trip(&self, blocks: &mut Blocks) {
        for (coefficients, &step) in blocks.iter_mut().zip(&self.steps) {
            let divisor = 8 * step;
            let reciprocal = 1.0 / f32::from(divisor);
            for lane in 0..LANES {
                let c = coefficients[lane];
                // Half a unit keeps exact multiples clear of the truncation; the nearest other quotient is at
                // least that far, while single precision is off by less than 2^-10 of it.
                let numerator = f32::from(c.wrapping_abs().wrapping_add(divisor / 2)) + 0.5;
                let level = (numerator * reciprocal) as i32 as i16;
                coefficients[lane] = level.wrapping_mul(step) * c.signum();
            }
        }
    }
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
                    let (step, divisor) = (table.steps[k], 8 * table.steps[k]);
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
