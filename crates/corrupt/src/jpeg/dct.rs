//! The 8x8 transforms of libjpeg, "islow": integer, so exact on every machine.
//!
//! Eight blocks go side by side, one per lane, so that every step is the same operation on eight
//! neighbouring numbers. All numbers fit 16 bits between passes: the input does, and each one-dimensional
//! pass grows a number at most eightfold, of which the scaling takes back its share.
//!
//! Reference: libjpeg `jfdctint.c` and `jidctint.c` (Loeffler, Ligtenberg and Moschytz, 1989).

/// Blocks side by side.
pub(super) const LANES: usize = 16;

/// Eight blocks: entry `8 * row + column` holds that position of every block.
pub(super) type Blocks = [[i16; LANES]; 64];

/// Fraction bits of the constants.
const CONST_BITS: u32 = 13;

/// Extra fraction bits kept between the two passes.
const PASS1_BITS: u32 = 2;

// Cosine combinations, times 2^13, rounded.
const F_0_298: i16 = 2446;
const F_0_390: i16 = 3196;
const F_0_541: i16 = 4433;
const F_0_765: i16 = 6270;
const F_0_899: i16 = 7373;
const F_1_175: i16 = 9633;
const F_1_501: i16 = 12299;
const F_1_847: i16 = 15137;
const F_1_961: i16 = 16069;
const F_2_053: i16 = 16819;
const F_2_562: i16 = 20995;
const F_3_072: i16 = 25172;

/// Forward transform in place, rows first; results are 8 times the orthonormal coefficients.
#[inline(always)]
pub(super) fn forward(blocks: &mut Blocks) {
    for row in 0..8 {
        each_line(blocks, 8 * row, 1, forward_line::<0, { CONST_BITS - PASS1_BITS }, PASS1_BITS>);
    }
    for column in 0..8 {
        each_line(blocks, column, 8, forward_line::<PASS1_BITS, { CONST_BITS + PASS1_BITS }, 0>);
    }
}

/// Inverse transform in place, columns first, from orthonormal coefficients to samples in `-128..=127`.
#[inline(always)]
pub(super) fn inverse(blocks: &mut Blocks) {
    for column in 0..8 {
        // Quantisation empties most columns of high horizontal frequency.
        if (1..8).all(|row| blocks[8 * row + column] == [0; LANES]) {
            let flat = blocks[column].map(|dc| dc << PASS1_BITS);
            (0..8).for_each(|row| blocks[8 * row + column] = flat);
        } else {
            each_line(blocks, column, 8, inverse_line::<{ CONST_BITS - PASS1_BITS }>);
        }
    }
    for row in 0..8 {
        each_line(blocks, 8 * row, 1, |c| {
            inverse_line::<{ CONST_BITS + PASS1_BITS + 3 }>(c).map(|sample| sample.clamp(-128, 127))
        });
    }
}

/// Transforms the eight numbers at `first`, `first + step`, ... of every block.
#[inline(always)]
fn each_line(blocks: &mut Blocks, first: usize, step: usize, transform: impl Fn([i16; 8]) -> [i16; 8]) {
    let line: [[i16; LANES]; 8] = std::array::from_fn(|k| blocks[first + k * step]);
    let mut result = [[0; LANES]; 8];
    for lane in 0..LANES {
        let transformed = transform(std::array::from_fn(|k| line[k][lane]));
        for k in 0..8 {
            result[k][lane] = transformed[k];
        }
    }
    for (k, numbers) in result.into_iter().enumerate() {
        blocks[first + k * step] = numbers;
    }
}

