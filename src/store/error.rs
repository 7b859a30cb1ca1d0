//! Why store calls fail, in the classes that lead to different advice.

use std::time::Duration;

use super::confined::NoObject;
use crate::error::{Exit, Problem};

/// Why a store call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {object}: {}", cause.text())]
pub struct StoreError {
    /// `read`, `write`, `create`, `list`.
    pub operation: &'static str,
    /// The class of object, such as `receipt of partition 3`.
    pub object: String,
    /// What went wrong.
    pub cause: Cause,
}

/// The classes of store failure that lead to different advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Credentials are missing, expired or not enough.
    Denied,
    /// The disk or quota is full.
    Full,
    /// No object of that name.
    Missing,
    /// A link in a local root leads out of it.
    Outside,
    /// A device, a pipe, a socket, or a link that leads to itself.
    Special,
    /// Larger than the caller allows.
    TooLarge,
    /// In a storage class that has to be restored before it can be read.
    Archived,
    /// Another version than the one that was asked for, or an object that exists already.
    Changed,
    /// The store serves objects by name and nothing else.
    ReadOnly,
    /// The store has a name that no key can be: an empty segment, a control character.
    Unnameable,
    /// Our deadline passed.
    Deadline(Duration),
    /// Anything else, by the store's own name.
    Other(String),
}

impl Cause {
    fn text(&self) -> String {
        match self {
            Self::Denied => "access denied".into(),
            Self::Full => "no space left".into(),
            Self::Missing => "not found".into(),
            Self::Outside => "the path leaves the root through a symlink".into(),
            Self::Special => "not a regular file".into(),
            Self::TooLarge => "larger than allowed".into(),
            Self::Archived => "in an archived storage class".into(),
            Self::Changed => "changed while it was read, or already exists".into(),
            Self::ReadOnly => "this root can only be read".into(),
            Self::Unnameable => "a name that no key can be".into(),
            Self::Deadline(after) => format!("no answer within {} s", after.as_secs()),
            Self::Other(kind) => kind.clone(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (code, exit, hint) = match &error.cause {
            Cause::Denied => (
                "S006",
                Exit::Permission,
                "check the credentials and the role's rights; then run the same command again",
            ),
            Cause::Full => (
                "S005",
                Exit::StoreIo,
                "free space and run the same command again; committed partitions are kept",
            ),
            Cause::Outside => (
                "M017",
                Exit::BadData,
                "copy what the link means into the root, or make that folder the root",
            ),
            Cause::Special => ("M026", Exit::BadData, "name a regular file"),
            Cause::Missing => ("S004", Exit::StoreIo, "check the root and the bucket's name"),
            Cause::ReadOnly => ("S008", Exit::Config, READ_ONLY),
            Cause::Archived => ("S009", Exit::StoreIo, "restore it; then run the same command again"),
            _ => ("S007", Exit::StoreIo, "run the same command again; committed partitions are kept"),
        };
        Self::new(code, exit, error.to_string()).hint(hint)
    }
}

/// What to do where an http root is asked for more than objects.
pub(super) const READ_ONLY: &str = "to write or list, use file, s3, gs or az";

/// The class of a client's error.
pub(super) fn classify(error: &object_store::Error) -> Cause {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::AlreadyExists { .. } if is_archived(error) => Cause::Archived,
        E::NotFound { .. } => Cause::Missing,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Cause::Denied,
        E::AlreadyExists { .. } => Cause::Other("already exists".into()),
        E::Precondition { .. } => Cause::Changed,
        E::InvalidPath { .. } => Cause::Unnameable,
        other => io_kind(other).unwrap_or_else(|| Cause::Other("the store failed".into())),
    }
}

/// Whether S3 or Azure said so; the text is looked at and never shown.
fn is_archived(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["<Code>InvalidObjectState</Code>", "<Code>BlobArchived</Code>"].iter().any(|code| text.contains(code))
}

/// The operating system's reason, when one is in the chain.
fn io_kind(error: &object_store::Error) -> Option<Cause> {
    use std::io::{Error, ErrorKind};
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(why) = error.downcast_ref::<NoObject>() {
            return Some(match why {
                NoObject::Outside => Cause::Outside,
                NoObject::Special => Cause::Special,
            });
        }
        if let Some(io) = error.downcast_ref::<Error>() {
            return Some(match io.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Cause::Denied,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Cause::Full,
                kind => Cause::Other(kind.to_string()),
            });
        }
        next = error.source();
    }
    None
}
