//! What a Parquet file declares, looked at before a library acts on it.
//!
//! The library follows a schema as deep as it goes, which ends the process when its stack is used up, and makes room for a page of the
//! size that the page's header says. Both are numbers in a few bytes of a hostile file.

use crate::messages::Reason;
use crate::source::ranged::{Fault, Ranged};

/// Groups inside groups; nested data sets have five.
const MAX_DEPTH: usize = 32;
/// Structures inside structures of the footer itself.
const MAX_NESTING: usize = 16;
/// Bytes of a page as it is held; writers cut them at one MiB, and at a hundred images.
const MAX_PAGE_BYTES: u64 = 256 << 20;
/// Length and magic at the end of a file.
const END_BYTES: u64 = 8;
/// Enough for the first three numbers of a page header.
const PAGE_START_BYTES: u64 = 24;

/// Looks at the schema of a file.
///
/// # Errors
/// `archive_truncated` without a footer, `archive_encrypted`, `archive_exceeds_limit` for a schema that is too deep, and
/// `archive_corrupt` for one that contradicts itself.
pub(super) fn check_schema(file: &Ranged) -> Result<(), Fault> {
    let cut = || Fault::bytes(Reason::ArchiveTruncated, "no footer: cut, or no Parquet");
    let before_end = file.size().checked_sub(END_BYTES).ok_or_else(cut)?;
    let end = file.part(before_end, END_BYTES).map_err(|_| cut())?;
    match &end[4..] {
        b"PAR1" => {}
        b"PARE" => return Err(Fault::bytes(Reason::ArchiveEncrypted, "the footer is locked")),
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
pub(in crate::source) fn check_footer(footer: &[u8]) -> Result<(), Fault> {
    let mut compact = Compact { rest: footer };
    let corrupt = || Fault::bytes(Reason::ArchiveCorrupt, "a footer that contradicts itself");
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

/// Looks at the header of a page that begins at `start`.
///
/// # Errors
/// `archive_exceeds_limit` for a page that would be too large, `archive_corrupt` for what is no such header.
pub(super) fn check_page(file: &Ranged, start: u64) -> Result<(), Fault> {
    let corrupt = || Fault::bytes(Reason::ArchiveCorrupt, "a page without a header");
    let n_bytes = file.size().saturating_sub(start).min(PAGE_START_BYTES);
    let bytes = file.part(start, n_bytes).map_err(|_| corrupt())?;
    let mut compact = Compact { rest: &bytes };
    // Kind, size when unpacked, size as stored: every writer begins so.
    for wanted in 1..=2 {
        let first = compact.field(wanted - 1).flatten();
        if first != Some((wanted, I32)) {
            return Err(corrupt());
        }
        let value = compact.zigzag().ok_or_else(corrupt)?;
        if wanted == 2 && u64::try_from(value).map_err(|_| corrupt())? > MAX_PAGE_BYTES {
            let detail = format!("found a page of {value} bytes, allowed {MAX_PAGE_BYTES}");
            return Err(Fault::bytes(Reason::ArchiveExceedsLimit, detail));
        }
    }
    Ok(())
}

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
    fn schema(&mut self) -> Option<Result<(), Fault>> {
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
                return Some(Err(Fault::bytes(Reason::ArchiveExceedsLimit, detail)));
            }
        }
        left.iter().all(|&children| children == 0).then_some(Ok(()))
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

    fn verdict(children: &[u64]) -> Option<Result<(), Fault>> {
        Compact { rest: &schema(children) }.schema()
    }

    #[test]
    fn a_schema_is_as_deep_as_its_open_groups() {
        assert_eq!(verdict(&[2, 2, 0, 0, 0]), Some(Ok(())));
        assert_eq!(
            verdict(&[1].repeat(MAX_DEPTH - 1).into_iter().chain([0]).collect::<Vec<_>>()),
            Some(Ok(()))
        );
        let deep = verdict(&[1].repeat(5000).into_iter().chain([0]).collect::<Vec<_>>());
        assert!(matches!(deep, Some(Err(Fault::Bytes(Reason::ArchiveExceedsLimit, _)))), "{deep:?}");
        // More children than elements, fewer than promised, and a second root.
        assert_eq!(verdict(&[0x7fff_ffff, 0]), None);
        assert_eq!(verdict(&[2, 0]), None);
        assert_eq!(verdict(&[1, 0, 0]), None);
    }
}
