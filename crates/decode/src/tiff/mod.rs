//! TIFF: strips and tiles, 1 to 16 bits, plain, PackBits, LZW, deflate or JPEG; one page of several by number.
//!
//! Own reading of the structure, because the ready crate takes palettes for an error and decodes JPEG with a lenient
//! decoder that is not Pillow's equal; LZW and inflate come from crates.
//!
//! To RGB, as Pillow does it: the grey depths 1, 2 and 4 are spread over 0..=255; 16-bit samples keep their high byte
//! (Pillow clips plain 16-bit grey at 255 instead); palettes are looked up by their high bytes; alpha and other extra
//! samples are dropped, after undoing a multiplication with alpha; the orientation tag is applied, which Pillow does
//! for TIFF alone. Colour profiles and resolutions are ignored. Grey of more than 8 bits follows the window of the
//! [`Rendering`]; where that is the file's, 10 to 14 bits and those of MaxSampleValue are spread over 0..=255, and signed,
//! floating-point and 32-bit samples are shown from the smallest to the largest.
//!
//! Pages that are marked as a reduced picture or a mask of another are not counted.
//!
//! Refused as `unsupported_color_type`: CMYK, Lab, subsampled YCbCr outside JPEG, mixed depths, wide samples of several
//! colours. Refused as `unsupported_format`: fax, old JPEG, LZMA, WebP and other compressions.
//!
//! An uncompressed TIFF has no checksum: a flipped byte in it can only be found by the manifest's.

mod chunks;
mod color;
mod ifd;
mod layout;

use super::error::Fault;
use super::facts::Facts;
use super::rendering::Rendering;
use super::{Header, frames};
use ifd::{Directory, File};
use layout::SampleLayout;
use t3b_image::Rgb8;

/// Follows the pages and reads the size of the one that is wanted.
pub(super) fn read_header(bytes: &[u8], frame: Option<u32>, facts: &mut Facts) -> Result<Header, Fault> {
    let pages = pages(bytes)?;
    facts.note("n_pages", pages.len().to_string());
    let page = pages[frames::choose(pages.len() as u32, frame)? as usize];
    let (width_px, height_px) = layout::size_px(&page)?;
    let n_samples = page.number(277)?.unwrap_or(1).min(8);
    let bits = page.number(258)?.unwrap_or(1).min(64);
    facts.note("bits", bits.to_string());
    facts.note("compression", page.number(259)?.unwrap_or(1).to_string());
    let n_bytes = n_samples.saturating_mul(bits.div_ceil(8).max(1));
    // One grey value is held as a number of 64 bits while it is windowed, and once more where percentiles sort them.
    let values = if bits > 8 { 16 } else { 0 };
    // A codec of others holds its coefficients too.
    let codec = if layout::is_risky(&page) { 12 * n_samples } else { 0 };
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    // Samples, then RGB beside them and once more where the page is turned; a chunk is never over four pages.
    let a_pixel = 2 * n_bytes + 6 + values + codec;
    let peak_bytes = n_pixels.saturating_mul(a_pixel).saturating_add(bytes.len() as u64);
    Ok(Header { width_px, height_px, peak_bytes })
}

/// Whether one of the pages is compressed in a way whose decoder could end the process.
pub(super) fn is_risky(bytes: &[u8]) -> bool {
    File::new(bytes).pages().is_ok_and(|pages| pages.iter().any(layout::is_risky))
}

/// Decodes one page of a TIFF whose header passed the limits.
pub(super) fn decode(bytes: &[u8], rendering: &Rendering, facts: &mut Facts) -> Result<Rgb8, Fault> {
    let pages = pages(bytes)?;
    let page = pages[frames::choose(pages.len() as u32, rendering.frame)? as usize];
    let layout = SampleLayout::read(&page)?;
    let samples = chunks::samples(&layout)?;
    let rgb = color::rgb(&layout, &samples, rendering.window, facts);
    let (width, height, rgb) = color::upright(&layout, rgb);
    Rgb8::new(width as u32, height as u32, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

/// The pages that are pictures of their own, or all where none says so.
fn pages(bytes: &[u8]) -> Result<Vec<Directory<'_>>, Fault> {
    /// NewSubfileType: a reduced version of another page, a transparency mask.
    const REDUCED: u64 = 1;
    const MASK: u64 = 4;
    let all = File::new(bytes).pages()?;
    let mut whole = Vec::with_capacity(all.len());
    for page in &all {
        if page.number(254)?.unwrap_or(0) & (REDUCED | MASK) == 0 {
            whole.push(*page);
        }
    }
    Ok(if whole.is_empty() { all } else { whole })
}
