//! Stored values of one frame, whatever the compression.

use super::super::error::{Fault, Reason};
use super::attributes::{self as tags, PixelData, invalid};
use super::module::{Photometric, PixelModule};

/// Stored values, samples of a pixel together, without their unused high bits.
///
/// Signed values are still in two's complement of `bits_stored` bits; see [`PixelModule::signed`].
#[derive(Debug)]
pub(super) enum Samples {
    /// Up to 16 bits. [`PADDED`] where the pixel has no value and the stored bits are fewer than 16.
    Narrow(Vec<u16>),
    /// 17 to 32 bits.
    Wide(Vec<u32>),
    /// Floating-point values, already in their unit.
    Float(Vec<f64>),
}

/// Stands in [`Samples::Narrow`] for a pixel whose word is a padding value outside of the stored bits.
pub(super) const PADDED: u16 = u16::MAX;

/// What a codec hands out.
#[derive(Debug)]
pub(super) struct Decoded {
    /// In two's complement where `is_signed`.
    pub(super) values: Vec<u16>,
    /// Bits of a value, 1 to 16, by the codestream.
    pub(super) precision: u32,
    pub(super) is_signed: bool,
    /// Values may have left the range that they had before they were compressed.
    pub(super) is_lossy: bool,
    /// The codestream holds RGB, whatever the attributes say.
    pub(super) is_rgb: bool,
}

impl Decoded {
    /// Unsigned values without a word about their colours.
    pub(super) fn unsigned(values: Vec<u16>, precision: u32, is_lossy: bool) -> Self {
        Self { values, precision, is_signed: false, is_lossy, is_rgb: false }
    }
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

    /// Bytes of one uncompressed frame that stands alone.
    pub(super) fn native_len(&self) -> usize {
        self.native_bits().div_ceil(8) as usize
    }
}

/// Takes one frame out of uncompressed pixel data.
///
/// They must be as long as the attributes say, or longer by zeros or by less than another frame: writers pad to blocks.
pub(super) fn native(
    module: &PixelModule,
    pixel_data: PixelData<'_>,
    is_big_endian: bool,
    frame: u32,
) -> Result<Samples, Fault> {
    let module = &full_chroma(module, pixel_data);
    let bits = module.native_bits();
    let wanted = (u128::from(bits) * u128::from(module.n_frames)).div_ceil(8);
    let excess = usize::try_from(wanted).ok().and_then(|wanted| pixel_data.bytes.get(wanted..));
    let is_padding =
        |excess: &[u8]| 8 * (excess.len() as u64) < bits.max(16) || excess.iter().all(|&byte| byte == 0);
    if !excess.is_some_and(is_padding) {
        let detail = format!("found {} bytes, the attributes say {wanted}", pixel_data.bytes.len());
        return Err(Fault::new(Reason::DicomPixelLengthMismatch, detail));
    }
    if module.photometric == Photometric::YbrFull422 && module.width_px % 2 == 1 {
        return Err(invalid(tags::COLUMNS, "an odd number, which YBR_FULL_422 cannot have"));
    }
    if module.bits_allocated == 1 {
        return Ok(bit_values(module, pixel_data, is_big_endian, bits as usize * frame as usize));
    }
    let len = (bits / 8) as usize;
    let start = len * frame as usize;
    let frame = PixelData { bytes: &pixel_data.bytes[start..start + len], ..pixel_data };
    if pixel_data.float_bits > 0 {
        return Ok(float_values(frame, is_big_endian));
    }
    Ok(interleaved(module, values(module, pixel_data, frame, is_big_endian, start)?))
}

/// Some gateways decompress to three samples a pixel and leave YBR_FULL_422 in the attributes.
fn full_chroma(module: &PixelModule, pixel_data: PixelData<'_>) -> PixelModule {
    let full = PixelModule { photometric: Photometric::YbrFull, ..*module };
    let wanted = u128::from(full.native_bits()) * u128::from(module.n_frames) / 8;
    let is_full = module.photometric == Photometric::YbrFull422 && pixel_data.bytes.len() as u128 >= wanted;
    if is_full { full } else { *module }
}

fn bit_values(module: &PixelModule, pixel_data: PixelData<'_>, is_big_endian: bool, start: usize) -> Samples {
    let is_swapped = is_big_endian && pixel_data.is_words;
    let at = |byte: usize| pixel_data.bytes[if is_swapped { byte ^ 1 } else { byte }];
    let bit = |n: usize| u16::from(at(n / 8) >> (n % 8) & 1);
    Samples::Narrow((start..start + module.n_values()).map(bit).collect())
}

