//! JPEG at a quality, as Pillow and libjpeg-turbo give it: baseline, 4:2:0, slow integer transform.
//!
//! The entropy coder is lossless, so nothing is encoded: only the lossy core runs.

mod colour;
mod dct;
mod plane;
mod quantise;

use self::plane::Plane;
use self::quantise::Table;
use crate::pixels::Rgb8;

/// Planes and rows, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    luma: Plane,
    chroma: [Plane; 2],
    luma_row: Vec<i16>,
    chroma_rows: [[Vec<i16>; 2]; 2],
    half_row: Vec<i16>,
    near_row: Vec<i16>,
    far_row: Vec<i16>,
    sums: Vec<i16>,
    words: Vec<u32>,
    rgb_planes: [Vec<u8>; 3],
}

/// The sides of one image in samples and blocks.
#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    height: usize,
    luma_width: usize,
    chroma_width: usize,
    half_width: usize,
    half_height: usize,
}

/// Compresses and decompresses at `quality`, 1 to 100.
///
/// Order: RGB to YCbCr; chroma halved both ways; 8x8 transform, quantisation and back per plane; chroma doubled
/// with triangle weights; YCbCr to RGB.
///
/// Reference: `JPEGCompression`; Pillow `Image.save(.., "JPEG", quality)`.
pub(super) fn jpeg(quality: u8, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    let shape = Shape::of(image);
    encode(shape, image.as_bytes(), buffers);
    buffers.luma.round_trip(&Table::luma(quality));
    let chroma_table = Table::chroma(quality);
    buffers.chroma.iter_mut().for_each(|plane| plane.round_trip(&chroma_table));
    decode(shape, buffers, out.as_bytes_mut());
}

impl Shape {
    fn of(image: &Rgb8) -> Self {
        let (width, height) = (image.width_px() as usize, image.height_px() as usize);
        Self {
            width,
            height,
            luma_width: width.next_multiple_of(8),
            chroma_width: width.next_multiple_of(16) / 2,
            half_width: width.div_ceil(2),
            half_height: height.div_ceil(2),
        }
    }
}

/// Fills the three planes.
///
/// Padding follows libjpeg: columns repeat the last pixel at full resolution; rows do so only up to an even
/// count, and from there the last halved row repeats.
fn encode(shape: Shape, rgb: &[u8], buffers: &mut Buffers) {
    let Shape { width, height, luma_width, chroma_width, half_height, .. } = shape;
    let Buffers { luma, chroma, luma_row, chroma_rows, half_row, words, .. } = buffers;
    luma.reshape(luma_width / 8, height.div_ceil(8));
    chroma.iter_mut().for_each(|plane| plane.reshape(chroma_width / 8, half_height.div_ceil(8)));
    luma_row.resize(luma_width, 0);
    chroma_rows.iter_mut().flatten().for_each(|row| row.resize(2 * chroma_width, 0));
    half_row.resize(chroma_width, 0);

    for half_y in 0..half_height {
        for (parity, [cb, cr]) in chroma_rows.iter_mut().enumerate() {
            let y = (2 * half_y + parity).min(height - 1);
            colour::rgb_to_ycc(&rgb[y * width * 3..][..width * 3], words, luma_row, cb, cr);
            for row in [&mut *luma_row, cb, cr] {
                let last = row[width - 1];
                row[width..].fill(last);
            }
            luma.write_row(y, luma_row);
        }
        let [upper, lower] = &*chroma_rows;
        for (plane, (upper, lower)) in chroma.iter_mut().zip(upper.iter().zip(lower)) {
            colour::halve(upper, lower, half_row);
            plane.write_row(half_y, half_row);
            if half_y + 1 == half_height {
                (half_height..half_height.next_multiple_of(8)).for_each(|y| plane.write_row(y, half_row));
            }
        }
    }
    // The last row written is the last of the image.
    (height..height.next_multiple_of(8)).for_each(|y| luma.write_row(y, luma_row));
}

fn decode(shape: Shape, buffers: &mut Buffers, rgb: &mut [u8]) {
    let Shape { width, luma_width, chroma_width, half_width, half_height, .. } = shape;
    let Buffers { luma, chroma, luma_row, chroma_rows, near_row, far_row, sums, rgb_planes, .. } = buffers;
    near_row.resize(chroma_width, 0);
    far_row.resize(chroma_width, 0);
    luma_row.resize(luma_width, 0);
    let [[cb, cr], _] = chroma_rows;
    for (y, rgb_row) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let near = y / 2;
        let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
        for (plane, full_row) in chroma.iter().zip([&mut *cb, &mut *cr]) {
            plane.read_row(near, near_row);
            plane.read_row(far, far_row);
            colour::double(&near_row[..half_width], &far_row[..half_width], sums, &mut full_row[..width]);
        }
        luma.read_row(y, luma_row);
        colour::ycc_to_rgb(&luma_row[..width], cb, cr, rgb_planes, rgb_row);
    }
}
