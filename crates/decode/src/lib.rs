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
//! To RGB, for PNG, JPEG, TIFF and NPY: grey becomes three equal channels; alpha and transparency keys are dropped, not
//! composited; palettes are looked up; 16-bit samples keep their high byte; colour profiles and gamma are ignored; the
//! orientation tag is ignored in PNG and JPEG and applied in TIFF. Each rule is what
//! `PIL.Image.open(f).convert("RGB")` does, with one exception: Pillow clips 16-bit *grey* at 255, which makes nearly
//! every radiograph white; here grey keeps its high byte too.
//!
//! DICOM grey goes through the modality and VOI transformations of its file, or the window of [`Rendering`]; colour
//! keeps its 8 high bits. The reference is pydicom; see `dicom/grey.rs` for the order of the steps. Of a NIfTI volume one
//! slice is shown; see `nifti/mod.rs` for its orientation and window.

mod dicom;
mod error;
mod format;
mod frames;
mod jpeg;
mod jpeg_ls;
mod limits;
mod nifti;
mod npy;
mod packbits;
mod png;
mod rendering;
mod tiff;
pub mod worker;

use std::panic::{UnwindSafe, catch_unwind};

use error::Fault;
use t3b_image::Rgb8;

pub use error::{DecodeError, Reason};
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
    guarded(format, || read_header(bytes, format, rendering))
}

/// Whether decoding these bytes could end the process, and not only panic.
///
/// The one rule of [`worker::Isolation::Risky`]. Decoders of our own bound their stack and memory; JPEG 2000 inside
/// DICOM is decoded by a translation of a C library, which promises neither and is not safe Rust.
#[must_use]
pub fn is_risky(bytes: &[u8]) -> bool {
    Format::sniff(bytes) == Format::Dicom && dicom::is_jpeg_2000(bytes)
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
    let format = Format::sniff(bytes);
    let header = guarded(format, || read_header(bytes, format, rendering))
        .map_err(|fault| DecodeError::new(fault, format, None))?;
    let declared_px = (header.width_px, header.height_px);
    limits
        .check(header.width_px, header.height_px)
        .and_then(|()| guarded(format, || decode_as(bytes, format, rendering)))
        .map_err(|fault| DecodeError::new(fault, format, Some(declared_px)))
}

fn read_header(bytes: &[u8], format: Format, rendering: &Rendering) -> Result<Header, Fault> {
    match format {
        Format::Png => single(rendering).and_then(|()| png::read_header(bytes)),
        Format::Jpeg => single(rendering).and_then(|()| jpeg::read_header(bytes)),
        Format::Tiff => tiff::read_header(bytes, rendering.frame),
        Format::Dicom => dicom::read_header(bytes, rendering),
        Format::Npy => single(rendering).and_then(|()| npy::read_header(bytes)),
        Format::Nifti => nifti::read_header(bytes, rendering),
        _ => Err(refusal(bytes, format)),
    }
}

fn decode_as(bytes: &[u8], format: Format, rendering: &Rendering) -> Result<Rgb8, Fault> {
    match format {
        Format::Png => png::decode(bytes),
        Format::Jpeg => jpeg::decode(bytes),
        Format::Tiff => tiff::decode(bytes, rendering.frame),
        Format::Dicom => dicom::decode(bytes, rendering),
        Format::Npy => npy::decode(bytes),
        Format::Nifti => nifti::decode(bytes, rendering),
        _ => Err(refusal(bytes, format)),
    }
}

/// Formats of one picture have frame 0 and no other.
fn single(rendering: &Rendering) -> Result<(), Fault> {
    frames::choose(1, rendering.frame).map(|_| ())
}

fn refusal(bytes: &[u8], format: Format) -> Fault {
    match frames::count(bytes, format) {
        _ if bytes.is_empty() => Fault::new(Reason::EmptyObject, "0 bytes"),
        Some(n_frames) if n_frames > 1 => frames::fault(n_frames),
        _ => {
            let detail = format!("found {}, allowed png, jpeg, tiff, dicom, nifti, npy", format.name());
            Fault::new(Reason::UnsupportedFormat, detail)
        }
    }
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
