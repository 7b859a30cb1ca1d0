//! Motion blur: a one-sided Gaussian along a line.

use crate::corrupt::math::{exp, sin_cos};
use crate::pixels::Rgb8;

/// Values whose sums are kept in registers together.
const CHUNK: usize = 16;

/// Taps and rows, kept between calls.
#[derive(Debug, Default)]
pub(in crate::corrupt) struct Buffers {
    taps: Vec<Tap>,
    padded: Vec<u8>,
    /// Where each tap reads for the current output row.
    starts: Vec<usize>,
}

/// One sample of the line.
#[derive(Debug, Clone, Copy)]
struct Tap {
    weight: f64,
    dx: isize,
    dy: isize,
}

/// Blurs along a line that leaves each pixel at `angle_deg`, over `2 ceil(radius) + 1` samples.
///
/// Order: samples of the line at whole pixels, nearest first, edges clamped; summed in double precision at 16
/// bits per channel, rounded to 16 bits, then floored to 8 bits.
///
/// Reference: `MotionBlur`; ImageMagick 6 Q16 (no HDRI) `MotionBlurImage` and its PNG writer.
pub(in crate::corrupt) fn motion(
    radius_px: f64,
    sigma_px: f64,
    angle_deg: f64,
    image: &Rgb8,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let Buffers { taps, padded, starts } = buffers;
    line_taps(radius_px, sigma_px, angle_deg, taps);
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let beyond = taps.len();
    let stride = (width + 2 * beyond) * 3 + CHUNK;
    pad_columns(image.as_bytes(), width, beyond, stride, padded);

    for (y, out_row) in out.as_bytes_mut().chunks_exact_mut(width * 3).enumerate() {
        starts.clear();
        starts.extend(taps.iter().map(|tap| {
            let row = (y as isize + tap.dy).clamp(0, height as isize - 1) as usize;
            row * stride + (beyond as isize + tap.dx) as usize * 3
        }));
        for (i, chunk) in out_row.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0.0; CHUNK];
            for (tap, start) in taps.iter().zip(starts.iter()) {
                let values = &padded[start + i * CHUNK..][..CHUNK];
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += tap.weight * f64::from(i32::from(value) * 257);
                }
            }
            for (to, sum) in chunk.iter_mut().zip(sums) {
                *to = (((sum + 0.5) as i32).min(65535) / 257) as u8;
            }
        }
    }
}

/// Weights and whole-pixel offsets of the line.
///
/// Reference: ImageMagick `GetMotionBlurKernel`, `GetOptimalKernelWidth1D` and the offsets in
/// `MotionBlurImageChannel`.
fn line_taps(radius_px: f64, sigma_px: f64, angle_deg: f64, taps: &mut Vec<Tap>) {
    let n_taps = 2 * radius_px.ceil() as usize + 1;
    let (sin, cos) = sin_cos(std::f64::consts::PI * angle_deg / 180.0);
    let (px, py) = (n_taps as f64 * sin, n_taps as f64 * cos);
    let length = (px * px + py * py).sqrt();
    taps.clear();
    taps.extend((0..n_taps).map(|i| {
        let i = i as f64;
        let root_two_pi = (2.0 * std::f64::consts::PI).sqrt();
        Tap {
            weight: exp(-(i * i) / (2.0 * sigma_px * sigma_px)) / (root_two_pi * sigma_px),
            dx: (i * py / length - 0.5).ceil() as isize,
            dy: (i * px / length - 0.5).ceil() as isize,
        }
    }));
    let total = taps.iter().fold(0.0, |sum, tap| sum + tap.weight);
    taps.iter_mut().for_each(|tap| tap.weight /= total);
}

/// Repeats the first and last pixel of every row `beyond` times; `stride` bytes per row.
fn pad_columns(values: &[u8], width: usize, beyond: usize, stride: usize, padded: &mut Vec<u8>) {
    padded.resize(values.len() / (width * 3) * stride, 0);
    for (row, to) in values.chunks_exact(width * 3).zip(padded.chunks_exact_mut(stride)) {
        let (left, rest) = to.split_at_mut(beyond * 3);
        let (middle, right) = rest.split_at_mut(width * 3);
        left.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&row[..3]));
        middle.copy_from_slice(row);
        right.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&row[width * 3 - 3..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_starts_at_the_pixel_and_follows_the_angle() {
        let mut taps = Vec::new();
        line_taps(3.0, 3.0, 30.0, &mut taps);
        let offsets: Vec<(isize, isize)> = taps.iter().map(|t| (t.dx, t.dy)).collect();
        assert_eq!(offsets, [(0, 0), (1, 0), (2, 1), (3, 1), (3, 2), (4, 2), (5, 3)]);
        assert!((taps.iter().map(|t| t.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
