//! The image pixel module (PS3.3 C.7.6.3): what the attributes say about the pixels, checked against each other.

use super::super::error::{Fault, Reason};
use super::attributes::PixelData;
use super::attributes::{self as tags, Attributes, invalid, missing};

/// How samples become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// The smallest value is white.
    Monochrome1,
    /// The smallest value is black.
    Monochrome2,
    Palette,
    Rgb,
    YbrFull,
    /// Chroma once for two pixels of a row.
    YbrFull422,
    /// The transforms of JPEG 2000, undone by its decoder.
    YbrJpeg2000,
}

/// The shape and meaning of the pixels, consistent in itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelModule {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) n_frames: u32,
    /// 1 or 3.
    pub(super) n_samples: u32,
    /// 1, 8, 16 or 32; 64 for floating-point values of that width.
    pub(super) bits_allocated: u32,
    /// 1 to `bits_allocated`.
    pub(super) bits_stored: u32,
    /// As declared; see [`super::samples::place`].
    pub(super) high_bit: u32,
    /// A word that stands for no value and does not fit the stored bits.
    pub(super) padding_word: Option<u16>,
    pub(super) is_signed: bool,
    /// Plane after plane instead of pixel after pixel.
    pub(super) is_planar: bool,
    pub(super) photometric: Photometric,
}

impl PixelModule {
    /// Reads and checks the attributes.
    ///
    /// `is_native`: the values are not compressed, so that they stand as the attributes say.
    pub(super) fn read(
        found: &Attributes<'_>,
        pixel_data: PixelData<'_>,
        is_native: bool,
    ) -> Result<Self, Fault> {
        let height_px = found.need_u16(tags::ROWS)?.into();
        let width_px = found.need_u16(tags::COLUMNS)?.into();
        let n_samples = found.need_u16(tags::SAMPLES_PER_PIXEL)?.into();
        let photometric = photometric(found)?;
        let is_grey =
            matches!(photometric, Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette);
        if n_samples != if is_grey { 1 } else { 3 } {
            let found = format!("{n_samples} samples a pixel, which (0028,0004) contradicts");
            return Err(invalid(tags::SAMPLES_PER_PIXEL, &found));
        }
        let is_float = pixel_data.float_bits > 0;
        let Bits { allocated: bits_allocated, stored: bits_stored, high: high_bit } =
            if is_float { Bits::of_float(pixel_data, photometric)? } else { Bits::read(found)? };
        let is_signed = match found.u16(tags::PIXEL_REPRESENTATION) {
            None if !is_float => return Err(missing(tags::PIXEL_REPRESENTATION)),
            Some(1) if is_grey && !is_float => true,
            Some(0) | None => false,
            Some(_) if is_float => false,
            Some(other) => {
                return Err(invalid(
                    tags::PIXEL_REPRESENTATION,
                    &format!("{other}, allowed 0, or 1 for grey"),
                ));
            }
        };
        // Compressed frames have their own order of samples.
        let is_planar = match found.u16(tags::PLANAR) {
            Some(1) => n_samples == 3 && is_native,
            Some(0) | None => false,
            Some(other) => return Err(invalid(tags::PLANAR, &format!("{other}, allowed 0 and 1"))),
        };
        let module = Self {
            width_px,
            height_px,
            n_frames: n_frames(found)?,
            n_samples,
            bits_allocated,
            bits_stored,
            high_bit,
            padding_word: padding_word(found, bits_allocated, bits_stored, is_signed)
                .filter(|_| is_grey && photometric != Photometric::Palette),
            is_signed,
            is_planar,
            photometric,
        };
        module.check_color(is_native)?;
        Ok(module)
    }

    pub(super) fn n_pixels(&self) -> usize {
        self.width_px as usize * self.height_px as usize
    }

    pub(super) fn n_values(&self) -> usize {
        self.n_pixels() * self.n_samples as usize
    }

