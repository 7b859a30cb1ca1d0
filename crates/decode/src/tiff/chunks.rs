//! Strips and tiles to samples.

use std::io::Read;

use weezl::{BitOrder, LzwStatus};

use super::super::dicom::decode_jpeg_2000_tile;
use super::super::error::Fault;
use super::super::facts::Facts;
use super::super::inflate;
use super::super::jpeg::{self, ColorRule};
use super::super::packbits;
use super::layout::{Compression, Photometric, Predictor, SampleLayout};

/// Decodes every chunk. Shape: `[height, width, n_samples]`, of [`SampleLayout::sample_bytes`] little-endian bytes each.
///
/// JPEG gives RGB or grey whatever the photometric interpretation was. Tiles that were left out are zeros.
pub(super) fn samples(layout: &SampleLayout<'_>) -> Result<Vec<u8>, Fault> {
    let (across, down) = (layout.width.div_ceil(layout.chunk.0), layout.height.div_ceil(layout.chunk.1));
    let n_bytes = layout.sample_bytes();
    let pixel = layout.n_samples * n_bytes;
    let mut samples = vec![0; layout.width * layout.height * pixel];
    for (index, &(at, len)) in layout.chunks.iter().enumerate() {
        if (at, len) == (0, 0) {
            continue;
        }
        let (plane, place) = (index / (across * down), index % (across * down));
        let (x, y) = (place % across * layout.chunk.0, place / across * layout.chunk.1);
        let data = layout.file.slice_to_end(at, len)?;
        // The last strip is short; tiles are whole, with padding beyond the page.
        let rows = layout.chunk.1.min(layout.height - y);
        let n_rows = if layout.is_tiled { layout.chunk.1 } else { rows };
        let chunk = decode(layout, data, n_rows)?;
        let columns = layout.chunk.0.min(layout.width - x);
        let source_pixel = layout.step() * n_bytes;
        for (row, source) in chunk.chunks_exact(layout.chunk.0 * source_pixel).take(rows).enumerate() {
            let start = ((y + row) * layout.width + x) * pixel;
            let target = &mut samples[start..start + columns * pixel];
            if layout.is_planar {
                let target = target.chunks_exact_mut(pixel).map(|to| &mut to[plane * n_bytes..][..n_bytes]);
                target.zip(source.chunks_exact(n_bytes)).for_each(|(to, from)| to.copy_from_slice(from));
            } else {
                target.copy_from_slice(&source[..columns * source_pixel]);
            }
        }
    }
    Ok(samples)
}

