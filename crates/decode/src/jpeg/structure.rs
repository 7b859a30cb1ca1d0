//! The marker structure of a JPEG, walked to its end before anything is decoded.
//!
//! The walk is what tells a whole file from a cut one: embedded previews sit inside segments, which are stepped over,
//! so only the picture's own end-of-image marker counts.

use super::super::error::{Fault, Reason};
use super::frame::{ColorModel, Frame};
use super::standard;

/// More scans than any encoder writes; each costs a pass over the whole image, however few bytes it has.
const MAX_SCANS: usize = 100;

const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// A JPEG taken apart: the frame and its scans in file order.
#[derive(Debug)]
pub(super) struct Structure<'a> {
    pub(super) frame: Frame,
    pub(super) scans: Vec<Scan<'a>>,
}

/// One scan with the tables in force where it starts.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) components: Vec<ScanComponent<'a>>,
    /// First and last coefficient, in zigzag order.
    pub(super) spectral: (u8, u8),
    /// Bit position already sent (0 for none) and bit position that this scan sends.
    pub(super) approximation: (u8, u8),
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: usize,
    /// Entropy-coded bytes, still stuffed and with their restart markers.
    pub(super) data: &'a [u8],
}

/// A component's part in a scan.
#[derive(Debug)]
pub(super) struct ScanComponent<'a> {
    /// Index into [`Frame::components`].
    pub(super) index: usize,
    /// Sixteen counts and the symbols, as they stand in the file.
    pub(super) dc_table: Option<&'a [u8]>,
    pub(super) ac_table: Option<&'a [u8]>,
}

/// What the segments before a scan have set.
#[derive(Default)]
struct Walk<'a> {
    frame: Option<Frame>,
    scans: Vec<Scan<'a>>,
    quant_tables: [Option<[u16; 64]>; 4],
    /// DC tables, then AC tables.
    huffman_tables: [[Option<&'a [u8]>; 4]; 2],
    restart_interval: usize,
    has_huffman_tables: bool,
    has_jfif: bool,
    adobe_transform: Option<u8>,
    /// Inside a container, which says where the stream ends.
    is_contained: bool,
}

/// Whether a stream inside a container is over at `at`: nothing follows but the byte that makes its length even.
pub(super) fn is_over(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..), None | Some([] | [0] | [0xff]))
}

impl<'a> Structure<'a> {
    /// Walks from the first to the end-of-image marker; bytes after it are ignored.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::walk(bytes, Walk::default())
    }

    /// Walks a stream inside a container, whose writer may have left the end-of-image marker out; every block must be
    /// there all the same. Frames of 12 bits are read too.
    pub(super) fn read_contained(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::walk(bytes, Walk { is_contained: true, ..Walk::default() })
    }

    fn walk(bytes: &'a [u8], mut walk: Walk<'a>) -> Result<Self, Fault> {
        let is_contained = walk.is_contained;
        let mut at = 2;
        loop {
            if is_contained && !walk.scans.is_empty() && is_over(bytes, at) {
                return walk.finish();
            }
            let code = marker(bytes, &mut at)?;
            if code == EOI {
                return walk.finish();
            }
            let segment = segment(bytes, &mut at)?;
            if code == SOS {
                let data = entropy_data(bytes, at, is_contained)?;
                at += data.len();
                walk.start_of_scan(segment, data)?;
            } else {
                walk.segment(code, segment)?;
            }
        }
    }
}

