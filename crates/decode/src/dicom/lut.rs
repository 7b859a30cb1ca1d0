//! Lookup tables of the data set: modality, VOI and palette.
//!
//! Many writers get a table's description wrong, and viewers show such files all the same. Read here, as DCMTK, Horos and
//! Cornerstone do: entries that use fewer bits than declared, tables a little shorter than declared, a first input
//! value written as unsigned where the values before the table can be negative.

use super::super::error::Fault;
use super::attributes::{self as tags, Attributes, Scope, invalid, missing};
use super::element::Tag;
use super::segments;

/// From an element of palette data to that of its segmented form.
const SEGMENTED: u16 = 0x20;
/// Entries that a table may lack: the last word of a value that was cut to an odd length, or counted from 0.
const MAX_LACKING: usize = 2;

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
    ///
    /// `inputs` are the smallest and largest value that can come to the table.
    pub(super) fn read(
        found: &Attributes<'_>,
        scope: Scope,
        inputs: (f64, f64),
    ) -> Result<Option<Self>, Fault> {
        if found.bytes(scope, tags::LUT_DESCRIPTOR).is_none() && found.bytes(scope, tags::LUT_DATA).is_none()
        {
            return Ok(None);
        }
        Self::read_tags(found, scope, tags::LUT_DESCRIPTOR, tags::LUT_DATA, inputs).map(Some)
    }

    /// Reads the three channels of a palette.
    ///
    /// Where all their entries fit 8, 10 or 12 bits, the declared 16 are not believed: such a palette would be black.
    pub(super) fn read_palette(found: &Attributes<'_>, inputs: (f64, f64)) -> Result<[Self; 3], Fault> {
        let Tag(group, descriptor) = tags::PALETTE_DESCRIPTOR;
        let Tag(_, data) = tags::PALETTE_DATA;
        let read = |channel| {
            let (descriptor, data) = (Tag(group, descriptor + channel), Tag(group, data + channel));
            Self::read_tags(found, Scope::Top, descriptor, data, inputs)
        };
        let mut channels = [read(0)?, read(1)?, read(2)?];
        let largest = channels.iter().map(Self::largest).max().unwrap_or(0);
        let largest = u32::from(largest);
        let used = [8, 10, 12].into_iter().find(|&bits| largest >> bits == 0).unwrap_or(16);
        for channel in &mut channels {
            let is_wider = largest >> channel.bits != 0;
            channel.bits = if is_wider { used } else { channel.bits.min(used) };
        }
        Ok(channels)
    }

    fn read_tags(
        found: &Attributes<'_>,
        scope: Scope,
        descriptor: Tag,
        data: Tag,
        inputs: (f64, f64),
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
        let first = Self::first(first, found.vr(scope, descriptor), inputs);
        let bytes = match (found.bytes(scope, data), found.bytes(Scope::Top, Tag(data.0, data.1 + SEGMENTED)))
        {
            (Some(bytes), _) => bytes,
            (None, Some(segments)) if scope == Scope::Top => {
                let entries = segments::expand(&found.words(segments), n_entries)?;
                return Ok(Self { first, entries, bits: bits.into() });
            }
            (None, _) => return Err(missing(data)),
        };
        // Entries of 8 bits may be packed two in a word, the first in the low byte, whatever the declared bits.
        let is_packed = bytes.len().abs_diff(n_entries) <= 1
            || (bits == 8 && bytes.len() + 2 * MAX_LACKING < 2 * n_entries);
        let bits = if is_packed { 8 } else { bits };
        let mut entries = if is_packed {
            found.words(bytes).iter().flat_map(|word| [word & 0xff, word >> 8]).collect()
        } else {
            found.words(bytes)
        };
        if entries.is_empty() || entries.len() + MAX_LACKING < n_entries {
            return Err(invalid(
                data,
                &format!("{} entries, the descriptor says {n_entries}", entries.len()),
            ));
        }
        entries.truncate(n_entries);
        Ok(Self { first, entries, bits: bits.into() })
    }

    /// The first input value, which is signed where its VR says so, or where the inputs can be negative.
    ///
    /// PS3.3 C.11.2.1.1 makes it SS where the stage before the table gives negative values; implicit VR cannot say
    /// it, and writers put US there. An unsigned one that lies beyond every input can only be meant as signed.
    fn first(word: u16, vr: Option<[u8; 2]>, (low, high): (f64, f64)) -> i64 {
        let is_signed = match vr {
            Some([b'S', b'S']) => true,
            Some([b'U', b'S']) => low < 0.0 && f64::from(word) > high,
            _ => low < 0.0,
        };
        if is_signed { i64::from(word as i16) } else { i64::from(word) }
    }

    fn largest(&self) -> u16 {
        self.entries.iter().copied().max().unwrap_or(0)
    }

    /// The entry that is white: the largest of the declared bits, or of the table where that needs fewer bits or more.
    ///
    /// Horos, Cornerstone and DCMTK scale by the table's own range; pydicom shows such a picture nearly black.
    pub(super) fn white(&self) -> u16 {
        let (largest, declared) = (self.largest(), ((1_u32 << self.bits) - 1) as u16);
        if largest > declared || largest <= declared >> 1 { largest.max(1) } else { declared }
    }

    /// The entry for an input value.
    #[inline]
    pub(super) fn get(&self, value: i64) -> u16 {
        let at = (value - self.first).clamp(0, self.entries.len() as i64 - 1);
        self.entries[at as usize]
    }

    /// The entry for an input value that may lie between two: that of the lower, as pydicom takes it.
    #[inline]
    pub(super) fn get_below(&self, value: f64) -> u16 {
        self.get(value.floor() as i64)
    }

    /// The smallest and the largest entry.
    pub(super) fn range(&self) -> (f64, f64) {
        let low = self.entries.iter().copied().min().unwrap_or(0);
        (f64::from(low), f64::from(self.largest()))
    }
}

#[cfg(test)]
mod tests {
    use super::Lut;

    #[test]
    fn the_first_value_is_signed_where_its_inputs_are_and_it_would_lie_beyond_them() {
        let ct = (-1024.0, 3071.0);
        assert_eq!(Lut::first(0xfc00, None, ct), -1024);
        assert_eq!(Lut::first(0xfc00, Some(*b"US"), ct), -1024);
        assert_eq!(Lut::first(0xfc00, Some(*b"US"), (0.0, 65_535.0)), 64_512);
        assert_eq!(Lut::first(0xfc00, None, (0.0, 4095.0)), 64_512);
        assert_eq!(Lut::first(0xfc00, Some(*b"SS"), (0.0, 4095.0)), -1024);
        assert_eq!(Lut::first(40_000, Some(*b"US"), (-1.0, 65_000.0)), 40_000);
    }

    #[test]
    fn white_is_the_largest_entry_where_the_declared_bits_are_not_used() {
        let white = |largest, bits| Lut { first: 0, entries: vec![0, largest], bits }.white();
        assert_eq!(white(4095, 16), 4095);
        assert_eq!(white(65_535, 16), 65_535);
        assert_eq!(white(40_000, 16), 65_535, "a table that does not reach its end");
        assert_eq!(white(4000, 12), 4095);
        assert_eq!(white(300, 8), 300, "more bits than declared");
        assert_eq!(white(0, 8), 1);
    }
}
