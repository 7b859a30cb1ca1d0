//! Compressed pixel data: items of one or more fragments a frame (PS3.5 annex A.4).

use std::borrow::Cow;

use super::super::error::{Fault, Reason};
use super::attributes::{Attributes, OFFSET_TABLE, PixelData, Scope};
use super::element::{Head, Tag};
use super::syntax::Encoding;

/// One fragment and where its item begins, counted from the first item after the offset table.
#[derive(Debug, Clone, Copy)]
struct Fragment<'a> {
    at: u64,
    bytes: &'a [u8],
}

/// The compressed bytes of one frame.
///
/// Which fragments belong to it: all of them for a single frame; one each where the numbers agree; else what the
/// basic or the extended offset table says. Frames are never guessed from markers inside the data.
pub(super) fn frame<'a>(
    found: &Attributes<'a>,
    pixel_data: PixelData<'a>,
    n_frames: u32,
    frame: u32,
) -> Result<Cow<'a, [u8]>, Fault> {
    let (table, fragments) = read(pixel_data.bytes)?;
    let (n_frames, frame) = (n_frames as usize, frame as usize);
    if fragments.len() == n_frames {
        return Ok(fragments[frame].bytes.into());
    }
    if n_frames == 1 {
        return join(&fragments);
    }
    let starts = match found.bytes(Scope::Top, OFFSET_TABLE) {
        Some(extended) => {
            extended.as_chunks::<8>().0.iter().map(|&start| u64::from_le_bytes(start)).collect()
        }
        None => table
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&start| u32::from_le_bytes(start).into())
            .collect::<Vec<u64>>(),
    };
    if starts.len() != n_frames {
        let detail =
            format!("{} fragments and {} offsets for {n_frames} frames", fragments.len(), starts.len());
        return Err(Fault::new(Reason::DicomPixelLengthMismatch, detail));
    }
    let (start, end) = (starts[frame], starts.get(frame + 1).copied().unwrap_or(u64::MAX));
    let first = fragments.iter().position(|fragment| fragment.at == start);
    let own = first.map(|first| &fragments[first..]).unwrap_or_default();
    let own = &own[..own.iter().take_while(|fragment| fragment.at < end).count()];
    if own.is_empty() {
        return Err(Fault::corrupt(format!("the offset of frame {frame} is not one of a fragment")));
    }
    join(own)
}

fn join<'a>(fragments: &[Fragment<'a>]) -> Result<Cow<'a, [u8]>, Fault> {
    match fragments {
        [] => Err(Fault::new(Reason::DicomPixelLengthMismatch, "no fragment in the pixel data")),
        [one] => Ok(one.bytes.into()),
        several => Ok(several.iter().flat_map(|fragment| fragment.bytes).copied().collect::<Vec<_>>().into()),
    }
}

/// Reads the offset table and every fragment up to the sequence delimiter.
fn read(bytes: &[u8]) -> Result<(&[u8], Vec<Fragment<'_>>), Fault> {
    let mut at = 0;
    let mut table: Option<(&[u8], usize)> = None;
    let mut fragments = Vec::new();
    loop {
        let cut = |_| Fault::truncated(format!("{} fragments and no end of the pixel data", fragments.len()));
        let head = Head::read(bytes, at, Encoding::EXPLICIT).map_err(cut)?;
        if head.tag == Tag::SEQUENCE_END {
            return Ok((table.map(|(table, _)| table).unwrap_or_default(), fragments));
        }
        if head.tag != Tag::ITEM {
            let detail = format!("no item where fragment {} should begin", fragments.len());
            return Err(Fault::new(Reason::DicomStructureInvalid, detail));
        }
        let end = head.end(bytes)?;
        let value = &bytes[head.value_at..end];
        match table {
            None => table = Some((value, end)),
            Some((_, first)) => fragments.push(Fragment { at: (at - first) as u64, bytes: value }),
        }
        at = end;
    }
}
