//! Compressed pixel data: items of one or more fragments a frame (PS3.5 annex A.4).

use std::borrow::Cow;

use super::super::error::{Fault, Reason};
use super::attributes::{Attributes, OFFSET_TABLE, PixelData, Scope};
use super::element::{Head, Tag};
use super::syntax::{Codec, Encoding};

/// One fragment and where its item begins, counted from the first item after the offset table.
#[derive(Debug, Clone, Copy)]
struct Fragment<'a> {
    at: u64,
    bytes: &'a [u8],
}

/// The items of an object's pixel data.
#[derive(Debug)]
pub(super) struct Fragments<'a> {
    /// Offsets of the basic or the extended table.
    starts: Vec<u64>,
    /// Those that are not empty.
    fragments: Vec<Fragment<'a>>,
}

impl<'a> Fragments<'a> {
    /// Reads the items; their delimiter may be missing, as zeros or the end of the object.
    pub(super) fn read(found: &Attributes<'a>, pixel_data: PixelData<'a>) -> Result<Self, Fault> {
        let (table, fragments) = items(pixel_data.bytes)?;
        let starts = match found.bytes(Scope::Top, OFFSET_TABLE) {
            Some(extended) => {
                extended.as_chunks::<8>().0.iter().map(|&start| u64::from_le_bytes(start)).collect()
            }
            None => table.as_chunks::<4>().0.iter().map(|&start| u32::from_le_bytes(start).into()).collect(),
        };
        Ok(Self { starts, fragments })
    }

    /// Whether one begins as a codestream does whose decoder could end the process.
    pub(super) fn is_risky(&self) -> bool {
        self.fragments.iter().any(|fragment| codec_of(fragment.bytes).is_some_and(Codec::is_risky))
    }

    /// How many frames there are, where the number is not written down.
    pub(super) fn count_frames(&self) -> u32 {
        match (self.starts.len(), self.n_beginnings()) {
            (0, beginnings) => beginnings.max(1) as u32,
            (starts, _) => starts as u32,
        }
    }

    /// Fragments that begin a codestream, where the first does; RLE has no such sign.
    fn n_beginnings(&self) -> usize {
        let begins = |fragment: &Fragment<'_>| codec_of(fragment.bytes).is_some();
        match self.fragments.first() {
            Some(first) if begins(first) => self.fragments.iter().filter(|one| begins(one)).count(),
            _ => 1,
        }
    }

    /// The compressed bytes of one frame, without the zero that makes their length even.
    ///
    /// Nobody can tell that zero from a last byte of data, so where a codestream has no end marker it is taken for no data: it must
    /// not stand in for bits that were cut. RLE, deflate and JPEG XL have no end marker at all, and keep it.
    pub(super) fn frame(&self, n_frames: u32, frame: u32) -> Result<Cow<'a, [u8]>, Fault> {
        let joined = self.joined(n_frames, frame)?;
        let has_end = matches!(
            codec_of(&joined),
            Some(Codec::Jpeg | Codec::JpegLossless | Codec::JpegLs | Codec::Jpeg2000)
        );
        Ok(match joined {
            Cow::Borrowed([data @ .., 0]) if has_end => data.into(),
            Cow::Owned(mut data) if has_end && data.ends_with(&[0]) => {
                data.pop();
                data.into()
            }
            joined => joined,
        })
    }

    /// The bytes of a frame's fragments.
    ///
    /// Which fragments belong to it: all of them for a single frame; one each where the numbers agree; else what the
    /// basic or the extended offset table says; else each frame begins where a codestream begins, if those are as many.
    fn joined(&self, n_frames: u32, frame: u32) -> Result<Cow<'a, [u8]>, Fault> {
        let fragments = &self.fragments;
        let (n_frames, frame) = (n_frames as usize, frame as usize);
        if fragments.len() == n_frames {
            return Ok(fragments[frame].bytes.into());
        }
        let n_beginnings = self.n_beginnings();
        if n_beginnings > n_frames {
            let detail = format!("{n_beginnings} frames in the pixel data, the attributes say {n_frames}");
            return Err(Fault::new(Reason::DicomPixelLengthMismatch, detail));
        }
        if n_frames == 1 {
            return join(fragments);
        }
        if self.starts.len() == n_frames {
            return self.by_table(frame);
        }
        if self.starts.is_empty() && n_beginnings == n_frames {
            let mut frames = fragments.chunk_by(|_, next| codec_of(next.bytes).is_none());
            return join(frames.nth(frame).unwrap_or_default());
        }
        let (found, offsets) = (fragments.len(), self.starts.len());
        let detail = format!("{found} fragments and {offsets} offsets for {n_frames} frames");
        Err(Fault::new(Reason::DicomPixelLengthMismatch, detail))
    }

    fn by_table(&self, frame: usize) -> Result<Cow<'a, [u8]>, Fault> {
        let (start, end) = (self.starts[frame], self.starts.get(frame + 1).copied().unwrap_or(u64::MAX));
        let first = self.fragments.iter().position(|fragment| fragment.at == start);
        let own = first.map(|first| &self.fragments[first..]).unwrap_or_default();
        let own = &own[..own.iter().take_while(|fragment| fragment.at < end).count()];
        if own.is_empty() {
            return Err(Fault::corrupt(format!("the offset of frame {frame} is not one of a fragment")));
        }
        join(own)
    }
}

