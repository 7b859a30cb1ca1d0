//! The two passes, laid out so that plain loops become vector instructions.
//!
//! A pass multiplies rows of bytes by one weight each and adds them up. Down the image rows lie ready; across it, 32
//! rows at a time are turned on their side first, so that the same loop serves both. Sums are the same integers in any
//! order, so nothing here can change a value.

use super::transpose::{LANES, TILE_LEN, transpose};
use super::weights::{PRECISION_BITS, TAP_GROUP, Weights};
use crate::pixels::Rgb8;
use crate::simd;

/// Bytes of a pixel column of 32 rows.
const PIXEL_LEN: usize = LANES * Rgb8::CHANNELS;

/// Buffers that live from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Rows between the passes.
    between: Vec<u8>,
    lanes: Lanes,
}

#[derive(Debug, Default)]
struct Lanes {
    /// Input rows on their side: 32 bytes for each byte column.
    columns: Vec<u8>,
    /// Output rows on their side.
    turned: Vec<u8>,
    sums: Vec<i32>,
}

/// Rows of bytes, `stride` apart.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
}

/// Resizes `src` to the windows of both weights, the rows or the columns first.
pub(super) fn resize(
    src: &Rgb8,
    horizontal: &Weights,
    vertical: &Weights,
    is_vertical_first: bool,
    scratch: &mut Scratch,
) -> Rgb8 {
    let src_rows = Rows { bytes: src.as_bytes(), stride: src.width_px() as usize * Rgb8::CHANNELS };
    let (needed_rows, needed_columns) = (vertical.input_range(), horizontal.input_range());
    let out_len = horizontal.len() * Rgb8::CHANNELS;
    let mut out = vec![0; vertical.len() * out_len];
    let Scratch { between, lanes } = scratch;
    simd::widest(
        #[inline(always)]
        || {
            if is_vertical_first {
                let len = needed_columns.len() * Rgb8::CHANNELS;
                between.resize(vertical.len() * len, 0);
                let first =
                    Rows { bytes: &src_rows.bytes[needed_columns.start * Rgb8::CHANNELS..], ..src_rows };
                down(first, 0, vertical, &mut lanes.sums, between, len);
                across(
                    Rows { bytes: between, stride: len },
                    needed_columns.start,
                    horizontal,
                    lanes,
                    &mut out,
                    out_len,
                );
            } else {
                between.resize(needed_rows.len() * out_len, 0);
                let bytes =
                    &src_rows.bytes[needed_rows.start * src_rows.stride..needed_rows.end * src_rows.stride];
                across(Rows { bytes, ..src_rows }, 0, horizontal, lanes, between, out_len);
                let rows = Rows { bytes: between, stride: out_len };
                down(rows, needed_rows.start, vertical, &mut lanes.sums, &mut out, out_len);
            }
        },
    );
    Rgb8::new(horizontal.len() as u32, vertical.len() as u32, out).expect("the windows are not empty")
}

/// Vertical pass to `out`, rows of `len` bytes; the first of `rows` is row `origin` of the image.
#[inline(always)]
fn down(rows: Rows<'_>, origin: usize, weights: &Weights, sums: &mut Vec<i32>, out: &mut [u8], len: usize) {
    sums.resize(len, 0);
    for (y, out) in out.chunks_exact_mut(len).enumerate() {
        let (start, taps) = weights.at(y);
        let bytes = &rows.bytes[(start - origin) * rows.stride..];
        if weights.is_identity() {
            out.copy_from_slice(&bytes[..len]);
        } else {
            weigh(Rows { bytes, ..rows }, taps, sums, out);
        }
    }
}

