//! Stain deposits: black blots.

use super::assets::StainMask;
use super::streams::Streams;
use t3b_image::Rgb8;

/// Distance of a stain from the border, in pixels, where the image has room for it.
const MARGIN_PX: i64 = 10;

/// Blackens the shape of one to `max_count` stains.
///
/// Order of draws: the number of stains (none drawn for a maximum of 1); per stain its mask, column and row.
///
/// On an image without room for the margin the stain is placed anywhere it fits; larger than the image, it
/// starts at the first row or column and is cut off (the reference raises).
///
/// Reference: `StainDeposit`.
pub(super) fn stain(max_count: u8, masks: &[StainMask], streams: &mut Streams, out: &mut Rgb8) {
    let (width, height) = (out.width_px() as usize, out.height_px() as usize);
    let count = if max_count > 1 { streams.randint(1, i64::from(max_count)) } else { i64::from(max_count) };
    for _ in 0..count {
        let mask = &masks[streams.randint(0, masks.len() as i64 - 1) as usize];
        let (low, high) = range(width, mask.side_px());
        let left = streams.randint(low, high) as usize;
        let (low, high) = range(height, mask.side_px());
        let top = streams.randint(low, high) as usize;
        let rows = out.as_bytes_mut().chunks_exact_mut(width * 3).skip(top);
        for (row, cells) in rows.zip(mask.cells().chunks_exact(mask.side_px())) {
            for (pixel, &stained) in row[left * 3..].chunks_exact_mut(3).zip(cells) {
                if stained {
                    pixel.fill(0);
                }
            }
        }
    }
}

/// First and last start of a stain along an axis.
fn range(side: usize, stain: usize) -> (i64, i64) {
    let room = (side as i64 - stain as i64).max(0);
    let margin = MARGIN_PX.min(room / 2);
    (margin, room - margin)
}