    fn check_color(&self, is_native: bool) -> Result<(), Fault> {
        let is_ybr = matches!(self.photometric, Photometric::YbrFull | Photometric::YbrFull422);
        if is_ybr && self.bits_allocated != 8 {
            return Err(invalid(
                tags::BITS_ALLOCATED,
                &format!("{} for YBR, allowed 8", self.bits_allocated),
            ));
        }
        if self.photometric == Photometric::YbrFull422 && is_native && self.is_planar {
            return Err(invalid(tags::PLANAR, "planes, which YBR_FULL_422 has not"));
        }
        if self.photometric == Photometric::Palette && self.bits_stored > 16 {
            return Err(invalid(
                tags::BITS_STORED,
                &format!("{} for a palette, allowed 16", self.bits_stored),
            ));
        }
        Ok(())
    }
}

fn photometric(found: &Attributes<'_>) -> Result<Photometric, Fault> {
    let text = found.text(tags::PHOTOMETRIC).ok_or_else(|| missing(tags::PHOTOMETRIC))?;
    // Code strings are upper case by the standard; writers of other toolkits do not all know.
    match text.to_ascii_uppercase().as_slice() {
        b"MONOCHROME1" => Ok(Photometric::Monochrome1),
        b"MONOCHROME2" => Ok(Photometric::Monochrome2),
        b"PALETTE COLOR" | b"PALETTE_COLOR" => Ok(Photometric::Palette),
        b"RGB" => Ok(Photometric::Rgb),
        b"YBR_FULL" => Ok(Photometric::YbrFull),
        b"YBR_FULL_422" => Ok(Photometric::YbrFull422),
        b"YBR_RCT" | b"YBR_ICT" => Ok(Photometric::YbrJpeg2000),
        b"XYB" => Ok(Photometric::Rgb),
        _ => {
            let allowed = "allowed MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_RCT, YBR_ICT";
            Err(Fault::new(Reason::UnsupportedColorType, format!("(0028,0004): {allowed}")))
        }
    }
}

/// Where the bits of a value stand.
struct Bits {
    allocated: u32,
    stored: u32,
    high: u32,
}

impl Bits {
    fn read(found: &Attributes<'_>) -> Result<Self, Fault> {
        let allocated = found.need_u16(tags::BITS_ALLOCATED)?;
        let stored = found.need_u16(tags::BITS_STORED)?;
        if !matches!(allocated, 1 | 8 | 16 | 32) {
            return Err(invalid(tags::BITS_ALLOCATED, &format!("{allocated}, allowed 1, 8, 16, 32")));
        }
        if stored == 0 || stored > allocated {
            return Err(invalid(tags::BITS_STORED, &format!("{stored} of {allocated} allocated")));
        }
        let high = found.u16(tags::HIGH_BIT).unwrap_or(stored - 1);
        if high >= allocated {
            return Err(invalid(tags::HIGH_BIT, &format!("{high} of {allocated} allocated bits")));
        }
        // Below the stored bits there is no room for them; such writers give the precision of the device.
        let high = high.max(stored - 1);
        Ok(Self { allocated: allocated.into(), stored: stored.into(), high: high.into() })
    }

    fn of_float(pixel_data: PixelData<'_>, photometric: Photometric) -> Result<Self, Fault> {
        if !matches!(photometric, Photometric::Monochrome1 | Photometric::Monochrome2) {
            let detail = "floating-point pixels that are not grey";
            return Err(Fault::new(Reason::UnsupportedColorType, detail));
        }
        let bits = pixel_data.float_bits;
        Ok(Self { allocated: bits, stored: bits, high: bits - 1 })
    }
}

/// Pixel Padding Value where it lies outside of what the stored bits can hold, as GE's CTs write it.
fn padding_word(found: &Attributes<'_>, allocated: u32, stored: u32, is_signed: bool) -> Option<u16> {
    let word = found.u16(tags::PADDING).filter(|_| allocated == 16 && stored < 16)?;
    let is_outside = if is_signed {
        let sign = 1 << (stored - 1);
        !(-sign..sign).contains(&i32::from(word as i16))
    } else {
        word >> stored != 0
    };
    is_outside.then_some(word)
}

fn n_frames(found: &Attributes<'_>) -> Result<u32, Fault> {
    let Some(text) = found.text(tags::N_FRAMES) else { return Ok(1) };
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match number.filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n)) {
        // Writers of single frames leave a zero.
        Some(n) => Ok((n as u32).max(1)),
        None => Err(invalid(tags::N_FRAMES, "not a whole number from 0")),
    }
}