/// One chunk of `n_rows` whole rows.
fn decode(layout: &SampleLayout<'_>, data: &[u8], n_rows: usize) -> Result<Vec<u8>, Fault> {
    let row_len = layout.row_len();
    let len = row_len * n_rows;
    let reversed: Vec<u8>;
    let is_coded = matches!(layout.compression, Compression::Jpeg | Compression::Jpeg2000 { .. });
    let data = if layout.is_reversed && !is_coded {
        reversed = data.iter().map(|byte| byte.reverse_bits()).collect();
        &reversed
    } else {
        data
    };
    let mut plain = match layout.compression {
        Compression::None => data.get(..len).ok_or_else(short)?.to_vec(),
        Compression::PackBits => packbits::unpack(data, len)?,
        Compression::Lzw => lzw(data, len)?,
        Compression::Deflate => inflate::zlib(data, len)?,
        Compression::Zstd => zstd(data, len)?,
        Compression::Jpeg => return decode_jpeg(layout, data, n_rows),
        Compression::Jpeg2000 { is_ycbcr } => {
            let size_px = (layout.chunk.0 as u32, n_rows as u32);
            return decode_jpeg_2000_tile(data, size_px, layout.n_samples as u32, is_ycbcr);
        }
    };
    let is_big_endian = layout.file.is_big_endian();
    let step = layout.step();
    match layout.predictor {
        Predictor::None => {}
        Predictor::Float => {
            return Ok(plain.chunks_exact(row_len).flat_map(|row| sum_floats(row, layout)).collect());
        }
        Predictor::Horizontal => {
            for row in plain.chunks_exact_mut(row_len) {
                match layout.bits {
                    8 => (step..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - step])),
                    16 => sum_words(row, step, is_big_endian),
                    _ => sum_longs(row, step, is_big_endian),
                }
            }
        }
    }
    let n_bytes = layout.sample_bytes();
    Ok(match layout.bits {
        8 => plain,
        16 | 32 | 64 => {
            if is_big_endian {
                plain.chunks_exact_mut(n_bytes).for_each(<[u8]>::reverse);
            }
            plain
        }
        1 | 2 | 4 => {
            let rows = plain.chunks_exact(row_len);
            rows.flat_map(|row| unpack_bits(row, layout.bits).take(layout.chunk.0)).collect()
        }
        bits => {
            let rows = plain.chunks_exact(row_len);
            rows.flat_map(|row| unpack_words(row, bits).take(layout.chunk.0)).flatten().collect()
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

/// The same of 32-bit samples.
fn sum_longs(row: &mut [u8], step: usize, is_big_endian: bool) {
    let read = if is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let write = if is_big_endian { u32::to_be_bytes } else { u32::to_le_bytes };
    let longs = row.as_chunks_mut::<4>().0;
    for at in step..longs.len() {
        longs[at] = write(read(longs[at]).wrapping_add(read(longs[at - step])));
    }
}

/// One row of Adobe's floating-point predictor (TIFF Technical Note 3) to little-endian samples.
fn sum_floats(row: &[u8], layout: &SampleLayout<'_>) -> Vec<u8> {
    let (n_bytes, step) = (layout.sample_bytes(), layout.step());
    let mut sums = row.to_vec();
    (step..sums.len()).for_each(|at| sums[at] = sums[at].wrapping_add(sums[at - step]));
    let n_samples = row.len() / n_bytes;
    // The bytes of most weight come first, whatever the file's order.
    let places =
        (0..n_samples).flat_map(|sample| (0..n_bytes).rev().map(move |byte| byte * n_samples + sample));
    places.map(|at| sums[at]).collect()
}

/// Samples of 10, 12 or 14 bits, the first in the high bits.
fn unpack_words(row: &[u8], bits: usize) -> impl Iterator<Item = [u8; 2]> {
    (0..row.len() * 8 / bits).map(move |n| {
        let start = n * bits;
        let four: [u8; 4] = std::array::from_fn(|byte| row.get(start / 8 + byte).copied().unwrap_or(0));
        let word = u32::from_be_bytes(four) << (start % 8) >> (32 - bits);
        (word as u16).to_le_bytes()
    })
}

fn zstd(data: &[u8], len: usize) -> Result<Vec<u8>, Fault> {
    let invalid = |_| Fault::corrupt("the Zstandard data of a strip or tile are invalid, or end early");
    let stream = zstd::stream::read::Decoder::new(data).map_err(invalid)?;
    let mut plain = Vec::new();
    // Grows with what comes out; one byte more than wanted tells a stream that is longer.
    stream.take(len as u64 + 1).read_to_end(&mut plain).map_err(invalid)?;
    match plain.len().cmp(&len) {
        std::cmp::Ordering::Equal => Ok(plain),
        std::cmp::Ordering::Less => Err(short()),
        std::cmp::Ordering::Greater => Err(Fault::corrupt("a strip or tile holds more than its pixels")),
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

/// A JPEG chunk has its own markers; tables that all chunks share stand in a tag of their own.
fn decode_jpeg(layout: &SampleLayout<'_>, data: &[u8], n_rows: usize) -> Result<Vec<u8>, Fault> {
    const SOI: [u8; 2] = [0xff, 0xd8];
    const EOI: [u8; 2] = [0xff, 0xd9];
    let bad = || Fault::corrupt("the JPEG markers of a strip or tile");
    let tables = if layout.jpeg_tables.is_empty() {
        &SOI
    } else {
        layout.jpeg_tables.strip_suffix(&EOI).filter(|tables| tables.starts_with(&SOI)).ok_or_else(bad)?
    };
    let jpeg = [tables, data.strip_prefix(&SOI).ok_or_else(bad)?].concat();
    // Some writers code the last strip with all its rows; those beyond the page are not taken.
    let whole = (layout.chunk.0 as u32, layout.chunk.1 as u32);
    let size_px = if jpeg::size_px(&jpeg) == Some(whole) { whole } else { (whole.0, n_rows as u32) };
    if layout.n_samples == 1 {
        return jpeg::decode_grey(&jpeg, size_px);
    }
    let rule = ColorRule::Tiff { is_rgb: layout.photometric == Photometric::Rgb };
    jpeg::decode_as(&jpeg, size_px, rule, &mut Facts::default()).map(t3b_image::Rgb8::into_bytes)
}