/// What a codestream is by its first bytes, whatever the transfer syntax says; `None` for bytes that begin none.
pub(super) fn codec_of(bytes: &[u8]) -> Option<Codec> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(jpeg_process(bytes)),
        [0xff, 0x4f, 0xff, 0x51, ..] => Some(Codec::Jpeg2000),
        [0, 0, 0, 12, b'j', b'P', b' ' | 0x1a, b' ' | 0x1a, ..] => Some(Codec::Jpeg2000),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some(Codec::JpegXl),
        _ => None,
    }
}

/// Which of the JPEG codings by the frame header; a stream without one is left to the lossy decoder's messages.
fn jpeg_process(bytes: &[u8]) -> Codec {
    let mut rest = &bytes[2..];
    loop {
        match *rest {
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0xc3, ..] => return Codec::JpegLossless,
            [0xff, 0xf7, ..] => return Codec::JpegLs,
            [0xff, 0xc0..=0xc2 | 0xda, ..] => return Codec::Jpeg,
            [0xff, _, high, low, ..] => {
                let len = usize::from(u16::from_be_bytes([high, low])).max(2);
                rest = rest.get(2 + len..).unwrap_or_default();
            }
            _ => return Codec::Jpeg,
        }
    }
}

fn join<'a>(fragments: &[Fragment<'a>]) -> Result<Cow<'a, [u8]>, Fault> {
    match fragments {
        [] => Err(Fault::new(Reason::DicomPixelLengthMismatch, "no fragment in the pixel data")),
        [one] => Ok(one.bytes.into()),
        several => Ok(several.iter().flat_map(|fragment| fragment.bytes).copied().collect::<Vec<_>>().into()),
    }
}

/// Reads the offset table and every fragment that is not empty, up to the sequence delimiter.
///
/// Where that is missing, every fragment must still have the bytes that it declares; whether the frame is whole is then
/// the codec's matter, which knows.
fn items(bytes: &[u8]) -> Result<(&[u8], Vec<Fragment<'_>>), Fault> {
    let mut at = 0;
    let mut table: Option<(&[u8], usize)> = None;
    let mut fragments = Vec::new();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let is_over = !fragments.is_empty() && rest.iter().all(|&byte| byte == 0);
        let cut = |_| Fault::truncated(format!("{} fragments and no end of the pixel data", fragments.len()));
        let head = if is_over { None } else { Some(Head::read(bytes, at, Encoding::EXPLICIT).map_err(cut)?) };
        let Some(head) = head.filter(|head| head.tag != Tag::SEQUENCE_END) else {
            return Ok((table.map(|(table, _)| table).unwrap_or_default(), fragments));
        };
        if head.tag != Tag::ITEM {
            let detail = format!("no item where fragment {} should begin", fragments.len());
            return Err(Fault::new(Reason::DicomStructureInvalid, detail));
        }
        let end = head.end(bytes)?;
        let value = &bytes[head.value_at..end];
        match table {
            None => table = Some((value, end)),
            Some((_, first)) if !value.is_empty() => {
                fragments.push(Fragment { at: (at - first) as u64, bytes: value });
            }
            Some(_) => {}
        }
        at = end;
    }
}
