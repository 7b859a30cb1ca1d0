//! Box down-sampling and box up-sampling.

use super::words::widen;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Fraction bits of a quantised weight: 32 less 8 bits of value less 2 of head room.
const WEIGHT_BITS: u32 = 22;

/// Bytes whose sum fits 16 bits.
const MAX_PACKED: usize = 257;

/// Intermediate images and weights, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// One row of the image, and then the image shrunk along one axis and along both; pixels are words.
    wide: Vec<u32>,
    packed: Vec<u64>,
    narrow: Vec<u32>,
    small: Vec<u32>,
    sums: Vec<[u32; 4]>,
    line: Vec<u8>,
    shrink_x: Axis,
    shrink_y: Axis,
    grow_x: Axis,
    grow_y: Axis,
}

/// Shrinks `image` to `trunc(side * factor)` and enlarges it back.
///
/// A side never falls below one pixel (the reference raises there).
///
/// Order: shrink columns, shrink rows, enlarge columns, enlarge rows, each rounding to 8 bits.
///
/// Reference: `Pixelate`, two calls of Pillow's `Image.resize(.., BOX)`.
pub(super) fn pixelate(factor: f64, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let shrink = |side: usize| ((side as f64 * factor) as usize).max(1);
    let (small_width, small_height) = (shrink(width), shrink(height));
    let Buffers { wide, packed, narrow, small, sums, line, shrink_x, shrink_y, grow_x, grow_y } = buffers;
    shrink_x.prepare(width, small_width);
    shrink_y.prepare(height, small_height);
    grow_x.prepare(small_width, width);
    grow_y.prepare(small_height, height);

    narrow.resize(small_width * height, 0);
    small.resize(small_width * small_height, 0);
    widest(
        #[inline(always)]
        || {
            average_columns(image.as_bytes(), shrink_x, wide, packed, narrow);
            average_rows(narrow, shrink_y, small_width, sums, small);
            enlarge(small, grow_x, grow_y, line, out.as_bytes_mut());
        },
    );
}

/// Which input positions make each output position along one axis.
#[derive(Debug, Default)]
struct Axis {
    side_in: usize,
    side_out: usize,
    windows: Vec<Window>,
}

/// Input positions that count equally; a box filter has no others.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: usize,
    n: usize,
    /// `2^WEIGHT_BITS / n`, rounded.
    weight: u32,
}

impl Axis {
    /// Computes the windows unless they are already those of this pair of sides.
    ///
    /// Reference: Pillow, `precompute_coeffs` and `normalize_coeffs_8bpc` with the box filter.
    fn prepare(&mut self, side_in: usize, side_out: usize) {
        if (self.side_in, self.side_out) == (side_in, side_out) {
            return;
        }
        (self.side_in, self.side_out) = (side_in, side_out);
        let scale = side_in as f64 / side_out as f64;
        let filter_scale = scale.max(1.0);
        let support = 0.5 * filter_scale;
        let inverse = 1.0 / filter_scale;
        self.windows.clear();
        self.windows.extend((0..side_out).map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let start = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(side_in);
            let inside = |x: &usize| {
                let distance = (*x as f64 - centre + 0.5) * inverse;
                distance > -0.5 && distance <= 0.5
            };
            let first = (start..end).find(inside).unwrap_or(start);
            let n = (first..end).filter(inside).count().max(1);
            let weight = (0.5 + 1.0 / n as f64 * f64::from(1u32 << WEIGHT_BITS)) as u32;
            Window { first, n, weight }
        }));
    }
}

/// Averages along each row; the pixels of the result are words.
#[inline(always)]
fn average_columns(image: &[u8], axis: &Axis, wide: &mut Vec<u32>, packed: &mut Vec<u64>, out: &mut [u32]) {
    wide.resize(axis.side_in, 0);
    packed.resize(axis.side_in, 0);
    let has_pairs_only = axis.windows.iter().all(|window| window.n <= 2);
    let rows_in = image.chunks_exact(axis.side_in * 3);
    for (row_out, row_in) in out.chunks_exact_mut(axis.side_out).zip(rows_in) {
        widen(row_in, wide);
        if has_pairs_only {
            for (word, window) in row_out.iter_mut().zip(&axis.windows) {
                *word = average(wide[window.first], wide[window.first + window.n - 1]);
            }
            continue;
        }
        for (packed, &word) in packed.iter_mut().zip(wide.iter()) {
            *packed = spread(word);
        }
        for (word, window) in row_out.iter_mut().zip(&axis.windows) {
            let mut sums = [0; 4];
            for part in packed[window.first..][..window.n].chunks(MAX_PACKED) {
                let packed: u64 = part.iter().sum();
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum += (packed >> (16 * k)) as u32 & 0xffff;
                }
            }
            *word = u32::from_le_bytes(sums.map(|sum| weighted(sum, window.weight)));
        }
    }
}

/// The mean of two words byte by byte, rounded up.
#[inline(always)]
fn average(a: u32, b: u32) -> u32 {
    (a | b) - (((a ^ b) >> 1) & 0x7f7f_7f7f)
}

/// Puts each byte in 16 bits.
#[inline(always)]
fn spread(word: u32) -> u64 {
    let word = u64::from(word);
    let halves = (word | (word << 16)) & 0xffff_0000_ffff;
    (halves | (halves << 8)) & 0xff_00ff_00ff_00ff
}

/// Averages along each column, all channels alike.
#[inline(always)]
fn average_rows(image: &[u32], axis: &Axis, width: usize, sums: &mut Vec<[u32; 4]>, out: &mut [u32]) {
    for (row_out, window) in out.chunks_exact_mut(width).zip(&axis.windows) {
        let rows = &image[window.first * width..][..window.n * width];
        if window.n <= 2 {
            let (first, last) = (&rows[..width], &rows[(window.n - 1) * width..]);
            for ((word, &a), &b) in row_out.iter_mut().zip(first).zip(last) {
                *word = average(a, b);
            }
            continue;
        }
        sums.clear();
        sums.resize(width, [0; 4]);
        for row in rows.chunks_exact(width) {
            for (sums, word) in sums.iter_mut().zip(row) {
                for (sum, value) in sums.iter_mut().zip(word.to_le_bytes()) {
                    *sum += u32::from(value);
                }
            }
        }
        for (word, sums) in row_out.iter_mut().zip(sums.iter()) {
            *word = u32::from_le_bytes(sums.map(|sum| weighted(sum, window.weight)));
        }
    }
}

/// Copies each small pixel to the pixels it covers: enlarging, every window holds one pixel of full weight.
#[inline(always)]
fn enlarge(small: &[u32], columns: &Axis, rows: &Axis, line: &mut Vec<u8>, out: &mut [u8]) {
    let row_len = columns.side_out * 3;
    // One byte more, because each word also writes the first byte of the next pixel.
    line.resize(row_len + 1, 0);
    let mut drawn = None;
    for (row_out, window) in out.chunks_exact_mut(row_len).zip(&rows.windows) {
        if drawn != Some(window.first) {
            let row_in = &small[window.first * columns.side_in..][..columns.side_in];
            for (x, column) in columns.windows.iter().enumerate() {
                line[3 * x..3 * x + 4].copy_from_slice(&row_in[column.first].to_le_bytes());
            }
            drawn = Some(window.first);
        }
        row_out.copy_from_slice(&line[..row_len]);
    }
}

/// Rounds to the nearest level, as Pillow's fixed-point accumulator does.
#[inline(always)]
fn weighted(sum: u32, weight: u32) -> u8 {
    ((sum * weight + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).min(255) as u8
}
