//! Which format some bytes are, judged by the bytes alone.

/// A format that can be told apart by its first bytes, decoded or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// PNG and APNG.
    Png,
    /// JPEG (JFIF, EXIF or bare).
    Jpeg,
    /// TIFF, either byte order, classic or big.
    Tiff,
    /// DICOM: part 10 with its preamble, a meta group without one, or a bare data set.
    Dicom,
    /// One array as numpy stores it.
    Npy,
    /// A NIfTI-1 or NIfTI-2 volume in one file, plain or gzipped.
    Nifti,
    /// The header of a NIfTI or Analyze pair, whose voxels lie in another file.
    NiftiPair,
    /// A bitmap, greymap or pixmap of Netpbm, plain or raw.
    Pnm,
    /// JPEG XL, bare or in its container.
    JpegXl,
    /// JPEG 2000, bare or in its container.
    Jpeg2000,
    /// HEIF or AVIF.
    Heif,
    /// A zip archive.
    Zip,
    /// PDF.
    Pdf,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
    /// Windows bitmap.
    Bmp,
    /// An HTML or XML page, such as a store's error answer saved as an image.
    Html,
    /// A gzip member.
    Gzip,
    /// None of the above.
    Unknown,
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
const DICOM_PREAMBLE_LEN: usize = 128;

impl Format {
    /// Tells the format from the first bytes; names and media types are not asked.
    ///
    /// A non-empty proper prefix of the PNG or JPEG signature counts as that format, so that such an object cut
    /// inside its signature is reported as truncated like any other cut.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Self {
        if begins(bytes, PNG) {
            return Self::Png;
        }
        if begins(bytes, JPEG) {
            return Self::Jpeg;
        }
        // Before the rest: the preamble is free, and scanners write a TIFF header into it.
        if bytes.get(DICOM_PREAMBLE_LEN..).is_some_and(|tail| tail.starts_with(b"DICM")) {
            return Self::Dicom;
        }
        if super::nifti::is_nifti(bytes) {
            return Self::Nifti;
        }
        if super::nifti::is_pair(bytes) {
            return Self::NiftiPair;
        }
        match bytes {
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            // The first element of a file meta group, or of a data set, that lost its preamble.
            [2, 0, 0..=1, 0, b'U' | b'O', b'L' | b'B', ..] | [8, 0, _, 0, _, _, 0, 0, ..] => Self::Dicom,
            [8, 0, _, 0, b'A'..=b'Z', b'A'..=b'Z', ..] | [0, 8, 0, _, b'A'..=b'Z', b'A'..=b'Z', ..] => {
                Self::Dicom
            }
            [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] => Self::Pnm,
            [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Self::JpegXl,
            [0xff, 0x4f, 0xff, 0x51, ..] | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => Self::Jpeg2000,
            [0, 0, 0, _, b'f', b't', b'y', b'p', ..] => Self::Heif,
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            _ if bytes.starts_with(b"%PDF-") => Self::Pdf,
            _ if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Webp,
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Self::Bmp,
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            _ if is_markup(bytes) => Self::Html,
            _ => Self::Unknown,
        }
    }

    /// The lower-case name used in messages, metrics and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Tiff => "tiff",
            Self::Dicom => "dicom",
            Self::Npy => "npy",
            Self::Nifti => "nifti",
            Self::NiftiPair => "nifti_pair",
            Self::Pnm => "pnm",
            Self::JpegXl => "jpeg_xl",
            Self::Jpeg2000 => "jpeg_2000",
            Self::Heif => "heif",
            Self::Zip => "zip",
            Self::Pdf => "pdf",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Bmp => "bmp",
            Self::Html => "html",
            Self::Gzip => "gzip",
            Self::Unknown => "unknown",
        }
    }
}

fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let n = bytes.len().min(signature.len());
    n > 0 && bytes[..n] == signature[..n]
}

/// Whether the text starts, after a byte order mark and blanks, with a tag of a page rather than with any `<`.
fn is_markup(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml", b"<error", b"<!--"]
        .iter()
        .any(|tag| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn each_signature_is_told_apart() {
        let mut dicom = vec![0; 128];
        dicom.extend_from_slice(b"DICM");
        let dual = [b"II*\0", &dicom[4..]].concat();
        let cases: [(&[u8], Format); 25] = [
            (b"\x89PNG\r\n\x1a\n...", Format::Png),
            (b"\x89PN", Format::Png),
            (b"\xff\xd8\xff\xe0", Format::Jpeg),
            (b"\xff", Format::Jpeg),
            (b"II*\0....", Format::Tiff),
            (b"MM\0+....", Format::Tiff),
            (&dicom, Format::Dicom),
            (&dual, Format::Dicom),
            (b"\x08\0\x05\0CS\x0a\0", Format::Dicom),
            (b"GIF89a", Format::Gif),
            (b"RIFF....WEBPVP8 ", Format::Webp),
            (b"BM\x10\0\0\0\0\0\0\0", Format::Bmp),
            (b"\xef\xbb\xbf \n<!DocType html>", Format::Html),
            (b"<?xml version=\"1.0\"?><Error>", Format::Html),
            (b"\x1f\x8b\x08", Format::Gzip),
            (b"\x93NUMPY\x01\0", Format::Npy),
            (b"\0\x08\0\x05CS\0\x0a", Format::Dicom),
            (b"P5\n2 2\n255\n....", Format::Pnm),
            (b"P9\n", Format::Unknown),
            (b"\xff\x0a\x01", Format::JpegXl),
            (b"\xff\x4f\xff\x51", Format::Jpeg2000),
            (b"\0\0\0\x18ftypheic", Format::Heif),
            (b"PK\x03\x04", Format::Zip),
            (b"%PDF-1.7", Format::Pdf),
            (b"", Format::Unknown),
        ];
        for (bytes, format) in cases {
            assert_eq!(Format::sniff(bytes), format, "{bytes:?}");
        }
    }
}
