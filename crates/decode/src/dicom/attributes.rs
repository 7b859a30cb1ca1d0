//! The closed list of attributes that are read, and their values.
//!
//! Nothing else of a data set is kept, so names, dates, identifiers and private attributes never enter memory beyond
//! the object's own bytes. Values are slices of it; text is compared with known terms or parsed as numbers, and never
//! printed.

use super::super::error::{Fault, Reason};
use super::element::{Head, Tag};
use super::syntax::Encoding;

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The data set itself.
    Top,
    /// The first item of the Modality LUT Sequence.
    ModalityLut,
    /// The first item of the VOI LUT Sequence.
    VoiLut,
    /// The functional groups that all frames share.
    Shared,
    /// The functional groups of the frame that is decoded.
    Frame,
}

pub(super) const SAMPLES_PER_PIXEL: Tag = Tag(0x0028, 0x0002);
pub(super) const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
pub(super) const PLANAR: Tag = Tag(0x0028, 0x0006);
pub(super) const N_FRAMES: Tag = Tag(0x0028, 0x0008);
pub(super) const ROWS: Tag = Tag(0x0028, 0x0010);
pub(super) const COLUMNS: Tag = Tag(0x0028, 0x0011);
pub(super) const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
pub(super) const BITS_STORED: Tag = Tag(0x0028, 0x0101);
pub(super) const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
pub(super) const PIXEL_REPRESENTATION: Tag = Tag(0x0028, 0x0103);
pub(super) const PADDING: Tag = Tag(0x0028, 0x0120);
pub(super) const PADDING_LIMIT: Tag = Tag(0x0028, 0x0121);
pub(super) const BURNED_IN: Tag = Tag(0x0028, 0x0301);
pub(super) const WINDOW_CENTER: Tag = Tag(0x0028, 0x1050);
pub(super) const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
pub(super) const RESCALE_INTERCEPT: Tag = Tag(0x0028, 0x1052);
pub(super) const RESCALE_SLOPE: Tag = Tag(0x0028, 0x1053);
pub(super) const VOI_FUNCTION: Tag = Tag(0x0028, 0x1056);
/// Red; green and blue follow.
pub(super) const PALETTE_DESCRIPTOR: Tag = Tag(0x0028, 0x1101);
/// Red; green and blue follow.
pub(super) const PALETTE_DATA: Tag = Tag(0x0028, 0x1201);
pub(super) const LUT_DESCRIPTOR: Tag = Tag(0x0028, 0x3002);
pub(super) const LUT_DATA: Tag = Tag(0x0028, 0x3006);
pub(super) const OFFSET_TABLE: Tag = Tag(0x7fe0, 0x0001);

const MODALITY_LUTS: Tag = Tag(0x0028, 0x3000);
const VOI_LUTS: Tag = Tag(0x0028, 0x3010);
const SHARED_GROUPS: Tag = Tag(0x5200, 0x9229);
const FRAME_GROUPS: Tag = Tag(0x5200, 0x9230);
const FRAME_VOI: Tag = Tag(0x0028, 0x9132);
const FRAME_VALUES: Tag = Tag(0x0028, 0x9145);

/// Attributes of the data set itself, in ascending order.
const TOP: [Tag; 28] = [
    SAMPLES_PER_PIXEL,
    PHOTOMETRIC,
    PLANAR,
    N_FRAMES,
    ROWS,
    COLUMNS,
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    PIXEL_REPRESENTATION,
    PADDING,
    PADDING_LIMIT,
    BURNED_IN,
    WINDOW_CENTER,
    WINDOW_WIDTH,
    RESCALE_INTERCEPT,
    RESCALE_SLOPE,
    VOI_FUNCTION,
    PALETTE_DESCRIPTOR,
    Tag(0x0028, 0x1102),
    Tag(0x0028, 0x1103),
    PALETTE_DATA,
    Tag(0x0028, 0x1202),
    Tag(0x0028, 0x1203),
    Tag(0x0028, 0x1221),
    Tag(0x0028, 0x1222),
    Tag(0x0028, 0x1223),
    OFFSET_TABLE,
];

/// Attributes of a functional group that replace those of the data set.
const GROUP: [Tag; 5] = [WINDOW_CENTER, WINDOW_WIDTH, RESCALE_INTERCEPT, RESCALE_SLOPE, VOI_FUNCTION];
const LUT: [Tag; 2] = [LUT_DESCRIPTOR, LUT_DATA];

/// One listed attribute.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    scope: Scope,
    tag: Tag,
    vr: Option<[u8; 2]>,
    value: &'a [u8],
}

/// The pixel data element as it stands in the data set.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelData<'a> {
    /// The value; for compressed data all bytes from the first item on.
    pub(super) bytes: &'a [u8],
    /// Of undefined length: items of compressed frames.
    pub(super) is_encapsulated: bool,
    /// Written as 16-bit words, which matters to the order of bytes in big endian.
    pub(super) is_words: bool,
    /// Bits of a floating-point value; 0 where the values are whole numbers.
    pub(super) float_bits: u32,
}

