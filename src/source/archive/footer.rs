//! What a Parquet file declares, looked at before a library acts on it.
//!
//! The library follows a schema as deep as it goes, which ends the process when its stack is used up, and makes room for a page of the
//! size that the page's header says. Both are numbers in a few bytes of a hostile file.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use parquet::basic::Compression;

use crate::messages::Reason;
use crate::source::ranged::{ArchiveFault, Ranged};

/// Groups inside groups; nested data sets have five.
const MAX_DEPTH: usize = 32;
/// Structures inside structures of the footer itself.
const MAX_NESTING: usize = 16;
/// Bytes of a page as it is held; writers cut them at one MiB, and at a hundred images.
const MAX_PAGE_BYTES: u64 = 256 << 20;
/// Bytes that the rows of a file may hold however small it is.
const SMALL_BYTES: u64 = 64 << 20;
/// How many times its size the rows of a file may hold beyond that, as with members of a zip: one value of a dictionary, named by a
/// bit a row, stands for any number of images.
const MAX_RATIO: u64 = 200;
/// Length and magic at the end of a file.
const END_BYTES: u64 = 8;
/// Enough for the numbers of a page header; statistics behind them may be long.
const PAGE_START_BYTES: u64 = 96;

/// Looks at the schema of a file.
///
/// # Errors
/// `archive_truncated` without a footer, `archive_encrypted`, `archive_exceeds_limit` for a schema that is too deep, and
/// `archive_corrupt` for one that contradicts itself.
pub(super) fn check_schema(file: &Ranged) -> Result<(), ArchiveFault> {
    let cut = || ArchiveFault::bytes(Reason::ArchiveTruncated, "no footer: cut, or no Parquet");
    let before_end = file.size().checked_sub(END_BYTES).ok_or_else(cut)?;
    let end = file.part(before_end, END_BYTES).map_err(|_| cut())?;
    match &end[4..] {
        b"PAR1" => {}
        b"PARE" => return Err(ArchiveFault::bytes(Reason::ArchiveEncrypted, "the footer is locked")),
        _ => return Err(cut()),
    }
    let n_bytes = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let start = before_end.checked_sub(n_bytes).ok_or_else(cut)?;
    let footer = file.part(start, n_bytes).map_err(|_| cut())?;
    check_footer(&footer)
}

/// Looks at the schema of a footer.
///
/// # Errors
/// `archive_exceeds_limit` for one that is too deep, and `archive_corrupt` for one that contradicts itself.
pub(in crate::source) fn check_footer(footer: &[u8]) -> Result<(), ArchiveFault> {
    let mut compact = Compact { rest: footer };
    let corrupt = || ArchiveFault::bytes(Reason::ArchiveCorrupt, "a footer that contradicts itself");
    // Version, then the schema; what follows says nothing of its shape.
    let mut id = 0;
    while let Some((next, kind)) = compact.field(id).ok_or_else(corrupt)? {
        if (next, kind) == (2, LIST) {
            return compact.schema().ok_or_else(corrupt)?;
        }
        compact.skip(kind, 0).ok_or_else(corrupt)?;
        id = next;
    }
    Err(corrupt())
}

/// Bytes that the rows of a file of this size may hold, together and in each row group.
pub(in crate::source) fn max_expanded(size: u64) -> u64 {
    size.saturating_mul(MAX_RATIO).saturating_add(SMALL_BYTES)
}

/// The refusal of a file whose rows hold more.
pub(in crate::source) fn expands_too_far(size: u64) -> (Reason, String) {
    let allowed = max_expanded(size);
    (
        Reason::ArchiveExceedsLimit,
        format!("rows that hold more than {allowed} bytes together, in a file of {size}"),
    )
}

/// What the header of a page says of its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Bytes of the page as it is held.
    unpacked: u64,
    /// Bytes in front of them that are never compressed: the levels of a page of the second version.
    plain: u64,
    is_compressed: bool,
}

/// Looks at the header of a page that begins at `start`.
///
/// # Errors
/// `archive_exceeds_limit` for a page that would be too large, `archive_corrupt` for what is no such header.
pub(super) fn check_page(file: &Ranged, start: u64) -> Result<Page, ArchiveFault> {
    let corrupt = || ArchiveFault::bytes(Reason::ArchiveCorrupt, "a page without a header");
    let n_bytes = file.size().saturating_sub(start).min(PAGE_START_BYTES);
    let bytes = file.part(start, n_bytes).map_err(|_| corrupt())?;
    let page = Compact { rest: &bytes }.page().ok_or_else(corrupt)?;
    let allowed = MAX_PAGE_BYTES.min(max_expanded(file.size()));
    if page.unpacked > allowed {
        let detail = format!("found a page of {} bytes, allowed {allowed}", page.unpacked);
        return Err(ArchiveFault::bytes(Reason::ArchiveExceedsLimit, detail));
    }
    Ok(page)
}

