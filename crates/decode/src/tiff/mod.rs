//! TIFF: strips and tiles, 1 to 16 bits, plain, PackBits, LZW, deflate or JPEG; one page of several by number.
//!
//! Own reading of the structure, because the ready crate takes palettes for an error and decodes JPEG with a lenient
//! decoder that is not Pillow's equal; LZW and inflate come from crates.
//!
//! To RGB, as Pillow does it: the grey depths 1, 2 and 4 are spread over 0..=255; 16-bit samples keep their high byte
//! (Pillow clips plain 16-bit grey at 255 instead); palettes are looked up by their high bytes; alpha and other extra
//! samples are dropped, after undoing a multiplication with alpha; the orientation tag is applied, which Pillow does
//! for TIFF alone. Colour profiles and resolutions are ignored.
//!
//! Refused as `unsupported_color_type`: floats and signed samples, CMYK, Lab, YCbCr outside JPEG, mixed depths. Refused
//! as `unsupported_format`: fax, old JPEG, zstd and other compressions, reversed bits, float predictors.
//!
//! An uncompressed TIFF has no checksum: a flipped byte in it can only be found by the manifest's.

mod chunks;
mod color;
mod ifd;
mod layout;

use super::error::Fault;
use super::{Header, frames};
use ifd::{Directory, File};
use layout::Layout;
use t3b_image::Rgb8;

/// Follows the pages and reads the size of the one that is wanted.
pub(super) fn read_header(bytes: &[u8], frame: Option<u32>) -> Result<Header, Fault> {
    let page = page(bytes, frame)?;
    let (width_px, height_px) = layout::size_px(&page)?;
    let n_samples = page.number(277)?.unwrap_or(1).min(8);
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    // Samples, then RGB beside them and once more where the page is turned; a chunk is never over four pages.
    let peak_bytes = n_pixels.saturating_mul(2 * n_samples + 6).saturating_add(bytes.len() as u64);
    Ok(Header { width_px, height_px, peak_bytes })
}

/// Decodes one page of a TIFF whose header passed the limits.
pub(super) fn decode(bytes: &[u8], frame: Option<u32>) -> Result<Rgb8, Fault> {
    let layout = Layout::read(&page(bytes, frame)?)?;
    let samples = chunks::samples(&layout)?;
    let (width, height, rgb) = color::upright(&layout, color::rgb(&layout, &samples));
    Rgb8::new(width as u32, height as u32, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

fn page(bytes: &[u8], frame: Option<u32>) -> Result<Directory<'_>, Fault> {
    let pages = File::new(bytes).pages()?;
    let index = frames::choose(pages.len() as u32, frame)?;
    Ok(pages[index as usize])
}
