//! An archive of arrays that is being written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::{fmt, mem};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::NpzError;
use super::npy::NpyHeader;

/// Members from this size on need the 64-bit form of zip.
const LARGE_BYTES: u64 = u32::MAX as u64 / 2;

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
    /// When the array before lacks rows, the header is not one that [`Npz`](super::Npz) would read, or writing fails.
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
