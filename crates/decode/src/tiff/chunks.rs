//! Strips and tiles to samples of 8 bits.

use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus};

use super::super::error::Fault;
use super::super::jpeg::{self, ColorRule};
use super::super::packbits;
use super::layout::{Compression, Layout, Photometric};

/// Decodes every chunk. Shape: `[height, width, n_samples]`; samples of 16 bits keep their high byte, those of fewer
/// than 8 their value. JPEG gives RGB or grey whatever the photometric interpretation was.
pub(super) fn samples(layout: &Layout<'_>) -> Result<Vec<u8>, Fault> {
    let (across, down) = (layout.width.div_ceil(layout.chunk.0), layout.height.div_ceil(layout.chunk.1));
    let mut samples = vec![0; layout.width * layout.height * layout.n_samples];
    for (index, &(at, len)) in layout.chunks.iter().enumerate() {
        let (plane, place) = (index / (across * down), index % (across * down));
        let (x, y) = (place % across * layout.chunk.0, place / across * layout.chunk.1);
        let data = layout.file.slice(at, len)?;
        // The last strip is short; tiles are whole, with padding beyond the page.
        let rows = layout.chunk.1.min(layout.height - y);
        let n_rows = if layout.is_tiled { layout.chunk.1 } else { rows };
        let chunk = decode(layout, data, n_rows)?;
        let columns = layout.chunk.0.min(layout.width - x);
        let step = if layout.is_planar { 1 } else { layout.n_samples };
        for (row, source) in chunk.chunks_exact(layout.chunk.0 * step).take(rows).enumerate() {
            let start = ((y + row) * layout.width + x) * layout.n_samples;
            let target = &mut samples[start..start + columns * layout.n_samples];
            if layout.is_planar {
                let target = target[plane..].iter_mut().step_by(layout.n_samples);
                target.zip(source).for_each(|(to, &from)| *to = from);
            } else {
                target.copy_from_slice(&source[..columns * step]);
            }
        }
    }
    Ok(samples)
}

/// One chunk of `n_rows` whole rows.
fn decode(layout: &Layout<'_>, data: &[u8], n_rows: usize) -> Result<Vec<u8>, Fault> {
    if layout.compression == Compression::Jpeg {
        return decode_jpeg(layout, data, n_rows);
    }
    let step = if layout.is_planar { 1 } else { layout.n_samples };
    let row_len = (layout.chunk.0 * step * layout.bits).div_ceil(8);
    let len = row_len * n_rows;
    let mut plain = match layout.compression {
        Compression::None => data.get(..len).ok_or_else(short)?.to_vec(),
        Compression::PackBits => packbits::unpack(data, len)?,
        Compression::Lzw => lzw(data, len)?,
        Compression::Deflate => inflate(data, len)?,
        Compression::Jpeg => return Err(Fault::corrupt("no codec")),
    };
    let is_big_endian = layout.file.is_big_endian();
    for row in plain.chunks_exact_mut(row_len).filter(|_| layout.is_differenced) {
        if layout.bits == 8 {
            (step..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - step]));
        } else {
            sum_words(row, step, is_big_endian);
        }
    }
    Ok(match layout.bits {
        8 => plain,
        16 => plain.as_chunks::<2>().0.iter().map(|pair| pair[usize::from(!is_big_endian)]).collect(),
        bits => {
            plain.chunks_exact(row_len).flat_map(|row| unpack_bits(row, bits).take(layout.chunk.0)).collect()
        }
    })
}

/// Differences of 16-bit samples to their sums, in place.
fn sum_words(row: &mut [u8], step: usize, is_big_endian: bool) {
    let read = if is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
    let write = if is_big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
    let words = row.as_chunks_mut::<2>().0;
    for at in step..words.len() {
        words[at] = write(read(words[at]).wrapping_add(read(words[at - step])));
    }
}

/// Samples of 1, 2 or 4 bits, the first in the high bits.
fn unpack_bits(row: &[u8], bits: usize) -> impl Iterator<Item = u8> {
    let mask = (1_u8 << bits) - 1;
    row.iter().flat_map(move |&byte| (1..=8 / bits).map(move |n| byte >> (8 - n * bits) & mask))
}

fn short() -> Fault {
    Fault::truncated("a strip or tile ends before its last pixel")
}

fn lzw(data: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    // Four bytes of codes make at most some 8 KiB: a hostile size is noticed before it is allocated.
    if len > data.len().saturating_mul(4096) {
        return Err(short());
    }
    let mut plain = vec![0; len];
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut n_read, mut n_written) = (0, 0);
    while n_written < len {
        let step = decoder.decode_bytes(&data[n_read..], &mut plain[n_written..]);
        n_read += step.consumed_in;
        n_written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(_) => return Err(Fault::corrupt("the LZW data of a strip or tile are invalid")),
        }
    }
    if n_written == len { Ok(plain) } else { Err(short()) }
}

/// Inflates a zlib stream to its end, checksum included.
fn inflate(data: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    if len > data.len().saturating_mul(1100) {
        return Err(short());
    }
    let mut plain = vec![0; len + 1];
    let mut decoder = Decompress::new(true);
    let status = decoder.decompress(data, &mut plain, FlushDecompress::Finish);
    match (status, decoder.total_out().cmp(&(len as u64))) {
        (Ok(Status::StreamEnd), std::cmp::Ordering::Equal) => {}
        (Ok(_), std::cmp::Ordering::Less) => return Err(short()),
        (Ok(Status::Ok | Status::BufError), std::cmp::Ordering::Equal) => return Err(short()),
        _ => return Err(Fault::corrupt("the deflated data of a strip or tile are invalid")),
    }
    plain.truncate(len);
    Ok(plain)
}

/// A JPEG chunk has its own markers; tables that all chunks share stand in a tag of their own.
fn decode_jpeg(layout: &Layout<'_>, data: &[u8], n_rows: usize) -> Result<Vec<u8>, Fault> {
    const SOI: [u8; 2] = [0xff, 0xd8];
    const EOI: [u8; 2] = [0xff, 0xd9];
    let bad = || Fault::corrupt("the JPEG markers of a strip or tile");
    let tables = if layout.jpeg_tables.is_empty() {
        &SOI
    } else {
        layout.jpeg_tables.strip_suffix(&EOI).filter(|tables| tables.starts_with(&SOI)).ok_or_else(bad)?
    };
    let jpeg = [tables, data.strip_prefix(&SOI).ok_or_else(bad)?].concat();
    let size_px = (layout.chunk.0 as u32, n_rows as u32);
    if layout.n_samples == 1 {
        return jpeg::decode_grey(&jpeg, size_px);
    }
    let rule = ColorRule { is_rgb: layout.photometric == Photometric::Rgb, adobe_wins: false };
    jpeg::decode_as(&jpeg, size_px, rule).map(t3b_image::Rgb8::into_bytes)
}