fn float_values(frame: PixelData<'_>, is_big_endian: bool) -> Samples {
    if frame.float_bits == 32 {
        let read = if is_big_endian { f32::from_be_bytes } else { f32::from_le_bytes };
        return Samples::Float(
            frame.bytes.as_chunks::<4>().0.iter().map(|&four| read(four).into()).collect(),
        );
    }
    let read = if is_big_endian { f64::from_be_bytes } else { f64::from_le_bytes };
    Samples::Float(frame.bytes.as_chunks::<8>().0.iter().map(|&eight| read(eight)).collect())
}

/// Values of 8, 16 or 32 allocated bits; `start` is where the frame begins in the pixel data.
fn values(
    module: &PixelModule,
    pixel_data: PixelData<'_>,
    frame: PixelData<'_>,
    is_big_endian: bool,
    start: usize,
) -> Result<Samples, Fault> {
    match module.bits_allocated {
        8 => {
            // Bytes of words are swapped in pairs, counted from the first frame: the last value of an odd frame stands
            // behind its end, in the byte that fills the word.
            let is_swapped = is_big_endian && pixel_data.is_words;
            let all = pixel_data.bytes;
            let byte = |at: usize| if is_swapped { all.get(at ^ 1).unwrap_or(&all[at]) } else { &all[at] };
            let places = start..start + frame.bytes.len();
            narrow(module, places.map(|at| u16::from(*byte(at))).collect())
        }
        16 => {
            let read = if is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
            narrow(module, frame.bytes.as_chunks::<2>().0.iter().map(|&pair| read(pair)).collect())
        }
        _ => {
            let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            let words: Vec<u32> = frame.bytes.as_chunks::<4>().0.iter().map(|&four| read(four)).collect();
            place(module, words)
        }
    }
}

/// Words of up to 16 allocated bits to stored values.
pub(super) fn narrow(module: &PixelModule, mut words: Vec<u16>) -> Result<Samples, Fault> {
    if module.high_bit + 1 > module.bits_stored {
        return place(module, words.into_iter().map(u32::from).collect());
    }
    let mask = module.mask() as u16;
    match module.padding_word {
        None => words.iter_mut().for_each(|word| *word &= mask),
        Some(padding) => {
            words.iter_mut().for_each(|word| *word = if *word == padding { PADDED } else { *word & mask });
        }
    }
    Ok(Samples::Narrow(words))
}

/// Words to stored values, where High Bit says that they may not stand in the low bits.
///
/// They do all the same in most such files, whose writers give the width of the word; pydicom reads no other. They stand
/// in the high bits, as the retired layout had it, where something lies above the stored bits and nothing below them.
pub(super) fn place(module: &PixelModule, mut words: Vec<u32>) -> Result<Samples, Fault> {
    let (mask, unused) = (module.mask(), module.high_bit + 1 - module.bits_stored);
    let above = u32::MAX >> (32 - module.bits_allocated) & !mask;
    let sign = 1 << (module.bits_stored - 1);
    let is_extended = |word: u32| module.is_signed && word & above == above && word & sign != 0;
    let is_low = words.iter().all(|&word| word & above == 0 || is_extended(word));
    if unused > 0 && !is_low {
        if words.iter().any(|word| word & ((1 << unused) - 1) != 0) {
            let found =
                format!("{}, and values that fill neither the high nor the low bits", module.high_bit);
            return Err(invalid(tags::HIGH_BIT, &found));
        }
        words.iter_mut().for_each(|word| *word >>= unused);
    }
    Ok(narrowed(module, words.into_iter().map(|word| word & mask)))
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
        Samples::Float(planes) => Samples::Float(interleave(&planes, module.n_samples as usize)),
    }
}

/// Plane after plane to pixel after pixel.
pub(super) fn interleave<T: Copy>(planes: &[T], n_planes: usize) -> Vec<T> {
    let n_pixels = planes.len() / n_planes;
    (0..n_pixels).flat_map(|pixel| (0..n_planes).map(move |plane| planes[plane * n_pixels + pixel])).collect()
}

