//! Why an object is not an image this job can score.

use super::Format;

/// The closed list of reasons that decoding can give.
///
/// A reason depends on the bytes and the [`Limits`](super::Limits) alone, never on time, memory or load, so the
/// same object gets the same reason in every run. [`Reason::PoisonConfirmed`] alone rests on a process's limits, which are
/// far from what any good picture needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No bytes at all.
    EmptyObject,
    /// The bytes end before the format's own end marker.
    Truncated,
    /// Structure, checksum, compressed data or header contradict the format.
    Corrupt,
    /// The declared sides or pixel count are over the limit; nothing was allocated.
    DimensionsExceedLimit,
    /// More than one picture in the object.
    MultiFrame,
    /// A colour model without an agreed way to RGB (CMYK, YCCK, 12-bit JPEG).
    UnsupportedColorType,
    /// Not a format that is decoded, or a variant of one that is not.
    UnsupportedFormat,
    /// A side is under the limit.
    ImageTooSmall,
    /// Long side over short side is over the limit.
    AspectExceedsLimit,
    /// A decoder panicked: a bug, caught at the edge of this module.
    DecoderPanic,
    /// The process that decoded it died twice, by a signal that bytes can cause.
    PoisonConfirmed,
    /// The frame that was asked for does not exist.
    FrameOutOfRange,
    /// A DICOM data set without its preamble.
    NotDicom,
    /// The DICOM file meta group is missing, contradicts itself or names no transfer syntax.
    DicomMetaInvalid,
    /// A DICOM element, item or fragment declares more bytes than the object has: hostile, or cut.
    DicomLengthExceedsFile,
    /// DICOM sequences inside sequences beyond the limit.
    DicomNestingExceedsLimit,
    /// More DICOM elements than the limit.
    DicomElementCountExceedsLimit,
    /// DICOM elements do not follow each other as PS3.5 demands: unknown VR, stray delimiter.
    DicomStructureInvalid,
    /// A DICOM attribute that the picture needs is absent or empty.
    DicomMissingAttribute,
    /// A DICOM attribute has a value that is not allowed, or contradicts another.
    DicomInvalidAttribute,
    /// The DICOM pixel data are not as long as the attributes say.
    DicomPixelLengthMismatch,
    /// A DICOM transfer syntax that is not decoded.
    DicomUnsupportedTransferSyntax,
    /// A DICOM object without a picture: a report, a waveform, a directory.
    DicomNoPixelData,
    /// A deflated DICOM data set inflates beyond the limit.
    DicomInflateExceedsLimit,
    /// The object says that text may be burned into the picture, and the run's policy refuses that.
    BurnedInAnnotation,
}

impl Reason {
    /// Every reason, in the order of the list above.
    pub const ALL: [Self; 25] = [
        Self::EmptyObject,
        Self::Truncated,
        Self::Corrupt,
        Self::DimensionsExceedLimit,
        Self::MultiFrame,
        Self::UnsupportedColorType,
        Self::UnsupportedFormat,
        Self::ImageTooSmall,
        Self::AspectExceedsLimit,
        Self::DecoderPanic,
        Self::PoisonConfirmed,
        Self::FrameOutOfRange,
        Self::NotDicom,
        Self::DicomMetaInvalid,
        Self::DicomLengthExceedsFile,
        Self::DicomNestingExceedsLimit,
        Self::DicomElementCountExceedsLimit,
        Self::DicomStructureInvalid,
        Self::DicomMissingAttribute,
        Self::DicomInvalidAttribute,
        Self::DicomPixelLengthMismatch,
        Self::DicomUnsupportedTransferSyntax,
        Self::DicomNoPixelData,
        Self::DicomInflateExceedsLimit,
        Self::BurnedInAnnotation,
    ];

    /// The code that stands in the quarantine table.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::EmptyObject => "empty_object",
            Self::Truncated => "decode_truncated",
            Self::Corrupt => "decode_corrupt",
            Self::DimensionsExceedLimit => "dimensions_exceed_limit",
            Self::MultiFrame => "multi_frame",
            Self::UnsupportedColorType => "unsupported_color_type",
            Self::UnsupportedFormat => "unsupported_format",
            Self::ImageTooSmall => "image_too_small",
            Self::AspectExceedsLimit => "aspect_exceeds_limit",
            Self::DecoderPanic => "decoder_panic",
            Self::PoisonConfirmed => "poison_confirmed",
            Self::FrameOutOfRange => "frame_out_of_range",
            Self::NotDicom => "not_dicom",
            Self::DicomMetaInvalid => "dicom_meta_invalid",
            Self::DicomLengthExceedsFile => "dicom_length_exceeds_file",
            Self::DicomNestingExceedsLimit => "dicom_nesting_exceeds_limit",
            Self::DicomElementCountExceedsLimit => "dicom_element_count_exceeds_limit",
            Self::DicomStructureInvalid => "dicom_structure_invalid",
            Self::DicomMissingAttribute => "dicom_missing_attribute",
            Self::DicomInvalidAttribute => "dicom_invalid_attribute",
            Self::DicomPixelLengthMismatch => "dicom_pixel_length_mismatch",
            Self::DicomUnsupportedTransferSyntax => "dicom_unsupported_transfer_syntax",
            Self::DicomNoPixelData => "dicom_no_pixel_data",
            Self::DicomInflateExceedsLimit => "dicom_inflate_exceeds_limit",
            Self::BurnedInAnnotation => "burned_in_annotation",
        }
    }
}

/// One object that could not be decoded.
///
/// Holds no byte, text or file name of the object, because objects carry identifiers: `detail` is made from this
/// module's own templates and from numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({}): {detail}", reason.code(), format.name())]
pub struct DecodeError {
    /// Which of the closed list.
    pub reason: Reason,
    /// What was found and what is allowed; ASCII, at most [`DecodeError::MAX_DETAIL_LEN`] bytes.
    pub detail: String,
    /// Width and height in pixels, where the header could be read.
    pub declared_px: Option<(u32, u32)>,
    /// The format the first bytes belong to.
    pub format: Format,
}

impl DecodeError {
    /// Longest `detail`, in bytes.
    pub const MAX_DETAIL_LEN: usize = 200;

    /// Joins a fault with what is known about the object.
    pub(super) fn new(fault: Fault, format: Format, declared_px: Option<(u32, u32)>) -> Self {
        let mut detail = fault.detail;
        debug_assert!(detail.is_ascii() && detail.len() <= Self::MAX_DETAIL_LEN, "template too long");
        detail.truncate(Self::MAX_DETAIL_LEN);
        Self { reason: fault.reason, detail, declared_px, format }
    }
}

/// A reason with its filled template, before the format and the size are known to the one who found it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(super) fn truncated(detail: impl Into<String>) -> Self {
        Self::new(Reason::Truncated, detail)
    }

    pub(super) fn corrupt(detail: impl Into<String>) -> Self {
        Self::new(Reason::Corrupt, detail)
    }
}
