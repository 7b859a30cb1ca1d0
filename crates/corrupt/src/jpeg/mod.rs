//! JPEG at a quality, as Pillow and libjpeg-turbo give it: baseline, 4:2:0, slow integer transform.
//!
//! The entropy coder is lossless, so nothing is encoded: only the lossy core runs.

mod colour;
mod dct;
mod plane;
mod quantise;

use self::plane::Plane;
use self::quantise::Table;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Planes and rows, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    luma: Plane,
    chroma: [Plane; 2],
    chroma_rows: [[Vec<i16>; 2]; 2],
    sums: Vec<i16>,
    words: Vec<u32>,
    rgb_planes: [Vec<u8>; 3],
}

/// The sides of one image in samples and blocks.
#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    height: usize,
    /// Of a whole number of block pairs.
    padded_width: usize,
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
    let (luma_table, chroma_table) = (Table::luma(quality), Table::chroma(quality));
    widest(
        #[inline(always)]
        || {
            encode(shape, image.as_bytes(), buffers);
            buffers.luma.round_trip(&luma_table);
            for plane in &mut buffers.chroma {
                plane.round_trip(&chroma_table);
            }
            decode(shape, buffers, out.as_bytes_mut());
        },
    );
}

impl Shape {
    fn of(image: &Rgb8) -> Self {
        let (width, height) = (image.width_px() as usize, image.height_px() as usize);
        Self {
            width,
            height,
            padded_width: width.next_multiple_of(16),
            half_width: width.div_ceil(2),
            half_height: height.div_ceil(2),
        }
    }
}

/// Fills the three planes.
///
/// Padding follows libjpeg: columns repeat the last pixel at full resolution; rows do so only up to an even
/// count, and from there the last halved row repeats.
#[inline(always)]
fn encode(shape: Shape, rgb: &[u8], buffers: &mut Buffers) {
    let Shape { width, height, padded_width, half_height, .. } = shape;
    let Buffers { luma, chroma, chroma_rows, words, .. } = buffers;
    luma.reshape(padded_width, height);
    chroma.iter_mut().for_each(|plane| plane.reshape(padded_width / 2, half_height));
    chroma_rows.iter_mut().flatten().for_each(|row| row.resize(padded_width, 0));

    for half_y in 0..half_height {
        for (parity, [cb, cr]) in chroma_rows.iter_mut().enumerate() {
            let y = (2 * half_y + parity).min(height - 1);
            let luma_row = &mut luma.row_mut(y)[..padded_width];
            colour::rgb_to_ycc(&rgb[y * width * 3..][..width * 3], words, luma_row, cb, cr);
            for row in [luma_row, cb, cr] {
                let last = row[width - 1];
                row[width..].fill(last);
            }
        }
        let [upper, lower] = &*chroma_rows;
        for (plane, (upper, lower)) in chroma.iter_mut().zip(upper.iter().zip(lower)) {
            colour::halve(upper, lower, plane.row_mut(half_y));
        }
    }
    luma.repeat_row(height - 1);
    chroma.iter_mut().for_each(|plane| plane.repeat_row(half_height - 1));
}

#[inline(always)]
fn decode(shape: Shape, buffers: &mut Buffers, rgb: &mut [u8]) {
    let Shape { width, half_width, half_height, .. } = shape;
    let Buffers { luma, chroma, chroma_rows: [full_rows, _], sums, rgb_planes, .. } = buffers;
    for (y, rgb_row) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let near = y / 2;
        let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(half_height - 1) };
        for (plane, full_row) in chroma.iter().zip(&mut *full_rows) {
            let [near, far] = [near, far].map(|y| &plane.row(y)[..half_width]);
            colour::double(near, far, sums, &mut full_row[..width]);
        }
        let [cb, cr] = &*full_rows;
        colour::ycc_to_rgb(&luma.row(y)[..width], cb, cr, rgb_planes, rgb_row);
    }
}
