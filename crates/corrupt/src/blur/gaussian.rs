//! Gaussian blur of a given kernel size.

use super::reflect_101;
use crate::math::exp;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Taps and rows, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Half of the symmetric kernel: centre first.
    taps: Vec<f32>,
    padded: Vec<f32>,
    /// The image after the pass along rows.
    smooth: Vec<f32>,
    row: Vec<f32>,
}

/// Blurs with an odd kernel of `kernel_size_px` taps, whose standard deviation is `0.15 size + 0.35` pixels.
///
/// Order: along rows, then along columns, in single precision; rounded half to even. Borders are mirrored
/// without repeating the edge; an image smaller than the kernel is mirrored again (the reference raises).
///
/// Differs from the reference by at most one level, where the sum is a near-tie: its order of summation is
/// not specified.
///
/// Reference: `GaussianBlur`, `torchvision.transforms.functional.gaussian_blur`.
pub(crate) fn gaussian(kernel_size_px: u8, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    half_taps(kernel_size_px, &mut buffers.taps);
    widest(
        #[inline(always)]
        || convolve(image, buffers, out),
    );
}

#[inline(always)]
fn convolve(image: &Rgb8, Buffers { taps, padded, smooth, row }: &mut Buffers, out: &mut Rgb8) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    smooth.resize(width * height * 3, 0.0);
    let rows = image.as_bytes().chunks_exact(width * 3).zip(smooth.chunks_exact_mut(width * 3));
    for (values, smooth_row) in rows {
        pad_row(values, taps.len() - 1, padded);
        convolve_row(padded, taps, smooth_row);
    }
    row.resize(width * 3, 0.0);
    let line = |y: isize| &smooth[reflect_101(y, height) * width * 3..][..width * 3];
    for (y, out_row) in out.as_bytes_mut().chunks_exact_mut(width * 3).enumerate() {
        let y = y as isize;
        row.iter_mut().zip(line(y)).for_each(|(sum, v)| *sum = taps[0] * v);
        for (d, &tap) in (1..).zip(&taps[1..]) {
            for ((sum, above), below) in row.iter_mut().zip(line(y - d)).zip(line(y + d)) {
                *sum += tap * (above + below);
            }
        }
        for (to, &sum) in out_row.iter_mut().zip(row.iter()) {
            *to = round_half_even(sum);
        }
    }
}

/// Centre tap and the taps to one side of it; the whole kernel sums to 1.
///
/// Reference: torchvision `_get_gaussian_kernel1d`, in single precision.
fn half_taps(kernel_size_px: u8, taps: &mut Vec<f32>) {
    let sigma_px = f64::from(kernel_size_px) * 0.15 + 0.35;
    taps.clear();
    taps.extend((0..=kernel_size_px / 2).map(|x| {
        let z = f32::from(x) / sigma_px as f32;
        exp(f64::from(-0.5 * (z * z))) as f32
    }));
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
    taps.iter_mut().for_each(|tap| *tap /= sum);
}

#[inline(always)]
fn pad_row(values: &[u8], n_beyond: usize, padded: &mut Vec<f32>) {
    let width = values.len() / 3;
    let beyond = n_beyond as isize;
    let pixel = |x: isize| values[reflect_101(x, width) * 3..][..3].iter().map(|&v| f32::from(v));
    padded.clear();
    padded.extend((-beyond..0).flat_map(pixel));
    padded.extend(values.iter().map(|&v| f32::from(v)));
    padded.extend((width as isize..width as isize + beyond).flat_map(pixel));
}

#[inline(always)]
fn convolve_row(padded: &[f32], taps: &[f32], out: &mut [f32]) {
    let centre = (taps.len() - 1) * 3;
    out.iter_mut().zip(&padded[centre..]).for_each(|(sum, v)| *sum = taps[0] * v);
    for (d, &tap) in (1..).zip(&taps[1..]) {
        let (left, right) = (&padded[centre - 3 * d..], &padded[centre + 3 * d..]);
        for ((sum, l), r) in out.iter_mut().zip(left).zip(right) {
            *sum += tap * (l + r);
        }
    }
}

/// Rounds a number in `[0, 255]`; ties go to the even level.
#[inline(always)]
fn round_half_even(x: f32) -> u8 {
    // Adding 2^23 leaves no room for fraction bits, so the addition itself rounds, and halves to even.
    const SHIFT: f32 = 8_388_608.0;
    (x + SHIFT).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_to_even() {
        let rounded = [0.5, 1.5, 2.5, 2.500_001, 254.5, 255.0, 0.0].map(round_half_even);
        assert_eq!(rounded, [0, 2, 2, 3, 254, 255, 0]);
    }

    // python3 -c "from torchvision.transforms._functional_tensor import _get_gaussian_kernel1d as g; print(g(3, .8))"
    #[test]
    fn taps_of_size_three_are_torchvisions() {
        let mut taps = Vec::new();
        half_taps(3, &mut taps);
        assert!((taps[0] - 0.522_011).abs() < 1e-6 && (taps[1] - 0.238_994).abs() < 1e-6, "{taps:?}");
    }
}
