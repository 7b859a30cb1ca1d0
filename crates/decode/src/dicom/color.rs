//! Colour samples to RGB.
//!
//! Samples of more than 8 bits keep their 8 high bits, those of fewer are spread over 0..=255, as the PNG rule is. YBR
//! uses the full-range BT.601 matrix of JPEG (PS3.3 C.7.6.3.1.2). A palette's entries keep their 8 high bits.

use super::super::error::Fault;
use super::super::jpeg;
use super::attributes::Attributes;
use super::lut::Lut;
use super::module::{Photometric, PixelModule};
use super::samples::Samples;
use t3b_image::Rgb8;

/// Renders one frame of three samples a pixel, or of palette indices.
pub(super) fn render(
    module: &PixelModule,
    found: &Attributes<'_>,
    samples: &Samples,
) -> Result<Vec<u8>, Fault> {
    match (module.photometric, samples) {
        (Photometric::Palette, Samples::Narrow(indices)) => palette(module, found, indices),
        // Only uncompressed pairs of pixels have two samples a pixel; every decoder restores the chroma.
        (Photometric::YbrFull422, Samples::Narrow(values)) if values.len() == 2 * module.n_pixels() => {
            let pairs = values.as_chunks::<4>().0.iter();
            Ok(pairs
                .flat_map(|&[y0, y1, cb, cr]| [ycbcr([y0, cb, cr]), ycbcr([y1, cb, cr])])
                .flatten()
                .collect())
        }
        (Photometric::YbrFull | Photometric::YbrFull422, Samples::Narrow(values)) => {
            Ok(values.as_chunks::<3>().0.iter().flat_map(|&pixel| ycbcr(pixel)).collect())
        }
        (_, Samples::Narrow(values)) => {
            Ok(values.iter().map(|&value| to_8_bits(module, value.into())).collect())
        }
        (_, Samples::Float(_)) => Err(Fault::corrupt("floating-point colours")),
        (_, Samples::Wide(values)) => Ok(values.iter().map(|&value| to_8_bits(module, value)).collect()),
    }
}

fn ycbcr(pixel: [u16; 3]) -> [u8; 3] {
    let [y, cb, cr] = pixel.map(|value| value as u8);
    jpeg::ycbcr(y, cb, cr)
}

fn to_8_bits(module: &PixelModule, value: u32) -> u8 {
    match module.bits_stored {
        bits @ 8.. => (value >> (bits - 8)) as u8,
        bits => (value * 255 / ((1 << bits) - 1)) as u8,
    }
}

fn palette(module: &PixelModule, found: &Attributes<'_>, indices: &[u16]) -> Result<Vec<u8>, Fault> {
    let low = if module.is_signed { -1.0 } else { 0.0 };
    let channels = Lut::read_palette(found, (low, f64::from(u16::MAX)))?;
    let mut rgb = vec![0; indices.len() * Rgb8::CHANNELS];
    for (rgb, &index) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(indices) {
        for (byte, channel) in rgb.iter_mut().zip(&channels) {
            *byte = (channel.get(module.signed(index.into())) >> (channel.bits - 8)) as u8;
        }
    }
    Ok(rgb)
}