/// Horizontal pass to `out`, rows of `len` bytes; the first column of `rows` is column `origin` of the image.
#[inline(always)]
fn across(rows: Rows<'_>, origin: usize, weights: &Weights, lanes: &mut Lanes, out: &mut [u8], len: usize) {
    let window = weights.input_range();
    let window = (window.start - origin) * Rgb8::CHANNELS..(window.end - origin) * Rgb8::CHANNELS;
    if weights.is_identity() {
        for (out, row) in out.chunks_exact_mut(len).zip(rows.bytes.chunks(rows.stride)) {
            out.copy_from_slice(&row[window.clone()]);
        }
        return;
    }
    let Lanes { columns, turned, sums } = lanes;
    columns.resize(window.len().next_multiple_of(LANES) * LANES, 0);
    turned.resize(len.next_multiple_of(LANES) * LANES, 0);
    sums.resize(PIXEL_LEN, 0);
    for (out, bytes) in out.chunks_mut(LANES * len).zip(rows.bytes.chunks(LANES * rows.stride)) {
        turn_to_columns(Rows { bytes, ..rows }, window.clone(), columns);
        for (x, pixel) in turned.chunks_exact_mut(PIXEL_LEN).take(weights.len()).enumerate() {
            let (start, taps) = weights.at(x);
            let first = ((start - origin) * Rgb8::CHANNELS - window.start) * LANES;
            weigh(Rows { bytes: &columns[first..], stride: PIXEL_LEN }, taps, sums, pixel);
        }
        turn_to_rows(turned, out, len);
    }
}

/// Turns the byte columns `window` of up to 32 rows on their side; missing rows keep stale bytes.
#[inline(always)]
fn turn_to_columns(rows: Rows<'_>, window: std::ops::Range<usize>, columns: &mut [u8]) {
    let (mut tile, mut spare) = ([0; TILE_LEN], [0; TILE_LEN]);
    for (start, columns) in window.step_by(LANES).zip(columns.chunks_exact_mut(TILE_LEN)) {
        for (lane, row) in tile.chunks_exact_mut(LANES).zip(rows.bytes.chunks_exact(rows.stride)) {
            match row[start..].first_chunk::<LANES>() {
                Some(bytes) => lane.copy_from_slice(bytes),
                None => lane[..row.len() - start].copy_from_slice(&row[start..]),
            }
        }
        transpose(&mut tile, &mut spare);
        columns.copy_from_slice(&tile);
    }
}

/// Turns byte columns back into up to 32 rows of `len` bytes.
#[inline(always)]
fn turn_to_rows(turned: &[u8], out: &mut [u8], len: usize) {
    let mut spare = [0; TILE_LEN];
    for (i, tile) in turned.as_chunks::<TILE_LEN>().0.iter().enumerate() {
        let mut tile = *tile;
        transpose(&mut tile, &mut spare);
        for (row, bytes) in out.chunks_exact_mut(len).zip(tile.as_chunks::<LANES>().0) {
            let row = &mut row[i * LANES..];
            match row.first_chunk_mut::<LANES>() {
                Some(row) => *row = *bytes,
                None => row.copy_from_slice(&bytes[..row.len()]),
            }
        }
    }
}

/// `out` = the rows times their taps; `sums` and `out` are as long as what is summed.
#[inline(always)]
fn weigh(rows: Rows<'_>, taps: &[i32], sums: &mut [i32], out: &mut [u8]) {
    let len = out.len();
    // Half a unit, so that the shift rounds.
    sums.fill(1 << (PRECISION_BITS - 1));
    for (i, &[a, b, c, d]) in taps.as_chunks::<TAP_GROUP>().0.iter().enumerate() {
        // The taps of zero that fill up a group may lie past the last row; any row serves them.
        let row = |j: usize| {
            let start = (TAP_GROUP * i + j) * rows.stride;
            rows.bytes.get(start..start + len).unwrap_or(&rows.bytes[..len])
        };
        let inputs = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
        for (sum, (((&p, &q), &r), &s)) in sums.iter_mut().zip(inputs) {
            let ab = a.wrapping_mul(i32::from(p)).wrapping_add(b.wrapping_mul(i32::from(q)));
            let cd = c.wrapping_mul(i32::from(r)).wrapping_add(d.wrapping_mul(i32::from(s)));
            *sum = sum.wrapping_add(ab.wrapping_add(cd));
        }
    }
    for (out, &sum) in out.iter_mut().zip(&*sums) {
        *out = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
    }
}
