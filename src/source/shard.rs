//! The entries of a tar shard, found by its headers alone: the images are skipped, not read.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

use super::archive::{guarded, settled};
use super::ranged::{ArchiveFault, Ranged};
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
/// Largest sidecar with a class.
const MAX_CLASS_BYTES: u64 = 256;

/// One file in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardEntry {
    /// Path in the shard; `None` for all that could not be listed.
    pub(super) name: Option<String>,
    /// Where its bytes begin.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) bytes: u64,
    /// Content of a `.cls` file, as WebDataset writes the class of the image of that key.
    pub(super) class: Option<String>,
    /// Why it must not be read, and what was found.
    pub(super) refused: Option<(Reason, String)>,
}

impl ShardEntry {
    fn refused(name: Option<String>, offset: u64, reason: Reason, found: impl Into<String>) -> Self {
        Self { name, offset, bytes: 0, class: None, refused: Some((reason, found.into())) }
    }
}

/// Lists the files of an uncompressed tar in its order, also where several were put one behind the other.
///
/// Links, devices, sparse files, names that leave the shard and second files of a name are refused one by one. What stands behind a
/// cut or behind an entry with two sizes cannot be listed; one entry without a name stands for it.
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
    if let Err((reason, detail)) = walked {
        let behind = found.last().map_or(0, |last| last.offset + last.bytes);
        found.push(ShardEntry::refused(None, behind, reason, detail));
    }
    Ok(found)
}

/// What a file is that has a tar's name and begins as another kind does.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    Some(match start {
        [0x1f, 0x8b, ..] => "gzip where a tar should be; gunzip it",
        [b'B', b'Z', b'h', ..] => "bzip2 where a tar should be; unpack it",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz where a tar should be; unpack it",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd where a tar should be; unpack it",
        [b'P', b'K', 3 | 5, ..] => "zip where a tar should be",
        _ => return None,
    })
}

fn walk(mut file: Ranged, found: &mut Vec<ShardEntry>) -> Result<(), ArchiveFault> {
    let broken = |_: io::Error| ArchiveFault::bytes(Reason::ArchiveTruncated, "cut, or no uncompressed tar");
    let size = file.size();
    let start = file.part(0, size.min(6)).map_err(broken)?;
    if let Some(other) = other_kind(&start) {
        return Err(ArchiveFault::bytes(Reason::ArchiveUnsupported, other));
    }
    let mut names = HashSet::new();
    let mut archive = tar::Archive::new(Headers { file: file.clone(), n_bytes: 0 });
    archive.set_ignore_zeros(true);
    let mut behind = 0;
    for (n, entry) in archive.entries_with_seek().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if n == MAX_ENTRIES {
            return Err(ArchiveFault::bytes(Reason::ArchiveExceedsLimit, "more entries than are taken"));
        }
        let kind = entry.header().entry_type();
        let is_sparse = kind.is_gnu_sparse() || is_pax_sparse(&mut entry);
        // Also of entries that hold nothing: what a wrong size spans would never be seen. A sparse file has two by right.
        if !is_sparse && entry.header().entry_size().ok() != Some(entry.size()) {
            return Err(ArchiveFault::bytes(Reason::ArchiveAmbiguous, "an entry with two sizes"));
        }
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        // Of a sparse file less stands in the shard than it has bytes.
        behind = offset.saturating_add(if is_sparse { 0 } else { bytes });
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = text_of(&entry.path_bytes());
        let refusal = if is_sparse {
            Some("a sparse file")
        } else if kind.is_hard_link() || kind.is_symlink() {
            Some("a link")
        } else if !kind.is_file() {
            Some("neither a file nor a link")
        } else if leaves(&name) {
            Some("a name that leaves the shard")
        } else if !names.insert(name.clone()) {
            Some("a second entry of its name")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            found.push(ShardEntry::refused(Some(name), offset, Reason::ArchiveEntryRefused, refusal));
            continue;
        }
        if offset.checked_add(bytes).is_none_or(|end| end > size) {
            return Err(ArchiveFault::bytes(Reason::ArchiveTruncated, "an entry ends behind the shard"));
        }
        let mut class = None;
        let is_class = name.len() > 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".cls");
        if is_class && bytes <= MAX_CLASS_BYTES {
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
        return Err(ArchiveFault::bytes(Reason::ArchiveTruncated, "no end of a tar"));
    }
    let mut end = [1; END_BYTES];
    file.seek(SeekFrom::Start(size.saturating_sub(END_BYTES as u64))).map_err(broken)?;
    file.read_exact(&mut end).map_err(broken)?;
    if end == [0; END_BYTES] {
        Ok(())
    } else {
        Err(ArchiveFault::bytes(Reason::ArchiveTruncated, "no end of a tar"))
    }
}

fn is_pax_sparse<R: Read>(entry: &mut tar::Entry<'_, R>) -> bool {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return false };
    extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse."))
}

/// A name as text; bytes that are none become escapes.
fn text_of(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
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
