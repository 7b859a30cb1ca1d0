//! Rows of activations as 8-bit integers, each on a scale of its own.

use std::ops::Range;

use super::super::packing::LANES;
use super::{INT8_BLOCK, MOST_X, QUAD, ROUNDING};

/// How a row is quantised: `x` becomes `x * factor + zero`, rounded to nearest, and `q` stands for `(q - zero) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) factor: f32,
    /// What zero becomes, a whole number from 0 to [`MOST_X`].
    pub(super) zero: f32,
    pub(super) scale: f32,
}

impl Scale {
    /// Of a row: the range of its values and zero becomes that from 0 to [`MOST_X`]. A row with a value that is not finite stands for
    /// NaN, so that it is as broken behind the layer as before it.
    #[inline(always)]
    pub(super) fn of(row: &[f32]) -> Self {
        let (mut least, mut most, mut magnitude) = ([0.0_f32; LANES], [0.0_f32; LANES], [0_u32; LANES]);
        let mut join = |values: &[f32; LANES]| {
            for (lane, &x) in values.iter().enumerate() {
                least[lane] = if x < least[lane] { x } else { least[lane] };
                most[lane] = if x > most[lane] { x } else { most[lane] };
                // Magnitudes are ordered as their bits are, and what is not finite comes last.
                magnitude[lane] = magnitude[lane].max(x.abs().to_bits());
            }
        };
        let (whole, rest) = row.as_chunks::<LANES>();
        whole.iter().for_each(&mut join);
        let mut values = [0.0; LANES];
        values[..rest.len()].copy_from_slice(rest);
        join(&values);
        let is_broken = magnitude.into_iter().any(|bits| !f32::from_bits(bits).is_finite());
        let (least, most) = (least.into_iter().fold(0.0, f32::min), most.into_iter().fold(0.0, f32::max));
        Self::from(if is_broken { f32::NAN } else { most - least }, least)
    }

    /// Of values that reach from `least`, at most 0, over `range`.
    fn from(range: f32, least: f32) -> Self {
        let factor = MOST_X / range;
        if !range.is_finite() {
            return Self { factor: 0.0, zero: 0.0, scale: f32::NAN };
        }
        // Of zeros, or as good as zeros.
        if factor.is_infinite() {
            return Self { factor: 0.0, zero: 0.0, scale: 0.0 };
        }
        Self { factor, zero: (-least * factor).round_ties_even(), scale: range / MOST_X }
    }

    /// A value of the row on this scale.
    #[inline(always)]
    fn quantised(self, x: f32) -> u8 {
        // Rounding the zero has moved the ends by half at most, so that one of them may be as far out.
        let moved = (x * self.factor + self.zero).clamp(0.0, MOST_X);
        (moved + ROUNDING).to_bits().to_le_bytes()[0]
    }
}

/// Quantises some rows into a tile of `T`: for every [`QUAD`] inputs, those of the rows one behind the other. Inputs that `rows` does
/// not have become what zero becomes.
///
/// `rows` starts at the first row, `stride` values apart; `scales` has one for each.
#[inline(always)]
pub(super) fn pack_rows<const T: usize>(
    rows: &[f32],
    stride: usize,
    scales: &[Scale],
    inputs: Range<usize>,
    tile: &mut [u8],
) {
    let depth = tile.len() / T;
    let tile = tile.as_chunks_mut::<QUAD>().0.as_chunks_mut::<T>().0;
    // A row on its own first: quantised right to their places, values would be gathered and scattered one by one.
    let mut quantised = [0; INT8_BLOCK];
    for (index, (row, &scale)) in rows.chunks(stride).zip(scales).enumerate() {
        let (values, behind) = quantised[..depth].split_at_mut(inputs.len());
        for (slot, &x) in values.iter_mut().zip(&row[inputs.clone()]) {
            *slot = scale.quantised(x);
        }
        behind.fill(scale.quantised(0.0));
        for (slots, quad) in tile.iter_mut().zip(quantised.as_chunks::<QUAD>().0) {
            slots[index] = *quad;
        }
    }
}
