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
    /// Inside JPEG, JPEG 2000, or without subsampling.
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
    Zstd,
    /// In a process of its own. `is_ycbcr`: Aperio's, whose components are not transformed back by the decoder.
    Jpeg2000 {
        is_ycbcr: bool,
    },
}

/// What the bits of a sample mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    Unsigned,
    Signed,
    Float,
}

/// How rows were made smaller before they were compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Differences to the pixel on the left.
    Horizontal,
    /// The same of bytes, with the bytes of equal weight together.
    Float,
}

/// A page that can be decoded.
#[derive(Debug)]
pub(super) struct SampleLayout<'a> {
    pub(super) file: File<'a>,
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1 to 16, 32 or 64.
    pub(super) bits: usize,
    pub(super) kind: SampleKind,
    /// Samples of a pixel, extra ones included.
    pub(super) n_samples: usize,
    pub(super) photometric: Photometric,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// The first pixel of a byte is in its low bits.
    pub(super) is_reversed: bool,
    /// The largest value that is used, where the file says so.
    pub(super) largest: Option<u64>,
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

impl<'a> SampleLayout<'a> {
    /// Reads a page whose size passed the limits.
    pub(super) fn read(page: &Directory<'a>) -> Result<Self, Fault> {
        let (width, height) = size_px(page)?;
        let (bits, n_samples, kind) = samples(page)?;
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
        let is_coded = is_jpeg || matches!(compression, Compression::Jpeg2000 { .. });
        if matches!(compression, Compression::Jpeg2000 { .. }) && (bits != 8 || is_planar || n_samples > 3) {
            return Err(unsupported_color(format!("JPEG 2000 of {n_samples} samples of {bits} bits")));
        }
        if photometric == Photometric::YCbCr && !is_coded {
            let subsampling = page.numbers(530)?;
            if bits != 8 || subsampling != [1, 1] {
                let detail = format!("YCbCr of {bits} bits with subsampled chroma, outside JPEG");
                return Err(unsupported_color(detail));
            }
        }
        let is_wide = bits > 16 || kind != SampleKind::Unsigned;
        if is_wide && (n_samples > 1 || n_colors > 1 || photometric == Photometric::Palette) {
            let detail =
                format!("{n_samples} samples of {bits} bits that are no unsigned 8 or 16, allowed 1");
            return Err(unsupported_color(detail));
        }
        if photometric == Photometric::Palette && (bits > 8 || is_jpeg) {
            return Err(unsupported_color(format!("a palette of {bits} bits, allowed 8")));
        }
        let predictor = predictor(page, bits, kind, compression)?;
        let mut layout = Self {
            file: page.file(),
            width: width as usize,
            height: height as usize,
            bits,
            n_samples,
            photometric,
            compression,
            kind,
            predictor,
            is_reversed: page.number(266)? == Some(2),
            largest: page.number(281)?,
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
        // Old writers leave the lengths of plain strips out, or zero: they follow from the size.
        let lengths = match lengths.as_slice() {
            [] if self.compression == Compression::None && !self.is_tiled => vec![0; offsets.len()],
            _ => lengths,
        };
        if offsets.len() != wanted || lengths.len() != wanted {
            return Err(bad(&format!(
                "{} offsets and {} lengths, {wanted} wanted",
                offsets.len(),
                lengths.len()
            )));
        }
        self.chunks = offsets.into_iter().zip(lengths).collect();
        if self.compression == Compression::None {
            let row_len = self.row_len();
            let plain = (row_len * height) as u64;
            for (index, (at, len)) in self.chunks.iter_mut().enumerate() {
                let rows = (index % self.height.div_ceil(height) + 1) * height;
                let is_last = !self.is_tiled && rows > self.height;
                let needed = if is_last { (row_len * (height + self.height - rows)) as u64 } else { plain };
                if *len == 0 && *at != 0 {
                    *len = needed;
                }
            }
        }
        Ok(())
    }

    /// Samples of a pixel that stand together.
    pub(super) fn step(&self) -> usize {
        if self.is_planar { 1 } else { self.n_samples }
    }

    /// Bytes of a decompressed row of a chunk.
    pub(super) fn row_len(&self) -> usize {
        (self.chunk.0 * self.step() * self.bits).div_ceil(8)
    }

    /// Bytes of a sample once its bits are unpacked: 1 up to 8 bits, 2 up to 16, else its own.
    pub(super) fn sample_bytes(&self) -> usize {
        match self.bits {
            0..=8 => 1,
            9..=16 => 2,
            bits => bits / 8,
        }
    }
}

/// Bits of a sample, samples of a pixel and what they mean.
fn samples(page: &Directory<'_>) -> Result<(usize, usize, SampleKind), Fault> {
    let n_samples = page.number(277)?.unwrap_or(1);
    let bits = page.numbers(258)?;
    let first = bits.first().copied().unwrap_or(1);
    let formats = page.numbers(339)?;
    let kind = match formats.first().copied().unwrap_or(1) {
        // 4: undefined, which libtiff takes for unsigned.
        1 | 4 => SampleKind::Unsigned,
        2 => SampleKind::Signed,
        3 => SampleKind::Float,
        _ => return Err(unsupported_color("complex samples".to_owned())),
    };
    let allowed: &[u64] = match kind {
        SampleKind::Unsigned => &[1, 2, 4, 8, 10, 12, 14, 16, 32],
        SampleKind::Signed => &[8, 16, 32],
        SampleKind::Float => &[32, 64],
    };
    let is_mixed =
        bits.iter().any(|&bits| bits != first) || formats.windows(2).any(|pair| pair[0] != pair[1]);
    if is_mixed || !allowed.contains(&first) {
        let kind = match kind {
            SampleKind::Unsigned => "unsigned",
            SampleKind::Signed => "signed",
            SampleKind::Float => "floating-point",
        };
        return Err(unsupported_color(format!(
            "{kind} samples of {first} bits, allowed {allowed:?}, all equal"
        )));
    }
    if !(1..=MAX_SAMPLES).contains(&n_samples) || (!matches!(first, 8 | 16) && n_samples > 1) {
        return Err(unsupported_color(format!("{n_samples} samples a pixel of {first} bits")));
    }
    Ok((first as usize, n_samples as usize, kind))
}

fn predictor(
    page: &Directory<'_>,
    bits: usize,
    kind: SampleKind,
    compression: Compression,
) -> Result<Predictor, Fault> {
    if !matches!(page.number(266)?, None | Some(1 | 2)) {
        return Err(unsupported("an order of bits that is none"));
    }
    // The tag has a meaning for these alone.
    let has_predictor = matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd);
    match page.number(317)? {
        None | Some(1) => Ok(Predictor::None),
        Some(2 | 3) if !has_predictor => Ok(Predictor::None),
        Some(2) if matches!(bits, 8 | 16 | 32) => Ok(Predictor::Horizontal),
        Some(3) if kind == SampleKind::Float => Ok(Predictor::Float),
        Some(other) => Err(unsupported(&format!("predictor {other} of {bits} bits"))),
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

/// Whether a page's pixels are decoded by a library that could end the process.
pub(super) fn is_risky(page: &Directory<'_>) -> bool {
    matches!(compression(page), Ok(Compression::Jpeg2000 { .. }))
}

fn compression(page: &Directory<'_>) -> Result<Compression, Fault> {
    match page.number(259)? {
        None | Some(1) => Ok(Compression::None),
        Some(5) => Ok(Compression::Lzw),
        Some(7) => Ok(Compression::Jpeg),
        Some(8 | 32_946) => Ok(Compression::Deflate),
        Some(32_773) => Ok(Compression::PackBits),
        Some(33_003) => Ok(Compression::Jpeg2000 { is_ycbcr: true }),
        Some(33_005 | 34_712) => Ok(Compression::Jpeg2000 { is_ycbcr: false }),
        Some(50_000) => Ok(Compression::Zstd),
        Some(other) => {
            let name = match other {
                2..=4 | 32_771 => " (fax)",
                6 => " (old-style JPEG)",
                34_661 => " (JBIG)",
                34_892 => " (lossy JPEG of DNG)",
                34_925 => " (LZMA)",
                50_001 => " (WebP)",
                50_002 | 52_546 => " (JPEG XL)",
                34_887 => " (LERC)",
                _ => "",
            };
            let allowed = "allowed 1, 5, 7, 8, 32773, 32946, 33003, 33005, 34712, 50000";
            Err(unsupported(&format!("compression {other}{name}, {allowed}")))
        }
    }
}

fn unsupported(found: &str) -> Fault {
    Fault::new(Reason::UnsupportedFormat, format!("TIFF: found {found}"))
}

fn unsupported_color(found: String) -> Fault {
    Fault::new(Reason::UnsupportedColorType, format!("TIFF: found {found}"))
}
