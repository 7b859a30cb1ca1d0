//! Lossless JPEG (SOF3, Huffman), as DICOM stores it: processes 14 and 14 selection value 1.
//!
//! 2 to 16 bits, components without subsampling, every predictor, point transform and restart intervals. As strict as
//! the rest of the folder: every difference must be present and no entropy-coded byte may be left over.
//!
//! Reference: ITU-T T.81 annex H.

use super::super::error::{Fault, Reason};
use super::bits::{BadData, BitReader, Bits};
use super::huffman::HuffmanTable;
use super::structure::{be_u16, cut, entropy_data, is_over, marker, segment};

/// A frame of equal components.
struct Frame {
    precision: u8,
    size: (usize, usize),
    ids: Vec<u8>,
}

/// What one scan says about its components' differences.
struct Scan<'a> {
    /// Indices into the frame's components.
    components: Vec<usize>,
    tables: Vec<HuffmanTable>,
    /// 1 to 7.
    predictor: u8,
    point_transform: u8,
    /// Rows between restart markers; 0 for none.
    restart_rows: usize,
    data: &'a [u8],
}

/// Decodes a frame of the declared size and number of components to values and their precision.
///
/// Shape: `[height, width, n_components]`. The end-of-image marker may be missing where every difference is there.
pub(crate) fn decode(
    bytes: &[u8],
    (width_px, height_px): (u32, u32),
    n_components: usize,
) -> Result<(Vec<u16>, u32), Fault> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Err(Fault::corrupt("no start-of-image marker"));
    }
    let declared = (width_px as usize, height_px as usize);
    let mut walk = Walk::default();
    let (mut at, mut frame) = (2, None::<Frame>);
    let mut values = Vec::new();
    let mut is_done = vec![false; n_components];
    loop {
        if !is_done.contains(&false) && is_over(bytes, at) {
            break;
        }
        let code = marker(bytes, &mut at)?;
        if code == 0xd9 {
            break;
        }
        let body = segment(bytes, &mut at)?;
        match code {
            0xc3 if frame.is_none() => {
                let read = Frame::read(body)?;
                if read.size != declared || read.ids.len() != n_components {
                    return Err(Fault::corrupt("the lossless frame's size differs from the container's"));
                }
                values = vec![0; declared.0 * declared.1 * n_components];
                frame = Some(read);
            }
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let detail = format!("frame type 0x{code:02x} where one lossless frame should be");
                return Err(Fault::new(Reason::UnsupportedFormat, detail));
            }
            0xc4 => walk.huffman(body)?,
            0xdd => walk.restart_interval = be_u16(body, 0)?.into(),
            0xda => {
                let data = entropy_data(bytes, at, true)?;
                at += data.len();
                let frame = frame.as_ref().ok_or_else(|| Fault::corrupt("scan before the frame header"))?;
                let scan = walk.scan(frame, body, data)?;
                for &component in &scan.components {
                    if std::mem::replace(&mut is_done[component], true) {
                        return Err(Fault::corrupt("component sent twice"));
                    }
                }
                decode_scan(frame, &scan, &mut values)?;
            }
            _ => {}
        }
    }
    match frame {
        Some(frame) if !is_done.contains(&false) => Ok((values, frame.precision.into())),
        _ => Err(cut(bytes)),
    }
}

impl Frame {
    fn read(body: &[u8]) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("frame header");
        let [precision, h0, h1, w0, w1, n, ref triples @ ..] = *body else { return Err(bad()) };
        let (triples, []) = triples.as_chunks::<3>() else { return Err(bad()) };
        if triples.len() != usize::from(n) || !(2..=16).contains(&precision) {
            return Err(bad());
        }
        if triples.iter().any(|triple| triple[1] != triples[0][1]) {
            return Err(Fault::new(Reason::UnsupportedFormat, "a lossless frame with subsampled components"));
        }
        let size = (u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into());
        Ok(Self { precision, size, ids: triples.iter().map(|triple| triple[0]).collect() })
    }
}

#[derive(Default)]
struct Walk<'a> {
    tables: [Option<&'a [u8]>; 4],
    restart_interval: usize,
}

