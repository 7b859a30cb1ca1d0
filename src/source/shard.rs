//! The entries of a tar shard, found by its headers alone: the images are skipped, not read.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

use super::archive::{guarded, settled};
use super::ranged::{Fault, Ranged};
use crate::messages::Reason;
use crate::store::StoreError;

/// Bytes of one ranged read: some hundred headers of small entries.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;
/// Zeros that every tar ends in: two blocks.
const END_BYTES: usize = 1024;
/// More entries than any shard has; a hostile one could claim them for ever.
const MAX_ENTRIES: usize = 10_000_000;
/// Most bytes of headers and names that stand together; a long name may claim gigabytes.
const MAX_RUN_BYTES: u64 = 64 << 20;
/// Largest sidecar with a class index.
const MAX_CLASS_BYTES: u64 = 32;

/// One file in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardEntry {
    /// Path in the shard; `None` for all that could not be listed.
    pub(super) name: Option<String>,
    /// Where its bytes begin.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) bytes: u64,
    /// Content of a `.cls` file, as WebDataset writes the class index of the image of that name.
    pub(super) class: Option<String>,
    /// Why it must not be read.
    pub(super) refused: Option<Reason>,
}

impl ShardEntry {
    fn refused(name: Option<String>, offset: u64, reason: Reason) -> Self {
        Self { name, offset, bytes: 0, class: None, refused: Some(reason) }
    }
}

/// Lists the files of an uncompressed tar in its order.
///
/// Links, devices, names that leave the shard and second files of a name are refused one by one. What stands behind a cut
/// or behind an entry with two sizes cannot be listed; one entry without a name stands for it.
///
/// # Errors
/// When the store fails.
pub(super) fn entries(file: impl Fn() -> Ranged) -> Result<Vec<ShardEntry>, StoreError> {
    let mut found = Vec::new();
    let walked = settled(|| {
        found.clear();
        let file = file();
        guarded(&file.clone(), || walk(file, &mut found))
    })?;
    if let Err((reason, _)) = walked {
        let behind = found.last().map_or(0, |last| last.offset + last.bytes);
        found.push(ShardEntry::refused(None, behind, reason));
    }
    Ok(found)
}

fn walk(mut file: Ranged, found: &mut Vec<ShardEntry>) -> Result<(), Fault> {
    let broken = |_: io::Error| Fault::bytes(Reason::ArchiveTruncated, "cut, or no uncompressed tar");
    let size = file.size();
    let mut names = HashSet::new();
    let mut archive = tar::Archive::new(Headers { file: file.clone(), n_bytes: 0 });
    let mut behind = 0;
    for (n, entry) in archive.entries_with_seek().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if n == MAX_ENTRIES {
            return Err(Fault::bytes(Reason::ArchiveExceedsLimit, "more entries than are taken"));
        }
        // Also of entries that hold nothing: what a wrong size spans would never be seen.
        if entry.header().entry_size().ok() != Some(entry.size()) {
            return Err(Fault::bytes(Reason::ArchiveAmbiguous, "an entry with two sizes"));
        }
        behind = entry.raw_file_position().saturating_add(entry.size());
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        if !kind.is_file() || leaves(&name) || !names.insert(name.clone()) {
            found.push(ShardEntry::refused(Some(name), offset, Reason::ArchiveEntryRefused));
            continue;
        }
        if offset.checked_add(bytes).is_none_or(|end| end > size) {
            return Err(Fault::bytes(Reason::ArchiveTruncated, "an entry ends behind the shard"));
        }
        let mut class = None;
        if name.ends_with(".cls") && bytes <= MAX_CLASS_BYTES {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(broken)?;
            class = Some(String::from_utf8_lossy(&text).trim().to_owned());
        }
        found.push(ShardEntry { name: Some(name), offset, bytes, class, refused: None });
    }
    // The reader takes a cut between two entries for the end, and an image may itself end in zeros.
    let end_of_entries =
        behind.checked_next_multiple_of(512).and_then(|end| end.checked_add(END_BYTES as u64));
    if end_of_entries.is_none_or(|end| end > size) {
        return Err(Fault::bytes(Reason::ArchiveTruncated, "no end of a tar"));
    }
    let mut end = [1; END_BYTES];
    file.seek(SeekFrom::Start(size.saturating_sub(END_BYTES as u64))).map_err(broken)?;
    file.read_exact(&mut end).map_err(broken)?;
    if end == [0; END_BYTES] {
        Ok(())
    } else {
        Err(Fault::bytes(Reason::ArchiveTruncated, "no end of a tar"))
    }
}

/// The file as the reader of headers sees it, who jumps over images but holds long names whole.
struct Headers {
    file: Ranged,
    /// Read since the last jump.
    n_bytes: u64,
}

impl Read for Headers {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        self.n_bytes += n as u64;
        if self.n_bytes > MAX_RUN_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(n) }
    }
}

impl Seek for Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.n_bytes = 0;
        self.file.seek(to)
    }
}

/// Whether a name means a place outside the shard.
fn leaves(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}
