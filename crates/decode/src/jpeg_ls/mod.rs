//! JPEG-LS, lossless and near-lossless, 2 to 16 bits, every interleave mode, as DICOM stores it.
//!
//! Own code, because the pure-Rust crates are young and trust header fields; CharLS is C++. Strict: the scan must be
//! complete and must reach the next marker.
//!
//! Refused as `unsupported_format`: mapping tables, restart intervals, subsampled components.
//!
//! Reference: ITU-T T.87.

mod bits;
mod coding;
mod context;
mod scan;
mod transform;

use super::error::{Fault, Reason};
use bits::BitReader;
use coding::{Coding, Presets};
use scan::{Interleave, Lines};
use transform::Transform;

const SOF: u8 = 0xf7;
const LSE: u8 = 0xf8;
const APP8: u8 = 0xe8;
const DRI: u8 = 0xdd;
const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;

struct Frame {
    precision: u8,
    ids: Vec<u8>,
}

/// What a codestream gives.
#[derive(Debug)]
pub(super) struct Picture {
    /// Shape: `[height, width, n_components]`.
    pub(super) values: Vec<u16>,
    /// 2 to 16 bits.
    pub(super) precision: u32,
    /// A scan was near-lossless.
    pub(super) is_lossy: bool,
}

/// Decodes a frame of the declared size and number of components; an HP colour transform is undone.
pub(super) fn decode(
    bytes: &[u8],
    (width_px, height_px): (u32, u32),
    n_components: usize,
) -> Result<Picture, Fault> {
    let mut rest =
        bytes.strip_prefix(&[0xff, 0xd8]).ok_or_else(|| Fault::corrupt("no start-of-image marker"))?;
    let (width, height) = (width_px as usize, height_px as usize);
    let mut presets = Presets::default();
    let mut frame = None::<Frame>;
    let mut values = Vec::new();
    let mut is_done = vec![false; n_components];
    let (mut is_lossy, mut transform) = (false, Transform::None);
    loop {
        // Some writers leave the end-of-image marker out.
        if !is_done.contains(&false) && matches!(rest, [] | [0]) {
            break;
        }
        let (code, body, after) = segment(rest)?;
        rest = after;
        match code {
            EOI => break,
            SOF if frame.is_none() => {
                frame = Some(Frame::read(body, (width, height), n_components)?);
                values = vec![0; width * height * n_components];
            }
            APP8 => transform = Transform::read(body, transform)?,
            LSE => presets = Presets::read(body)?,
            DRI => return Err(Fault::new(Reason::UnsupportedFormat, "JPEG-LS with restart intervals")),
            SOS => {
                let frame = frame.as_ref().ok_or_else(|| Fault::corrupt("scan before the frame header"))?;
                let (components, near, interleave) = read_scan(frame, body)?;
                is_lossy |= near > 0;
                for &component in &components {
                    if std::mem::replace(&mut is_done[component], true) {
                        return Err(Fault::corrupt("component sent twice"));
                    }
                }
                let coding = Coding::new(frame.precision, near, presets)?;
                let lines = Lines { width, height, n_components, components, values: &mut values };
                let mut reader = BitReader::new(rest);
                scan::decode(&coding, interleave, lines, &mut reader)?;
                rest = reader.finish()?;
            }
            0xc0..=0xc3 | 0xc5..=0xcf | SOF => return Err(Fault::corrupt("not one JPEG-LS frame header")),
            _ => {}
        }
    }
    if is_done.contains(&false) {
        return Err(Fault::truncated("a component has no scan"));
    }
    let precision = frame.map_or(16, |frame| frame.precision);
    transform.undo(&mut values, n_components, precision)?;
    Ok(Picture { values, precision: precision.into(), is_lossy })
}

/// Splits a marker and its segment off; EOI has an empty one.
fn segment(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Fault> {
    let cut = || Fault::truncated("the frame ends before its end-of-image marker");
    let code = match bytes {
        [0xff, code, ..] if *code >= 0xc0 && *code != 0xff => *code,
        [0xff, 0xff, ..] => {
            return segment(&bytes[bytes.iter().take_while(|&&byte| byte == 0xff).count() - 1..]);
        }
        [] | [_] => return Err(cut()),
        _ => return Err(Fault::corrupt("no marker where a segment should begin")),
    };
    let rest = &bytes[2..];
    if code == EOI {
        return Ok((code, &[], rest));
    }
    let &[high, low] = rest.first_chunk::<2>().ok_or_else(cut)?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let body = rest.get(2..len.max(2)).ok_or_else(cut)?;
    Ok((code, body, &rest[len.max(2)..]))
}

impl Frame {
    fn read(body: &[u8], size: (usize, usize), n_components: usize) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("frame header");
        let [precision, h0, h1, w0, w1, n, ref triples @ ..] = *body else { return Err(bad()) };
        let (triples, []) = triples.as_chunks::<3>() else { return Err(bad()) };
        if triples.len() != usize::from(n) || !(2..=16).contains(&precision) {
            return Err(bad());
        }
        let found = (u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into());
        if found != size || triples.len() != n_components {
            return Err(Fault::corrupt("the JPEG-LS frame's size differs from the container's"));
        }
        if triples.iter().any(|triple| triple[1] != triples[0][1]) {
            return Err(Fault::new(Reason::UnsupportedFormat, "JPEG-LS with subsampled components"));
        }
        Ok(Self { precision, ids: triples.iter().map(|triple| triple[0]).collect() })
    }
}

impl Presets {
    fn read(body: &[u8]) -> Result<Self, Fault> {
        let [1, ref words @ ..] = *body else {
            return Err(Fault::new(Reason::UnsupportedFormat, "JPEG-LS with mapping tables or large sizes"));
        };
        let ([max, t1, t2, t3, reset], []) = words.as_chunks::<2>() else {
            return Err(Fault::corrupt("preset segment"));
        };
        let [max_value, t1, t2, t3, reset] = [max, t1, t2, t3, reset].map(|&pair| u16::from_be_bytes(pair));
        Ok(Self { max_value, thresholds: [t1, t2, t3], reset })
    }
}

/// Components, NEAR and interleave mode of a scan.
fn read_scan(frame: &Frame, body: &[u8]) -> Result<(Vec<usize>, u8, Interleave), Fault> {
    let bad = || Fault::corrupt("scan header");
    let n = usize::from(*body.first().ok_or_else(bad)?);
    let [near, interleave, transform] = *body.get(1 + 2 * n..).ok_or_else(bad)? else { return Err(bad()) };
    let mut components = Vec::with_capacity(n);
    for pair in body[1..=2 * n].as_chunks::<2>().0 {
        components.push(frame.ids.iter().position(|&id| id == pair[0]).ok_or_else(bad)?);
        if pair[1] != 0 {
            return Err(Fault::new(Reason::UnsupportedFormat, "JPEG-LS with mapping tables or large sizes"));
        }
    }
    let interleave = match (interleave, n) {
        (_, 1) => Interleave::Line,
        (1, 2..) => Interleave::Line,
        (2, 2..) => Interleave::Sample,
        _ => return Err(bad()),
    };
    if transform != 0 {
        return Err(Fault::new(Reason::UnsupportedFormat, "JPEG-LS with a point or colour transform"));
    }
    Ok((components, near, interleave))
}
