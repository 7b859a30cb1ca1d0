//! What a page's tags say about its pixels, checked against each other.

use super::super::error::{Fault, Reason};
use super::ifd::{Directory, File};

/// How samples become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    /// Inside JPEG only.
    YCbCr,
}

/// How a chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

/// A page that can be decoded.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) file: File<'a>,
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1, 2, 4, 8 or 16.
    pub(super) bits: usize,
    /// Samples of a pixel, extra ones included.
    pub(super) n_samples: usize,
    pub(super) photometric: Photometric,
    pub(super) compression: Compression,
    /// Rows hold differences to the pixel on the left.
    pub(super) is_differenced: bool,
    /// Plane after plane.
    pub(super) is_planar: bool,
    /// The first extra sample is alpha that the colours were multiplied with.
    pub(super) is_premultiplied: bool,
    pub(super) is_tiled: bool,
    /// Size of a whole strip or tile.
    pub(super) chunk: (usize, usize),
    /// Offset and length of each chunk, row by row, plane by plane.
    pub(super) chunks: Vec<(u64, u64)>,
    /// 1 to 8, as in EXIF.
    pub(super) orientation: u64,
    pub(super) jpeg_tables: &'a [u8],
    /// Red, green and blue halves of the palette, 16 bits each.
    pub(super) palette: Vec<u64>,
}

const MAX_SAMPLES: u64 = 8;

/// The declared size of a page; never zero.
pub(super) fn size_px(page: &Directory<'_>) -> Result<(u32, u32), Fault> {
    let side = |tag| match page.number(tag)?.map(u32::try_from) {
        Some(Ok(0)) => Err(Fault::corrupt("zero dimension")),
        Some(Ok(side)) => Ok(side),
        Some(Err(_)) => Ok(u32::MAX),
        None => Err(Fault::corrupt(format!("tag {tag} is missing"))),
    };
    Ok((side(256)?, side(257)?))
}

impl<'a> Layout<'a> {
    /// Reads a page whose size passed the limits.
    pub(super) fn read(page: &Directory<'a>) -> Result<Self, Fault> {
        let (width, height) = size_px(page)?;
        let (bits, n_samples) = samples(page)?;
        let photometric = photometric(page)?;
        let compression = compression(page)?;
        let extra = page.numbers(338)?;
        let n_colors = if matches!(photometric, Photometric::Rgb | Photometric::YCbCr) { 3 } else { 1 };
        let is_planar = match page.number(284)? {
            None | Some(1) => false,
            Some(2) => n_samples > 1,
            Some(_) => return Err(Fault::corrupt("planar configuration")),
        };
        let is_jpeg = compression == Compression::Jpeg;
        if n_samples < n_colors || (is_jpeg && (n_samples != n_colors || bits != 8 || is_planar)) {
            return Err(unsupported_color(format!(
                "{n_samples} samples of {bits} bits for {n_colors} colours"
            )));
        }
        if photometric == Photometric::YCbCr && !is_jpeg {
            return Err(unsupported_color("YCbCr outside JPEG".to_owned()));
        }
        if photometric == Photometric::Palette && (bits > 8 || is_jpeg) {
            return Err(unsupported_color(format!("a palette of {bits} bits, allowed 8")));
        }
        let is_differenced = is_differenced(page, bits, compression)?;
        let mut layout = Self {
            file: page.file(),
            width: width as usize,
            height: height as usize,
            bits,
            n_samples,
            photometric,
            compression,
            is_differenced,
            is_planar,
            is_premultiplied: extra.first() == Some(&1),
            is_tiled: false,
            chunk: (0, 0),
            chunks: Vec::new(),
            orientation: page.number(274)?.filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1),
            jpeg_tables: page.bytes(347)?,
            palette: if photometric == Photometric::Palette { page.numbers(320)? } else { Vec::new() },
        };
        if photometric == Photometric::Palette && layout.palette.len() != 3 << bits {
            return Err(Fault::corrupt(format!(
                "{} palette values, {} wanted",
                layout.palette.len(),
                3 << bits
            )));
        }
        layout.read_chunks(page)?;
        Ok(layout)
    }

    fn read_chunks(&mut self, page: &Directory<'_>) -> Result<(), Fault> {
        let bad = |what: &str| Fault::corrupt(format!("strips or tiles: {what}"));
        let side = |tag| page.number(tag).map(|side| side.and_then(|side| usize::try_from(side).ok()));
        let (offsets, lengths) = if let Some(width) = side(322)? {
            self.is_tiled = true;
            self.chunk = (width, side(323)?.ok_or_else(|| bad("no tile height"))?);
            (page.numbers(324)?, page.numbers(325)?)
        } else {
            let rows = side(278)?.unwrap_or(self.height).min(self.height);
            self.chunk = (self.width, rows);
            (page.numbers(273)?, page.numbers(279)?)
        };
        let (width, height) = self.chunk;
        // A tile may be larger than a small page, but not without bound.
        if width == 0
            || height == 0
            || width.saturating_mul(height) > 4 * self.width * self.height + (1 << 20)
        {
            return Err(bad("their size"));
        }
        let n_planes = if self.is_planar { self.n_samples } else { 1 };
        let wanted = self.width.div_ceil(width) * self.height.div_ceil(height) * n_planes;
        if offsets.len() != wanted || lengths.len() != wanted {
            return Err(bad(&format!(
                "{} offsets and {} lengths, {wanted} wanted",
                offsets.len(),
                lengths.len()
            )));
        }
        self.chunks = offsets.into_iter().zip(lengths).collect();
        Ok(())
    }
}

