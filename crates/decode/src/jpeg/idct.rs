//! The accurate integer inverse DCT of libjpeg, sixteen blocks at a time.
//!
//! Reference: the 13-bit fixed-point Loeffler-Ligtenberg-Moschytz transform that libjpeg calls "islow": columns first
//! with two extra fraction bits kept, then rows; both passes round half up. Equal to it for every block whose
//! dequantized coefficients an 8-bit encoder can produce.

use super::blocks::{Group, LANES};

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;
/// Samples of a group in one row.
pub(super) const GROUP_WIDTH: usize = 8 * LANES;

/// Values of sixteen blocks, by natural index.
type Values = [[i32; LANES]; 64];

/// Transforms groups of blocks into 8 rows of `stride` samples.
#[inline(always)]
pub(super) fn block_row(groups: &[Group], quant: &[u16; 64], rows: &mut [u8], stride: usize) {
    let mut values = [[0; LANES]; 64];
    for (x, group) in groups.iter().enumerate() {
        inverse(group, quant, &mut values, PASS1_BITS);
        for (row, values) in rows.chunks_exact_mut(stride).zip(values.as_chunks::<8>().0) {
            row[x * GROUP_WIDTH..][..GROUP_WIDTH].copy_from_slice(&samples(values));
        }
    }
}

/// The same for samples of 12 bits, as libjpeg does it with one fraction bit fewer between the passes.
pub(super) fn block_row_12(groups: &[Group], quant: &[u16; 64], rows: &mut [u16], stride: usize) {
    let mut values = [[0; LANES]; 64];
    for (x, group) in groups.iter().enumerate() {
        inverse(group, quant, &mut values, PASS1_BITS - 1);
        for (row, values) in rows.chunks_exact_mut(stride).zip(values.as_chunks::<8>().0) {
            for (lane, samples) in
                row[x * GROUP_WIDTH..][..GROUP_WIDTH].as_chunks_mut::<8>().0.iter_mut().enumerate()
            {
                for (sample, column) in samples.iter_mut().zip(values) {
                    *sample = column[lane].wrapping_add(2048).clamp(0, 4095) as u16;
                }
            }
        }
    }
}

/// Coefficients to samples without their offset: columns, then rows, with `pass1_bits` fraction bits between them.
#[inline(always)]
fn inverse(group: &Group, quant: &[u16; 64], values: &mut Values, pass1_bits: u32) {
    dequantize(group, quant, values);
    for column in 0..8 {
        transform::<8>(values, column, CONST_BITS - pass1_bits);
    }
    for row in 0..8 {
        transform::<1>(values, 8 * row, CONST_BITS + pass1_bits + 3);
    }
}

#[inline(always)]
fn dequantize(group: &Group, quant: &[u16; 64], values: &mut Values) {
    for ((values, coefficients), &quant) in values.iter_mut().zip(group).zip(quant) {
        for (value, &coefficient) in values.iter_mut().zip(coefficients) {
            *value = i32::from(coefficient).wrapping_mul(i32::from(quant));
        }
    }
}

/// Sixteen 8-point inverse DCTs, in place, over the eight indices that start at `first` and lie `STEP` apart; results
/// lose `n_bits` fraction bits.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "eight rows are read and written at the same lane")]
fn transform<const STEP: usize>(values: &mut Values, first: usize, n_bits: u32) {
    let (add, sub, times) = (i32::wrapping_add, i32::wrapping_sub, i32::wrapping_mul);
    let descale = |value: i32| add(value, 1 << (n_bits - 1)) >> n_bits;
    let at = |k: usize| first + k * STEP;
    for lane in 0..LANES {
        let (c0, c2, c4, c6) =
            (values[at(0)][lane], values[at(2)][lane], values[at(4)][lane], values[at(6)][lane]);
        let (c1, c3, c5, c7) =
            (values[at(1)][lane], values[at(3)][lane], values[at(5)][lane], values[at(7)][lane]);

        let rotated = times(add(c2, c6), 4433); // 0.541196100
        let low = add(rotated, times(c6, -15137)); // -1.847759065
        let high = add(rotated, times(c2, 6270)); // 0.765366865
        let (sum, difference) = (add(c0, c4) << CONST_BITS, sub(c0, c4) << CONST_BITS);
        let (e0, e1, e2, e3) = (add(sum, high), add(difference, low), sub(difference, low), sub(sum, high));

        let (outer, inner) = (times(add(c7, c1), -7373), times(add(c5, c3), -20995)); // -0.899976223, -2.562915447
        let (a, b) = (add(c7, c3), add(c5, c1));
        let shared = times(add(a, b), 9633); // 1.175875602
        let (a, b) = (add(times(a, -16069), shared), add(times(b, -3196), shared)); // -1.961570560, -0.390180644
        let o0 = add(times(c1, 12299), add(outer, b)); // 1.501321110
        let o1 = add(times(c3, 25172), add(inner, a)); // 3.072711026
        let o2 = add(times(c5, 16819), add(inner, b)); // 2.053119869
        let o3 = add(times(c7, 2446), add(outer, a)); // 0.298631336

        values[at(0)][lane] = descale(add(e0, o0));
        values[at(1)][lane] = descale(add(e1, o1));
        values[at(2)][lane] = descale(add(e2, o2));
        values[at(3)][lane] = descale(add(e3, o3));
        values[at(4)][lane] = descale(sub(e3, o3));
        values[at(5)][lane] = descale(sub(e2, o2));
        values[at(6)][lane] = descale(sub(e1, o1));
        values[at(7)][lane] = descale(sub(e0, o0));
    }
}

/// One row of samples, from by column and block to left to right: three perfect shuffles.
#[inline(always)]
fn samples(values: &[[i32; LANES]; 8]) -> [u8; GROUP_WIDTH] {
    let mut samples = [0; GROUP_WIDTH];
    for (sample, &value) in samples.iter_mut().zip(values.as_flattened()) {
        *sample = value.wrapping_add(128).clamp(0, 255) as u8;
    }
    shuffle(&shuffle(&shuffle(&samples)))
}

#[inline(always)]
fn shuffle(samples: &[u8; GROUP_WIDTH]) -> [u8; GROUP_WIDTH] {
    let mut shuffled = [0; GROUP_WIDTH];
    let (low, high) = samples.split_at(GROUP_WIDTH / 2);
    for ((pair, &low), &high) in shuffled.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *pair = [low, high];
    }
    shuffled
}
