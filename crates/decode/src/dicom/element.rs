//! The head of one data element: tag, VR and length.

use super::super::error::{Fault, Reason};
use super::syntax::Encoding;

/// Group and element number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(pub(super) u16, pub(super) u16);

impl Tag {
    pub(super) const ITEM: Self = Self(0xfffe, 0xe000);
    pub(super) const ITEM_END: Self = Self(0xfffe, 0xe00d);
    pub(super) const SEQUENCE_END: Self = Self(0xfffe, 0xe0dd);
    pub(super) const PIXEL_DATA: Self = Self(0x7fe0, 0x0010);
    pub(super) const FLOAT_PIXEL_DATA: Self = Self(0x7fe0, 0x0008);
    pub(super) const DOUBLE_PIXEL_DATA: Self = Self(0x7fe0, 0x0009);
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({:04x},{:04x})", self.0, self.1)
    }
}

/// A length of `0xffffffff`: the value ends at a delimiter.
pub(super) const UNDEFINED: u32 = u32::MAX;

/// Groups whose tags are named in messages: meta, patient to image, functional groups, pixels, items.
const KNOWN_GROUPS: [u16; 9] = [0x0002, 0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x5200, 0x7fe0, 0xfffe];

/// What stands before a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) tag: Tag,
    /// `None` in implicit VR and for items and delimiters, which have none.
    pub(super) vr: Option<[u8; 2]>,
    pub(super) len: u32,
    /// Offset of the value.
    pub(super) value_at: usize,
}

/// VRs with a 16-bit length.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
    b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];
/// VRs with two reserved bytes and a 32-bit length.
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

impl Head {
    /// Reads the head at `at`; the value may lie outside `bytes`.
    pub(super) fn read(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Self, Fault> {
        let cut = || Fault::truncated(format!("{} bytes, a data element begins at byte {at}", bytes.len()));
        let head = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>).ok_or_else(cut)?;
        let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
        let len_32 = encoding.u32([head[4], head[5], head[6], head[7]]);
        if tag.0 == 0xfffe || !encoding.is_explicit {
            return Ok(Self { tag, vr: None, len: len_32, value_at: at + 8 });
        }
        let vr = [head[4], head[5]];
        if SHORT.contains(&&vr) {
            let len = encoding.u16([head[6], head[7]]).into();
            return Ok(Self { tag, vr: Some(vr), len, value_at: at + 8 });
        }
        if !LONG.contains(&&vr) {
            // Its letters are not printed: behind a wrong length they may be anybody's.
            let unknown = || Fault::new(Reason::DicomStructureInvalid, format!("unknown VR at byte {at}"));
            return Self::of_unknown_vr(bytes, at, encoding).ok_or_else(unknown);
        }
        let len = bytes.get(at + 8..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(cut)?;
        Ok(Self { tag, vr: Some(vr), len: encoding.u32(*len), value_at: at + 12 })
    }

    /// An element whose VR is none: with a 16-bit length, with a 32-bit length behind two zeros, or written without a
    /// VR in a data set that has them.
    ///
    /// Writers have done all three, so the one is taken behind which the data set goes on.
    fn of_unknown_vr(bytes: &[u8], at: usize, encoding: Encoding) -> Option<Self> {
        let head = bytes.get(at..)?.first_chunk::<8>()?;
        let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
        let short = encoding.u16([head[6], head[7]]);
        let long = bytes.get(at + 8..)?.first_chunk::<4>().filter(|_| short == 0);
        let bare = encoding.u32([head[4], head[5], head[6], head[7]]);
        [(u32::from(short), 8), (long.map_or(UNDEFINED, |&long| encoding.u32(long)), 12), (bare, 8)]
            .into_iter()
            .map(|(len, n)| Self { tag, vr: None, len, value_at: at + n })
            .find(|head| head.goes_on(bytes, encoding))
    }

    /// Whether behind the value another element of the same level begins, an item, a delimiter, or nothing.
    fn goes_on(&self, bytes: &[u8], encoding: Encoding) -> bool {
        let is_undefined = self.len == UNDEFINED;
        let end =
            if is_undefined { Some(self.value_at) } else { self.value_at.checked_add(self.len as usize) };
        let Some(rest) = end.and_then(|end| bytes.get(end..)) else { return false };
        let Some(next) = rest.first_chunk::<8>() else { return rest.is_empty() && !is_undefined };
        let tag = Tag(encoding.u16([next[0], next[1]]), encoding.u16([next[2], next[3]]));
        let len = encoding.u32([next[4], next[5], next[6], next[7]]);
        let is_bare = len == UNDEFINED || len as usize <= rest.len() - 8;
        match tag {
            Tag::ITEM => is_undefined,
            Tag::ITEM_END | Tag::SEQUENCE_END => true,
            _ if is_undefined || tag <= self.tag => false,
            _ if encoding.is_explicit => is_vr([next[4], next[5]]) || is_bare,
            _ => is_bare && !is_vr([next[4], next[5]]),
        }
    }

    /// Offset after a value of defined length.
    pub(super) fn end(&self, bytes: &[u8]) -> Result<usize, Fault> {
        let n_left = bytes.len() - self.value_at;
        if self.len as usize <= n_left {
            return Ok(self.value_at + self.len as usize);
        }
        // Only tags of known groups are named: behind a wrong length the others may be letters of a text.
        let name =
            if KNOWN_GROUPS.contains(&self.tag.0) { self.tag.to_string() } else { "an element".to_owned() };
        let (len, at) = (self.len, self.value_at);
        let detail = format!("{name} at byte {at} declares {len} bytes, the object has {n_left} left");
        Err(Fault::new(Reason::DicomLengthExceedsFile, detail))
    }
}

fn is_vr(letters: [u8; 2]) -> bool {
    SHORT.contains(&&letters) || LONG.contains(&&letters)
}

impl Encoding {
    /// How the elements from `at` on are really written, where the first of them contradicts what was declared.
    ///
    /// Gateways rewrite a meta group without its data set and the other way round, and paste items of one encoding into
    /// data sets of another; pydicom and DCMTK look at the first element, and so does this.
    pub(super) fn of_elements(bytes: &[u8], at: usize, declared: Self) -> Self {
        let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else { return declared };
        let is_explicit = is_vr([head[4], head[5]]);
        // Groups of a data set begin low; a low group read in the wrong order is a high one.
        let (little, big) = (u16::from_le_bytes([head[0], head[1]]), u16::from_be_bytes([head[0], head[1]]));
        if is_explicit && little != 0xfffe && big != 0xfffe && little.min(big) < 0x100 && little != big {
            let read = if big < little { Self::BIG_ENDIAN } else { Self::EXPLICIT };
            let goes_on =
                |encoding| Head::read(bytes, at, encoding).is_ok_and(|head| head.goes_on(bytes, encoding));
            return if read != declared && goes_on(read) { read } else { declared };
        }
        let bare = Head::read(bytes, at, Self::IMPLICIT);
        let is_bare = bare.is_ok_and(|head| head.tag.0 != 0xfffe && head.goes_on(bytes, Self::IMPLICIT));
        if declared.is_explicit && !is_explicit && is_bare { Self::IMPLICIT } else { declared }
    }

    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}