/// Unpacks a page into nothing, because the library's decoders of gzip and brotli write until their input ends, whatever the header says:
/// a few megabytes become gigabytes. What is damaged is theirs to tell.
///
/// # Errors
/// `archive_exceeds_limit` when there is more than the header says.
pub(super) fn check_unpacked(page: Page, codec: Compression, bytes: &[u8]) -> Result<(), ArchiveFault> {
    let Some(packed) = usize::try_from(page.plain).ok().and_then(|plain| bytes.get(plain..)) else {
        return Ok(());
    };
    if !page.is_compressed {
        return Ok(());
    }
    let allowed = page.unpacked.saturating_sub(page.plain);
    let mut unpacked: Box<dyn Read + '_> = match codec {
        Compression::GZIP(_) => Box::new(MultiGzDecoder::new(packed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(packed, 4096)),
        // The others are told how much room there is.
        _ => return Ok(()),
    };
    let n =
        io::copy(&mut unpacked.by_ref().take(allowed.saturating_add(1)), &mut io::sink()).unwrap_or_default();
    if n > allowed {
        let detail = format!("a page that unpacks to more than the {} bytes it declares", page.unpacked);
        return Err(ArchiveFault::bytes(Reason::ArchiveExceedsLimit, detail));
    }
    Ok(())
}

/// The second version of a page of data.
const DATA_PAGE_2: i64 = 3;
pub(in crate::source) const I32: u8 = 5;
const LIST: u8 = 9;
pub(in crate::source) const STRUCT: u8 = 12;