impl<'a> Walk<'a> {
    fn finish(self) -> Result<Structure<'a>, Fault> {
        let mut frame = self.frame.ok_or_else(|| Fault::corrupt("no frame header"))?;
        if self.scans.is_empty() {
            return Err(Fault::truncated("no scan before the end-of-image marker"));
        }
        frame.color_model = frame.choose_color_model(self.has_jfif, self.adobe_transform);
        Ok(Structure { frame, scans: self.scans })
    }

    fn segment(&mut self, code: u8, segment: &'a [u8]) -> Result<(), Fault> {
        match code {
            0xc0..=0xc2 if self.frame.is_some() => return Err(Fault::corrupt("second frame header")),
            0xc0..=0xc2 => self.frame = Some(Frame::read(segment, code == 0xc2, self.is_contained)?),
            0xc4 => self.huffman(segment)?,
            0xdb => self.quantization(segment)?,
            0xdd => self.restart_interval = be_u16(segment, 0)?.into(),
            0xe0 if segment.starts_with(b"JFIF\0") => self.has_jfif = true,
            0xee if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                self.adobe_transform = Some(segment[11]);
            }
            0xc3..=0xcf => {
                let detail = format!("frame type 0x{code:02x}: lossless, hierarchical or arithmetic coding");
                return Err(Fault::new(Reason::UnsupportedFormat, detail));
            }
            _ => {}
        }
        Ok(())
    }

    fn huffman(&mut self, mut rest: &'a [u8]) -> Result<(), Fault> {
        let bad = || Fault::corrupt("huffman table segment");
        self.has_huffman_tables = true;
        while let Some((&selector, table)) = rest.split_first() {
            let n_symbols: usize = table.get(..16).ok_or_else(bad)?.iter().map(|&n| usize::from(n)).sum();
            let (class, id) = (usize::from(selector >> 4), usize::from(selector & 15));
            let slot =
                self.huffman_tables.get_mut(class).and_then(|class| class.get_mut(id)).ok_or_else(bad)?;
            *slot = Some(table.get(..16 + n_symbols).ok_or_else(bad)?);
            rest = &table[16 + n_symbols..];
        }
        Ok(())
    }

    fn quantization(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        let bad = || Fault::corrupt("quantization table segment");
        while let Some((&selector, values)) = rest.split_first() {
            let width = match selector >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(bad()),
            };
            let slot = self.quant_tables.get_mut(usize::from(selector & 15)).ok_or_else(bad)?;
            let values = values.get(..64 * width).ok_or_else(bad)?;
            let mut table = [0; 64];
            for (value, &to) in values.chunks_exact(width).zip(&super::ZIGZAG) {
                table[usize::from(to)] = value.iter().fold(0, |high, &low| high << 8 | u16::from(low));
            }
            if table.contains(&0) {
                return Err(bad());
            }
            *slot = Some(table);
            rest = &rest[1 + 64 * width..];
        }
        Ok(())
    }

    fn start_of_scan(&mut self, segment: &[u8], data: &'a [u8]) -> Result<(), Fault> {
        let bad = || Fault::corrupt("scan header");
        let frame = self.frame.as_mut().ok_or_else(|| Fault::corrupt("scan before the frame header"))?;
        let n = usize::from(*segment.first().ok_or_else(bad)?);
        let [start, end, approximation] = *segment.get(1 + 2 * n..).ok_or_else(bad)? else {
            return Err(bad());
        };
        let mut components: Vec<ScanComponent<'a>> = Vec::with_capacity(n);
        for pair in segment[1..=2 * n].as_chunks::<2>().0 {
            let index = frame.components.iter().position(|c| c.id == pair[0]).ok_or_else(bad)?;
            if components.last().is_some_and(|last| last.index >= index) {
                return Err(bad());
            }
            let component = &mut frame.components[index];
            component.quant = component.quant.or(self.quant_tables[component.quant_idx]);
            let table = |class: usize, id: u8| {
                if self.has_huffman_tables {
                    self.huffman_tables[class].get(usize::from(id)).copied().flatten()
                } else {
                    standard::TABLES[class].get(usize::from(id)).copied()
                }
            };
            components.push(ScanComponent {
                index,
                dc_table: table(0, pair[1] >> 4),
                ac_table: table(1, pair[1] & 15),
            });
        }
        if components.is_empty()
            || (n > 1 && components.iter().map(|c| frame.components[c.index].n_blocks()).sum::<usize>() > 10)
        {
            return Err(bad());
        }
        if self.scans.len() == MAX_SCANS {
            return Err(Fault::corrupt(format!("found over {MAX_SCANS} scans, allowed {MAX_SCANS}")));
        }
        let approximation = (approximation >> 4, approximation & 15);
        let restart_interval = self.restart_interval;
        self.scans.push(Scan { components, spectral: (start, end), approximation, restart_interval, data });
        Ok(())
    }
}

impl Frame {
    /// The colour model, guessed in libjpeg's order: JFIF says YCbCr, Adobe says which, else the component ids; subsampled
    /// chroma is chroma. `None` where nothing speaks; libjpeg then takes YCbCr.
    fn choose_color_model(&self, has_jfif: bool, adobe_transform: Option<u8>) -> Option<ColorModel> {
        if self.components.len() == 1 {
            return Some(ColorModel::Grey);
        }
        let has_ids = |ids: [u8; 3]| self.components.iter().map(|component| component.id).eq(ids);
        let is_subsampled = self.components.iter().any(|one| one.sampling != self.max_sampling);
        match adobe_transform {
            _ if has_jfif => Some(ColorModel::YCbCr),
            Some(0) => Some(ColorModel::Rgb),
            Some(_) => Some(ColorModel::YCbCr),
            None if has_ids(*b"RGB") => Some(ColorModel::Rgb),
            None if has_ids([1, 2, 3]) || is_subsampled => Some(ColorModel::YCbCr),
            None => None,
        }
    }
}

/// Reads the marker at `at`, with its fill bytes.
pub(super) fn marker(bytes: &[u8], at: &mut usize) -> Result<u8, Fault> {
    let byte = |at: usize| bytes.get(at).copied().ok_or_else(|| cut(bytes));
    if byte(*at)? != 0xff {
        return Err(Fault::corrupt(format!("no marker at byte {at}")));
    }
    while byte(*at)? == 0xff {
        *at += 1;
    }
    *at += 1;
    match byte(*at - 1)? {
        code @ (0x00..=0x01 | 0xd0..=0xd8) => {
            Err(Fault::corrupt(format!("marker 0x{code:02x} out of place")))
        }
        code => Ok(code),
    }
}

pub(super) fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Fault> {
    let len = usize::from(be_u16(bytes, *at).map_err(|_| cut(bytes))?);
    if len < 2 {
        return Err(Fault::corrupt(format!("segment length {len}, at least 2")));
    }
    let segment = bytes.get(*at + 2..*at + len).ok_or_else(|| cut(bytes))?;
    *at += len;
    Ok(segment)
}

/// The bytes up to the next marker that is neither a stuffed 0xff nor a restart; inside a container up to the end.
pub(super) fn entropy_data(bytes: &[u8], start: usize, is_contained: bool) -> Result<&[u8], Fault> {
    let mut at = start;
    loop {
        let next = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff));
        let code = next.and_then(|next| bytes.get(at + next + 1));
        match (next, code) {
            (Some(next), Some(0x00 | 0xd0..=0xd7)) => at += next + 2,
            (Some(next), Some(_)) => return Ok(&bytes[start..at + next]),
            (Some(next), None) if is_contained => return Ok(&bytes[start..at + next]),
            (None, _) if is_contained => return Ok(&bytes[start..]),
            _ => return Err(cut(bytes)),
        }
    }
}

pub(super) fn be_u16(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let pair = bytes.get(at..at + 2).ok_or_else(|| Fault::corrupt("segment too short"))?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) fn cut(bytes: &[u8]) -> Fault {
    Fault::truncated(format!("{} bytes, no end-of-image marker", bytes.len()))
}
