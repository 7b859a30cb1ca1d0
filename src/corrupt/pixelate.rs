//! Box down-sampling and box up-sampling.

use crate::pixels::Rgb8;

/// Fraction bits of a quantised weight: 32 less 8 bits of value less 2 of head room.
const WEIGHT_BITS: u32 = 22;

/// Intermediate images and weights, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    narrow: Vec<u8>,
    small: Vec<u8>,
    sums: Vec<u32>,
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
    let Buffers { narrow, small, sums, shrink_x, shrink_y, grow_x, grow_y } = buffers;
    shrink_x.prepare(width, small_width);
    shrink_y.prepare(height, small_height);
    grow_x.prepare(small_width, width);
    grow_y.prepare(small_height, height);

    narrow.resize(small_width * height * 3, 0);
    small.resize(small_width * small_height * 3, 0);
    average_columns(image.as_bytes(), shrink_x, narrow);
    average_rows(narrow, shrink_y, small_width * 3, sums, small);
    enlarge(small, grow_x, grow_y, out.as_bytes_mut());
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

fn average_columns(image: &[u8], axis: &Axis, out: &mut [u8]) {
    let rows_in = image.chunks_exact(axis.side_in * 3);
    for (row_out, row_in) in out.chunks_exact_mut(axis.side_out * 3).zip(rows_in) {
        for (pixel, window) in row_out.chunks_exact_mut(3).zip(&axis.windows) {
            let values = &row_in[window.first * 3..][..window.n * 3];
            if window.n == 1 {
                pixel.copy_from_slice(values);
                continue;
            }
            let mut sums = [0u32; 3];
            for values in values.chunks_exact(3) {
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += u32::from(value);
                }
            }
            for (to, sum) in pixel.iter_mut().zip(sums) {
                *to = weighted(sum, window.weight);
            }
        }
    }
}

fn average_rows(image: &[u8], axis: &Axis, row_len: usize, sums: &mut Vec<u32>, out: &mut [u8]) {
    for (row_out, window) in out.chunks_exact_mut(row_len).zip(&axis.windows) {
        let rows = &image[window.first * row_len..][..window.n * row_len];
        if window.n == 1 {
            row_out.copy_from_slice(rows);
            continue;
        }
        sums.clear();
        sums.resize(row_len, 0);
        for row in rows.chunks_exact(row_len) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += u32::from(value);
            }
        }
        for (to, &sum) in row_out.iter_mut().zip(sums.iter()) {
            *to = weighted(sum, window.weight);
        }
    }
}

/// Copies each small pixel to the pixels it covers: enlarging, every window holds one pixel of full weight.
fn enlarge(small: &[u8], columns: &Axis, rows: &Axis, out: &mut [u8]) {
    let (row_len_in, row_len) = (columns.side_in * 3, columns.side_out * 3);
    let mut drawn: Option<(usize, usize)> = None;
    for (y, window) in rows.windows.iter().enumerate() {
        let to = y * row_len;
        match drawn {
            Some((source, from)) if source == window.first => out.copy_within(from..from + row_len, to),
            _ => {
                let row_in = &small[window.first * row_len_in..][..row_len_in];
                for (pixel, column) in out[to..to + row_len].chunks_exact_mut(3).zip(&columns.windows) {
                    pixel.copy_from_slice(&row_in[column.first * 3..][..3]);
                }
            }
        }
        drawn = Some((window.first, to));
    }
}

/// Rounds to the nearest level, as Pillow's fixed-point accumulator does.
fn weighted(sum: u32, weight: u32) -> u8 {
    ((sum * weight + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).min(255) as u8
}
