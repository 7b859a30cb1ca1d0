//! JPEG 2000 frames, through a translation of OpenJPEG, whose results the irreversible transform is judged by.
//!
//! The decoder's own code is not safe Rust: it is for [a process of its own](crate::worker). It forgives cut data, so
//! the end-of-codestream marker is asked for here, and so are the sizes, before it allocates.

use jpeg2k::{DecodeParameters, Image};

use super::super::error::{Fault, Reason};
use super::module::PixelModule;

const JP2: [u8; 8] = *b"\0\0\0\x0cjP  ";
const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
const END: [u8; 2] = [0xff, 0xd9];

/// Size and sample format of a codestream.
struct Siz {
    size_px: (u32, u32),
    /// By component: bits and sign.
    components: Vec<(u8, bool)>,
}

/// Decodes a frame of the declared size. Shape: `[height, width, n_samples]`, in two's complement where signed.
pub(super) fn decode(bytes: &[u8], size_px: (u32, u32), module: &PixelModule) -> Result<Vec<u16>, Fault> {
    let bytes = codestream(bytes)?;
    // Fragments have an even length; the byte that makes it so is not always zero.
    let unpadded = bytes.split_last().map(|(_, rest)| rest).unwrap_or_default();
    if !bytes.ends_with(&END) && !unpadded.ends_with(&END) {
        return Err(Fault::truncated("no end-of-codestream marker at the end of the frame"));
    }
    let siz = Siz::read(bytes)?;
    let n_samples = module.n_samples as usize;
    if siz.size_px != size_px || siz.components.len() != n_samples {
        return Err(Fault::corrupt("the JPEG 2000 frame's size differs from the attributes"));
    }
    if let Some((bits, _)) =
        siz.components.iter().find(|(bits, _)| u32::from(*bits) > module.bits_allocated.min(16))
    {
        let detail = format!("JPEG 2000 of {bits} bits, allowed {}", module.bits_allocated.min(16));
        return Err(Fault::new(Reason::UnsupportedFormat, detail));
    }
    let image = Image::from_bytes_with(bytes, DecodeParameters::new().strict(true))
        .map_err(|_| Fault::corrupt("the JPEG 2000 codestream is invalid"))?;
    let components = image.components();
    let n_pixels = module.n_pixels();
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
        Ok(Self { size_px, components })
    }
}
