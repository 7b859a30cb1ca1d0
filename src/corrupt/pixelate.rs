//! Box down-sampling and box up-sampling.

use crate::pixels::Rgb8;

/// Fraction bits of a quantised weight: 32 less 8 bits of value less 2 of head room.
const WEIGHT_BITS: u32 = 22;

/// Intermediate images and weights, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    narrow: Vec<u8>,
    small: Vec<u8>,
    wide: Vec<u8>,
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
    let Buffers { narrow, small, wide, shrink_x, shrink_y, grow_x, grow_y } = buffers;
    shrink_x.prepare(width, small_width);
    shrink_y.prepare(height, small_height);
    grow_x.prepare(small_width, width);
    grow_y.prepare(small_height, height);

    narrow.resize(small_width * height * 3, 0);
    small.resize(small_width * small_height * 3, 0);
    wide.resize(width * small_height * 3, 0);
    resample_columns(image.as_bytes(), shrink_x, narrow);
    resample_rows(narrow, shrink_y, small_width * 3, small);
    resample_columns(small, grow_x, wide);
    resample_rows(wide, grow_y, width * 3, out.as_bytes_mut());
}

/// The weights of one resampling axis.
#[derive(Debug, Default)]
struct Axis {
    side_in: usize,
    side_out: usize,
    windows: Vec<Window>,
    weights: Vec<u32>,
}

/// Which input positions make one output position.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: usize,
    n: usize,
    first_weight: usize,
}

impl Axis {
    /// Computes the weights unless they are already those of this pair of sides.
    ///
    /// Reference: Pillow, `precompute_coeffs` and `normalize_coeffs_8bpc` with the box filter.
    fn prepare(&mut self, side_in: usize, side_out: usize) {
        if (self.side_in, self.side_out) == (side_in, side_out) {
            return;
        }
        (self.side_in, self.side_out) = (side_in, side_out);
        self.windows.clear();
        self.weights.clear();
        let scale = side_in as f64 / side_out as f64;
        let filter_scale = scale.max(1.0);
        let support = 0.5 * filter_scale;
        let inverse = 1.0 / filter_scale;
        for i in 0..side_out {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(side_in);
            let inside = |x: usize| {
                let distance = (x as f64 - centre + 0.5) * inverse;
                distance > -0.5 && distance <= 0.5
            };
            let total = (first..end).filter(|&x| inside(x)).count() as f64;
            let first_weight = self.weights.len();
            self.weights.extend((first..end).map(|x| {
                let weight = if inside(x) { 1.0 / total } else { 0.0 };
                (0.5 + weight * f64::from(1u32 << WEIGHT_BITS)) as u32
            }));
            self.windows.push(Window { first, n: end - first, first_weight });
        }
    }

    fn is_identity(&self) -> bool {
        self.side_in == self.side_out
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.windows.iter().map(|w| (w.first, &self.weights[w.first_weight..w.first_weight + w.n]))
    }
}

fn resample_columns(image: &[u8], axis: &Axis, out: &mut [u8]) {
    if axis.is_identity() {
        out.copy_from_slice(image);
        return;
    }
    let rows_in = image.chunks_exact(axis.side_in * 3);
    for (row_out, row_in) in out.chunks_exact_mut(axis.side_out * 3).zip(rows_in) {
        for (pixel, (first, weights)) in row_out.chunks_exact_mut(3).zip(axis.iter()) {
            let mut sums = [1 << (WEIGHT_BITS - 1); 3];
            for (values, &weight) in row_in[first * 3..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += u32::from(value) * weight;
                }
            }
            for (to, sum) in pixel.iter_mut().zip(sums) {
                *to = (sum >> WEIGHT_BITS).min(255) as u8;
            }
        }
    }
}

fn resample_rows(image: &[u8], axis: &Axis, row_len: usize, out: &mut [u8]) {
    if axis.is_identity() {
        out.copy_from_slice(image);
        return;
    }
    for (row_out, (first, weights)) in out.chunks_exact_mut(row_len).zip(axis.iter()) {
        for (x, to) in row_out.iter_mut().enumerate() {
            let mut sum = 1u32 << (WEIGHT_BITS - 1);
            for (k, &weight) in weights.iter().enumerate() {
                sum += u32::from(image[(first + k) * row_len + x]) * weight;
            }
            *to = (sum >> WEIGHT_BITS).min(255) as u8;
        }
    }
}
