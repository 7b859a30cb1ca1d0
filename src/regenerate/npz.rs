//! Arrays in an `.npz` archive, read and written row by row.
//!
//! An `.npz` is a zip of `.npy` members. A row is what one step along the first axis holds: one image, or the
//! labels of one image. Only one row is in memory at a time, whatever the archive declares.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::{fmt, mem};

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::npy::NpyHeader;

/// Members from this size on need the 64-bit form of zip.
const LARGE_BYTES: u64 = u32::MAX as u64 / 2;

/// Why an archive of arrays was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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

/// An archive that is open for reading.
#[derive(Debug)]
pub struct Npz {
    archive: ZipArchive<BufReader<File>>,
}

impl Npz {
    /// Opens an archive and reads its table of contents.
    ///
    /// # Errors
    /// When the file cannot be read or is not a zip archive.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let file = BufReader::new(File::open(path).map_err(NpzError::Io)?);
        Ok(Self { archive: ZipArchive::new(file)? })
    }

    /// Starts to read the array `member`, named without `.npy`, at its first row.
    ///
    /// # Errors
    /// When the array is missing or its header is not understood; nothing is allocated for its rows.
    pub fn rows(&mut self, member: &str) -> Result<Rows<'_>, NpzError> {
        let mut file = self.archive.by_name(&format!("{member}.npy")).map_err(|error| match error {
            ZipError::FileNotFound => NpzError::Missing { member: member.to_owned() },
            other => other.into(),
        })?;
        let header = NpyHeader::read(&mut file, member)?;
        let bad = |problem| NpzError::BadHeader { member: member.to_owned(), problem };
        let row_bytes = header.row_bytes().map_err(bad)?;
        Ok(Rows { member: member.to_owned(), n_left: header.n_rows(), header, row_bytes, file })
    }
}

/// The rows of one array, in order.
pub struct Rows<'a> {
    member: String,
    header: NpyHeader,
    row_bytes: usize,
    n_left: u64,
    file: ZipFile<'a, BufReader<File>>,
}

impl Rows<'_> {
    /// Element type and shape.
    #[must_use]
    pub fn header(&self) -> &NpyHeader {
        &self.header
    }

    /// Replaces `row` by the next row's bytes; `false` after the last one, when the checksum was found right.
    ///
    /// # Errors
    /// When the data is damaged, or there are fewer or more rows than the header declares.
    pub fn next_into(&mut self, row: &mut Vec<u8>) -> Result<bool, NpzError> {
        row.clear();
        let wanted = if self.n_left > 0 { self.row_bytes } else { 1 };
        // Grows with what is there, not with what is declared.
        let n = self.file.by_ref().take(wanted as u64).read_to_end(row).map_err(NpzError::Io)?;
        let size = |found| NpzError::Size { member: self.member.clone(), found };
        match (self.n_left, n) {
            (0, 0) => Ok(false),
            (0, _) => Err(size("more")),
            (_, n) if n < wanted => Err(size("fewer")),
            _ => {
                self.n_left -= 1;
                Ok(true)
            }
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} {:?}, {} left)", self.member, self.header, self.n_left)
    }
}

/// An archive that is being written, compressed with deflate; the same rows give the same bytes.
pub struct NpzWriter {
    zip: ZipWriter<BufWriter<File>>,
    member: String,
    n_bytes_left: u64,
}

impl NpzWriter {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, NpzError> {
        let file = BufWriter::new(File::create(path).map_err(NpzError::Io)?);
        Ok(Self { zip: ZipWriter::new(file), member: String::new(), n_bytes_left: 0 })
    }

    /// Starts the array `member`, named without `.npy`; the one before must be complete.
    ///
    /// # Errors
    /// When the array before lacks rows, the header is not one that [`Npz`] would read, or writing fails.
    pub fn start(&mut self, member: &str, header: &NpyHeader) -> Result<(), NpzError> {
        self.check_complete()?;
        let bad = |problem| NpzError::BadHeader { member: member.to_owned(), problem };
        let n_bytes = header.row_bytes().map_err(bad)? as u64 * header.n_rows();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(n_bytes > LARGE_BYTES);
        self.zip.start_file(format!("{member}.npy"), options)?;
        self.zip.write_all(&header.to_bytes()).map_err(NpzError::Io)?;
        (self.member, self.n_bytes_left) = (member.to_owned(), n_bytes);
        Ok(())
    }

    /// Appends one row, or several.
    ///
    /// # Errors
    /// When there would be more than the header declares, or writing fails.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<(), NpzError> {
        let left = self.n_bytes_left.checked_sub(rows.len() as u64);
        self.n_bytes_left =
            left.ok_or_else(|| NpzError::Size { member: self.member.clone(), found: "more" })?;
        self.zip.write_all(rows).map_err(NpzError::Io)
    }

    /// Ends the archive and hands all of it to the system.
    ///
    /// # Errors
    /// When the last array lacks rows, or writing fails.
    pub fn finish(mut self) -> Result<(), NpzError> {
        self.check_complete()?;
        let file = self.zip.finish()?.into_inner().map_err(|error| NpzError::Io(error.into_error()))?;
        file.sync_all().map_err(NpzError::Io)
    }

    fn check_complete(&mut self) -> Result<(), NpzError> {
        match self.n_bytes_left {
            0 => Ok(()),
            _ => Err(NpzError::Size { member: mem::take(&mut self.member), found: "fewer" }),
        }
    }
}

impl fmt::Debug for NpzWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NpzWriter({}, {} bytes left)", self.member, self.n_bytes_left)
    }
}
