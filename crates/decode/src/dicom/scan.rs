//! The walk over a data set: lengths, nesting and count are checked, and only listed attributes are looked at.
//!
//! This is both the pre-scan that refuses hostile objects and the whole reader. General DICOM parsers allocate what a
//! length field declares and recurse into sequences: 302 bytes can cost gigabytes and 64 KB a stack. Here nothing is
//! allocated for an element that is not listed, values stay slices of the object, and open sequences lie on a list of
//! at most [`MAX_DEPTH`] entries. Patient, study and private attributes are stepped over by their length.

use super::super::error::{Fault, Reason};
use super::attributes::Attributes;
use super::element::{Head, Tag, UNDEFINED};
use super::syntax::Encoding;

/// Sequences inside sequences; real objects stay below 10.
const MAX_DEPTH: usize = 16;
/// Elements, items and delimiters; an enhanced multi-frame object of 10,000 frames has about half a million.
const MAX_ELEMENTS: u32 = 1 << 22;

/// One open sequence, item or value of unknown structure.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The sequence's tag; an item has its sequence's.
    tag: Tag,
    is_item: bool,
    /// Items begun so far, for a sequence; the item's number from 0, for an item.
    n_items: u32,
    /// Where it ends, or `None` for a delimiter.
    end: Option<usize>,
    /// Values of VR UN and undefined length hold implicit VR, whatever the syntax (PS3.5 6.2.2).
    encoding: Encoding,
    /// Its items are bytes and no data sets: compressed pixels of an icon, private values of undefined length.
    is_of_fragments: bool,
}

/// Walks to the pixel data, or to the end of a data set without them.
///
/// `frame` is the picture whose functional groups are kept. Bytes after the pixel data are not looked at: the picture is complete there.
pub(super) fn scan(bytes: &[u8], encoding: Encoding, frame: u32) -> Result<Attributes<'_>, Fault> {
    let mut walk =
        Walk { bytes, at: 0, levels: Vec::new(), encoding, found: Attributes::new(encoding, frame) };
    for _ in 0..MAX_ELEMENTS {
        walk.close_levels()?;
        if walk.at == bytes.len() {
            return walk.finish();
        }
        if walk.step()? {
            return Ok(walk.found);
        }
    }
    let detail = format!("over {MAX_ELEMENTS} elements before the pixel data");
    Err(Fault::new(Reason::DicomElementCountExceedsLimit, detail))
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    encoding: Encoding,
    found: Attributes<'a>,
}

impl<'a> Walk<'a> {
    /// Reads one element, item or delimiter; tells whether it was the pixel data.
    fn step(&mut self) -> Result<bool, Fault> {
        let encoding = self.levels.last().map_or(self.encoding, |level| level.encoding);
        if self.levels.is_empty() && self.bytes[self.at..].iter().all(|&byte| byte == 0) {
            // Zeros that fill a block of the medium.
            self.at = self.bytes.len();
            return Ok(false);
        }
        let head = Head::read(self.bytes, self.at, encoding)?;
        match head.tag {
            Tag::ITEM => self.open_item(head)?,
            Tag::ITEM_END | Tag::SEQUENCE_END => self.close(head)?,
            _ if self.levels.last().is_some_and(|level| !level.is_item) => {
                return Err(self.stray("an element between items"));
            }
            Tag::PIXEL_DATA | Tag::FLOAT_PIXEL_DATA | Tag::DOUBLE_PIXEL_DATA if self.levels.is_empty() => {
                let value = if head.len == UNDEFINED { self.bytes.len() } else { head.end(self.bytes)? };
                let data = &self.bytes[head.value_at..value];
                self.found.set_pixel_data(head, data);
                return Ok(true);
            }
            _ => self.element(head, encoding)?,
        }
        Ok(false)
    }

