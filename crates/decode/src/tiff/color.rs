//! Samples of 8 bits to RGB, and the page the right way up.

use super::layout::{Layout, Photometric};
use t3b_image::Rgb8;

/// Makes RGB of `[height, width, n_samples]` samples; extra samples are dropped.
pub(super) fn rgb(layout: &Layout<'_>, samples: &[u8]) -> Vec<u8> {
    let mut rgb = vec![0; layout.width * layout.height * Rgb8::CHANNELS];
    let pixels = samples.chunks_exact(layout.n_samples);
    let largest = if layout.bits < 8 { (1 << layout.bits) - 1 } else { u8::MAX };
    let half = layout.palette.len() / 3;
    for (rgb, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *rgb = match layout.photometric {
            // 255 is a multiple of 1, 3 and 15.
            Photometric::BlackIsZero => [pixel[0] * (255 / largest); 3],
            Photometric::WhiteIsZero => [255 - pixel[0] * (255 / largest); 3],
            Photometric::Rgb | Photometric::YCbCr => [pixel[0], pixel[1], pixel[2]],
            // Entries have 16 bits; the high byte counts, as in Pillow.
            Photometric::Palette => {
                [0, 1, 2].map(|channel| (layout.palette[channel * half + usize::from(pixel[0])] >> 8) as u8)
            }
        };
        if layout.is_premultiplied && layout.n_samples > 1 {
            let alpha =
                pixel[if layout.photometric == Photometric::Rgb { 3.min(pixel.len() - 1) } else { 1 }];
            *rgb = rgb.map(|byte| divide(byte, alpha));
        }
    }
    rgb
}

/// Undoes a multiplication with alpha, as Pillow does it.
fn divide(byte: u8, alpha: u8) -> u8 {
    match alpha {
        0 | 255 => byte,
        alpha => (u16::from(byte) * 255 / u16::from(alpha)).min(255) as u8,
    }
}

/// Applies the orientation tag, as Pillow does for TIFF and not for JPEG.
///
/// Gives width, height and pixels of the page as it is meant to be seen.
pub(super) fn upright(layout: &Layout<'_>, rgb: Vec<u8>) -> (usize, usize, Vec<u8>) {
    let (width, height) = (layout.width, layout.height);
    if layout.orientation == 1 {
        return (width, height, rgb);
    }
    let is_turned = layout.orientation >= 5;
    let (out_width, out_height) = if is_turned { (height, width) } else { (width, height) };
    let pixels = rgb.as_chunks::<3>().0;
    let mut out = Vec::with_capacity(rgb.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (right, bottom) = (width - 1, height - 1);
            let (source_x, source_y) = match layout.orientation {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                _ => (right - y, x),
            };
            out.extend_from_slice(&pixels[source_y * width + source_x]);
        }
    }
    (out_width, out_height, out)
}
