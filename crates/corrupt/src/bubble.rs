//! Air bubbles: translucent white discs with a brighter rim.

use super::streams::Streams;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Width of the rim.
const RIM_PX: i64 = 2;
const RIM_ALPHA: u8 = 130;
const DISC_ALPHA: u8 = 100;
const MIN_COUNT: i64 = 7;
const MIN_RADIUS_PX: i64 = 3;

/// Layer and disc outline, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// One value per channel, so that the blend is the same for every byte.
    alpha: Vec<u8>,
    half_widths: Vec<i64>,
}

/// Lays 7 to `max_count` bubbles of radius 3 to `max_radius_px` over the image.
///
/// Order of draws: the number; per bubble radius, column and row of the centre. Later bubbles replace earlier
/// ones in the layer; then the layer is blended once.
///
/// On small images the radius is at most half the shorter side (the reference raises). On oblong images the
/// column ranges over the width and the row over the height (the reference swaps them).
///
/// Reference: `Bubble`; Pillow `ImageDraw.ellipse` and `Image.paste` with a mask.
pub(super) fn bubble(
    max_radius_px: u8,
    max_count: u8,
    streams: &mut Streams,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let (width, height) = (i64::from(out.width_px()), i64::from(out.height_px()));
    let Buffers { alpha, half_widths } = buffers;
    alpha.clear();
    alpha.resize((width * height * 3) as usize, 0);
    let max_radius = i64::from(max_radius_px).min(width.min(height) / 2);
    let min_radius = MIN_RADIUS_PX.min(max_radius);
    for _ in 0..streams.randint(MIN_COUNT, i64::from(max_count)) {
        let radius = streams.randint(min_radius, max_radius);
        let x = streams.randint(radius, width - radius);
        let y = streams.randint(radius, height - radius);
        for (radius, value) in [(radius + RIM_PX, RIM_ALPHA), (radius, DISC_ALPHA)] {
            disc_half_widths(radius, half_widths);
            fill_disc(alpha, width as usize, (x, y), half_widths, value);
        }
    }
    widest(
        #[inline(always)]
        || {
            for (value, &alpha) in out.as_bytes_mut().iter_mut().zip(alpha.iter()) {
                *value = blend_white(*value, alpha);
            }
        },
    );
}

/// Pillow's mask blend of `value` with 255: a rounded division by 255 in two shifts. Alpha 0 changes nothing.
#[inline(always)]
fn blend_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    let t = value * (255 - alpha) + 255 * alpha + 128;
    (((t >> 8) + t) >> 8) as u8
}

/// Half-widths of the rows of a disc, middle row first.
///
/// Walks a quarter of the rim in steps of half a pixel, always to the neighbour nearest the circle.
///
/// Reference: Pillow `quarter_next` for an ellipse in a box of side `2 * radius`.
fn disc_half_widths(radius: i64, half_widths: &mut Vec<i64>) {
    let target = 4 * radius * radius;
    let miss = |(x, y): (i64, i64)| (x * x + y * y - target).abs();
    half_widths.clear();
    let (mut x, mut y) = (2 * radius, 0);
    loop {
        if half_widths.len() as i64 == y / 2 {
            half_widths.push(x / 2);
        }
        if (x, y) == (0, 2 * radius) {
            return;
        }
        let mut next = (x, y + 2);
        if x > 1 {
            for candidate in [(x - 2, y + 2), (x - 2, y)] {
                if miss(candidate) < miss(next) {
                    next = candidate;
                }
            }
        }
        (x, y) = next;
    }
}

fn fill_disc(layer: &mut [u8], width: usize, centre: (i64, i64), half_widths: &[i64], value: u8) {
    for (dy, &half_width) in (0..).zip(half_widths) {
        let start = (centre.0 - half_width).clamp(0, width as i64) as usize * 3;
        let end = (centre.0 + half_width + 1).clamp(0, width as i64) as usize * 3;
        for y in [centre.1 - dy, centre.1 + dy] {
            let row = usize::try_from(y).ok().and_then(|y| layer.chunks_exact_mut(width * 3).nth(y));
            if let Some(row) = row {
                row[start..end].fill(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rows of discs drawn by Pillow 10.3.
    #[test]
    fn discs_are_pillows() {
        let mut rows = Vec::new();
        for (radius, expected) in [
            (3, &[3, 3, 2, 1][..]),
            (6, &[6, 6, 6, 5, 4, 3, 2]),
            (9, &[9, 9, 9, 8, 8, 7, 7, 6, 4, 2]),
            (15, &[15, 15, 15, 15, 14, 14, 14, 13, 13, 12, 11, 10, 9, 8, 6, 3]),
        ] {
            disc_half_widths(radius, &mut rows);
            assert_eq!(rows, expected);
        }
        disc_half_widths(0, &mut rows);
        assert_eq!(rows, [0]);
    }
}
