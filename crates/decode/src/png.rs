//! PNG: every colour type and bit depth, interlaced or not.
//!
//! Depths 1, 2 and 4 of grey are spread over 0..=255; 16-bit samples keep their high byte (Pillow does so for colour
//! and for grey with alpha, and clips plain 16-bit grey at 255 instead), but grey follows `sBIT`, where all values fit it,
//! and the window of the [`Rendering`](super::Rendering); alpha and `tRNS` are dropped.
//! Text, profile and time chunks are checked for their checksum and never inflated, so a text bomb costs nothing.
//! Bytes after `IEND` are ignored: the picture is complete, and the object's checksum is the manifest's business.

use std::io::{Cursor, ErrorKind};

use ::png::{ColorType, DecodeOptions, Decoder, DecodingError, Transformations};

use super::error::{Fault, Reason};
use super::facts::Facts;
use super::rendering::Window;
use super::{Header, frames, levels};
use t3b_image::Rgb8;

const SIGNATURE_LEN: usize = 8;
/// Length, type and checksum around a chunk's data.
const CHUNK_OVERHEAD: usize = 12;

/// Reads `IHDR` and follows the chunk chain to `IEND`, without looking into the data.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, Fault> {
    let ihdr = bytes
        .get(SIGNATURE_LEN..SIGNATURE_LEN + CHUNK_OVERHEAD + 13)
        .ok_or_else(|| Fault::truncated(format!("{} bytes, the header needs 33", bytes.len())))?;
    if &ihdr[..8] != b"\0\0\0\x0dIHDR" {
        if &ihdr[4..8] == b"CgBI" {
            let detail = "PNG: found Apple's CgBI variant, which is no PNG of the standard";
            return Err(Fault::new(Reason::UnsupportedFormat, detail));
        }
        return Err(Fault::corrupt("the first chunk is not a 13-byte IHDR"));
    }
    let (width_px, height_px) = (be_u32(ihdr, 8), be_u32(ihdr, 12));
    let (bit_depth, color_type) = (ihdr[16], ihdr[17]);
    let chain = follow_chunks(bytes)?;
    if chain.n_frames > 1 {
        return Err(frames::fault(chain.n_frames));
    }
    // Samples a pixel as the decoder hands them out; only three are RGB already, any other number is copied to it.
    let n_samples = match (color_type, chain.has_transparency) {
        (0, false) => 1,
        (0, true) | (4, _) => 2,
        (2 | 3, false) => 3,
        _ => 4,
    };
    let n_bytes = if n_samples == 3 { 3 } else { n_samples + 3 };
    // 16-bit grey is held as bytes, as words and as the numbers that are windowed.
    let n_bytes = if bit_depth == 16 && matches!(color_type, 0 | 4) { n_bytes + 16 } else { n_bytes };
    let rows = 3 * 4 * u64::from(width_px) * u64::from(bit_depth.div_ceil(8));
    let peak_bytes =
        (u64::from(width_px) * u64::from(height_px)).saturating_mul(n_bytes).saturating_add(rows);
    Ok(Header { width_px, height_px, peak_bytes })
}

/// What the chunks say besides the header.
struct Chain {
    n_frames: u32,
    has_transparency: bool,
}

/// Walks every chunk to the end of `IEND`.
fn follow_chunks(bytes: &[u8]) -> Result<Chain, Fault> {
    let mut at = SIGNATURE_LEN;
    let mut chain = Chain { n_frames: 1, has_transparency: false };
    loop {
        let cut = || Fault::truncated(format!("{} bytes, no IEND chunk inside", bytes.len()));
        let head = bytes.get(at..at + 8).ok_or_else(cut)?;
        let len = be_u32(head, 0) as usize;
        let end = len.checked_add(at + CHUNK_OVERHEAD).filter(|&end| end <= bytes.len()).ok_or_else(cut)?;
        match &head[4..] {
            b"IEND" => return Ok(chain),
            b"acTL" if len == 8 => chain.n_frames = be_u32(bytes, at + 8),
            b"tRNS" => chain.has_transparency = true,
            _ => {}
        }
        at = end;
    }
}

/// Decodes a PNG whose header passed the limits.
pub(super) fn decode(bytes: &[u8], window: Window, facts: &mut Facts) -> Result<Rgb8, Fault> {
    let (bit_depth, color_type) = (bytes[24], bytes[25]);
    let is_grey_16 = bit_depth == 16 && matches!(color_type, 0 | 4);
    facts.note("bits", bit_depth.to_string());
    facts.note("color_type", color_type.to_string());
    let mut options = DecodeOptions::default();
    options.set_ignore_checksums(false);
    options.set_skip_ancillary_crc_failures(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    let strip = if is_grey_16 { Transformations::IDENTITY } else { Transformations::STRIP_16 };
    decoder.set_transformations(Transformations::EXPAND | strip);
    let mut reader = decoder.read_info().map_err(fault)?;
    let significant_bits = reader.info().sbit.as_ref().and_then(|bits| bits.first()).map(|&bits| bits.into());
    let len = reader.output_buffer_size().ok_or_else(|| Fault::corrupt("size overflows"))?;
    let mut samples = vec![0; len];
    let frame = reader.next_frame(&mut samples).map_err(fault)?;
    reader.finish().map_err(fault)?;
    let n_pixels = frame.width as usize * frame.height as usize;
    if is_grey_16 {
        let step = samples.len() / n_pixels;
        let words = samples.chunks_exact(step.max(2)).map(|pixel| u16::from_be_bytes([pixel[0], pixel[1]]));
        let levels = levels::render_16(&words.collect::<Vec<_>>(), significant_bits, window, facts);
        let rgb = levels.into_iter().flat_map(|level| [level; 3]).collect();
        return Rgb8::new(frame.width, frame.height, rgb)
            .ok_or_else(|| Fault::corrupt("sample count differs from the header"));
    }
    let rgb = to_rgb(samples, frame.color_type, n_pixels)?;
    Rgb8::new(frame.width, frame.height, rgb)
        .ok_or_else(|| Fault::corrupt("sample count differs from the header"))
}

fn to_rgb(samples: Vec<u8>, color_type: ColorType, n_pixels: usize) -> Result<Vec<u8>, Fault> {
    let mut rgb = vec![0; n_pixels * Rgb8::CHANNELS];
    let out = rgb.as_chunks_mut::<3>().0.iter_mut();
    match color_type {
        ColorType::Rgb => return Ok(samples),
        ColorType::Grayscale => out.zip(&samples).for_each(|(rgb, &grey)| *rgb = [grey; 3]),
        ColorType::GrayscaleAlpha => {
            out.zip(samples.as_chunks::<2>().0).for_each(|(rgb, &[grey, _])| *rgb = [grey; 3]);
        }
        ColorType::Rgba => {
            out.zip(samples.as_chunks::<4>().0).for_each(|(rgb, &[r, g, b, _])| *rgb = [r, g, b]);
        }
        ColorType::Indexed => return Err(Fault::corrupt("palette was not expanded")),
    }
    Ok(rgb)
}

/// The decoder's own text is dropped: it may quote the file.
fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Fault::truncated("the data end inside a chunk")
        }
        DecodingError::LimitsExceeded => {
            Fault::new(Reason::DimensionsExceedLimit, "needs over 64 MiB beside its pixels")
        }
        _ => Fault::corrupt("a chunk, a checksum or the compressed data is invalid"),
    }
}

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
