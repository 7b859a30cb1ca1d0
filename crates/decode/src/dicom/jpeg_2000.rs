//! JPEG 2000 frames, through a translation of OpenJPEG, whose results the irreversible transform is judged by.
//!
//! The decoder's own code is not safe Rust: it is for [a process of its own](crate::worker). It forgives cut data, so
//! the end of the codestream is asked for here, and so are the sizes, before it allocates. High-throughput block coding
//! (HTJ2K, T.814) is the same decoder's.

use std::borrow::Cow;

use super::super::error::{Fault, Reason};
use super::super::jpeg;
use super::module::PixelModule;
use super::samples::Decoded;

const JP2: [u8; 8] = *b"\0\0\0\x0cjP  ";
const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
const END: [u8; 2] = [0xff, 0xd9];

/// Size and sample format of a codestream, and what its coding style says of colours and losses.
struct Siz {
    size_px: (u32, u32),
    /// By component: bits and sign.
    components: Vec<(u8, bool)>,
    /// A multiple component transformation, which the decoder undoes: its results are RGB.
    has_transform: bool,
    is_reversible: bool,
}

/// Decodes a frame of the declared size. Shape: `[height, width, n_samples]`, in two's complement where signed.
pub(super) fn decode(bytes: &[u8], size_px: (u32, u32), module: &PixelModule) -> Result<Decoded, Fault> {
    let bytes = codestream(bytes)?;
    let siz = Siz::read(bytes)?;
    let most = module.bits_allocated.min(16);
    let values = components(bytes, &siz, size_px, module.n_samples as usize, most)?;
    Ok(Decoded {
        values,
        precision: siz.components.iter().map(|&(bits, _)| bits.into()).max().unwrap_or(16),
        is_signed: siz.components.iter().any(|&(_, is_signed)| is_signed),
        is_lossy: !siz.is_reversible,
        is_rgb: siz.has_transform,
    })
}

/// Decodes a tile of a TIFF. Shape: `[height, width, n_samples]`, 8 bits, grey or RGB.
///
/// `is_ycbcr`: three components without a transform are YCbCr, as Aperio's scanners write them.
pub(in super::super) fn decode_tile(
    bytes: &[u8],
    size_px: (u32, u32),
    n_samples: u32,
    is_ycbcr: bool,
) -> Result<Vec<u8>, Fault> {
    let bytes = codestream(bytes)?;
    let siz = Siz::read(bytes)?;
    let values = components(bytes, &siz, size_px, n_samples as usize, 8)?;
    let mut values: Vec<u8> = values.into_iter().map(|value| value as u8).collect();
    if is_ycbcr && !siz.has_transform && n_samples == 3 {
        values
            .as_chunks_mut::<3>()
            .0
            .iter_mut()
            .for_each(|pixel| *pixel = jpeg::ycbcr(pixel[0], pixel[1], pixel[2]));
    }
    Ok(values)
}

/// The values of a codestream, which must be of that size, of so many components and of no more bits.
fn components(
    bytes: &[u8],
    siz: &Siz,
    size_px: (u32, u32),
    n_samples: usize,
    most_bits: u32,
) -> Result<Vec<u16>, Fault> {
    let bytes = &ended(bytes)?;
    if siz.size_px != size_px || siz.components.len() != n_samples {
        return Err(Fault::corrupt("the JPEG 2000 frame's size differs from what its container says"));
    }
    if let Some((bits, _)) = siz.components.iter().find(|(bits, _)| u32::from(*bits) > most_bits) {
        let detail = format!("JPEG 2000 of {bits} bits, allowed {most_bits}");
        return Err(Fault::new(Reason::UnsupportedFormat, detail));
    }
    interleaved(bytes, size_px.0 as usize * size_px.1 as usize, n_samples)
}

/// What the decoder makes of a codestream, the samples of a pixel side by side.
#[cfg(feature = "jpeg2000")]
fn interleaved(bytes: &[u8], n_pixels: usize, n_samples: usize) -> Result<Vec<u16>, Fault> {
    use jpeg2k::{DecodeParameters, Image};

    let image = Image::from_bytes_with(bytes, DecodeParameters::new().strict(true))
        .map_err(|_| Fault::corrupt("the JPEG 2000 codestream is invalid"))?;
    let components = image.components();
    if components.len() != n_samples || components.iter().any(|component| component.data().len() != n_pixels)
    {
        return Err(Fault::corrupt("the JPEG 2000 components differ in size"));
    }
    let mut values = vec![0; n_pixels * n_samples];
    for (at, component) in components.iter().enumerate() {
        for (value, &sample) in values[at..].iter_mut().step_by(n_samples).zip(component.data()) {
            // At most 16 bits, by the check above; negative ones in two's complement.
            *value = sample as u16;
        }
    }
    Ok(values)
}