/// What a scan has found.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    encoding: Encoding,
    /// The frame whose functional groups are kept, from 0.
    frame: u32,
    entries: Vec<Entry<'a>>,
    has_duplicate: Option<Tag>,
    pixel_data: Option<PixelData<'a>>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(encoding: Encoding, frame: u32) -> Self {
        Self { encoding, frame, entries: Vec::new(), has_duplicate: None, pixel_data: None }
    }

    /// Whether the items of this sequence hold listed attributes.
    pub(super) fn is_sequence(tag: Tag) -> bool {
        [MODALITY_LUTS, VOI_LUTS, SHARED_GROUPS, FRAME_GROUPS, FRAME_VOI, FRAME_VALUES].contains(&tag)
    }

    /// Keeps an attribute if it is listed. `items` are the open items from the outermost: sequence and number.
    pub(super) fn set(&mut self, items: impl Iterator<Item = (Tag, u32)>, head: Head, value: &'a [u8]) {
        let Some(scope) = self.scope(items) else { return };
        let list: &[Tag] = match scope {
            Scope::Top => &TOP,
            Scope::ModalityLut | Scope::VoiLut => &LUT,
            Scope::Shared | Scope::Frame => &GROUP,
        };
        if !list.contains(&head.tag) {
            return;
        }
        if let Some(first) = self.entries.iter().find(|entry| entry.scope == scope && entry.tag == head.tag) {
            // Of two values readers take the first or the last; where they are equal it does not matter.
            if first.value != value {
                self.has_duplicate = Some(head.tag);
            }
            return;
        }
        self.entries.push(Entry { scope, tag: head.tag, vr: head.vr, value });
    }

    fn scope(&self, mut items: impl Iterator<Item = (Tag, u32)>) -> Option<Scope> {
        let Some(outer) = items.next() else { return Some(Scope::Top) };
        let inner = items.next();
        match (outer, inner, items.next()) {
            ((MODALITY_LUTS, 0), None, None) => Some(Scope::ModalityLut),
            ((VOI_LUTS, 0), None, None) => Some(Scope::VoiLut),
            ((SHARED_GROUPS, 0), Some((FRAME_VOI | FRAME_VALUES, 0)), None) => Some(Scope::Shared),
            ((FRAME_GROUPS, frame), Some((FRAME_VOI | FRAME_VALUES, 0)), None) if frame == self.frame => {
                Some(Scope::Frame)
            }
            _ => None,
        }
    }

    pub(super) fn set_pixel_data(&mut self, head: Head, bytes: &'a [u8]) {
        let is_encapsulated = head.len == super::element::UNDEFINED;
        // In implicit VR pixel data are always words (PS3.5 annex A.1).
        let is_words = head.vr.is_none_or(|vr| vr == *b"OW");
        let float_bits = match head.tag {
            Tag::FLOAT_PIXEL_DATA => 32,
            Tag::DOUBLE_PIXEL_DATA => 64,
            _ => 0,
        };
        self.pixel_data = Some(PixelData { bytes, is_encapsulated, is_words, float_bits });
    }

    /// The pixel data, or why there is no picture.
    pub(super) fn pixel_data(&self) -> Result<PixelData<'a>, Fault> {
        if let Some(tag) = self.has_duplicate {
            let detail = format!("{tag} stands twice, with two values");
            return Err(Fault::new(Reason::DicomStructureInvalid, detail));
        }
        self.pixel_data.ok_or_else(|| Fault::new(Reason::DicomNoPixelData, "no (7fe0,0010) in the data set"))
    }

    /// The value in one scope; empty values count as absent.
    pub(super) fn bytes(&self, scope: Scope, tag: Tag) -> Option<&'a [u8]> {
        let entry = self.entries.iter().find(|entry| entry.scope == scope && entry.tag == tag)?;
        (!entry.value.is_empty()).then_some(entry.value)
    }

    /// The VR that the attribute was written with; none in implicit VR.
    pub(super) fn vr(&self, scope: Scope, tag: Tag) -> Option<[u8; 2]> {
        self.entries.iter().find(|entry| entry.scope == scope && entry.tag == tag)?.vr
    }

    /// 16-bit values, without a last odd byte.
    pub(super) fn words(&self, bytes: &[u8]) -> Vec<u16> {
        bytes.as_chunks::<2>().0.iter().map(|&pair| self.encoding.u16(pair)).collect()
    }

    /// A 16-bit number of the data set, if present.
    pub(super) fn u16(&self, tag: Tag) -> Option<u16> {
        self.bytes(Scope::Top, tag)?.first_chunk::<2>().map(|&pair| self.encoding.u16(pair))
    }

    /// A 16-bit number of the data set that must be present.
    pub(super) fn need_u16(&self, tag: Tag) -> Result<u16, Fault> {
        self.u16(tag).ok_or_else(|| missing(tag))
    }

    /// Text of the data set without its padding, if present.
    pub(super) fn text(&self, tag: Tag) -> Option<&'a [u8]> {
        self.bytes(Scope::Top, tag).map(trim).filter(|text| !text.is_empty())
    }

    /// The first of one or more decimal numbers: of the frame, else of all frames, else of the data set.
    pub(super) fn decimal(&self, tag: Tag) -> Result<Option<f64>, Fault> {
        let Some(text) = self.grouped(tag) else { return Ok(None) };
        let first = text.split(|&byte| byte == b'\\').next().unwrap_or_default();
        let number = std::str::from_utf8(trim(first)).ok().and_then(|text| text.parse::<f64>().ok());
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(tag, "not a finite decimal number")),
        }
    }

    /// Text of the frame, else of all frames, else of the data set.
    pub(super) fn grouped(&self, tag: Tag) -> Option<&'a [u8]> {
        [Scope::Frame, Scope::Shared, Scope::Top]
            .into_iter()
            .find_map(|scope| self.bytes(scope, tag))
            .map(trim)
            .filter(|text| !text.is_empty())
    }
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | 0] = text {
        text = rest;
    }
    text.trim_ascii_start()
}

pub(super) fn missing(tag: Tag) -> Fault {
    Fault::new(Reason::DicomMissingAttribute, tag.to_string())
}

/// `found` is this module's own words and numbers.
pub(super) fn invalid(tag: Tag, found: &str) -> Fault {
    Fault::new(Reason::DicomInvalidAttribute, format!("{tag}: found {found}"))
}