/// Thrift's compact protocol, as far as it takes to step over it.
pub(in crate::source) struct Compact<'a> {
    pub(in crate::source) rest: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    pub(in crate::source) fn take(&mut self, n: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(n).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(in crate::source) fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next field's number and type, behind the field `before`; the inner `None` is the end of the structure.
    pub(in crate::source) fn field(&mut self, before: i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let id = match head >> 4 {
            0 => self.zigzag()?,
            step => before.checked_add(i64::from(step))?,
        };
        Some(Some((id, head & 0xf)))
    }

    /// Elements and their type.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let n = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        // Each takes a byte at least.
        (n <= self.rest.len() as u64).then_some((n, head & 0xf))
    }

    pub(in crate::source) fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_NESTING {
            return None;
        }
        match kind {
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.take(8),
            8 => {
                let n = self.varint()?;
                self.take(n)
            }
            9 | 10 => {
                let (n, kind) = self.list()?;
                // Switches in a list stand in bytes of their own.
                (0..n).try_for_each(|_| if kind <= 2 { self.take(1) } else { self.skip(kind, depth + 1) })
            }
            STRUCT => {
                let mut id = 0;
                while let Some((next, kind)) = self.field(id)? {
                    self.skip(kind, depth + 1)?;
                    id = next;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// The schema's elements, parents before their children.
    fn schema(&mut self) -> Option<Result<(), ArchiveFault>> {
        let (n_elements, kind) = self.list()?;
        let mut left = Vec::new();
        for n in 0..n_elements {
            while left.last() == Some(&0) {
                left.pop();
            }
            match left.last_mut() {
                Some(children) => *children -= 1,
                None if n == 0 => {}
                None => return None,
            }
            let n_children = if kind == STRUCT { self.children()? } else { return None };
            if n_children > n_elements {
                return None;
            }
            if n_children > 0 {
                left.push(n_children);
            }
            if left.len() > MAX_DEPTH {
                let detail = format!("a schema deeper than {MAX_DEPTH} groups");
                return Some(Err(ArchiveFault::bytes(Reason::ArchiveExceedsLimit, detail)));
            }
        }
        left.iter().all(|&children| children == 0).then_some(Ok(()))
    }

    /// The header of a page: kind, size when unpacked, size as stored, in this order by every writer; a checksum; then what the kind
    /// needs, of which the second version's levels matter.
    fn page(&mut self) -> Option<Page> {
        let mut number = |id: i64| match self.field(id - 1)? {
            Some((found, I32)) if found == id => self.zigzag(),
            _ => None,
        };
        let (kind, unpacked) = (number(1)?, number(2)?);
        let mut page = Page { unpacked: u64::try_from(unpacked).ok()?, plain: 0, is_compressed: true };
        if kind != DATA_PAGE_2 {
            return Some(page);
        }
        let mut id = 2;
        while let Some((next, kind)) = self.field(id)? {
            if (next, kind) == (8, STRUCT) {
                return self.levels(&mut page).map(|()| page);
            }
            self.skip(kind, 0)?;
            id = next;
        }
        Some(page)
    }

    /// The fields of a second version's page that say what is not compressed.
    fn levels(&mut self, page: &mut Page) -> Option<()> {
        let mut id = 0;
        while let Some((next, kind)) = self.field(id)? {
            match (next, kind) {
                (5 | 6, I32) => page.plain += u64::try_from(self.zigzag()?).ok()?,
                (7, 1) => {}
                (7, 2) => page.is_compressed = false,
                (8.., _) => return Some(()),
                _ => self.skip(kind, 0)?,
            }
            id = next;
        }
        Some(())
    }

    /// How many children a schema's element has.
    fn children(&mut self) -> Option<u64> {
        let (mut id, mut n_children) = (0, 0);
        while let Some((next, kind)) = self.field(id)? {
            match (next, kind) {
                (5, I32) => n_children = u64::try_from(self.zigzag()?).ok()?,
                _ => self.skip(kind, 1)?,
            }
            id = next;
        }
        Some(n_children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Reason;

    /// A list of elements that have so many children each.
    fn schema(children: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0xf0 | STRUCT];
        varint(&mut bytes, children.len() as u64);
        for &n in children {
            bytes.push(0x55);
            varint(&mut bytes, n << 1);
            bytes.push(0);
        }
        bytes
    }

    fn varint(bytes: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    fn verdict(children: &[u64]) -> Option<Result<(), ArchiveFault>> {
        Compact { rest: &schema(children) }.schema()
    }

    #[test]
    fn a_page_that_unpacks_to_more_than_it_declares_is_refused() {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
        let gzip = gzip.finish().unwrap();
        let page = |unpacked, plain| Page { unpacked, plain, is_compressed: true };
        let check = |page, bytes: &[u8]| check_unpacked(page, Compression::GZIP(Default::default()), bytes);
        assert_eq!(check(page(1 << 20, 0), &gzip), Ok(()));
        assert!(matches!(
            check(page((1 << 20) - 1, 0), &gzip),
            Err(ArchiveFault::Bytes(Reason::ArchiveExceedsLimit, _))
        ));
        // Levels stand in front, and a page may be stored as it is.
        let levels = [&[0; 7], gzip.as_slice()].concat();
        assert_eq!(check(page((1 << 20) + 7, 7), &levels), Ok(()));
        assert_eq!(check(Page { is_compressed: false, ..page(3, 0) }, &gzip), Ok(()));
    }

    #[test]
    fn the_levels_of_a_second_versions_page_are_found() {
        // kind 3, 300 bytes from 40, then field 8: rows, nulls, rows, encoding, 6 and 2 bytes of levels, not compressed.
        let header = [
            0x15, 6, 0x15, 0xd8, 4, 0x15, 80, 0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 12, 0x15, 4,
            0x12, 0, 0,
        ];
        let page = Compact { rest: &header }.page();
        assert_eq!(page, Some(Page { unpacked: 300, plain: 8, is_compressed: false }));
        assert_eq!(Compact { rest: &header[..12] }.page(), None);
    }

    #[test]
    fn a_schema_is_as_deep_as_its_open_groups() {
        assert_eq!(verdict(&[2, 2, 0, 0, 0]), Some(Ok(())));
        assert_eq!(
            verdict(&[1].repeat(MAX_DEPTH - 1).into_iter().chain([0]).collect::<Vec<_>>()),
            Some(Ok(()))
        );
        let deep = verdict(&[1].repeat(5000).into_iter().chain([0]).collect::<Vec<_>>());
        assert!(matches!(deep, Some(Err(ArchiveFault::Bytes(Reason::ArchiveExceedsLimit, _)))), "{deep:?}");
        // More children than elements, fewer than promised, and a second root.
        assert_eq!(verdict(&[0x7fff_ffff, 0]), None);
        assert_eq!(verdict(&[2, 0]), None);
        assert_eq!(verdict(&[1, 0, 0]), None);
    }
}
