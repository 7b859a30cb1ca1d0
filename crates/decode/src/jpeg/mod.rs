//! JPEG: baseline, extended sequential and progressive, 8 bits, grey or three components.
//!
//! A decoder of our own, for two reasons. Ready-made ones patch damage: a file cut to a twentieth decodes as a mostly
//! grey picture without an error, strict modes included. And none in Rust gives Pillow's pixels, while this one follows
//! libjpeg's arithmetic (accurate integer DCT, triangle upsampling, 16-bit colour conversion) value for value.
//!
//! Strictness. The picture must reach its own end-of-image marker; bytes after it are ignored (cameras append
//! previews there, and the object's checksum is the manifest's business). Every block of every scan must be present,
//! restart markers must come in order, no entropy-coded byte may be left over, and a progressive image must have
//! received every coefficient down to its last bit.
//!
//! Refused by reason: four components (CMYK, YCCK) as `unsupported_color_type`, and 12 bits unless grey, sequential
//! and inside DICOM ([`extended`]); lossless (which [`lossless`] decodes inside DICOM), hierarchical and arithmetic coding,
//! and sampling ratios that are not whole, as `unsupported_format`. A file without Huffman tables has the [`standard`]
//! ones.
//!
//! Order: [`structure`] walks the markers, [`sequential`] or [`progressive`] fills [`mod@planes`] through [`idct`], then
//! row by row [`upsample`] and [`color`].

mod bits;
mod blocks;
mod color;
mod extended;
mod frame;
mod huffman;
mod idct;
pub(super) mod lossless;
mod planes;
mod progressive;
mod scan;
mod sequential;
mod standard;
mod structure;
mod upsample;

use super::Header;
use super::error::{Fault, Reason};
use super::facts::Facts;
use blocks::Blocks;
pub(super) use color::ycbcr;
use frame::{ColorModel, Component, Frame};
use planes::Plane;
use structure::Structure;
use t3b_image::Rgb8;
use t3b_image::simd;
use upsample::Upsampling;

/// Natural index of each coefficient in file order.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Walks the markers to the end of the image.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, Fault> {
    let frame = Structure::read(bytes)?.frame;
    let planes: u64 = frame.components.iter().map(Plane::size_bytes).sum();
    // Coefficients are gone before RGB is made; unless progressive, only one row of MCUs is held.
    let blocks = |c: &Component| {
        Blocks::size_bytes(if frame.is_progressive { c.blocks } else { (c.blocks.0, c.sampling.1) })
    };
    let coefficients: u64 = frame.components.iter().map(blocks).sum();
    let rgb = 3 * u64::from(frame.width_px) * u64::from(frame.height_px);
    let peak_bytes = planes + rgb.max(coefficients + bytes.len() as u64);
    Ok(Header { width_px: frame.width_px, height_px: frame.height_px, peak_bytes })
}

/// Decodes a JPEG whose header passed the limits.
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb8, Fault> {
    rgb(&Structure::read(bytes)?)
}

/// What a container says about the colours of a JPEG inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorRule {
    /// TIFF: the container knows.
    Tiff {
        /// The components are RGB, not YCbCr.
        is_rgb: bool,
    },
    /// DICOM: what the stream says itself goes first, for its attributes are often those of the picture before or after
    /// compression; libjpeg's order, as dcm4che, DCMTK and Weasis follow it.
    Container {
        /// The attributes say RGB.
        is_rgb: bool,
    },
}

/// Decodes a JPEG of three components inside a container, which must declare the same size.
pub(super) fn decode_as(
    bytes: &[u8],
    size_px: (u32, u32),
    rule: ColorRule,
    facts: &mut Facts,
) -> Result<Rgb8, Fault> {
    let mut structure = Structure::read_contained(bytes)?;
    check_frame(&structure.frame, size_px, 3)?;
    let model = |is_rgb| if is_rgb { ColorModel::Rgb } else { ColorModel::YCbCr };
    let own = structure.frame.color_model;
    let (chosen, why) = match (rule, own) {
        (ColorRule::Tiff { is_rgb }, _) => (model(is_rgb), "as the TIFF says"),
        (ColorRule::Container { .. }, Some(own)) => (own, "as the JPEG's own markers and components say"),
        (ColorRule::Container { is_rgb }, None) => (model(is_rgb), "as the attributes say"),
    };
    let name = if chosen == ColorModel::Rgb { "RGB" } else { "YCbCr to RGB" };
    facts.note("rule", format!("{name}, {why}"));
    structure.frame.color_model = Some(chosen);
    rgb(&structure)
}

