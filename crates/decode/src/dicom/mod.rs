//! DICOM objects: one frame of the image pixel module, rendered to 8 bits.
//!
//! A reader of our own: general parsers load every attribute, allocate what length fields declare and recurse into
//! sequences, so a few hundred hostile bytes can take gigabytes or the process. Here one walk checks lengths, nesting
//! and counts, and keeps slices of a closed list of attributes; names, dates and identifiers are stepped over.
//!
//! Order: [`meta`] finds the transfer syntax, [`scan`] walks the data set, [`module`] checks the attributes against
//! each other, the frame's [`samples`] come from its codec, and [`grey`] or [`color`] makes RGB.
//!
//! Which codec: the frame's own first bytes say, for gateways leave transfer syntaxes behind that are no longer true; for
//! frames without a signature the transfer syntax. Pixel data of defined length are uncompressed, whatever it says.
//!
//! Transfer syntaxes: implicit and explicit little endian, explicit big endian, deflated, encapsulated uncompressed,
//! deflated frames, RLE, JPEG of 8 bits, JPEG of 12 bits (grey, sequential), JPEG lossless, JPEG-LS, JPEG 2000 and HTJ2K,
//! JPEG XL. Others are refused by name, and so are palettes with indirect segments, CMYK and the retired YBR_PARTIAL
//! models. The table is in docs/inputs.md.

mod attributes;
mod color;
mod element;
mod fragments;
mod grey;
mod jpeg_2000;
mod jpeg_xl;
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
use super::facts::Facts;
use super::rendering::{BurnedIn, Rendering};
use super::{Header, frames, inflate, jpeg, jpeg_ls};
use attributes::{Attributes, PixelData};
use fragments::Fragments;
use jpeg::ColorRule;
use meta::DataSet;
use module::{Photometric, PixelModule};
use samples::{Decoded, Samples};
use syntax::Codec;
use t3b_image::Rgb8;

pub(super) use jpeg_2000::decode_tile as decode_jpeg_2000_tile;

/// Walks the data set and checks the attributes of the pixels.
pub(super) fn read_header(bytes: &[u8], rendering: &Rendering, facts: &mut Facts) -> Result<Header, Fault> {
    let data_set = meta::open(bytes)?;
    if !data_set.syntax.uid.is_empty() {
        facts.note("transfer_syntax", data_set.syntax.uid);
    }
    let object = Object::read(&data_set, rendering).map_err(|fault| unless_bare(bytes, fault))?;
    object.describe(facts);
    let module = &object.module;
    let n_values = module.n_values() as u64;
    let value_bytes = match module.bits_stored {
        64 => 16,
        17.. => 8,
        _ => 4,
    };
    // Working memory of each codec beside the samples it fills.
    let codec_bytes = match object.codec {
        Codec::Native | Codec::EncapsulatedNative | Codec::Unsupported => 0,
        Codec::DeflatedFrame => module.native_len() as u64,
        Codec::Rle => n_values * u64::from(module.bits_allocated / 8),
        Codec::JpegLossless | Codec::JpegLs => n_values * 2,
        Codec::Jpeg => n_values * 4,
        // Coefficients and results as 32-bit floats.
        Codec::Jpeg2000 => n_values * 12,
        Codec::JpegXl => n_values * 24,
    };
    let inflated = if data_set.syntax.is_deflated { data_set.bytes.len() as u64 } else { 0 };
    let rgb = 3 * module.n_pixels() as u64;
    let peak_bytes = inflated + n_values * value_bytes + codec_bytes.max(rgb);
    Ok(Header { width_px: module.width_px, height_px: module.height_px, peak_bytes })
}

/// Whether the object holds a codestream whose decoder could end the process. A deflated data set is not inflated for
/// it: inside one, compressed frames are refused.
pub(super) fn is_risky(bytes: &[u8]) -> bool {
    let Ok((syntax, _)) = meta::syntax(bytes) else { return false };
    if syntax.codec.is_risky() || syntax.is_deflated {
        return syntax.codec.is_risky();
    }
    let fragments = meta::open(bytes).and_then(|data_set| {
        let found = scan::scan(&data_set.bytes, data_set.encoding, 0)?;
        let pixel_data = found.pixel_data()?;
        if pixel_data.is_encapsulated {
            return Fragments::read(&found, pixel_data).map(|fragments| fragments.is_risky());
        }
        Ok(false)
    });
    fragments.unwrap_or(false)
}

/// A stream that begins like an element and is no data set had no preamble to say that it is one.
fn unless_bare(bytes: &[u8], fault: Fault) -> Fault {
    let is_bare = bytes.get(128..132) != Some(b"DICM");
    if is_bare && fault.reason == Reason::DicomStructureInvalid {
        return Fault::new(Reason::NotDicom, "no preamble, and the elements of a data set do not follow");
    }
    fault
}

