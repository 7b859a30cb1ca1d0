//! Motion blur: a one-sided Gaussian along a line.

use crate::certain;
use crate::math::{exp, sin_cos};
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Values whose sums are kept in registers together.
const CHUNK: usize = 16;

/// Taps and rows, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    taps: Vec<Tap>,
    /// The same weights in single precision.
    light_weights: Vec<f32>,
    /// The image at 16 bits per channel, with its border pixels repeated.
    padded: Vec<f32>,
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
pub(crate) fn motion(
    radius_px: f64,
    sigma_px: f64,
    angle_deg: f64,
    image: &Rgb8,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    line_taps(radius_px, sigma_px, angle_deg, buffers);
    along_line(image.as_bytes(), 3, image.width_px() as usize, buffers, out.as_bytes_mut());
}

/// Blurs `values` of `channels` interleaved channels along the line last prepared by [`line_taps`].
pub(crate) fn along_line(
    values: &[u8],
    channels: usize,
    width: usize,
    buffers: &mut Buffers,
    out: &mut [u8],
) {
    widest(
        #[inline(always)]
        || sum_line(values, channels, width, buffers, out),
    );
}

#[inline(always)]
fn sum_line(
    values: &[u8],
    channels: usize,
    width: usize,
    Buffers { taps, light_weights, padded, starts }: &mut Buffers,
    out: &mut [u8],
) {
    light_weights.clear();
    light_weights.extend(taps.iter().map(|tap| tap.weight as f32));
    let row_len = width * channels;
    let height = values.len() / row_len;
    let beyond = taps.len();
    let stride = row_len + 2 * beyond * channels + CHUNK;
    padded.resize(height * stride, 0.0);
    for (row, to) in values.chunks_exact(row_len).zip(padded.chunks_exact_mut(stride)) {
        pad_row(row, channels, beyond, to);
    }
    for (y, out_row) in out.chunks_exact_mut(row_len).enumerate() {
        starts.clear();
        starts.extend(taps.iter().map(|tap| {
            let row = (y as isize + tap.dy).clamp(0, height as isize - 1) as usize;
            row * stride + (beyond as isize + tap.dx) as usize * channels
        }));
        for (i, chunk) in out_row.chunks_mut(CHUNK).enumerate() {
            let levels = line_levels(taps, light_weights, starts, &padded[i * CHUNK..]);
            chunk.copy_from_slice(&levels[..chunk.len()]);
        }
    }
}

/// Levels of the first values, each tap reading `values` from its own start.
///
/// With `n` weights, a sum of at most 65536 in single precision is off by less than `(n + 3) / 256`: each weight and
/// each product is off by one part in 2^24 of it, and so are each of the `n` partial sums and the division here. A
/// flat region lies half a unit above a step, which is more than that for up to 110 weights.
#[inline(always)]
fn line_levels(taps: &[Tap], light_weights: &[f32], starts: &[usize], values: &[f32]) -> [u8; CHUNK] {
    let mut sums = [0.5f32; CHUNK];
    for (&weight, &start) in light_weights.iter().zip(starts) {
        for (sum, &value) in sums.iter_mut().zip(&values[start..start + CHUNK]) {
            *sum += weight * value;
        }
    }
    // Rounding to 16 bits first changes no level: steps are whole numbers there, and half is added already.
    let margin = (taps.len() + 3) as f32 / 256.0 / 257.0;
    certain::levels(&sums.map(|sum| sum * (1.0 / 257.0)), margin, |i| {
        let sum = |sum: f64, (tap, start): (&Tap, &usize)| sum + tap.weight * f64::from(values[start + i]);
        let sum = taps.iter().zip(starts).fold(0.0, sum);
        (((sum + 0.5) as i32).min(65535) / 257) as u8
    })
}

/// Weights and whole-pixel offsets of the line.
///
/// Reference: ImageMagick `GetMotionBlurKernel`, `GetOptimalKernelWidth1D` and the offsets in
/// `MotionBlurImageChannel`.
pub(crate) fn line_taps(radius_px: f64, sigma_px: f64, angle_deg: f64, buffers: &mut Buffers) {
    let taps = &mut buffers.taps;
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

/// Widens a row to 16 bits and repeats its first and last pixel `beyond` times.
#[inline(always)]
fn pad_row(row: &[u8], channels: usize, beyond: usize, to: &mut [f32]) {
    let widen = |value: u8| f32::from(u16::from(value) * 257);
    let (left, rest) = to.split_at_mut(beyond * channels);
    let (middle, right) = rest.split_at_mut(row.len());
    middle.iter_mut().zip(row).for_each(|(to, &value)| *to = widen(value));
    let (first, last) = (&middle[..channels], &middle[middle.len() - channels..]);
    left.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(first));
    right.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_starts_at_the_pixel_and_follows_the_angle() {
        let mut buffers = Buffers::default();
        line_taps(3.0, 3.0, 30.0, &mut buffers);
        let taps = buffers.taps;
        let offsets: Vec<(isize, isize)> = taps.iter().map(|t| (t.dx, t.dy)).collect();
        assert_eq!(offsets, [(0, 0), (1, 0), (2, 1), (3, 1), (3, 2), (4, 2), (5, 3)]);
        assert!((taps.iter().map(|t| t.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
