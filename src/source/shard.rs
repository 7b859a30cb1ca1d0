//! The entries of a tar shard, found by its headers alone: the images are skipped, not read.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use object_store::path::Path;
use tokio::runtime::Handle;

use crate::error::{Exit, Problem};
use crate::store::{Object, Root};

/// Bytes of one ranged read: some hundred headers of small entries.
const BLOCK_BYTES: u64 = 64 << 10;
/// Zeros that every tar ends in: two blocks.
const END_BYTES: usize = 1024;
/// More entries than any shard has; a hostile one could claim them for ever.
const MAX_ENTRIES: usize = 10_000_000;
/// Largest sidecar with a class index.
const MAX_CLASS_BYTES: u64 = 32;

/// One file in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardEntry {
    /// Path in the shard.
    pub(super) name: String,
    /// Where its bytes begin.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) bytes: u64,
    /// Content of a `.cls` file, as WebDataset writes the class index of the image of that name.
    pub(super) class: Option<String>,
}

/// Lists the files of an uncompressed tar in its order.
///
/// # Errors
/// `M021` when it is no tar, ends early, or has a name that is not UTF-8; store failures.
pub(super) fn entries(
    root: &Root,
    runtime: &Handle,
    key: &str,
    size: u64,
) -> Result<Vec<ShardEntry>, Problem> {
    let mut found = Vec::new();
    let mut file = Ranged { root, runtime, key: Path::from(key), size, at: 0, block: None };
    let whole = file.check_end();
    let mut archive = tar::Archive::new(file);
    let walked = whole.and_then(|()| archive.entries_with_seek()).and_then(|entries| {
        for entry in entries.take(MAX_ENTRIES) {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path()?.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidData)?;
            let (offset, bytes) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(bytes).is_none_or(|end| end > size) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut class = None;
            if name.ends_with(".cls") && bytes <= MAX_CLASS_BYTES {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                class = Some(text.trim().to_owned());
            }
            found.push(ShardEntry { name, offset, bytes, class });
        }
        Ok(())
    });
    walked.map_err(|_| {
        let what = format!("a shard of {size} bytes is no uncompressed tar, or ends early");
        Problem::new("M021", Exit::BadData, what).hint("unpack compressed shards; copy damaged ones again")
    })?;
    Ok(found)
}

/// An object as a file: read in blocks, where they are asked for.
struct Ranged<'a> {
    root: &'a Root,
    runtime: &'a Handle,
    key: Path,
    size: u64,
    at: u64,
    /// The last block and where it begins.
    block: Option<(u64, Bytes)>,
}

impl Ranged<'_> {
    /// Back at the front, if the file ends as a tar does; the reader itself takes a cut between two entries for the end.
    fn check_end(&mut self) -> io::Result<()> {
        let mut end = [1; END_BYTES];
        self.seek(SeekFrom::End(-(END_BYTES as i64)))?;
        self.read_exact(&mut end)?;
        self.seek(SeekFrom::Start(0))?;
        if end == [0; END_BYTES] { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn block(&mut self) -> io::Result<(u64, Bytes)> {
        if let Some((start, bytes)) = &self.block
            && (*start..*start + bytes.len() as u64).contains(&self.at)
        {
            return Ok((*start, bytes.clone()));
        }
        let range = self.at..self.size.min(self.at + BLOCK_BYTES);
        let read = self.root.read_part(&self.key, "shard", range, BLOCK_BYTES);
        let Object::Bytes(bytes) = self.runtime.block_on(read).map_err(io::Error::other)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.block = Some((self.at, bytes.clone()));
        Ok((self.at, bytes))
    }
}

impl Read for Ranged<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || out.is_empty() {
            return Ok(0);
        }
        let (start, bytes) = self.block()?;
        let rest = &bytes[usize::try_from(self.at - start).unwrap_or(usize::MAX)..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Ranged<'_> {
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