/// Decodes a JPEG of one component inside a container, which must declare the same size. Shape: `[height, width]`.
pub(super) fn decode_grey(bytes: &[u8], size_px: (u32, u32)) -> Result<Vec<u8>, Fault> {
    let structure = Structure::read_contained(bytes)?;
    check_frame(&structure.frame, size_px, 1)?;
    if structure.frame.precision != 8 {
        return Err(Fault::new(Reason::UnsupportedColorType, "found 12 bits a sample, allowed 8"));
    }
    grey(&structure)
}

/// The same for 8 or 12 bits; gives the values and their precision.
pub(super) fn decode_grey_values(bytes: &[u8], size_px: (u32, u32)) -> Result<(Vec<u16>, u32), Fault> {
    let structure = Structure::read_contained(bytes)?;
    check_frame(&structure.frame, size_px, 1)?;
    match structure.frame.precision {
        8 => Ok((grey(&structure)?.into_iter().map(u16::from).collect(), 8)),
        _ => {
            check_length(&structure)?;
            Ok((extended::decode(&structure)?, 12))
        }
    }
}

/// The size that a stream's frame header declares, if there is one.
pub(super) fn size_px(bytes: &[u8]) -> Option<(u32, u32)> {
    Structure::read_contained(bytes).ok().map(|one| (one.frame.width_px, one.frame.height_px))
}

fn grey(structure: &Structure<'_>) -> Result<Vec<u8>, Fault> {
    let planes = planes(structure)?;
    let rows = 0..structure.frame.height_px as usize;
    Ok(rows.flat_map(|y| &planes[0].row(y)[..structure.frame.width_px as usize]).copied().collect())
}

/// A block takes two bits at least: a header that promises more than there can be costs nothing.
fn check_length(structure: &Structure<'_>) -> Result<(), Fault> {
    let frame = &structure.frame;
    let n_blocks: usize = frame.components.iter().map(|one| one.own_blocks.0 * one.own_blocks.1).sum();
    let n_bytes: usize = structure.scans.iter().map(|scan| scan.data.len()).sum();
    if !frame.is_progressive && n_bytes < n_blocks / 4 {
        return Err(Fault::truncated(format!("{n_bytes} bytes of scan data for {n_blocks} blocks")));
    }
    Ok(())
}

fn check_frame(frame: &Frame, (width_px, height_px): (u32, u32), n_components: usize) -> Result<(), Fault> {
    let found = (frame.width_px, frame.height_px, frame.components.len());
    if found == (width_px, height_px, n_components) {
        return Ok(());
    }
    let wanted = format!("{width_px}x{height_px} px of {n_components}");
    let detail = format!(
        "a JPEG of {}x{} px of {} components where the container says {wanted}",
        found.0, found.1, found.2
    );
    Err(Fault::corrupt(detail))
}

fn planes(structure: &Structure<'_>) -> Result<Vec<Plane>, Fault> {
    let frame = &structure.frame;
    if frame.components.iter().any(|component| component.quant.is_none()) {
        return Err(Fault::corrupt("quantization table missing"));
    }
    check_length(structure)?;
    let mut planes: Vec<Plane> = frame.components.iter().map(Plane::new).collect();
    if frame.is_progressive {
        progressive::decode(structure, &mut planes)?;
    } else {
        sequential::decode(structure, &mut planes)?;
    }
    Ok(planes)
}

fn rgb(structure: &Structure<'_>) -> Result<Rgb8, Fault> {
    let frame = &structure.frame;
    let planes = planes(structure)?;
    let mut rgb = vec![0; frame.width_px as usize * frame.height_px as usize * Rgb8::CHANNELS];
    simd::widest(
        #[inline(always)]
        || to_rgb(frame, &planes, &mut rgb),
    );
    Rgb8::new(frame.width_px, frame.height_px, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

#[inline(always)]
fn to_rgb(frame: &Frame, planes: &[Plane], rgb: &mut [u8]) {
    let upsampling: Vec<Upsampling> =
        frame.components.iter().map(|component| Upsampling::choose(component, frame.max_sampling)).collect();
    let mut sums = Vec::new();
    let mut buffers = [const { Vec::new() }; 3];
    for (y, rgb) in rgb.chunks_exact_mut(frame.width_px as usize * Rgb8::CHANNELS).enumerate() {
        let mut rows: [&[u8]; 3] = [&[]; 3];
        for (((row, buffer), plane), upsampling) in
            rows.iter_mut().zip(&mut buffers).zip(planes).zip(&upsampling)
        {
            *row = upsampling.row(plane, y, &mut sums, buffer);
        }
        match frame.color_model {
            Some(ColorModel::Grey) => color::grey_row(rows[0], rgb),
            Some(ColorModel::Rgb) => color::rgb_row(rows, rgb),
            Some(ColorModel::YCbCr) | None => color::ycbcr_row(rows, rgb),
        }
    }
}
