//! The image pixel module (PS3.3 C.7.6.3): what the attributes say about the pixels, checked against each other.

use super::super::error::{Fault, Reason};
use super::attributes::{self as tags, Attributes, invalid, missing};
use super::syntax::Codec;

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
    /// 1, 8, 16 or 32.
    pub(super) bits_allocated: u32,
    /// 1 to `bits_allocated`, in the low bits.
    pub(super) bits_stored: u32,
    pub(super) is_signed: bool,
    /// Plane after plane instead of pixel after pixel.
    pub(super) is_planar: bool,
    pub(super) photometric: Photometric,
}

impl PixelModule {
    /// Reads and checks the attributes.
    pub(super) fn read(found: &Attributes<'_>, codec: Codec) -> Result<Self, Fault> {
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
        let (bits_allocated, bits_stored) = bits(found)?;
        let is_signed = match found.need_u16(tags::PIXEL_REPRESENTATION)? {
            0 => false,
            1 if matches!(photometric, Photometric::Monochrome1 | Photometric::Monochrome2) => true,
            other => {
                return Err(invalid(
                    tags::PIXEL_REPRESENTATION,
                    &format!("{other}, allowed 0, or 1 for grey"),
                ));
            }
        };
        // Compressed frames have their own order of samples.
        let is_planar = match found.u16(tags::PLANAR) {
            Some(1) => n_samples == 3 && codec == Codec::Native,
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
            is_signed,
            is_planar,
            photometric,
        };
        module.check_color(codec)?;
        Ok(module)
    }

    pub(super) fn n_pixels(&self) -> usize {
        self.width_px as usize * self.height_px as usize
    }

    pub(super) fn n_values(&self) -> usize {
        self.n_pixels() * self.n_samples as usize
    }

    fn check_color(&self, codec: Codec) -> Result<(), Fault> {
        let is_ybr = matches!(self.photometric, Photometric::YbrFull | Photometric::YbrFull422);
        if is_ybr && self.bits_allocated != 8 {
            return Err(invalid(
                tags::BITS_ALLOCATED,
                &format!("{} for YBR, allowed 8", self.bits_allocated),
            ));
        }
        if self.photometric == Photometric::YbrFull422 && codec == Codec::Native {
            if self.is_planar {
                return Err(invalid(tags::PLANAR, "planes, which YBR_FULL_422 has not"));
            }
            if self.width_px % 2 == 1 {
                return Err(invalid(tags::COLUMNS, "an odd number, which YBR_FULL_422 cannot have"));
            }
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
    match found.text(tags::PHOTOMETRIC).ok_or_else(|| missing(tags::PHOTOMETRIC))? {
        b"MONOCHROME1" => Ok(Photometric::Monochrome1),
        b"MONOCHROME2" => Ok(Photometric::Monochrome2),
        b"PALETTE COLOR" => Ok(Photometric::Palette),
        b"RGB" => Ok(Photometric::Rgb),
        b"YBR_FULL" => Ok(Photometric::YbrFull),
        b"YBR_FULL_422" => Ok(Photometric::YbrFull422),
        b"YBR_RCT" | b"YBR_ICT" => Ok(Photometric::YbrJpeg2000),
        _ => {
            let allowed = "allowed MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_RCT, YBR_ICT";
            Err(Fault::new(Reason::UnsupportedColorType, format!("(0028,0004): {allowed}")))
        }
    }
}

fn bits(found: &Attributes<'_>) -> Result<(u32, u32), Fault> {
    let allocated = found.need_u16(tags::BITS_ALLOCATED)?;
    let stored = found.need_u16(tags::BITS_STORED)?;
    if !matches!(allocated, 1 | 8 | 16 | 32) {
        return Err(invalid(tags::BITS_ALLOCATED, &format!("{allocated}, allowed 1, 8, 16, 32")));
    }
    if stored == 0 || stored > allocated {
        return Err(invalid(tags::BITS_STORED, &format!("{stored} of {allocated} allocated")));
    }
    match found.need_u16(tags::HIGH_BIT)? {
        high if high == stored - 1 => Ok((allocated.into(), stored.into())),
        high => Err(invalid(tags::HIGH_BIT, &format!("{high}, allowed {}", stored - 1))),
    }
}

fn n_frames(found: &Attributes<'_>) -> Result<u32, Fault> {
    let Some(text) = found.text(tags::N_FRAMES) else { return Ok(1) };
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
    number.filter(|&n| n > 0).ok_or_else(|| invalid(tags::N_FRAMES, "not a positive whole number"))
}