impl<'a> Walk<'a> {
    fn huffman(&mut self, mut rest: &'a [u8]) -> Result<(), Fault> {
        let bad = || Fault::corrupt("huffman table segment");
        while let Some((&selector, table)) = rest.split_first() {
            let n_symbols: usize = table.get(..16).ok_or_else(bad)?.iter().map(|&n| usize::from(n)).sum();
            let whole = table.get(..16 + n_symbols).ok_or_else(bad)?;
            // AC tables have no use here.
            if selector >> 4 == 0 {
                *self.tables.get_mut(usize::from(selector)).ok_or_else(bad)? = Some(whole);
            }
            rest = &table[16 + n_symbols..];
        }
        Ok(())
    }

    fn scan(&self, frame: &Frame, body: &[u8], data: &'a [u8]) -> Result<Scan<'a>, Fault> {
        let bad = || Fault::corrupt("scan header");
        let n = usize::from(*body.first().ok_or_else(bad)?);
        let [predictor, _, approximation] = *body.get(1 + 2 * n..).ok_or_else(bad)? else {
            return Err(bad());
        };
        let point_transform = approximation & 15;
        let is_whole_rows = self.restart_interval.is_multiple_of(frame.size.0.max(1));
        if n == 0 || !(1..=7).contains(&predictor) || point_transform >= frame.precision || !is_whole_rows {
            return Err(bad());
        }
        let mut scan = Scan {
            components: Vec::with_capacity(n),
            tables: Vec::with_capacity(n),
            predictor,
            point_transform,
            restart_rows: self.restart_interval / frame.size.0.max(1),
            data,
        };
        for pair in body[1..=2 * n].as_chunks::<2>().0 {
            let index = frame.ids.iter().position(|&id| id == pair[0]).ok_or_else(bad)?;
            let table = self.tables.get(usize::from(pair[1] >> 4)).copied().flatten();
            scan.components.push(index);
            scan.tables.push(*HuffmanTable::new(table)?);
        }
        Ok(scan)
    }
}

fn decode_scan(frame: &Frame, scan: &Scan<'_>, values: &mut [u16]) -> Result<(), Fault> {
    let n_components = frame.ids.len();
    let stride = frame.size.0 * n_components;
    let mut reader = BitReader::new(scan.data);
    // The differences restart at the middle of the range, in the left column from above (H.1.1).
    let start = 1_i32 << (frame.precision - scan.point_transform - 1);
    for y in 0..frame.size.1 {
        let is_start = y == 0 || (scan.restart_rows > 0 && y.is_multiple_of(scan.restart_rows));
        if is_start && y > 0 {
            reader.restart()?;
        }
        let (above, row) = values.split_at_mut(y * stride);
        let above = if is_start { None } else { Some(&above[(y - 1) * stride..]) };
        let row = &mut row[..stride];
        for x in 0..frame.size.0 {
            for (&component, table) in scan.components.iter().zip(&scan.tables) {
                let at = x * n_components + component;
                let prediction = predict(scan, row, above, at, n_components, start);
                let difference =
                    reader.read(|bits| difference(bits, table)).map_err(|BadData| reader.fault())?;
                row[at] = (prediction.wrapping_add(difference) << scan.point_transform) as u16;
            }
        }
        if reader.is_overread() {
            return Err(reader.fault());
        }
    }
    reader.finish()
}

/// The prediction for the value at `at`, without the bits of the point transform.
#[inline(always)]
fn predict(scan: &Scan<'_>, row: &[u16], above: Option<&[u16]>, at: usize, step: usize, start: i32) -> i32 {
    let read = |values: &[u16], at: usize| i32::from(values[at] >> scan.point_transform);
    match (above, at < step) {
        (None, true) => start,
        (None, false) => read(row, at - step),
        (Some(above), true) => read(above, at),
        (Some(above), false) => {
            let (a, b, c) = (read(row, at - step), read(above, at), read(above, at - step));
            match scan.predictor {
                1 => a,
                2 => b,
                3 => c,
                4 => a + b - c,
                5 => a + ((b - c) >> 1),
                6 => b + ((a - c) >> 1),
                _ => (a + b) >> 1,
            }
        }
    }
}

#[inline(always)]
fn difference(bits: &mut Bits<'_>, table: &HuffmanTable) -> Result<i32, BadData> {
    match table.symbol(bits)? {
        // Without magnitude bits (H.1.2.2).
        16 => Ok(32_768),
        n_bits @ 0..=15 => Ok(bits.take_signed(n_bits.into())),
        _ => Err(BadData),
    }
}
