//! DICOM part 10 files: one frame of the image pixel module, rendered to 8 bits.
//!
//! A reader of our own: general parsers load every attribute, allocate what length fields declare and recurse into
//! sequences, so a few hundred hostile bytes can take gigabytes or the process. Here one walk checks lengths, nesting
//! and counts, and keeps slices of a closed list of attributes; names, dates and identifiers are stepped over.
//!
//! Order: [`meta`] finds the transfer syntax, [`scan`] walks the data set, [`module`] checks the attributes against
//! each other, the frame's [`samples`] come from the syntax's codec, and [`grey`] or [`color`] makes RGB.
//!
//! Transfer syntaxes: implicit and explicit little endian, explicit big endian, deflated, RLE, JPEG of 8 bits, JPEG
//! lossless, JPEG-LS, JPEG 2000. Others are refused by name, and so are 12-bit lossy JPEG, palettes with indirect
//! segments, CMYK and the retired YBR_PARTIAL models.

mod attributes;
mod color;
mod element;
mod fragments;
mod grey;
mod jpeg_2000;
mod lut;
mod meta;
mod module;
mod rle;
mod samples;
mod scan;
mod segments;
mod syntax;

use std::borrow::Cow;

use super::error::{Fault, Reason};
use super::rendering::{BurnedIn, Rendering};
use super::{Header, frames, jpeg, jpeg_ls};
use attributes::Attributes;
use jpeg::ColorRule;
use meta::DataSet;
use module::{Photometric, PixelModule};
use samples::Samples;
use syntax::Codec;
use t3b_image::Rgb8;

/// Walks the data set and checks the attributes of the pixels.
pub(super) fn read_header(bytes: &[u8], rendering: &Rendering) -> Result<Header, Fault> {
    let data_set = meta::open(bytes)?;
    let object = Object::read(&data_set, rendering)?;
    let module = &object.module;
    let n_values = module.n_values() as u64;
    let value_bytes = if module.bits_stored > 16 { 4 } else { 2 };
    // Working memory of each codec beside the samples it fills.
    let codec_bytes = match data_set.syntax.codec {
        Codec::Native | Codec::Unsupported => 0,
        Codec::Rle => n_values * u64::from(module.bits_allocated / 8),
        Codec::JpegLossless | Codec::JpegLs => n_values * 2,
        Codec::Jpeg => n_values * 3,
        // Coefficients and results as 32-bit floats.
        Codec::Jpeg2000 => n_values * 12,
    };
    let inflated = if data_set.syntax.is_deflated { data_set.bytes.len() as u64 } else { 0 };
    let rgb = 3 * module.n_pixels() as u64;
    let peak_bytes = inflated + n_values * value_bytes + codec_bytes.max(rgb);
    Ok(Header { width_px: module.width_px, height_px: module.height_px, peak_bytes })
}

/// Whether the meta group names JPEG 2000; nothing is inflated and no data set is walked.
pub(super) fn is_jpeg_2000(bytes: &[u8]) -> bool {
    meta::syntax(bytes).is_ok_and(|(syntax, _)| syntax.codec == Codec::Jpeg2000)
}

/// For a deflated object what it can take at most: 8-bit grey of the longest data set that its length allows, its values
/// in 16 bits and its picture.
pub(super) fn most_inflated_bytes(bytes: &[u8]) -> Option<u64> {
    let (syntax, rest) = meta::syntax(bytes).ok().filter(|(syntax, _)| syntax.is_deflated)?;
    debug_assert!(syntax.codec == Codec::Native, "a deflated syntax has no codec of its own");
    Some(meta::most_inflated_len(rest) * (1 + 2 + 3))
}

/// Decodes one frame of an object whose header passed the limits.
pub(super) fn decode(bytes: &[u8], rendering: &Rendering) -> Result<Rgb8, Fault> {
    let data_set = meta::open(bytes)?;
    let object = Object::read(&data_set, rendering)?;
    let module = &object.module;
    if data_set.syntax.codec == Codec::Jpeg && module.n_samples == 3 {
        // Many writers leave "RGB" in the attributes of a YCbCr frame, and say the truth in an Adobe marker.
        let rule = ColorRule { is_rgb: module.photometric == Photometric::Rgb, adobe_wins: true };
        return jpeg::decode_as(&object.compressed()?, (module.width_px, module.height_px), rule);
    }
    let samples = object.samples(&data_set)?;
    let rgb = match module.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => {
            grey::render(module, &object.found, &samples, rendering.window)?
        }
        _ => color::render(module, &object.found, &samples)?,
    };
    Rgb8::new(module.width_px, module.height_px, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

/// A data set that holds the frame that is wanted.
struct Object<'a> {
    found: Attributes<'a>,
    module: PixelModule,
    frame: u32,
}

impl<'a> Object<'a> {
    fn read(data_set: &'a DataSet<'_>, rendering: &Rendering) -> Result<Self, Fault> {
        let frame = rendering.frame.unwrap_or(0);
        let found = scan::scan(&data_set.bytes, data_set.syntax.encoding, frame)?;
        let pixel_data = found.pixel_data()?;
        if rendering.burned_in == BurnedIn::Quarantine && found.text(attributes::BURNED_IN) == Some(b"YES") {
            return Err(Fault::new(
                Reason::BurnedInAnnotation,
                "(0028,0301) says so and the policy is quarantine",
            ));
        }
        let module = PixelModule::read(&found, data_set.syntax.codec)?;
        let frame = frames::choose(module.n_frames, rendering.frame)?;
        let wants_items = data_set.syntax.codec != Codec::Native;
        if pixel_data.is_encapsulated != wants_items {
            let detail =
                "the pixel data are compressed and the transfer syntax is not, or the other way round";
            return Err(Fault::new(Reason::DicomStructureInvalid, detail));
        }
        Ok(Self { found, module, frame })
    }

    /// The frame's compressed bytes; their declared size must be that of the attributes, which passed the limits.
    fn compressed(&self) -> Result<Cow<'a, [u8]>, Fault> {
        fragments::frame(&self.found, self.found.pixel_data()?, self.module.n_frames, self.frame)
    }

    fn samples(&self, data_set: &DataSet<'_>) -> Result<Samples, Fault> {
        let module = &self.module;
        let syntax = data_set.syntax;
        if syntax.codec == Codec::Native {
            return samples::native(
                module,
                self.found.pixel_data()?,
                syntax.encoding.is_big_endian,
                self.frame,
            );
        }
        let bytes = self.compressed()?;
        let size = (module.width_px, module.height_px);
        let values = match syntax.codec {
            Codec::Rle => return rle::decode(module, &bytes),
            Codec::Jpeg => jpeg::decode_grey(&bytes, size)?.into_iter().map(u16::from).collect(),
            Codec::JpegLossless => jpeg::lossless::decode(&bytes, size, module.n_samples as usize)?,
            Codec::JpegLs => jpeg_ls::decode(&bytes, size, module.n_samples as usize)?,
            Codec::Jpeg2000 => jpeg_2000::decode(&bytes, size, module)?,
            Codec::Native | Codec::Unsupported => return Err(Fault::corrupt("no codec")),
        };
        samples::from_decoder(module, values)
    }
}
