//! Bytes of this process's own that may be more than memory holds: small ones stay in memory, others lie in a file without a name.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tempfile::SpooledTempFile;

use crate::error::{Exit, Problem};

/// Bytes that stay in memory.
const MAX_MEMORY_BYTES: usize = 1 << 20;
/// Bytes that are read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// Bytes that are appended once and read from any place. Clones share them.
///
/// The file lies in the folder for temporary files, can be read by nobody else, and goes away with the process however that ends.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    file: Arc<Mutex<SpooledTempFile>>,
    n_bytes: u64,
}

impl Spool {
    /// Holds nothing.
    pub(super) fn new() -> Self {
        Self { file: Arc::new(Mutex::new(SpooledTempFile::new(MAX_MEMORY_BYTES))), n_bytes: 0 }
    }

    /// Bytes that were appended.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn file(&self) -> MutexGuard<'_, SpooledTempFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes behind the others.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(self.n_bytes))?;
        file.write_all(bytes)?;
        drop(file);
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Up to `n_bytes` from `at`; fewer at the end alone.
    pub(super) fn read_at(&self, at: u64, n_bytes: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.n_bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut found = vec![0; n_bytes.min(left)];
        let mut file = self.file();
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut found)?;
        Ok(found.into())
    }

    /// Reads from `at` to the end.
    pub(super) fn reader(&self, at: u64) -> BufReader<SpoolReader> {
        BufReader::with_capacity(BLOCK_BYTES, SpoolReader { spool: self.clone(), at })
    }
}

/// A place in a [`Spool`].
#[derive(Debug)]
pub(super) struct SpoolReader {
    spool: Spool,
    at: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let found = self.spool.read_at(self.at, out.len())?;
        out[..found.len()].copy_from_slice(&found);
        self.at += found.len() as u64;
        Ok(found.len())
    }
}

impl Length for Spool {
    fn len(&self) -> u64 {
        self.n_bytes
    }
}

impl ChunkReader for Spool {
    type T = BufReader<SpoolReader>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.reader(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let found = self.read_at(start, length)?;
        if found.len() < length {
            return Err(ParquetError::EOF("a part behind the end".to_owned()));
        }
        Ok(found)
    }
}

/// What is said when the folder for temporary files takes no more.
pub(super) fn unspooled(error: &io::Error) -> Problem {
    let what = format!("the folder for temporary files cannot be written ({})", error.kind());
    Problem::new("C007", Exit::Permission, what)
        .hint("set TMPDIR to a folder with room for twice the manifest file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_from_any_place_in_memory_and_behind_its_bound() {
        let mut spool = Spool::new();
        let block: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
        for _ in 0..5 {
            spool.append(&block).unwrap();
        }
        assert_eq!(spool.n_bytes(), 1_500_000);
        assert_eq!(spool.read_at(299_999, 2).unwrap(), [block[299_999], block[0]].as_slice());
        assert_eq!(spool.read_at(1_499_999, 10).unwrap().len(), 1);
        assert!(spool.read_at(2_000_000, 10).unwrap().is_empty());
        let mut rest = Vec::new();
        spool.reader(1_200_000).read_to_end(&mut rest).unwrap();
        assert_eq!(rest, block);
        assert!(spool.get_bytes(1_499_999, 2).is_err());
    }
}
