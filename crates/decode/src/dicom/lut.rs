//! Lookup tables of the data set: modality, VOI and palette.

use super::super::error::Fault;
use super::attributes::{self as tags, Attributes, Scope, invalid, missing};
use super::element::Tag;
use super::segments;

/// From an element of palette data to that of its segmented form.
const SEGMENTED: u16 = 0x20;

/// A table over consecutive input values; values outside it take its first or last entry (PS3.3 C.11.1.1).
#[derive(Debug)]
pub(super) struct Lut {
    first: i64,
    entries: Vec<u16>,
    /// Bits of an entry, 8 to 16.
    pub(super) bits: u32,
}

impl Lut {
    /// Reads a table of an item; `None` where the item is absent.
    pub(super) fn read(
        found: &Attributes<'_>,
        scope: Scope,
        pixels_are_signed: bool,
    ) -> Result<Option<Self>, Fault> {
        if found.bytes(scope, tags::LUT_DESCRIPTOR).is_none() && found.bytes(scope, tags::LUT_DATA).is_none()
        {
            return Ok(None);
        }
        Self::read_tags(found, scope, tags::LUT_DESCRIPTOR, tags::LUT_DATA, pixels_are_signed).map(Some)
    }

    /// Reads the palette of a channel: 0 red, 1 green, 2 blue.
    pub(super) fn read_palette(found: &Attributes<'_>, channel: u16) -> Result<Self, Fault> {
        let Tag(group, descriptor) = tags::PALETTE_DESCRIPTOR;
        let Tag(_, data) = tags::PALETTE_DATA;
        let (descriptor, data) = (Tag(group, descriptor + channel), Tag(group, data + channel));
        Self::read_tags(found, Scope::Top, descriptor, data, false)
    }

    fn read_tags(
        found: &Attributes<'_>,
        scope: Scope,
        descriptor: Tag,
        data: Tag,
        pixels_are_signed: bool,
    ) -> Result<Self, Fault> {
        let words = found.words(found.bytes(scope, descriptor).ok_or_else(|| missing(descriptor))?);
        let [n_entries, first, bits] = words[..] else {
            return Err(invalid(descriptor, &format!("{} values, allowed 3", words.len())));
        };
        if !(8..=16).contains(&bits) {
            return Err(invalid(descriptor, &format!("{bits} bits an entry, allowed 8 to 16")));
        }
        // 0 stands for 65,536, which does not fit.
        let n_entries = if n_entries == 0 { 1 << 16 } else { usize::from(n_entries) };
        let is_signed = found.is_signed(scope, descriptor, pixels_are_signed);
        let first = if is_signed { i64::from(first as i16) } else { i64::from(first) };
        let bytes = match (found.bytes(scope, data), found.bytes(Scope::Top, Tag(data.0, data.1 + SEGMENTED)))
        {
            (Some(bytes), _) => bytes,
            (None, Some(segments)) if scope == Scope::Top => {
                let entries = segments::expand(&found.words(segments), n_entries)?;
                return Ok(Self { first, entries, bits: bits.into() });
            }
            (None, _) => return Err(missing(data)),
        };
        let mut entries = if bits == 8 && bytes.len() < 2 * n_entries {
            // Entries of 8 bits may be packed two in a word, the first in the low byte.
            found.words(bytes).iter().flat_map(|word| [word & 0xff, word >> 8]).collect()
        } else {
            found.words(bytes)
        };
        if entries.len() < n_entries {
            return Err(invalid(
                data,
                &format!("{} entries, the descriptor says {n_entries}", entries.len()),
            ));
        }
        entries.truncate(n_entries);
        Ok(Self { first, entries, bits: bits.into() })
    }

    /// The entry for an input value.
    #[inline]
    pub(super) fn get(&self, value: i64) -> u16 {
        let at = (value - self.first).clamp(0, self.entries.len() as i64 - 1);
        self.entries[at as usize]
    }
}
