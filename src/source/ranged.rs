//! An object as a file: read in blocks, where they are asked for.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use tokio::runtime::Handle;

use crate::messages::Reason;
use crate::store::{Cause, Object, Root, StoreError, Version};

/// Most bytes of one part; a page of a table may claim gigabytes.
const MAX_PART_BYTES: u64 = 64 << 20;

/// Why bytes of an archive cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArchiveFault {
    /// The store failed; nothing is known about the bytes.
    Store(StoreError),
    /// A fact about the bytes: reason code and detail.
    Bytes(Reason, String),
}

impl ArchiveFault {
    pub(super) fn bytes(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Bytes(reason, detail.into())
    }
}

/// A reader for libraries that want a file. Clones share the version, the last block and the fault, not the place.
///
/// Not for I/O threads: each block waits for the store.
#[derive(Debug, Clone)]
pub(super) struct Ranged {
    root: Root,
    runtime: Handle,
    key: Path,
    size: u64,
    block_bytes: u64,
    at: u64,
    /// The last block and where it begins.
    block: Arc<Mutex<Option<(u64, Bytes)>>>,
    /// What the first block was of, and every other must be.
    version: Arc<Mutex<Option<Version>>>,
    fault: Arc<Mutex<Option<ArchiveFault>>>,
}

impl Ranged {
    /// Stands at the front of an object; reads `block_bytes` at once.
    ///
    /// # Errors
    /// `missing_object`, and store failures.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn open(root: &Root, key: &Path, block_bytes: u64) -> Result<Self, ArchiveFault> {
        match Handle::current().block_on(root.size(key, "archive")) {
            Ok(Some(size)) => Ok(Self::new(root, key, size, block_bytes)),
            Ok(None) => Err(ArchiveFault::bytes(Reason::MissingObject, "no object of that name")),
            Err(error) if error.cause == Cause::Outside => {
                Err(ArchiveFault::bytes(Reason::OutsideRoot, "a link that leaves the root"))
            }
            Err(error) if error.cause == Cause::Special => {
                Err(ArchiveFault::bytes(Reason::NotAFile, "not a regular file"))
            }
            Err(error) => Err(ArchiveFault::Store(error)),
        }
    }

    /// [`Ranged::open`] for an object whose size is known.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(root: &Root, key: &Path, size: u64, block_bytes: u64) -> Self {
        Self {
            root: root.clone(),
            runtime: Handle::current(),
            key: key.clone(),
            size,
            block_bytes,
            at: 0,
            block: Arc::default(),
            version: Arc::default(),
            fault: Arc::default(),
        }
    }

    /// Bytes of the object.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What was behind the last error, when it came from here: libraries tell only that something failed.
    pub(super) fn fault(&self) -> Option<ArchiveFault> {
        locked(&self.fault).clone()
    }

    /// `n_bytes` from `start`, at once.
    ///
    /// # Errors
    /// When the object is shorter, the part is over 64 MiB, or the store fails; [`Ranged::fault`] knows which.
    pub(super) fn part(&self, start: u64, n_bytes: u64) -> io::Result<Bytes> {
        if let Some((first, bytes)) = locked(&self.block).as_ref()
            && let Some(offset) = start.checked_sub(*first)
            && offset.saturating_add(n_bytes) <= bytes.len() as u64
        {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(bytes.slice(offset..offset + usize::try_from(n_bytes).unwrap_or(usize::MAX)));
        }
        if start.checked_add(n_bytes).is_none_or(|end| end > self.size) {
            return Err(self.failed(ArchiveFault::bytes(Reason::ArchiveTruncated, "ends too early")));
        }
        if n_bytes > MAX_PART_BYTES {
            let detail = format!("found a part of {n_bytes} bytes, allowed {MAX_PART_BYTES}");
            return Err(self.failed(ArchiveFault::bytes(Reason::ArchiveExceedsLimit, detail)));
        }
        // A whole block, for what comes next is asked for next.
        let end = self.size.min(start + n_bytes.max(self.block_bytes));
        let mut version = locked(&self.version).clone();
        let read = self.root.read_block(&self.key, "archive", start..end, self.block_bytes, &mut version);
        let read = self.runtime.block_on(read);
        *locked(&self.version) = version;
        match read {
            Ok(Object::Bytes(bytes)) => {
                *locked(&self.block) = Some((start, bytes.clone()));
                Ok(bytes.slice(..usize::try_from(n_bytes).unwrap_or(usize::MAX)))
            }
            Ok(Object::Archived) => {
                Err(self.failed(ArchiveFault::bytes(Reason::ArchivedObject, "in an archived class")))
            }
            Ok(Object::Changed) => {
                Err(self
                    .failed(ArchiveFault::bytes(Reason::SourceChanged, "another version while it was read")))
            }
            Ok(Object::Missing) => {
                Err(self.failed(ArchiveFault::bytes(Reason::MissingObject, "no object of that name")))
            }
            Ok(_) => Err(self.failed(ArchiveFault::bytes(Reason::ArchiveTruncated, "ends too early"))),
            Err(error) => Err(self.failed(ArchiveFault::Store(error))),
        }
    }

    /// Remembers why the next error is one.
    pub(super) fn failed(&self, fault: ArchiveFault) -> io::Error {
        *locked(&self.fault) = Some(fault);
        io::ErrorKind::Other.into()
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for Ranged {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || out.is_empty() {
            return Ok(0);
        }
        let n = (out.len() as u64).min(self.block_bytes).min(self.size - self.at);
        let bytes = self.part(self.at, n)?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Ranged {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
