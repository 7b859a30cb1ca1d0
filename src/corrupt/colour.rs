//! Brightness, contrast and gamma: one look-up table per image.

use super::grey::luma;
use super::math::pow;

/// Scales every value by `factor`, truncating, clipped to 0..=255.
///
/// Reference: Pillow, `ImageEnhance.Brightness`.
pub(super) fn brightness(factor: f64, image: &[u8], out: &mut [u8]) {
    apply_table(&blend_table(0, factor), image, out);
}

/// Moves every value from the mean luma by `factor`, truncating, clipped to 0..=255.
///
/// Order: luma per pixel, mean over pixels rounded to a whole level, then the blend on all channels.
///
/// Reference: Pillow, `ImageEnhance.Contrast`.
pub(super) fn contrast(factor: f64, image: &[u8], out: &mut [u8]) {
    apply_table(&blend_table(mean_luma(image), factor), image, out);
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
    let sum: u64 = image.chunks_exact(3).map(|p| u64::from(luma(p[0], p[1], p[2]))).sum();
    (sum as f64 / (image.len() / 3) as f64 + 0.5) as u8
}

/// Entry `v` is `base + factor * (v - base)`.
///
/// In `f32`, because Pillow blends in C `float`: a wider type moves values across the truncation.
///
/// Reference: Pillow, `ImagingBlend`.
fn blend_table(base: u8, factor: f64) -> [u8; 256] {
    let (factor, base) = (factor as f32, f32::from(base));
    std::array::from_fn(|v| {
        // A float-to-integer cast truncates and saturates, which is Pillow's clip.
        (base + factor * (v as f32 - base)) as u8
    })
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