/// For a deflated object what it can take at most: 8-bit grey of the longest data set that its length allows, its values
/// in 16 bits and its picture.
pub(super) fn most_inflated_bytes(bytes: &[u8]) -> Option<u64> {
    let (syntax, rest) = meta::syntax(bytes).ok().filter(|(syntax, _)| syntax.is_deflated)?;
    debug_assert!(syntax.codec == Codec::Native, "a deflated syntax has no codec of its own");
    Some(meta::most_inflated_len(rest) * (1 + 2 + 3))
}

/// Decodes one frame of an object whose header passed the limits.
pub(super) fn decode(bytes: &[u8], rendering: &Rendering, facts: &mut Facts) -> Result<Rgb8, Fault> {
    let data_set = meta::open(bytes)?;
    let object = Object::read(&data_set, rendering)?;
    let module = &object.module;
    if object.codec == Codec::Jpeg && module.n_samples == 3 {
        let rule = ColorRule::Container { is_rgb: module.photometric == Photometric::Rgb };
        let size = (module.width_px, module.height_px);
        return jpeg::decode_as(&object.compressed()?, size, rule, facts);
    }
    let (samples, is_rgb) = object.samples(&data_set)?;
    let rgb = match module.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => {
            grey::render(module, &object.found, &samples, rendering.window, facts)?
        }
        _ => {
            let photometric = object.photometric_of_samples(is_rgb);
            let rule = match photometric {
                Photometric::Palette => "palette",
                Photometric::YbrFull | Photometric::YbrFull422 => "YCbCr to RGB",
                _ => "RGB as stored",
            };
            facts.note("rule", rule);
            color::render(&PixelModule { photometric, ..*module }, &object.found, &samples)?
        }
    };
    Rgb8::new(module.width_px, module.height_px, rgb).ok_or_else(|| Fault::corrupt("zero dimension"))
}

/// A data set that holds the frame that is wanted.
struct Object<'a> {
    found: Attributes<'a>,
    pixel_data: PixelData<'a>,
    /// Where the pixel data are items.
    fragments: Option<Fragments<'a>>,
    module: PixelModule,
    codec: Codec,
    frame: u32,
}

impl<'a> Object<'a> {
    fn read(data_set: &'a DataSet<'_>, rendering: &Rendering) -> Result<Self, Fault> {
        let frame = rendering.frame.unwrap_or(0);
        let found = scan::scan(&data_set.bytes, data_set.encoding, frame)?;
        let pixel_data = found.pixel_data()?;
        let burned_in =
            found.text(attributes::BURNED_IN).is_some_and(|text| text.eq_ignore_ascii_case(b"YES"));
        if rendering.burned_in == BurnedIn::Quarantine && burned_in {
            return Err(Fault::new(
                Reason::BurnedInAnnotation,
                "(0028,0301) says so and the policy is quarantine",
            ));
        }
        let declared = data_set.syntax.codec;
        let is_native = !pixel_data.is_encapsulated || declared == Codec::EncapsulatedNative;
        let mut module = PixelModule::read(&found, pixel_data, is_native)?;
        if !pixel_data.is_encapsulated {
            let frame = frames::choose(module.n_frames, rendering.frame)?;
            return Ok(Self { found, pixel_data, fragments: None, module, codec: Codec::Native, frame });
        }
        if data_set.syntax.is_deflated {
            let detail = "compressed pixel data inside a deflated data set";
            return Err(Fault::new(Reason::DicomStructureInvalid, detail));
        }
        let fragments = Fragments::read(&found, pixel_data)?;
        if found.text(attributes::N_FRAMES).is_none() {
            module.n_frames = fragments.count_frames();
        }
        let frame = frames::choose(module.n_frames, rendering.frame)?;
        let codec = match declared {
            Codec::DeflatedFrame | Codec::EncapsulatedNative => declared,
            _ => codec_of_frame(&fragments.frame(module.n_frames, frame)?, declared)?,
        };
        Ok(Self { found, pixel_data, fragments: Some(fragments), module, codec, frame })
    }

