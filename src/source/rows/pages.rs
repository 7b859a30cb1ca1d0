//! The headers of a Parquet column's pages: how much they unpack to, without unpacking them.

use super::Spool;
use crate::source::archive::footer::{Compact, I32, STRUCT};

/// `DELTA_BYTE_ARRAY`: a value is the beginning of the one before and a rest, so a short page can hold long values.
const FRONT_CODED: i64 = 7;
/// Of `PageType`.
const DICTIONARY: i64 = 2;
/// Bytes in which the header of a page is looked for, one after the other.
const HEADER_BYTES: [usize; 3] = [512, 32 << 10, 4 << 20];

/// What a column's pages take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// The largest dictionary, unpacked.
    dictionary_bytes: u64,
    /// The largest other page, unpacked; no value is longer.
    pub(super) page_bytes: u64,
    /// Whether a page has values that repeat the one before.
    pub(super) is_front_coded: bool,
}

impl Pages {
    /// Bytes that are in memory at once: the dictionary and a page.
    pub(super) fn held_bytes(&self) -> u64 {
        self.dictionary_bytes.saturating_add(self.page_bytes)
    }

    /// Those of another row group of the column.
    pub(super) fn extend(&mut self, other: Self) {
        self.dictionary_bytes = self.dictionary_bytes.max(other.dictionary_bytes);
        self.page_bytes = self.page_bytes.max(other.page_bytes);
        self.is_front_coded |= other.is_front_coded;
    }
}

/// Looks at the pages of a column chunk until they hold `n_values`, or the chunk ends.
///
/// `None` where it ends inside a page, or in what is no header of one.
pub(super) fn pages(file: &Spool, start: u64, length: u64, n_values: u64) -> Option<Pages> {
    let end = start.checked_add(length)?.min(file.n_bytes());
    let (mut at, mut found, mut n_seen) = (start, Pages::default(), 0_u64);
    while at < end && n_seen < n_values {
        let (header, n_header) = page_at(file, at, end)?;
        at = at.checked_add(n_header)?.checked_add(header.n_stored)?;
        (at <= end).then_some(())?;
        n_seen = n_seen.saturating_add(header.n_values);
        if header.kind == DICTIONARY {
            found.dictionary_bytes = found.dictionary_bytes.max(header.n_unpacked);
        } else {
            found.page_bytes = found.page_bytes.max(header.n_unpacked);
            found.is_front_coded |= header.is_front_coded;
        }
    }
    Some(found)
}

/// The header of the page at `at`, and its bytes: most are short, and statistics in them may be long.
fn page_at(file: &Spool, at: u64, end: u64) -> Option<(PageHeader, u64)> {
    HEADER_BYTES.into_iter().find_map(|n_bytes| {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let bytes = file.read_at(at, n_bytes.min(left)).ok()?;
        let mut compact = Compact { rest: &bytes };
        let header = page_header(&mut compact)?;
        Some((header, (bytes.len() - compact.rest.len()) as u64))
    })
}

#[derive(Default)]
struct PageHeader {
    kind: i64,
    n_unpacked: u64,
    n_stored: u64,
    /// Of a page of data; a dictionary has none.
    n_values: u64,
    is_front_coded: bool,
}

fn page_header(compact: &mut Compact<'_>) -> Option<PageHeader> {
    let (mut header, mut id) = (PageHeader::default(), 0);
    while let Some((next, kind)) = compact.field(id)? {
        match (next, kind) {
            (1, I32) => header.kind = compact.zigzag()?,
            (2, I32) => header.n_unpacked = u64::try_from(compact.zigzag()?).ok()?,
            (3, I32) => header.n_stored = u64::try_from(compact.zigzag()?).ok()?,
            // Of the first version the second field is the encoding, of the second version the fourth.
            (5, STRUCT) => data_header(compact, &mut header, 2)?,
            (8, STRUCT) => data_header(compact, &mut header, 4)?,
            _ => compact.skip(kind, 0)?,
        }
        id = next;
    }
    Some(header)
}

fn data_header(compact: &mut Compact<'_>, header: &mut PageHeader, encoding: i64) -> Option<()> {
    let mut id = 0;
    while let Some((next, kind)) = compact.field(id)? {
        match (next, kind) {
            (1, I32) => header.n_values = u64::try_from(compact.zigzag()?).ok()?,
            (at, I32) if at == encoding => header.is_front_coded = compact.zigzag()? == FRONT_CODED,
            _ => compact.skip(kind, 1)?,
        }
        id = next;
    }
    Some(())
}
