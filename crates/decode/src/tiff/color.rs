//! Samples to RGB, and the page the right way up.

use super::super::facts::Facts;
use super::super::jpeg;
use super::super::levels;
use super::super::rendering::Window;
use super::layout::{Compression, Photometric, SampleKind, SampleLayout};
use t3b_image::Rgb8;

/// Makes RGB of `[height, width, n_samples]` samples; extra samples are dropped.
pub(super) fn rgb(layout: &SampleLayout<'_>, samples: &[u8], window: Window, facts: &mut Facts) -> Vec<u8> {
    let is_grey = matches!(layout.photometric, Photometric::BlackIsZero | Photometric::WhiteIsZero);
    let is_wide = layout.bits > 16 || layout.kind != SampleKind::Unsigned;
    if is_grey && (is_wide || layout.bits > 8) {
        return grey(layout, samples, is_wide, window, facts);
    }
    let largest = if layout.bits < 8 { (1 << layout.bits) - 1 } else { u8::MAX };
    let half = layout.palette.len() / 3;
    // Old writers put 8 bits into the 16 of an entry; libtiff's tools look for it in the same way.
    let shift = if layout.palette.iter().all(|&entry| entry < 256) { 0 } else { 8 };
    let is_plain = !matches!(layout.compression, Compression::Jpeg | Compression::Jpeg2000 { .. });
    // Of 16 bits the high byte counts.
    let n_bytes = layout.sample_bytes();
    let pixels = samples.chunks_exact(layout.n_samples * n_bytes);
    let mut rgb = vec![0; layout.width * layout.height * Rgb8::CHANNELS];
    for (rgb, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        let sample = |n: usize| pixel[n * n_bytes + n_bytes - 1];
        *rgb = match layout.photometric {
            // 255 is a multiple of 1, 3 and 15.
            Photometric::BlackIsZero => [sample(0) * (255 / largest); 3],
            Photometric::WhiteIsZero => [255 - sample(0) * (255 / largest); 3],
            Photometric::YCbCr if is_plain => jpeg::ycbcr(sample(0), sample(1), sample(2)),
            Photometric::Rgb | Photometric::YCbCr => [sample(0), sample(1), sample(2)],
            // Entries have 16 bits; the high byte counts, as in Pillow.
            Photometric::Palette => [0, 1, 2]
                .map(|channel| (layout.palette[channel * half + usize::from(sample(0))] >> shift) as u8),
        };
        if layout.is_premultiplied && layout.n_samples > 1 {
            let at = if layout.photometric == Photometric::Rgb { 3.min(layout.n_samples - 1) } else { 1 };
            *rgb = rgb.map(|byte| divide(byte, sample(at)));
        }
    }
    rgb
}

/// Grey of more than 8 bits, signed or floating-point: by the window, or by its high byte where it is of 9 to 16 bits.
fn grey(
    layout: &SampleLayout<'_>,
    samples: &[u8],
    is_wide: bool,
    window: Window,
    facts: &mut Facts,
) -> Vec<u8> {
    let n_bytes = layout.sample_bytes();
    let pixels = samples.chunks_exact(layout.n_samples * n_bytes).map(|pixel| &pixel[..n_bytes]);
    let mut levels = if is_wide {
        let values: Vec<f64> = pixels.map(|bytes| value(bytes, layout.kind)).collect();
        levels::render(&values, None, window, facts)
    } else {
        let values: Vec<u16> = pixels.map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]])).collect();
        levels::render_16(&values, used_bits(layout), window, facts)
    };
    if layout.photometric == Photometric::WhiteIsZero {
        levels.iter_mut().for_each(|level| *level = 255 - *level);
    }
    if layout.is_premultiplied && layout.n_samples > 1 {
        let alphas = samples.chunks_exact(layout.n_samples * n_bytes).map(|pixel| pixel[2 * n_bytes - 1]);
        levels.iter_mut().zip(alphas).for_each(|(level, alpha)| *level = divide(*level, alpha));
    }
    levels.into_iter().flat_map(|level| [level; 3]).collect()
}

/// How many bits of a sample are used: those that it has, or MaxSampleValue where that is one less than a power of two.
fn used_bits(layout: &SampleLayout<'_>) -> Option<u32> {
    if layout.bits < 16 {
        return Some(layout.bits as u32);
    }
    let largest = layout.largest.filter(|&largest| largest > 0 && (largest & (largest + 1)) == 0)?;
    Some(largest.trailing_ones())
}

fn value(bytes: &[u8], kind: SampleKind) -> f64 {
    let mut long = [0; 8];
    long[..bytes.len()].copy_from_slice(bytes);
    let [a, b, c, d, ..] = long;
    match (kind, bytes.len()) {
        (SampleKind::Float, 4) => f32::from_le_bytes([a, b, c, d]).into(),
        (SampleKind::Float, _) => f64::from_le_bytes(long),
        (SampleKind::Signed, 1) => f64::from(a as i8),
        (SampleKind::Signed, 2) => f64::from(i16::from_le_bytes([a, b])),
        (SampleKind::Signed, _) => f64::from(i32::from_le_bytes([a, b, c, d])),
        (SampleKind::Unsigned, _) => u64::from_le_bytes(long) as f64,
    }
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
pub(super) fn upright(layout: &SampleLayout<'_>, rgb: Vec<u8>) -> (usize, usize, Vec<u8>) {
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
