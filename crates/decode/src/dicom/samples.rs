//! Stored values of one frame, whatever the compression.

use super::super::error::{Fault, Reason};
use super::attributes::PixelData;
use super::module::{Photometric, PixelModule};

/// Stored values, samples of a pixel together, without their unused high bits.
///
/// Signed values are still in two's complement of `bits_stored` bits; see [`PixelModule::signed`].
#[derive(Debug)]
pub(super) enum Samples {
    /// Up to 16 bits.
    Narrow(Vec<u16>),
    /// 17 to 32 bits.
    Wide(Vec<u32>),
}

impl PixelModule {
    /// The value of a stored pattern.
    #[inline]
    pub(super) fn signed(&self, stored: u32) -> i64 {
        let sign = 1_i64 << (self.bits_stored - 1);
        let value = i64::from(stored);
        if self.is_signed && value & sign != 0 { value - 2 * sign } else { value }
    }

    fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.bits_stored)
    }

    /// Bits of one frame in uncompressed pixel data.
    fn native_bits(&self) -> u64 {
        let n_values = match self.photometric {
            // Two luma and one pair of chroma for two pixels.
            Photometric::YbrFull422 => 2 * self.n_pixels(),
            _ => self.n_values(),
        };
        n_values as u64 * u64::from(self.bits_allocated)
    }
}

/// Takes one frame out of uncompressed pixel data, whose length must be what the attributes say, or more by zeros.
pub(super) fn native(
    module: &PixelModule,
    pixel_data: PixelData<'_>,
    is_big_endian: bool,
    frame: u32,
) -> Result<Samples, Fault> {
    let bits = module.native_bits();
    let wanted = (u128::from(bits) * u128::from(module.n_frames)).div_ceil(8);
    let excess = usize::try_from(wanted).ok().and_then(|wanted| pixel_data.bytes.get(wanted..));
    // A value has an even length, and some writers fill a block; anything but zeros would be another picture.
    let is_padding = |excess: &[u8]| excess.len() == 1 || excess.iter().all(|&byte| byte == 0);
    if !excess.is_some_and(is_padding) {
        let detail = format!("found {} bytes, the attributes say {wanted}", pixel_data.bytes.len());
        return Err(Fault::new(Reason::DicomPixelLengthMismatch, detail));
    }
    // Bytes of words are swapped in pairs; those of wider values follow from the width.
    let is_swapped = is_big_endian && pixel_data.is_words && module.bits_allocated <= 8;
    let at = |byte: usize| pixel_data.bytes[if is_swapped { byte ^ 1 } else { byte }];
    if module.bits_allocated == 1 {
        let start = bits as usize * frame as usize;
        let bit = |n: usize| u16::from(at(n / 8) >> (n % 8) & 1);
        return Ok(Samples::Narrow((start..start + bits as usize).map(bit).collect()));
    }
    let len = (bits / 8) as usize;
    let start = len * frame as usize;
    if module.bits_allocated == 8 {
        let mask = module.mask() as u16;
        let samples = if is_swapped {
            (start..start + len).map(|byte| u16::from(at(byte)) & mask).collect()
        } else {
            pixel_data.bytes[start..start + len].iter().map(|&byte| u16::from(byte) & mask).collect()
        };
        return Ok(interleaved(module, Samples::Narrow(samples)));
    }
    Ok(interleaved(module, wide_values(module, &pixel_data.bytes[start..start + len], is_big_endian)))
}

/// Values of 16 or 32 allocated bits.
fn wide_values(module: &PixelModule, bytes: &[u8], is_big_endian: bool) -> Samples {
    let mask = module.mask();
    if module.bits_allocated == 16 {
        let read = if is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        let pairs = bytes.as_chunks::<2>().0;
        return Samples::Narrow(pairs.iter().map(|&pair| read(pair) & mask as u16).collect());
    }
    let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    narrowed(module, bytes.as_chunks::<4>().0.iter().map(|&four| read(four) & mask))
}

/// Keeps 32 bits a value only where the stored bits need them.
pub(super) fn narrowed(module: &PixelModule, values: impl Iterator<Item = u32>) -> Samples {
    if module.bits_stored <= 16 {
        Samples::Narrow(values.map(|value| value as u16).collect())
    } else {
        Samples::Wide(values.collect())
    }
}

fn interleaved(module: &PixelModule, samples: Samples) -> Samples {
    if !module.is_planar {
        return samples;
    }
    match samples {
        Samples::Narrow(planes) => Samples::Narrow(interleave(&planes, module.n_samples as usize)),
        Samples::Wide(planes) => Samples::Wide(interleave(&planes, module.n_samples as usize)),
    }
}

/// Plane after plane to pixel after pixel.
pub(super) fn interleave<T: Copy>(planes: &[T], n_planes: usize) -> Vec<T> {
    let n_pixels = planes.len() / n_planes;
    (0..n_pixels).flat_map(|pixel| (0..n_planes).map(move |plane| planes[plane * n_pixels + pixel])).collect()
}

/// Masks values of a decoder that hands out up to 16 bits; their number must be right.
pub(super) fn from_decoder(module: &PixelModule, mut values: Vec<u16>) -> Result<Samples, Fault> {
    if values.len() != module.n_values() || module.bits_stored > 16 {
        return Err(Fault::corrupt("the frame's number of values differs from the attributes"));
    }
    let mask = module.mask() as u16;
    values.iter_mut().for_each(|value| *value &= mask);
    Ok(Samples::Narrow(values))
}
