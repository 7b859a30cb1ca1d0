//! BMP, WebP, GIF and PNM, by the `image` crate; in [a process of their own](crate::worker), for none of them is ours.
//!
//! To RGB as for PNG: alpha is dropped, 16-bit samples of PNM keep their high byte or follow the window, of a GIF the first
//! picture is taken, over the black ground of its screen. An animated WebP is refused as `multi_frame`.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::error::{Fault, Reason};
use super::facts::Facts;
use super::rendering::Window;
use super::{Format, Header, frames, levels};
use t3b_image::Rgb8;

fn format_of(format: Format) -> Option<ImageFormat> {
    match format {
        Format::Bmp => Some(ImageFormat::Bmp),
        Format::Gif => Some(ImageFormat::Gif),
        Format::Pnm => Some(ImageFormat::Pnm),
        Format::Webp => Some(ImageFormat::WebP),
        _ => None,
    }
}

fn reader(bytes: &[u8], format: Format) -> Result<ImageReader<Cursor<&[u8]>>, Fault> {
    let kind = format_of(format).ok_or_else(|| Fault::new(Reason::UnsupportedFormat, "no decoder"))?;
    Ok(ImageReader::with_format(Cursor::new(bytes), kind))
}

pub(super) fn read_header(bytes: &[u8], format: Format) -> Result<Header, Fault> {
    if format == Format::Webp && frames::count_webp(bytes).is_none_or(|n_frames| n_frames > 1) {
        return Err(frames::count_webp(bytes)
            .map_or_else(|| Fault::truncated("the WebP's chunks end early"), frames::fault));
    }
    if format == Format::Gif && frames::end_of_first_gif(bytes).is_none() {
        return Err(Fault::truncated("the GIF ends before its first picture does"));
    }
    // In numbers written out, a cut inside the last one is another number.
    let is_text = format == Format::Pnm && matches!(bytes.get(1), Some(b'1'..=b'3'));
    if is_text && !bytes.last().is_some_and(u8::is_ascii_whitespace) {
        return Err(Fault::truncated("a plain PNM without a blank or line end behind its last number"));
    }
    let (width_px, height_px) = reader(bytes, format)?.into_dimensions().map_err(fault)?;
    let n_pixels = u64::from(width_px) * u64::from(height_px);
    // The decoder's own picture of up to four samples of 16 bits and its buffers, and RGB.
    Ok(Header { width_px, height_px, peak_bytes: n_pixels.saturating_mul(16).saturating_add(1 << 20) })
}

/// Decodes a picture whose header passed the limits.
pub(super) fn decode(bytes: &[u8], format: Format, window: Window, facts: &mut Facts) -> Result<Rgb8, Fault> {
    // The decoder gets what the header was weighed at: a GIF's picture may claim to be larger than its screen.
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(read_header(bytes, format)?.peak_bytes);
    let mut reader = reader(bytes, format)?;
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fault)?;
    facts.note("color_type", format!("{:?}", decoder.original_color_type()));
    let picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    let (width_px, height_px) = (picture.width(), picture.height());
    let pixels = match picture {
        DynamicImage::ImageLuma16(values) => {
            let levels = levels::render_16(values.as_raw(), None, window, facts);
            levels.into_iter().flat_map(|level| [level; 3]).collect()
        }
        DynamicImage::ImageRgb16(values) => values.as_raw().iter().map(|&value| (value >> 8) as u8).collect(),
        DynamicImage::ImageRgba8(values) => {
            values.as_raw().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()
        }
        other => other.into_rgb8().into_raw(),
    };
    Rgb8::new(width_px, height_px, pixels).ok_or_else(|| Fault::corrupt("zero dimension"))
}

/// The decoder's own text is dropped: it may quote the file.
fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Fault::truncated("the data end before the last pixel")
        }
        ImageError::Unsupported(_) => {
            Fault::new(Reason::UnsupportedFormat, "a variant of the format that is not decoded")
        }
        ImageError::Limits(_) => Fault::new(Reason::DimensionsExceedLimit, "needs more memory than allowed"),
        _ => Fault::corrupt("a header or the compressed data are invalid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: the decoder asked for 1.7 GB for a file of four kilobytes.
    #[test]
    fn a_gif_picture_larger_than_its_screen_gets_no_more_memory_than_the_screen_was_weighed_at() {
        let head = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff";
        let picture = b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0\x3b";
        let gif = [&head[..], picture].concat();
        assert!(read_header(&gif, Format::Gif).is_ok());
        let fault = decode(&gif, Format::Gif, Window::File, &mut Facts::default()).unwrap_err();
        assert_eq!(fault.reason, Reason::DimensionsExceedLimit);
    }
}
