//! Brightness, contrast and gamma.

use super::grey::luma;
use super::level;
use super::math::pow;
use t3b_image::simd::widest;

/// Pixels whose luma fits one 32-bit sum.
const LUMA_RUN: usize = 1 << 20;

/// Scales every value by `factor`, truncating, clipped to 0..=255.
///
/// Reference: Pillow, `ImageEnhance.Brightness`.
pub(super) fn brightness(factor: f64, image: &[u8], out: &mut [u8]) {
    blend(0, factor, image, out);
}

/// Moves every value from the mean luma by `factor`, truncating, clipped to 0..=255.
///
/// Order: luma per pixel, mean over pixels rounded to a whole level, then the blend on all channels.
///
/// Reference: Pillow, `ImageEnhance.Contrast`.
pub(super) fn contrast(factor: f64, image: &[u8], out: &mut [u8]) {
    blend(mean_luma(image), factor, image, out);
}

/// Moves every value from the mean of its own channel by `factor`.
///
/// Formula: `trunc(255 * clip((f - mean) * factor + mean, 0, 1))`. The mean is summed pixel by pixel, as the
/// reference sums it: a flat image is a tie that its last bit decides.
///
/// Reference: `contrast` of ImageNet-C.
pub(super) fn contrast_per_channel(factor: f64, image: &[u8], out: &mut [u8]) {
    let mut sums = [0.0; 3];
    for pixel in image.chunks_exact(3) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &level)| *sum += f64::from(level) / 255.0);
    }
    let n_pixels = (image.len() / 3) as f64;
    let tables = sums.map(|sum| {
        let mean = sum / n_pixels;
        std::array::from_fn::<u8, 256, _>(|v| (((v as f64 / 255.0 - mean) * factor + mean) * 255.0) as u8)
    });
    for (to, from) in out.chunks_exact_mut(3).zip(image.chunks_exact(3)) {
        for ((to, &from), table) in to.iter_mut().zip(from).zip(&tables) {
            *to = table[usize::from(from)];
        }
    }
}

/// Raises every fraction of full scale to the power `gamma`: above 1 darkens, below 1 brightens.
///
/// Formula: `trunc(255.999 * f^gamma)`.
///
/// Reference: torchvision, `adjust_gamma` on Pillow images.
pub(super) fn gamma(gamma: f64, image: &[u8], out: &mut [u8]) {
    let level = |v: usize| if v == 0 { 0 } else { (255.999 * pow(v as f64 / 255.0, gamma)) as u8 };
    apply_table(&std::array::from_fn(level), image, out);
}

fn mean_luma(image: &[u8]) -> u8 {
    let sum: u64 = widest(
        #[inline(always)]
        || image.chunks(3 * LUMA_RUN).map(|run| u64::from(sum_luma(run))).sum(),
    );
    (sum as f64 / (image.len() / 3) as f64 + 0.5) as u8
}

/// Sum over at most [`LUMA_RUN`] pixels.
#[inline(always)]
fn sum_luma(pixels: &[u8]) -> u32 {
    pixels.as_chunks::<3>().0.iter().map(|&[r, g, b]| u32::from(luma(r, g, b))).sum()
}

/// Moves every value away from `base`: `base + factor * (v - base)`.
///
/// In `f32`, because Pillow blends in C `float`: a wider type moves values across the truncation. Computed for
/// every value rather than looked up: look-ups go one by one.
///
/// Reference: Pillow, `ImagingBlend`.
fn blend(base: u8, factor: f64, image: &[u8], out: &mut [u8]) {
    let (factor, base) = (factor as f32, f32::from(base));
    widest(
        #[inline(always)]
        || {
            for (to, &from) in out.iter_mut().zip(image) {
                *to = level::of_f32(base + factor * (f32::from(from) - base));
            }
        },
    );
}

fn apply_table(table: &[u8; 256], image: &[u8], out: &mut [u8]) {
    for (to, &from) in out.iter_mut().zip(image) {
        *to = table[usize::from(from)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_one_changes_nothing() {
        let values: Vec<u8> = (0..=254).collect();
        let mut out = vec![0; values.len()];
        brightness(1.0, &values, &mut out);
        assert_eq!(out, values);
        contrast(1.0, &values, &mut out);
        assert_eq!(out, values);
    }
}
