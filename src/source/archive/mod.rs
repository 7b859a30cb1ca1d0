//! Rows of an archive, npz or Parquet, read front to back and never unpacked.
//!
//! Whether a row can be read is a function of the archive's bytes alone: of everything before it in its array or row group.
//! So it does not matter which worker asks, and where it began.

mod arrays;
mod class;
pub(super) mod footer;
mod reader;
mod table;

use std::io::{Read, Seek};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::REREADS;
use super::ranged::{ArchiveFault, Ranged};
use crate::messages::Reason;
use crate::store::{Cause, StoreError};
use arrays::ArrayRows;
pub(super) use arrays::{array, array_names, described_arrays, images_prefix};
pub(super) use class::{Labels, labels};
pub(super) use footer::{expands_too_far, max_expanded};
pub(super) use reader::{ArchiveReader, RowOf};
use table::TableRows;
pub(super) use table::{Look, look};

/// What a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowContent {
    /// An image file: of a Parquet cell as it is, of an npz row as the `.npy` file it would be.
    pub(super) bytes: Bytes,
    /// What stands in the label column beside it.
    pub(super) label: Option<Label>,
}

/// A label as the archive has it; a negative number means none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Label {
    Index(i64),
    Name(String),
    /// Something that names no class: a fraction, a list of several.
    Unread,
}

/// An archive that stands before one of its rows.
#[derive(Debug)]
struct Archive {
    rows: Rows,
    file: Ranged,
}

#[derive(Debug)]
enum Rows {
    Npz(ArrayRows),
    Parquet(TableRows),
}

/// Which kind of archive an object is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    Npz,
    Parquet,
}

impl ArchiveKind {
    /// # Errors
    /// `archive_unsupported`, and store failures.
    pub(super) fn sniff(file: &mut Ranged) -> Result<Self, ArchiveFault> {
        guarded(&file.clone(), || {
            let mut magic = [0; 4];
            file.rewind().and_then(|()| file.read_exact(&mut magic)).map_err(|error| cut(&error))?;
            match &magic {
                b"PK\x03\x04" => Ok(Self::Npz),
                b"PAR1" => Ok(Self::Parquet),
                _ => {
                    Err(ArchiveFault::bytes(Reason::ArchiveUnsupported, "neither an npz nor a Parquet file"))
                }
            }
        })
    }
}

impl Archive {
    /// Opens the array or column that `of` names, or the only one, before its first row.
    ///
    /// # Errors
    /// `archive_*` reasons, and store failures.
    fn open(mut file: Ranged, of: &RowOf) -> Result<Self, ArchiveFault> {
        let (entry, label) = (of.entry.as_deref(), of.label_column.as_deref());
        let rows = match ArchiveKind::sniff(&mut file)? {
            ArchiveKind::Npz => Rows::Npz(guarded(&file, || ArrayRows::open(file.clone(), entry))?),
            ArchiveKind::Parquet => {
                Rows::Parquet(guarded(&file, || TableRows::open(file.clone(), entry, label))?)
            }
        };
        Ok(Self { rows, file })
    }

    /// Whether [`Archive::row`] can go on to `row`, or the archive must be opened again.
    fn is_ahead(&self, row: u64) -> bool {
        match &self.rows {
            Rows::Npz(rows) => rows.at() <= row,
            Rows::Parquet(_) => true,
        }
    }

    /// # Errors
    /// `archive_*` reasons, and store failures; afterwards the archive must be opened again.
    fn row(&mut self, row: u64) -> Result<RowContent, ArchiveFault> {
        let rows = &mut self.rows;
        guarded(&self.file, || match rows {
            Rows::Npz(rows) => rows.row(row),
            Rows::Parquet(rows) => rows.row(row),
        })
    }

    /// The rows that cannot be read because `row` cannot.
    fn lost_with(&self, row: u64) -> Range<u64> {
        match &self.rows {
            Rows::Npz(_) => row..u64::MAX,
            Rows::Parquet(rows) => row..rows.group_end(row),
        }
    }
}

/// Tells what the file knows from what a library guesses, and contains a library's panic: one archive's bug must not
/// take the run with it.
pub(super) fn guarded<T>(
    file: &Ranged,
    work: impl FnOnce() -> Result<T, ArchiveFault>,
) -> Result<T, ArchiveFault> {
    let panicked = |_| Err(ArchiveFault::bytes(Reason::DECODER_PANIC, "the archive reader panicked"));
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked);
    done.map_err(|fault| file.fault().unwrap_or(fault))
}

/// Does `work` until it succeeds or fails twice alike: damage on the way is gone or different the next time, damage at rest
/// is the same, and only that is a fact about the bytes.
///
/// # Errors
/// When the store fails, or something else is wrong each time.
pub(super) fn settled<T>(
    mut work: impl FnMut() -> Result<T, ArchiveFault>,
) -> Result<Result<T, (Reason, String)>, StoreError> {
    let mut before = None;
    for _ in 0..REREADS {
        match work() {
            Ok(done) => return Ok(Ok(done)),
            Err(ArchiveFault::Store(error)) => return Err(error),
            Err(ArchiveFault::Bytes(reason, detail)) => {
                let found = (reason, detail);
                if before.as_ref() == Some(&found) {
                    return Ok(Err(found));
                }
                before = Some(found);
            }
        }
    }
    let cause = Cause::Other("other damage was found each time".to_owned());
    Err(StoreError { operation: "read", object: "archive".to_owned(), cause })
}

/// An archive that ends before what it promises, or whose compressed data are damaged.
fn cut(error: &std::io::Error) -> ArchiveFault {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ArchiveFault::bytes(Reason::ArchiveTruncated, "ends too early"),
        _ => ArchiveFault::bytes(Reason::ArchiveCorrupt, "damaged compressed data"),
    }
}
