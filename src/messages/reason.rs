//! Why a sample could not be scored: the closed list that stands in the quarantine table.

/// Why a sample could not be scored. Facts about its bytes only: network, memory and time fail the attempt instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No object of that name.
    MissingObject,
    /// A link in a local root that leads out of it; nothing behind it is read.
    OutsideRoot,
    /// A device, a pipe, a socket, or a link to itself; not read.
    NotAFile,
    /// Larger than `input.max_object_mib`; not read.
    ObjectTooLarge,
    /// In an archived storage class.
    ArchivedObject,
    /// Another version at every read.
    SourceChanged,
    /// Other than the size the manifest says.
    SizeMismatch,
    /// Other than the hash the manifest says.
    ChecksumMismatch,
    /// The archive does not have the entry, array, column or row.
    ArchiveEntryMissing,
    /// The archive ends too early.
    ArchiveTruncated,
    /// The archive contradicts itself.
    ArchiveCorrupt,
    /// A kind of archive, column or compression that is not read.
    ArchiveUnsupported,
    /// The archive is locked.
    ArchiveEncrypted,
    /// The archive declares more than is taken.
    ArchiveExceedsLimit,
    /// An entry whose name or kind is refused.
    ArchiveEntryRefused,
    /// An entry of a shard has two sizes, or bytes stand behind its end.
    ArchiveAmbiguous,
    /// A name that no key can be, a link that leaves the root, or something that is no file; found by a listing.
    ObjectRefused,
    /// A model gave a logit that is not a finite number.
    ModelNonfinite,
    /// What decoding found.
    Decode(t3b_decode::Reason),
}

impl Reason {
    /// No bytes at all, found before decoding.
    pub const EMPTY_OBJECT: Self = Self::Decode(t3b_decode::Reason::EmptyObject);
    /// A reader panicked: a bug, caught at its edge.
    pub const DECODER_PANIC: Self = Self::Decode(t3b_decode::Reason::DecoderPanic);

    /// The reasons that are not found by decoding, with their codes.
    const CODES: [(Self, &'static str); 18] = [
        (Self::MissingObject, "missing_object"),
        (Self::OutsideRoot, "outside_root"),
        (Self::NotAFile, "not_a_file"),
        (Self::ObjectTooLarge, "object_too_large"),
        (Self::ArchivedObject, "archived_object"),
        (Self::SourceChanged, "source_changed"),
        (Self::SizeMismatch, "size_mismatch"),
        (Self::ChecksumMismatch, "checksum_mismatch"),
        (Self::ArchiveEntryMissing, "archive_entry_missing"),
        (Self::ArchiveTruncated, "archive_truncated"),
        (Self::ArchiveCorrupt, "archive_corrupt"),
        (Self::ArchiveUnsupported, "archive_unsupported"),
        (Self::ArchiveEncrypted, "archive_encrypted"),
        (Self::ArchiveExceedsLimit, "archive_exceeds_limit"),
        (Self::ArchiveEntryRefused, "archive_entry_refused"),
        (Self::ArchiveAmbiguous, "archive_ambiguous"),
        (Self::ObjectRefused, "object_refused"),
        (Self::ModelNonfinite, "model_nonfinite"),
    ];

    /// Every reason with its code, decoding's last.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        let decode = t3b_decode::Reason::ALL.into_iter().map(|reason| (Self::Decode(reason), reason.code()));
        Self::CODES.into_iter().chain(decode)
    }

    /// The code that stands in the quarantine table.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Decode(reason) => reason.code(),
            other => Self::CODES.iter().find(|(reason, _)| *reason == other).map_or("", |(_, code)| code),
        }
    }

    /// The reason of that code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().find(|(_, known)| *known == code).map(|(reason, _)| reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Reason::all().map(|(_, code)| code).collect();
        assert_eq!(codes.len(), Reason::all().count());
        for (reason, code) in Reason::all() {
            assert_eq!((reason.code(), Reason::from_code(code)), (code, Some(reason)));
            assert!(!code.is_empty());
        }
    }
}
