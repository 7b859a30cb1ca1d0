//! The structure of a TIFF: byte order, the chain of pages, and the entries of one.

use std::collections::HashSet;

use super::super::error::{Fault, Reason};

/// Pages beyond this are not followed.
const MAX_PAGES: usize = 65_536;

/// A TIFF, classic or big, of either byte order.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    is_big: bool,
}

/// One page's directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory<'a> {
    file: File<'a>,
    /// Entries of 12 bytes, 20 in a big TIFF.
    entries: &'a [u8],
}

impl<'a> File<'a> {
    /// Reads the header; the caller has sniffed it.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, is_big_endian: bytes.first() == Some(&b'M'), is_big: bytes[2..4].contains(&43) }
    }

    /// Follows the chain of directories to its end.
    pub(super) fn pages(&self) -> Result<Vec<Directory<'a>>, Fault> {
        let mut pages = Vec::new();
        let mut seen = HashSet::new();
        let mut next = if self.is_big {
            // Offsets of 8 bytes, and a constant 0.
            if self.number(4, 2)? != 8 || self.number(6, 2)? != 0 {
                return Err(Fault::corrupt("big TIFF header"));
            }
            self.number(8, 8)?
        } else {
            self.number(4, 4)?
        };
        while next != 0 {
            if !seen.insert(next) {
                return Err(Fault::corrupt("IFD cycle"));
            }
            if pages.len() == MAX_PAGES {
                return Err(Fault::new(Reason::MultiFrame, format!("over {MAX_PAGES} pages")));
            }
            let (page, after) = self.directory(next)?;
            pages.push(page);
            next = after;
        }
        if pages.is_empty() { Err(Fault::truncated("no page")) } else { Ok(pages) }
    }

    /// The directory at an offset, and the offset of the one after it.
    fn directory(&self, at: u64) -> Result<(Directory<'a>, u64), Fault> {
        let (count_len, entry_len, offset_len) = if self.is_big { (8, 20, 8) } else { (2, 12, 4) };
        let n_entries = self.number(at, count_len)?;
        let start = at.saturating_add(count_len);
        let len = n_entries.saturating_mul(entry_len);
        let entries = self.slice(start, len)?;
        // The last directory of some writers lacks its zero; a cut file lacks more.
        let next = self.number(start.saturating_add(len), offset_len)?;
        Ok((Directory { file: *self, entries }, next))
    }

    /// Bytes of the file.
    ///
    /// More than the whole file is a contradiction; a part that lies beyond the end is what a cut leaves.
    pub(super) fn slice(&self, at: u64, len: u64) -> Result<&'a [u8], Fault> {
        if len > self.bytes.len() as u64 {
            return Err(Fault::corrupt(format!("{len} bytes declared, the object has {}", self.bytes.len())));
        }
        let start = usize::try_from(at).ok();
        let slice = start.and_then(|start| self.bytes.get(start..)).and_then(|rest| rest.get(..len as usize));
        slice.ok_or_else(|| {
            Fault::truncated(format!("{len} bytes at {at}, the object has {}", self.bytes.len()))
        })
    }

    /// Bytes of the file up to its end: writers round the length of the last strip up.
    pub(super) fn slice_to_end(&self, at: u64, len: u64) -> Result<&'a [u8], Fault> {
        let n_left = (self.bytes.len() as u64).saturating_sub(at);
        if len > n_left && len <= self.bytes.len() as u64 {
            self.slice(at, n_left)
        } else {
            self.slice(at, len)
        }
    }

    fn number(&self, at: u64, len: u64) -> Result<u64, Fault> {
        self.slice(at, len).map(|bytes| self.read(bytes))
    }

    fn read(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    /// The byte order of 16-bit samples.
    pub(super) fn is_big_endian(&self) -> bool {
        self.is_big_endian
    }
}

impl<'a> Directory<'a> {
    pub(super) fn file(&self) -> File<'a> {
        self.file
    }

    /// The raw value of a tag and the bytes of one of its numbers; `None` where the tag is absent.
    fn value(&self, tag: u16) -> Result<Option<(&'a [u8], usize)>, Fault> {
        let (entry_len, count_len) = if self.file.is_big { (20, 8) } else { (12, 4) };
        let entries = self.entries.chunks_exact(entry_len);
        let Some(entry) = entries.into_iter().find(|entry| self.file.read(&entry[..2]) == u64::from(tag))
        else {
            return Ok(None);
        };
        let width: u64 = match self.file.read(&entry[2..4]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return Err(Fault::corrupt(format!("type of tag {tag}"))),
        };
        let len = self.file.read(&entry[4..4 + count_len]).saturating_mul(width);
        let field = &entry[4 + count_len..];
        let value = match field.get(..len.min(1 << 20) as usize) {
            Some(inline) => inline,
            None => self.file.slice(self.file.read(field), len)?,
        };
        Ok(Some((value, width as usize)))
    }

    /// The unsigned numbers of a tag; empty where it is absent.
    pub(super) fn numbers(&self, tag: u16) -> Result<Vec<u64>, Fault> {
        let Some((value, width)) = self.value(tag)? else { return Ok(Vec::new()) };
        Ok(value.chunks_exact(width).map(|number| self.file.read(number)).collect())
    }

    /// The first number of a tag, if present.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, Fault> {
        let value = self.value(tag)?;
        Ok(value.and_then(|(value, width)| value.get(..width)).map(|number| self.file.read(number)))
    }

    /// The bytes of a tag; empty where it is absent.
    pub(super) fn bytes(&self, tag: u16) -> Result<&'a [u8], Fault> {
        Ok(self.value(tag)?.map(|(value, _)| value).unwrap_or_default())
    }
}
