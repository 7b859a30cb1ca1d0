#![doc = include_str!("../README.md")]
//!
//! # In detail
//!
//! Bytes of an object to an RGB image: judged by content, limited before allocation, strict about damage.
//!
//! One file per format and one dispatch. Decoding is a pure function of the bytes and the [`Limits`].
//!
//! Order:
//! 1. [`Format::sniff`] names the format; file names are never asked.
//! 2. The format's header reader finds the declared size, frame count and colour type without decoding.
//! 3. [`Limits`] are checked, so a hostile header costs no memory.
//! 4. The format's decoder makes 8-bit RGB, or names the damage. A file cut anywhere is never scored.
//!
//! To RGB, for PNG, JPEG, TIFF, NPY, BMP, WebP, GIF and PNM: grey becomes three equal channels; alpha and transparency keys are dropped, not
//! composited; palettes are looked up; 16-bit samples keep their high byte; colour profiles and gamma are ignored; the
//! orientation tag is ignored in PNG and JPEG and applied in TIFF. Each rule is what
//! `PIL.Image.open(f).convert("RGB")` does, with one exception: Pillow clips 16-bit *grey* at 255, which makes nearly
//! every radiograph white; here grey keeps its high byte too, unless the file says that fewer bits are used (PNG's sBIT,
//! TIFF's MaxSampleValue) or [`Rendering`] has a window: then its values are windowed as those of DICOM are. Values of TIFF
//! that are signed, floating-point or of 32 bits are always windowed, by default from the smallest to the largest.
//!
//! DICOM grey goes through the modality and VOI transformations of its file, or the window of [`Rendering`]; colour
//! keeps its 8 high bits. The reference is pydicom; see `dicom/grey.rs` for the order of the steps. Of a NIfTI volume one
//! slice is shown; see `nifti/mod.rs` for its orientation and window.

mod dicom;
mod error;
mod facts;
mod format;
mod frames;
mod inflate;
mod jpeg;
mod jpeg_ls;
mod levels;
mod limits;
mod nifti;
mod npy;
mod packbits;
mod png;
mod rendering;
mod simple;
mod tiff;
pub mod worker;

use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};

use error::Fault;
use t3b_image::Rgb8;

pub use error::{DecodeError, Reason};
pub use facts::Facts;
pub use format::Format;
pub use limits::Limits;
pub use rendering::{BurnedIn, Rendering, Slice, Window};
pub use worker::Isolation;

/// What a header declares, read without decoding.
#[derive(Debug, Clone, Copy)]
struct Header {
    width_px: u32,
    height_px: u32,
    /// Bytes that decoding holds at its peak: the RGB image and the decoder's own buffers.
    peak_bytes: u64,
}

/// Bytes that [`decode`] will hold at its peak, from the header alone, for a byte budget.
///
/// Includes the RGB result and the decoder's working buffers, not `bytes` itself. `None` when the header cannot be
/// read or the format is not decoded; `decode` then fails without a large allocation. The declared size is not
/// compared with any limit here, and nothing is allocated for it.
#[must_use]
pub fn decoded_bytes(bytes: &[u8]) -> Option<u64> {
    decoded_bytes_with(bytes, &Rendering::default())
}

/// [`decoded_bytes`] for what [`decode_with`] will hold.
///
/// A deflated DICOM data set, whose attributes lie inside, is not inflated here, because nobody has been asked for the
/// memory yet; it gets the most that it can become.
#[must_use]
pub fn decoded_bytes_with(bytes: &[u8], rendering: &Rendering) -> Option<u64> {
    if Format::sniff(bytes) == Format::Dicom
        && let Some(most) = dicom::most_inflated_bytes(bytes)
    {
        return Some(most);
    }
    header_of(bytes, rendering).ok().map(|header| header.peak_bytes)
}

fn header_of(bytes: &[u8], rendering: &Rendering) -> Result<Header, Fault> {
    let format = Format::sniff(bytes);
    guarded(format, || read_header(bytes, format, rendering, &mut Facts::default()))
}

/// Whether decoding these bytes could end the process, and not only panic.
///
/// The one rule of [`worker::Isolation::Risky`]. Decoders of our own bound their stack and memory. Those of others promise
/// neither: JPEG 2000, a translation of a C library that is not safe Rust, and JPEG XL inside DICOM and TIFF; BMP, WebP,
/// GIF and PNM.
#[must_use]
pub fn is_risky(bytes: &[u8]) -> bool {
    match Format::sniff(bytes) {
        Format::Dicom => catch_unwind(|| dicom::is_risky(bytes)).unwrap_or(true),
        Format::Tiff => catch_unwind(|| tiff::is_risky(bytes)).unwrap_or(true),
        Format::Bmp | Format::Webp | Format::Gif | Format::Pnm => true,
        _ => false,
    }
}

/// Decodes the only picture of an object into 8-bit RGB, as its file says it is to be shown.
///
/// Shapes: `[height, width, 3]` as declared by the header, both sides inside `limits`.
///
/// # Errors
/// Those of [`decode_with`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb8, DecodeError> {
    decode_with(bytes, limits, &Rendering::default())
}

