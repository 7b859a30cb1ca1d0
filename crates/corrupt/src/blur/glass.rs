//! Frosted glass: smoothing, local disorder, smoothing.

use super::smooth::{Buffers, smooth_fractions, to_levels};
use crate::streams::Streams;
use t3b_image::Rgb8;

/// Strength of the disorder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glass {
    /// Standard deviation of both smoothings.
    pub(crate) sigma_px: f64,
    /// Largest distance to the pixel whose colour is taken.
    pub(crate) max_delta_px: u8,
    pub(crate) n_passes: u8,
}

/// Smooths, lets pixels take a neighbour's colour, and smooths again.
///
/// Order: smooth, truncate to levels; per pass, from the last pixel to the first and at least the largest
/// distance from the border, draw a column and a row offset in `-max..max` and copy that pixel here; smooth,
/// clip, times 255, truncate.
///
/// The reference writes a swap of two pixels, but its two sides share memory, so the neighbour keeps its
/// colour.
///
/// Reference: `glass_blur` of ImageNet-C.
pub(crate) fn glass(
    Glass { sigma_px, max_delta_px, n_passes }: Glass,
    image: &Rgb8,
    streams: &mut Streams,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    smooth_fractions(sigma_px, image.as_bytes(), width, buffers);
    let levels = out.as_bytes_mut();
    to_levels(buffers, levels);
    let max = usize::from(max_delta_px);
    for _ in 0..n_passes {
        for y in (max + 1..=height.saturating_sub(max)).rev() {
            for x in (max + 1..=width.saturating_sub(max)).rev() {
                let [dx, dy] = [(); 2].map(|()| streams.offset(2 * u32::from(max_delta_px)) as usize);
                let from = ((y + dy - max) * width + x + dx - max) * 3;
                levels.copy_within(from..from + 3, (y * width + x) * 3);
            }
        }
    }
    smooth_fractions(sigma_px, levels, width, buffers);
    to_levels(buffers, levels);
}