/// `DC_DOWN` and `DOWN` are the bits taken off even multiples of 4 and all others; `DC_UP` bits are added.
#[inline(always)]
fn forward_line<const DC_DOWN: u32, const DOWN: u32, const DC_UP: u32>(d: [i16; 8]) -> [i16; 8] {
    let sum: [i16; 4] = std::array::from_fn(|k| d[k].wrapping_add(d[7 - k]));
    let [t7, t6, t5, t4]: [i16; 4] = std::array::from_fn(|k| d[k].wrapping_sub(d[7 - k]));

    let (t10, t13) = (sum[0].wrapping_add(sum[3]), sum[0].wrapping_sub(sum[3]));
    let (t11, t12) = (sum[1].wrapping_add(sum[2]), sum[1].wrapping_sub(sum[2]));
    let dc = |x: i16| if DC_UP > 0 { x << DC_UP } else { descale::<DC_DOWN>(i32::from(x)) };
    let z1 = times(t12.wrapping_add(t13), F_0_541);

    let z = odd_rotation(t4, t5, t6, t7);
    [
        dc(t10.wrapping_add(t11)),
        descale::<DOWN>(times(t7, F_1_501) + z.z1 + z.z4),
        descale::<DOWN>(z1 + times(t13, F_0_765)),
        descale::<DOWN>(times(t6, F_3_072) + z.z2 + z.z3),
        dc(t10.wrapping_sub(t11)),
        descale::<DOWN>(times(t5, F_2_053) + z.z2 + z.z4),
        descale::<DOWN>(z1 - times(t12, F_1_847)),
        descale::<DOWN>(times(t4, F_0_298) + z.z1 + z.z3),
    ]
}

#[inline(always)]
fn inverse_line<const DOWN: u32>(c: [i16; 8]) -> [i16; 8] {
    let z1 = times(c[2].wrapping_add(c[6]), F_0_541);
    let t2 = z1 - times(c[6], F_1_847);
    let t3 = z1 + times(c[2], F_0_765);
    let t0 = i32::from(c[0].wrapping_add(c[4])) << CONST_BITS;
    let t1 = i32::from(c[0].wrapping_sub(c[4])) << CONST_BITS;
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];

    let z = odd_rotation(c[7], c[5], c[3], c[1]);
    let odd = [
        times(c[1], F_1_501) + z.z1 + z.z4,
        times(c[3], F_3_072) + z.z2 + z.z3,
        times(c[5], F_2_053) + z.z2 + z.z4,
        times(c[7], F_0_298) + z.z1 + z.z3,
    ];
    std::array::from_fn(|k| {
        if k < 4 { descale::<DOWN>(even[k] + odd[k]) } else { descale::<DOWN>(even[7 - k] - odd[7 - k]) }
    })
}

struct Rotated {
    z1: i32,
    z2: i32,
    z3: i32,
    z4: i32,
}

/// The part of the odd half that both directions share.
#[inline(always)]
fn odd_rotation(t0: i16, t1: i16, t2: i16, t3: i16) -> Rotated {
    let (z3, z4) = (t0.wrapping_add(t2), t1.wrapping_add(t3));
    // libjpeg multiplies the sum z3 + z4, which can need 17 bits; two products give the same integer.
    let z5 = times(z3, F_1_175) + times(z4, F_1_175);
    Rotated {
        z1: -times(t0.wrapping_add(t3), F_0_899),
        z2: -times(t1.wrapping_add(t2), F_2_562),
        z3: z5 - times(z3, F_1_961),
        z4: z5 - times(z4, F_0_390),
    }
}

#[inline(always)]
fn times(x: i16, constant: i16) -> i32 {
    i32::from(x) * i32::from(constant)
}

/// Divides by `2^N`, rounding halves up.
#[inline(always)]
fn descale<const N: u32>(x: i32) -> i16 {
    if N == 0 { x as i16 } else { ((x + (1 << (N - 1))) >> N) as i16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_block_has_only_its_mean() {
        let mut blocks = [[-128; LANES]; 64];
        forward(&mut blocks);
        assert_eq!(blocks[0], [-128 * 64; LANES]);
        assert!(blocks[1..].iter().all(|b| *b == [0; LANES]));
    }

    #[test]
    fn inverse_undoes_forward_within_one_level() {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::from((seed >> 24) as u8) - 128
        };
        let samples: Blocks = std::array::from_fn(|_| std::array::from_fn(|_| next()));
        let mut blocks = samples;
        forward(&mut blocks);
        // Forward results carry a factor of 8 that quantisation normally removes.
        blocks.iter_mut().flatten().for_each(|c| *c = (*c + 4) >> 3);
        inverse(&mut blocks);
        for (before, after) in samples.iter().flatten().zip(blocks.iter().flatten()) {
            assert!((before - after).abs() <= 2, "{before} {after}");
        }
    }
}