    fn describe(&self, facts: &mut Facts) {
        let codec = match self.codec {
            Codec::Native => "uncompressed",
            Codec::EncapsulatedNative => "uncompressed, encapsulated",
            Codec::DeflatedFrame => "deflated frames",
            Codec::Rle => "RLE",
            Codec::Jpeg => "JPEG",
            Codec::JpegLossless => "JPEG lossless",
            Codec::JpegLs => "JPEG-LS",
            Codec::Jpeg2000 => "JPEG 2000",
            Codec::JpegXl => "JPEG XL",
            Codec::Unsupported => "unsupported",
        };
        let photometric = match self.module.photometric {
            Photometric::Monochrome1 => "MONOCHROME1",
            Photometric::Monochrome2 => "MONOCHROME2",
            Photometric::Palette => "PALETTE COLOR",
            Photometric::Rgb => "RGB",
            Photometric::YbrFull => "YBR_FULL",
            Photometric::YbrFull422 => "YBR_FULL_422",
            Photometric::YbrJpeg2000 => "YBR_RCT or YBR_ICT",
        };
        facts.note("codec", codec);
        facts.note("photometric", photometric);
        facts.note("bits_allocated", self.module.bits_allocated.to_string());
        facts.note("bits_stored", self.module.bits_stored.to_string());
        facts.note("is_signed", self.module.is_signed.to_string());
        facts.note("n_frames", self.module.n_frames.to_string());
        facts.note("frame", self.frame.to_string());
    }

    /// What the samples are once the codec has undone its own transforms.
    ///
    /// JPEG 2000 with a component transform gives RGB, and without one what the attributes say: of YBR_RCT and YBR_ICT
    /// only the writer's transform is left to be undone, as in slides of Aperio.
    fn photometric_of_samples(&self, is_rgb: bool) -> Photometric {
        match (self.codec, self.module.photometric) {
            (Codec::Jpeg2000 | Codec::JpegXl, Photometric::Palette) => Photometric::Palette,
            (Codec::Jpeg2000 | Codec::JpegXl, _) if is_rgb => Photometric::Rgb,
            (Codec::Jpeg2000, Photometric::YbrJpeg2000) => Photometric::YbrFull,
            (_, photometric) => photometric,
        }
    }

    /// The frame's compressed bytes; their declared size must be that of the attributes, which passed the limits.
    fn compressed(&self) -> Result<Cow<'a, [u8]>, Fault> {
        let fragments = self.fragments.as_ref().ok_or_else(|| Fault::corrupt("no fragments"))?;
        fragments.frame(self.module.n_frames, self.frame)
    }

    /// Stored values, and whether the codec knows that they are RGB.
    fn samples(&self, data_set: &DataSet<'_>) -> Result<(Samples, bool), Fault> {
        let module = &self.module;
        if self.codec == Codec::Native {
            let is_big_endian = data_set.encoding.is_big_endian;
            return Ok((samples::native(module, self.pixel_data, is_big_endian, self.frame)?, false));
        }
        let bytes = self.compressed()?;
        let (size, n_samples) = ((module.width_px, module.height_px), module.n_samples as usize);
        let decoded = match self.codec {
            Codec::EncapsulatedNative => return self.uncompressed(&bytes).map(|samples| (samples, false)),
            Codec::DeflatedFrame => {
                // A frame has an even length, so that a byte may follow.
                let len = module.native_len();
                let plain = inflate::raw(&bytes, len, len + (len & 1))?;
                return self.uncompressed(&plain).map(|samples| (samples, false));
            }
            Codec::Rle => return Ok((rle::decode(module, &bytes)?, false)),
            Codec::Jpeg => {
                let (values, precision) = jpeg::decode_grey_values(&bytes, size)?;
                Decoded::unsigned(values, precision, true)
            }
            Codec::JpegLossless => {
                let (values, precision) = jpeg::lossless::decode(&bytes, size, n_samples)?;
                Decoded::unsigned(values, precision, false)
            }
            Codec::JpegLs => {
                let jpeg_ls::Picture { values, precision, is_lossy } =
                    jpeg_ls::decode(&bytes, size, n_samples)?;
                Decoded::unsigned(values, precision, is_lossy)
            }
            Codec::Jpeg2000 => jpeg_2000::decode(&bytes, size, module)?,
            Codec::JpegXl => jpeg_xl::decode(&bytes, size, module)?,
            Codec::Native | Codec::Unsupported => return Err(Fault::corrupt("no codec")),
        };
        let is_rgb = decoded.is_rgb;
        Ok((samples::from_decoder(module, decoded)?, is_rgb))
    }

    /// One frame's uncompressed bytes, which stand alone.
    fn uncompressed(&self, bytes: &[u8]) -> Result<Samples, Fault> {
        let alone = PixelModule { n_frames: 1, ..self.module };
        samples::native(&alone, PixelData { bytes, is_encapsulated: false, ..self.pixel_data }, false, 0)
    }
}

/// The codec of a frame by its first bytes, else by the transfer syntax.
fn codec_of_frame(frame: &[u8], declared: Codec) -> Result<Codec, Fault> {
    match fragments::codec_of(frame) {
        Some(found) => Ok(found),
        None if declared == Codec::Native => {
            let detail = "the pixel data are compressed and the transfer syntax is not, in a way that has no signature";
            Err(Fault::new(Reason::DicomStructureInvalid, detail))
        }
        None => Ok(declared),
    }
}