#[cfg(not(feature = "jpeg2000"))]
fn interleaved(_: &[u8], _: usize, _: usize) -> Result<Vec<u16>, Fault> {
    Err(Fault::new(Reason::UnsupportedFormat, "JPEG 2000, which this program was built without"))
}

/// The codestream with its end marker, which some writers leave out.
///
/// Without it a frame is whole only where every tile part has a length and the last ends with the frame.
fn ended(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    // Fragments have an even length; the byte that makes it so is not always zero.
    let unpadded = bytes.split_last().map(|(_, rest)| rest).unwrap_or_default();
    if bytes.ends_with(&END) || unpadded.ends_with(&END) {
        return Ok(bytes.into());
    }
    match end_of_tile_parts(bytes) {
        Some(end) if end == bytes.len() => Ok([&bytes[..end], &END].concat().into()),
        _ => Err(Fault::truncated("no end-of-codestream marker at the end of the frame")),
    }
}

/// Walks the main header and the tile parts by their lengths (T.800 A.4.2).
fn end_of_tile_parts(bytes: &[u8]) -> Option<usize> {
    const TILE_PART: u8 = 0x90;
    let mut at = 2;
    let mut n_parts = 0_u32;
    while let Some(&[0xff, code, high, low]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        if code != TILE_PART {
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
            continue;
        }
        let len = bytes.get(at + 6..at + 10)?.first_chunk::<4>().map(|&four| u32::from_be_bytes(four))?;
        if len < 14 {
            return None;
        }
        at = at.checked_add(len as usize)?;
        n_parts += 1;
    }
    (n_parts > 0 && at <= bytes.len() && bytes.len() - at < 4).then_some(at)
}

/// Steps into the boxes of a JP2 file, which some writers store in place of the bare codestream.
fn codestream(bytes: &[u8]) -> Result<&[u8], Fault> {
    let mut rest = bytes;
    if !rest.starts_with(&JP2) {
        return Ok(rest);
    }
    loop {
        let bad = || Fault::corrupt("a JP2 file without a codestream");
        let &[a, b, c, d, ref kind @ ..] = rest.first_chunk::<8>().ok_or_else(bad)?;
        let len = match u32::from_be_bytes([a, b, c, d]) as usize {
            0 => rest.len(),
            len => len,
        };
        let body = rest.get(8..len).ok_or_else(bad)?;
        if kind == b"jp2c" {
            return Ok(body);
        }
        rest = &rest[len..];
    }
}

impl Siz {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("the frame does not begin with a JPEG 2000 codestream header");
        let body = bytes.strip_prefix(&START).and_then(|body| body.get(..38)).ok_or_else(bad)?;
        let u32_at = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let side = |end: u32, start: u32| end.checked_sub(start).ok_or_else(bad);
        let size_px = (side(u32_at(4), u32_at(12))?, side(u32_at(8), u32_at(16))?);
        // The decoder keeps a structure for each tile; tile parts number them in 16 bits (T.800 A.4.2).
        let across =
            |end: u32, start: u32, tile: u32| u64::from(end.saturating_sub(start).div_ceil(tile.max(1)));
        let n_tiles = across(u32_at(4), u32_at(28), u32_at(20)) * across(u32_at(8), u32_at(32), u32_at(24));
        if n_tiles > u64::from(u16::MAX) {
            return Err(Fault::corrupt(format!("{n_tiles} JPEG 2000 tiles, allowed {}", u16::MAX)));
        }
        let n = usize::from(u16::from_be_bytes([body[36], body[37]]));
        let formats = bytes.get(START.len() + 38..).and_then(|rest| rest.get(..3 * n)).ok_or_else(bad)?;
        let formats = formats.as_chunks::<3>().0;
        if formats.iter().any(|format| format[1..] != [1, 1] || format[0] & 0x7f > 37) {
            return Err(Fault::new(Reason::UnsupportedFormat, "JPEG 2000 with subsampled components"));
        }
        let components =
            formats.iter().map(|format| ((format[0] & 0x7f) + 1, format[0] & 0x80 != 0)).collect();
        let (has_transform, is_reversible) = coding_style(bytes).ok_or_else(bad)?;
        Ok(Self { size_px, components, has_transform, is_reversible })
    }
}

/// Whether components are transformed, and whether wavelets are reversible, from the main header's COD segment.
fn coding_style(bytes: &[u8]) -> Option<(bool, bool)> {
    const COD: u8 = 0x52;
    let mut at = 2;
    loop {
        let &[0xff, code, high, low] = bytes.get(at..)?.first_chunk()? else { return None };
        if code == COD {
            let body = bytes.get(at + 4..at + 14)?;
            return Some((body[4] == 1, body[9] == 1));
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}
