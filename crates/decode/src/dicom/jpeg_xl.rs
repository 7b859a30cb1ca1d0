//! JPEG XL frames, by jxl-oxide; for [a process of its own](crate::worker).
//!
//! Values come as fractions of the codestream's range and are scaled back to its bits, which is exact up to 16.

use jxl_oxide::{AllocTracker, JxlImage};

use super::super::error::{Fault, Reason};
use super::module::PixelModule;
use super::samples::Decoded;

/// Bytes a value may cost, the decoder's grids of 32-bit numbers and their copies included.
const BYTES_A_VALUE: usize = 64;
/// Room for what does not grow with the picture.
const BASE_BYTES: usize = 64 << 20;

/// Decodes a frame of the declared size. Shape: `[height, width, n_samples]`.
pub(super) fn decode(bytes: &[u8], size_px: (u32, u32), module: &PixelModule) -> Result<Decoded, Fault> {
    let invalid = || Fault::corrupt("the JPEG XL codestream is invalid");
    let limit = module.n_values().saturating_mul(BYTES_A_VALUE).saturating_add(BASE_BYTES);
    let builder = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(limit));
    let image = builder.read(bytes).map_err(|_| invalid())?;
    let n_samples = module.n_samples as usize;
    if (image.width(), image.height()) != size_px {
        return Err(Fault::corrupt("the JPEG XL frame's size differs from the attributes"));
    }
    if !image.is_loading_done() {
        return Err(Fault::truncated("the JPEG XL codestream ends early"));
    }
    let precision = image.image_header().metadata.bit_depth.bits_per_sample();
    if precision > 16 || u32::from(u16::try_from(precision).unwrap_or(u16::MAX)) > module.bits_allocated {
        let detail = format!("JPEG XL of {precision} bits, allowed {}", module.bits_allocated.min(16));
        return Err(Fault::new(Reason::UnsupportedFormat, detail));
    }
    let is_lossy = image.image_header().metadata.xyb_encoded;
    let rendered = image.render_frame(0).map_err(|_| invalid())?;
    let mut stream = rendered.stream_no_alpha();
    if stream.channels() as usize != n_samples || (stream.width(), stream.height()) != size_px {
        return Err(Fault::corrupt("the JPEG XL frame's components differ from the attributes"));
    }
    let mut values = vec![0.0_f32; module.n_values()];
    if stream.write_to_buffer(&mut values) != values.len() {
        return Err(Fault::truncated("the JPEG XL frame has fewer values than declared"));
    }
    let largest = ((1_u32 << precision) - 1) as f32;
    let values = values.iter().map(|value| (value * largest + 0.5).clamp(0.0, largest) as u16).collect();
    Ok(Decoded { values, precision, is_signed: false, is_lossy, is_rgb: n_samples == 3 })
}