    fn element(&mut self, head: Head, encoding: Encoding) -> Result<(), Fault> {
        let is_listed = Attributes::is_sequence(head.tag);
        if head.len == UNDEFINED {
            let (inner, is_of_fragments) = match head.vr {
                Some([b'U', b'N']) => (Encoding::IMPLICIT, false),
                Some([b'S', b'Q']) => (encoding, false),
                None => (encoding, head.tag == Tag::PIXEL_DATA),
                Some([b'O', _]) => (encoding, true),
                Some(_) => return Err(self.stray("an undefined length outside a sequence")),
            };
            let level = Level {
                tag: head.tag,
                is_item: false,
                n_items: 0,
                end: None,
                encoding: inner,
                is_of_fragments,
            };
            return self.open(level, head);
        }
        let end = head.end(self.bytes)?;
        self.check_inside(end)?;
        if is_listed && matches!(head.vr, Some([b'S', b'Q']) | None) {
            let level = Level {
                tag: head.tag,
                is_item: false,
                n_items: 0,
                end: Some(end),
                encoding,
                is_of_fragments: false,
            };
            return self.open(level, head);
        }
        let items = self.levels.iter().filter(|level| level.is_item);
        self.found.set(items.map(|level| (level.tag, level.n_items)), head, &self.bytes[head.value_at..end]);
        self.at = end;
        Ok(())
    }

    fn open(&mut self, level: Level, head: Head) -> Result<(), Fault> {
        let depth = self.levels.iter().filter(|level| !level.is_item).count();
        if !level.is_item && depth == MAX_DEPTH {
            let detail = format!("sequence {} deep, allowed {MAX_DEPTH}", depth + 1);
            return Err(Fault::new(Reason::DicomNestingExceedsLimit, detail));
        }
        self.levels.push(level);
        self.at = head.value_at;
        Ok(())
    }

    fn open_item(&mut self, head: Head) -> Result<(), Fault> {
        let Some(sequence) = self.levels.last_mut().filter(|level| !level.is_item) else {
            return Err(self.stray("an item outside a sequence"));
        };
        let n_items = sequence.n_items;
        sequence.n_items += 1;
        let Level { tag, encoding, is_of_fragments, .. } = *sequence;
        let end = if head.len == UNDEFINED { None } else { Some(head.end(self.bytes)?) };
        if let Some(end) = end {
            self.check_inside(end)?;
        }
        if is_of_fragments {
            self.at = end.ok_or_else(|| self.stray("a fragment of undefined length"))?;
            return Ok(());
        }
        let encoding = Encoding::of_elements(self.bytes, head.value_at, encoding);
        let item = Level { tag, is_item: true, n_items, end, encoding, is_of_fragments: false };
        self.open(item, head)
    }

    /// Takes a delimiter, whatever its length field says; it must close the innermost level.
    ///
    /// Two habits of writers are read: a sequence's delimiter closes its last item too, and inside a level of defined
    /// length, which needs none, a delimiter is stepped over.
    fn close(&mut self, head: Head) -> Result<(), Fault> {
        let is_item_end = head.tag == Tag::ITEM_END;
        match self.levels.last() {
            Some(level) if level.end.is_some() => {}
            Some(level) if level.is_item == is_item_end => {
                self.levels.pop();
            }
            Some(level) if level.is_item => {
                self.levels.pop();
                if self.levels.last().is_some_and(|sequence| sequence.end.is_none()) {
                    self.levels.pop();
                }
            }
            _ => return Err(self.stray("a delimiter out of place")),
        }
        self.at = head.value_at;
        Ok(())
    }

    /// Ends the levels of defined length that end here.
    fn close_levels(&mut self) -> Result<(), Fault> {
        while let Some(Level { end: Some(end), .. }) = self.levels.last() {
            match self.at.cmp(end) {
                std::cmp::Ordering::Less => break,
                std::cmp::Ordering::Equal => self.levels.pop(),
                std::cmp::Ordering::Greater => {
                    return Err(self.stray("a value across the end of its sequence"));
                }
            };
        }
        Ok(())
    }

    /// A value inside a level of defined length must end inside it.
    fn check_inside(&self, end: usize) -> Result<(), Fault> {
        match self.levels.iter().rev().find_map(|level| level.end) {
            Some(limit) if end > limit => Err(self.stray("a value across the end of its sequence")),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Attributes<'a>, Fault> {
        if self.levels.is_empty() {
            return Ok(self.found);
        }
        Err(Fault::truncated(format!("{} bytes, a sequence is still open", self.bytes.len())))
    }

    fn stray(&self, found: &str) -> Fault {
        Fault::new(
            Reason::DicomStructureInvalid,
            format!("found {found} at byte {} of the data set", self.at),
        )
    }
}
