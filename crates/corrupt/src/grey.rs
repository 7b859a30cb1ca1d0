//! Luma and the grey rule.

use t3b_image::simd::widest;

/// What is done for grey data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grey {
    /// Not a grey data set.
    No,
    /// Corrupt as RGB, then reduce to luma, as the reference does.
    Luma,
    /// Draw noise once per pixel.
    Native,
}

/// Luma of one pixel, 0 to 255: weights .299, .587, .114 in 16-bit fixed point, rounded.
///
/// Equal channels come back unchanged, because the weights sum to 65536.
///
/// Reference: Pillow, `Image.convert("L")`.
#[inline(always)]
pub(super) fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 32768) >> 16) as u8
}

/// Replaces every pixel of interleaved RGB `values` by its luma in three channels.
pub(super) fn replace_by_luma(values: &mut [u8]) {
    widest(
        #[inline(always)]
        || {
            for pixel in values.as_chunks_mut::<3>().0 {
                let [r, g, b] = *pixel;
                *pixel = [luma(r, g, b); 3];
            }
        },
    );
}

/// Copies channel 0 of interleaved RGB `values` into `plane`.
pub(super) fn first_channel(values: &[u8], plane: &mut Vec<u8>) {
    plane.clear();
    plane.extend(values.iter().step_by(3));
}

/// Writes `plane` into all three channels of interleaved RGB `values`.
pub(super) fn replicate(plane: &[u8], values: &mut [u8]) {
    for (pixel, &value) in values.chunks_exact_mut(3).zip(plane) {
        pixel.fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::luma;

    #[test]
    fn luma_keeps_every_grey() {
        assert!((0..=255).all(|v| luma(v, v, v) == v));
    }
}
