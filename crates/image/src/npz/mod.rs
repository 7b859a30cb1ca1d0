//! Arrays in an `.npz` archive, read and written row by row.
//!
//! An `.npz` is a zip of `.npy` members. A row is what one step along the first axis holds: one image, or the
//! labels of one image. Only one row is in memory at a time, whatever the archive declares.

mod npy;
mod read;
mod write;

use std::io;

use zip::result::ZipError;

pub use npy::{CUT, NpyHeader};
pub use read::{Npz, Rows};
pub use write::NpzWriter;

/// Why an archive of arrays was refused.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    /// The system could not read or write, or the compressed data is damaged.
    #[error("cannot be read or written ({})", .0.kind())]
    Io(#[source] io::Error),
    /// The file is not a zip archive, or a damaged one.
    #[error("is not a sound zip archive")]
    Zip(#[source] ZipError),
    /// An array is not in the archive.
    #[error("has no array {member:?}")]
    Missing {
        /// The name of the array.
        member: String,
    },
    /// An array is locked with a password.
    #[error("array {member:?} is encrypted")]
    Encrypted {
        /// The name of the array.
        member: String,
    },
    /// An array is compressed by a method that numpy does not use.
    #[error("array {member:?} is neither stored nor deflated")]
    Compression {
        /// The name of the array.
        member: String,
    },
    /// The archive declares more than any archive of arrays has: a bomb.
    #[error("found {found}, allowed {allowed}")]
    Limit {
        /// What is declared.
        found: String,
        /// What is taken.
        allowed: &'static str,
    },
    /// The header of an array is damaged, or declares what is not handled.
    #[error("array {member:?}, header: {problem}")]
    BadHeader {
        /// The name of the array.
        member: String,
        /// What was found.
        problem: &'static str,
    },
    /// An array holds fewer or more bytes than its header declares.
    #[error("array {member:?} holds {found} rows than its shape says")]
    Size {
        /// The name of the array.
        member: String,
        /// `fewer` or `more`.
        found: &'static str,
    },
}

impl From<ZipError> for NpzError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => Self::Io(error),
            other => Self::Zip(other),
        }
    }
}