/// Decodes one picture of an object into 8-bit RGB.
///
/// Shapes: `[height, width, 3]` as declared by the header, both sides inside `limits`; a TIFF's orientation tag may
/// swap them.
///
/// # Errors
/// [`DecodeError`] with the reason for quarantine. A decoder's panic is caught and becomes
/// [`Reason::DecoderPanic`]; the process-wide panic hook still sees it.
///
/// Reference: `PIL.Image.open(f).convert("RGB")` and pydicom, but with damage refused instead of patched.
pub fn decode_with(bytes: &[u8], limits: &Limits, rendering: &Rendering) -> Result<Rgb8, DecodeError> {
    decode_noted(bytes, limits, rendering).1
}

/// [`decode_with`], with what was found on the way; there are facts about a refused picture too.
pub fn decode_noted(
    bytes: &[u8],
    limits: &Limits,
    rendering: &Rendering,
) -> (Facts, Result<Rgb8, DecodeError>) {
    let format = Format::sniff(bytes);
    let mut facts = Facts::default();
    facts.note("format", format.name());
    let header = guarded(format, AssertUnwindSafe(|| read_header(bytes, format, rendering, &mut facts)));
    let header = match header {
        Ok(header) => header,
        Err(fault) => return (facts, Err(DecodeError::new(fault, format, None))),
    };
    let declared_px = (header.width_px, header.height_px);
    facts.note("declared_px", format!("{} {}", header.width_px, header.height_px));
    let image = limits
        .check(header.width_px, header.height_px)
        .and_then(|()| guarded(format, AssertUnwindSafe(|| decode_as(bytes, format, rendering, &mut facts))));
    (facts, image.map_err(|fault| DecodeError::new(fault, format, Some(declared_px))))
}

fn read_header(
    bytes: &[u8],
    format: Format,
    rendering: &Rendering,
    facts: &mut Facts,
) -> Result<Header, Fault> {
    match format {
        Format::Png => single(rendering).and_then(|()| png::read_header(bytes)),
        Format::Jpeg => single(rendering).and_then(|()| jpeg::read_header(bytes)),
        Format::Tiff => tiff::read_header(bytes, rendering.frame, facts),
        Format::Dicom => dicom::read_header(bytes, rendering, facts),
        Format::Npy => single(rendering).and_then(|()| npy::read_header(bytes)),
        Format::Nifti => nifti::read_header(bytes, rendering, facts),
        Format::Bmp | Format::Gif | Format::Pnm | Format::Webp => {
            single(rendering).and_then(|()| simple::read_header(bytes, format))
        }
        _ => Err(refusal(bytes, format)),
    }
}

fn decode_as(bytes: &[u8], format: Format, rendering: &Rendering, facts: &mut Facts) -> Result<Rgb8, Fault> {
    match format {
        Format::Png => png::decode(bytes, rendering.window, facts),
        Format::Jpeg => jpeg::decode(bytes),
        Format::Tiff => tiff::decode(bytes, rendering, facts),
        Format::Dicom => dicom::decode(bytes, rendering, facts),
        Format::Npy => npy::decode(bytes),
        Format::Nifti => nifti::decode(bytes, rendering, facts),
        Format::Bmp | Format::Gif | Format::Pnm | Format::Webp => {
            simple::decode(bytes, format, rendering.window, facts)
        }
        _ => Err(refusal(bytes, format)),
    }
}

/// Formats of one picture have frame 0 and no other.
fn single(rendering: &Rendering) -> Result<(), Fault> {
    frames::choose(1, rendering.frame).map(|_| ())
}

fn refusal(bytes: &[u8], format: Format) -> Fault {
    let allowed = "allowed png, jpeg, tiff, dicom, nifti, npy, bmp, webp, gif, pnm";
    let detail = match format {
        _ if bytes.is_empty() => return Fault::new(Reason::EmptyObject, "0 bytes"),
        Format::NiftiPair => {
            "the header of a NIfTI or Analyze pair (.hdr, .img): convert it to one .nii file".to_owned()
        }
        Format::Unknown => {
            format!("found none of the formats that are known by their first bytes, {allowed}")
        }
        format => format!("found {}, {allowed}", format.name()),
    };
    Fault::new(Reason::UnsupportedFormat, detail)
}

/// Turns a panic of a decoder into a fault: one object's bug must not take the others with it.
fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T, Fault> + UnwindSafe) -> Result<T, Fault> {
    catch_unwind(work).unwrap_or_else(|_| {
        Err(Fault::new(Reason::DecoderPanic, format!("the {} decoder panicked", format.name())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_a_decoder_is_a_reason() {
        let fault = guarded::<()>(Format::Png, || panic!("patient DOE^JOHN")).expect_err("it panics");
        let error = DecodeError::new(fault, Format::Png, None);
        assert_eq!(error.reason, Reason::DecoderPanic);
        assert_eq!(error.to_string(), "decoder_panic (png): the png decoder panicked");
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