/// Values of a codec to stored values; their number must be right.
///
/// A lossy codec's values are clamped to the stored bits, for an overshoot must not become its opposite; those of a
/// lossless one are masked, for what lies above was put there. Where pixels are signed and the codestream is not, its own
/// precision tells the sign bit, as in pydicom.
pub(super) fn from_decoder(module: &PixelModule, decoded: Decoded) -> Result<Samples, Fault> {
    let Decoded { mut values, precision, is_signed, is_lossy, .. } = decoded;
    if values.len() != module.n_values() || module.bits_stored > 16 {
        return Err(Fault::corrupt("the frame's number of values differs from the attributes"));
    }
    let stored = module.bits_stored;
    if module.is_signed && !is_signed && precision < stored {
        let sign = 1_u16 << (precision - 1);
        let above = !(u16::MAX >> (16 - precision));
        values.iter_mut().filter(|value| **value & sign != 0).for_each(|value| *value |= above);
    }
    let is_filled = values.iter().any(|&value| u32::from(value) >> stored != 0);
    if is_lossy && stored < 16 && is_filled {
        clamp(module, &mut values, is_signed || module.is_signed, precision);
        return Ok(Samples::Narrow(values));
    }
    let in_low_bits = PixelModule { high_bit: stored - 1, ..*module };
    narrow(&in_low_bits, values)
}

fn clamp(module: &PixelModule, values: &mut [u16], is_signed: bool, precision: u32) {
    let mask = module.mask() as u16;
    let (low, high) = if module.is_signed {
        (-(1 << (module.bits_stored - 1)), (1 << (module.bits_stored - 1)) - 1)
    } else {
        (0, i32::from(mask))
    };
    let unused = 16 - precision;
    for value in values {
        // Sign-extended from the codestream's own precision.
        let found =
            if is_signed { i32::from((*value << unused) as i16 >> unused) } else { i32::from(*value) };
        *value = found.clamp(low, high) as u16 & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(bits_stored: u32, high_bit: u32, is_signed: bool) -> PixelModule {
        PixelModule {
            width_px: 4,
            height_px: 1,
            n_frames: 1,
            n_samples: 1,
            bits_allocated: 16,
            bits_stored,
            high_bit,
            padding_word: None,
            is_signed,
            is_planar: false,
            photometric: Photometric::Monochrome2,
        }
    }

    fn values(samples: Samples) -> Vec<u16> {
        let Samples::Narrow(values) = samples else { panic!("16 bits") };
        values
    }

    #[test]
    fn e23_lossy_values_beyond_the_stored_bits_are_clamped_and_lossless_ones_masked() {
        let given = vec![0, 4095, 4096, 4100];
        let decoded = |is_lossy| Decoded::unsigned(given.clone(), 16, is_lossy);
        let unsigned = module(12, 11, false);
        assert_eq!(values(from_decoder(&unsigned, decoded(true)).unwrap()), [0, 4095, 4095, 4095]);
        assert_eq!(values(from_decoder(&unsigned, decoded(false)).unwrap()), [0, 4095, 0, 4]);
        let given = vec![-2049_i16 as u16, -1_i16 as u16, 2047, 2050];
        let decoded =
            Decoded { values: given, precision: 16, is_signed: true, is_lossy: true, is_rgb: false };
        let signed = from_decoder(&module(12, 11, true), decoded).unwrap();
        assert_eq!(values(signed), [0x800, 0xfff, 0x7ff, 0x7ff]);
    }

    #[test]
    fn d44c_an_unsigned_codestream_under_signed_pixels_has_its_own_sign_bit() {
        let decoded = Decoded::unsigned(vec![0, 4095, 4096, 8191], 13, false);
        assert_eq!(values(from_decoder(&module(16, 15, true), decoded).unwrap()), [0, 4095, 0xf000, 0xffff]);
    }

    #[test]
    fn d30b_d30c_the_high_bit_counts_only_where_the_values_fill_the_high_bits() {
        let place = |words: Vec<u32>, is_signed| place(&module(12, 15, is_signed), words);
        assert_eq!(values(place(vec![0x10, 0xfff0, 0, 0x8000], false).unwrap()), [1, 0xfff, 0, 0x800]);
        assert_eq!(values(place(vec![1, 0xfff, 0, 0x800], false).unwrap()), [1, 0xfff, 0, 0x800]);
        assert_eq!(values(place(vec![1, 0xffff, 0, 0xf800], true).unwrap()), [1, 0xfff, 0, 0x800]);
        assert!(place(vec![1, 0xffff, 0, 0xf800], false).is_err());
    }
}
