//! The accurate integer inverse DCT of libjpeg, eight columns at a time.
//!
//! Reference: the 13-bit fixed-point Loeffler-Ligtenberg-Moschytz transform that libjpeg calls "islow": columns first
//! with two extra fraction bits kept, then rows; both passes round half up. Equal to it for every block whose
//! dequantized coefficients an 8-bit encoder can produce.

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

/// Transforms `blocks`, in natural order, into 8 rows of `stride` samples.
#[inline(always)]
pub(super) fn block_row(blocks: &[[i16; 64]], quant: &[i32; 64], rows: &mut [u8], stride: usize) {
    for (x, block) in blocks.iter().enumerate() {
        let samples = if block[1..] == [0; 63] { flat(block[0], quant[0]) } else { full(block, quant) };
        for (row, samples) in rows.chunks_exact_mut(stride).zip(samples.as_chunks::<8>().0) {
            row[8 * x..][..8].copy_from_slice(samples);
        }
    }
}

/// A block of the mean alone, as [`full`] would give it.
#[inline(always)]
fn flat(dc: i16, quant: i32) -> [u8; 64] {
    [sample(descale(i32::from(dc).wrapping_mul(quant) << PASS1_BITS, PASS1_BITS + 3)); 64]
}

#[inline(always)]
fn full(block: &[i16; 64], quant: &[i32; 64]) -> [u8; 64] {
    let mut values = [0; 64];
    for i in 0..64 {
        values[i] = i32::from(block[i]).wrapping_mul(quant[i]);
    }
    transform(&mut values, CONST_BITS - PASS1_BITS);
    let mut values = transpose(&values);
    transform(&mut values, CONST_BITS + PASS1_BITS + 3);
    let values = transpose(&values);
    let mut samples = [0; 64];
    for i in 0..64 {
        samples[i] = sample(values[i]);
    }
    samples
}

/// Swaps rows and columns by three perfect shuffles, each a rotation of the 6-bit index.
#[inline(always)]
fn transpose(values: &[i32; 64]) -> [i32; 64] {
    shuffle(&shuffle(&shuffle(values)))
}

#[inline(always)]
fn shuffle(values: &[i32; 64]) -> [i32; 64] {
    let mut shuffled = [0; 64];
    for i in 0..32 {
        shuffled[2 * i] = values[i];
        shuffled[2 * i + 1] = values[i + 32];
    }
    shuffled
}

#[inline(always)]
fn sample(value: i32) -> u8 {
    value.wrapping_add(128).clamp(0, 255) as u8
}

#[inline(always)]
fn descale(value: i32, n_bits: u32) -> i32 {
    value.wrapping_add(1 << (n_bits - 1)) >> n_bits
}

/// One 8-point inverse DCT down each of the eight columns; results lose `n_bits` fraction bits.
#[inline(always)]
fn transform(values: &mut [i32; 64], n_bits: u32) {
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    let times = i32::wrapping_mul;
    for x in 0..8 {
        let (c2, c6) = (values[16 + x], values[48 + x]);
        let rotated = times(add(c2, c6), 4433); // 0.541196100
        let low = add(rotated, times(c6, -15137)); // -1.847759065
        let high = add(rotated, times(c2, 6270)); // 0.765366865
        let sum = add(values[x], values[32 + x]) << CONST_BITS;
        let difference = sub(values[x], values[32 + x]) << CONST_BITS;
        let (e0, e1, e2, e3) = (add(sum, high), add(difference, low), sub(difference, low), sub(sum, high));

        let (c1, c3, c5, c7) = (values[8 + x], values[24 + x], values[40 + x], values[56 + x]);
        let outer = times(add(c7, c1), -7373); // -0.899976223
        let inner = times(add(c5, c3), -20995); // -2.562915447
        let (a, b) = (add(c7, c3), add(c5, c1));
        let shared = times(add(a, b), 9633); // 1.175875602
        let a = add(times(a, -16069), shared); // -1.961570560
        let b = add(times(b, -3196), shared); // -0.390180644
        let o0 = add(times(c1, 12299), add(outer, b)); // 1.501321110
        let o1 = add(times(c3, 25172), add(inner, a)); // 3.072711026
        let o2 = add(times(c5, 16819), add(inner, b)); // 2.053119869
        let o3 = add(times(c7, 2446), add(outer, a)); // 0.298631336

        values[x] = descale(add(e0, o0), n_bits);
        values[8 + x] = descale(add(e1, o1), n_bits);
        values[16 + x] = descale(add(e2, o2), n_bits);
        values[24 + x] = descale(add(e3, o3), n_bits);
        values[32 + x] = descale(sub(e3, o3), n_bits);
        values[40 + x] = descale(sub(e2, o2), n_bits);
        values[48 + x] = descale(sub(e1, o1), n_bits);
        values[56 + x] = descale(sub(e0, o0), n_bits);
    }
}
