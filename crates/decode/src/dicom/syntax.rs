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
    /// JPEG 2000, reversible or not.
    Jpeg2000,
    /// Known by name, not decoded.
    Unsupported,
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

/// Every syntax that is decoded, and those that are common enough to be refused by name.
const SYNTAXES: [TransferSyntax; 22] = [
    native("1.2.840.10008.1.2", Encoding::IMPLICIT, false),
    native("1.2.840.10008.1.2.1", Encoding::EXPLICIT, false),
    native("1.2.840.10008.1.2.1.99", Encoding::EXPLICIT, true),
    native("1.2.840.10008.1.2.2", Encoding::BIG_ENDIAN, false),
    compressed("1.2.840.10008.1.2.5", Codec::Rle),
    compressed("1.2.840.10008.1.2.4.50", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.51", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.57", Codec::JpegLossless),
    compressed("1.2.840.10008.1.2.4.70", Codec::JpegLossless),
    compressed("1.2.840.10008.1.2.4.80", Codec::JpegLs),
    compressed("1.2.840.10008.1.2.4.81", Codec::JpegLs),
    compressed("1.2.840.10008.1.2.4.90", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.91", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.92", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.93", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.100", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.102", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.110", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.112", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.201", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.202", Codec::Unsupported),
    compressed("1.2.840.10008.1.2.4.203", Codec::Unsupported),
];

impl TransferSyntax {
    /// Looks a UID up, without the padding it has in a file.
    pub(super) fn find(uid: &[u8]) -> Option<&'static Self> {
        SYNTAXES.iter().find(|syntax| syntax.uid.as_bytes() == uid)
    }
}