/// Bits of a sample and samples of a pixel.
fn samples(page: &Directory<'_>) -> Result<(usize, usize), Fault> {
    let n_samples = page.number(277)?.unwrap_or(1);
    let bits = page.numbers(258)?;
    let first = bits.first().copied().unwrap_or(1);
    if bits.iter().any(|&bits| bits != first) || !matches!(first, 1 | 2 | 4 | 8 | 16) {
        return Err(unsupported_color(format!("{first} bits a sample, allowed 1, 2, 4, 8, 16, all equal")));
    }
    if page.numbers(339)?.iter().any(|&format| format != 1) {
        return Err(unsupported_color("samples that are not unsigned whole numbers".to_owned()));
    }
    if !(1..=MAX_SAMPLES).contains(&n_samples) || (first < 8 && n_samples > 1) {
        return Err(unsupported_color(format!("{n_samples} samples a pixel of {first} bits")));
    }
    Ok((first as usize, n_samples as usize))
}

/// Whether a predictor was used; the same place refuses bits in reverse order.
fn is_differenced(page: &Directory<'_>, bits: usize, compression: Compression) -> Result<bool, Fault> {
    if !matches!(page.number(266)?, None | Some(1)) {
        return Err(unsupported("bits in reverse order"));
    }
    match page.number(317)? {
        None | Some(1) => Ok(false),
        // The tag has a meaning for these two alone.
        Some(2) if bits >= 8 => Ok(matches!(compression, Compression::Lzw | Compression::Deflate)),
        Some(_) => Err(unsupported("a predictor for floats, or for under 8 bits")),
    }
}

fn photometric(page: &Directory<'_>) -> Result<Photometric, Fault> {
    match page.number(262)? {
        Some(0) => Ok(Photometric::WhiteIsZero),
        Some(1) => Ok(Photometric::BlackIsZero),
        Some(2) => Ok(Photometric::Rgb),
        Some(3) => Ok(Photometric::Palette),
        Some(6) => Ok(Photometric::YCbCr),
        Some(other) => {
            Err(unsupported_color(format!("photometric interpretation {other}, allowed 0, 1, 2, 3, 6")))
        }
        None => Err(Fault::corrupt("photometric interpretation is missing")),
    }
}

fn compression(page: &Directory<'_>) -> Result<Compression, Fault> {
    match page.number(259)? {
        None | Some(1) => Ok(Compression::None),
        Some(5) => Ok(Compression::Lzw),
        Some(7) => Ok(Compression::Jpeg),
        Some(8 | 32_946) => Ok(Compression::Deflate),
        Some(32_773) => Ok(Compression::PackBits),
        Some(other) => Err(unsupported(&format!("compression {other}, allowed 1, 5, 7, 8, 32773, 32946"))),
    }
}

fn unsupported(found: &str) -> Fault {
    Fault::new(Reason::UnsupportedFormat, format!("TIFF: found {found}"))
}

fn unsupported_color(found: String) -> Fault {
    Fault::new(Reason::UnsupportedColorType, format!("TIFF: found {found}"))
}
