//! Transfer syntaxes: how a data set and its pixels are encoded.

/// How the elements of a data set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) is_explicit: bool,
    pub(super) is_big_endian: bool,
}

impl Encoding {
    pub(super) const EXPLICIT: Self = Self { is_explicit: true, is_big_endian: false };
    pub(super) const IMPLICIT: Self = Self { is_explicit: false, is_big_endian: false };
    pub(super) const BIG_ENDIAN: Self = Self { is_explicit: true, is_big_endian: true };
}

/// How the pixels of one frame are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Uncompressed, in the byte order of the data set.
    Native,
    /// PackBits by byte plane (PS3.5 annex G).
    Rle,
    /// Lossy JPEG of 8 bits.
    Jpeg,
    /// Lossless JPEG (process 14).
    JpegLossless,
    /// JPEG-LS, lossless or near-lossless.
    JpegLs,
    /// JPEG 2000, reversible or not, high-throughput coding included.
    Jpeg2000,
    /// JPEG XL.
    JpegXl,
    /// Uncompressed frames, each a fragment.
    EncapsulatedNative,
    /// Uncompressed frames, each deflated.
    DeflatedFrame,
    /// Known by name, not decoded.
    Unsupported,
}

impl Codec {
    /// Decoders that are not ours and could end the process; see [`crate::is_risky`].
    pub(super) fn is_risky(self) -> bool {
        matches!(self, Self::Jpeg2000 | Self::JpegXl)
    }
}

/// One transfer syntax of PS3.6 annex A.
#[derive(Debug)]
pub(super) struct TransferSyntax {
    pub(super) uid: &'static str,
    pub(super) encoding: Encoding,
    pub(super) is_deflated: bool,
    pub(super) codec: Codec,
}

const fn native(uid: &'static str, encoding: Encoding, is_deflated: bool) -> TransferSyntax {
    TransferSyntax { uid, encoding, is_deflated, codec: Codec::Native }
}

const fn compressed(uid: &'static str, codec: Codec) -> TransferSyntax {
    TransferSyntax { uid, encoding: Encoding::EXPLICIT, is_deflated: false, codec }
}

/// For objects without a meta group: the encoding is asked of the data set, the codec of the frame.
pub(super) const UNNAMED: TransferSyntax = native("", Encoding::EXPLICIT, false);

/// Every syntax that is decoded, and those that are common enough to be refused by name.
const SYNTAXES: [TransferSyntax; 38] = [
    native("1.2.840.10008.1.2", Encoding::IMPLICIT, false),
    native("1.2.840.10008.1.2.1", Encoding::EXPLICIT, false),
    native("1.2.840.10008.1.2.1.99", Encoding::EXPLICIT, true),
    native("1.2.840.10008.1.2.2", Encoding::BIG_ENDIAN, false),
    compressed("1.2.840.10008.1.2.1.98", Codec::EncapsulatedNative),
    compressed("1.2.840.10008.1.2.8.1", Codec::DeflatedFrame),
    compressed("1.2.840.10008.1.2.5", Codec::Rle),
    compressed("1.2.840.10008.1.2.4.50", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.51", Codec::Jpeg),
    // Retired, of the same coding: spectral selection and full progression.
    compressed("1.2.840.10008.1.2.4.53", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.55", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.57", Codec::JpegLossless),
    compressed("1.2.840.10008.1.2.4.70", Codec::JpegLossless),
    compressed("1.2.840.10008.1.2.4.80", Codec::JpegLs),
    compressed("1.2.840.10008.1.2.4.81", Codec::JpegLs),
    compressed("1.2.840.10008.1.2.4.90", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.91", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.201", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.202", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.203", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.110", Codec::JpegXl),
    compressed("1.2.840.10008.1.2.4.111", Codec::JpegXl),
    compressed("1.2.840.10008.1.2.4.112", Codec::JpegXl),
    // JPEG 2000 of several components, JPIP, MPEG-2, H.264, H.265, JPT streams.
    compressed("1.2.840.10008.1.2.4.92", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.93", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.94", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.95", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.100", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.101", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.102", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.103", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.104", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.105", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.106", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.107", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.108", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.204", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.205", Codec::Unsupported),
];

impl TransferSyntax {
    /// Looks a UID up, without the padding it has in a file.
    pub(super) fn find(uid: &[u8]) -> Option<&'static Self> {
        SYNTAXES.iter().find(|syntax| syntax.uid.as_bytes() == uid)
    }
}
