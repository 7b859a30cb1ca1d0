//! The two passes, laid out so that plain loops become vector instructions.
//!
//! A pass multiplies rows of bytes by one weight each and adds them up. Down the image rows lie ready; across it, 32
//! rows at a time are turned on their side first, so that the same loop serves both. Sums are the same integers in any
//! order, so nothing here can change a value.

use super::super::simd;
use super::transpose::{LANES, TILE_LEN, transpose};
use super::weights::{PRECISION_BITS, TAP_GROUP, Weights};
use crate::pixels::Rgb8;

/// Bytes of a pixel column of 32 rows.
const PIXEL_LEN: usize = LANES * Rgb8::CHANNELS;

/// Buffers that live from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Source rows on their side: 32 bytes for each byte column.
    columns: Vec<u8>,
    /// Rows of the horizontal pass on their side.
    turned: Vec<u8>,
    /// Rows between the passes, each padded to whole tiles.
    rows: Vec<u8>,
    sums: Vec<i32>,
}

/// Resizes `src` to the windows of both weights.
pub(super) fn resize(src: &Rgb8, horizontal: &Weights, vertical: &Weights, scratch: &mut Scratch) -> Rgb8 {
    let row_len = horizontal.len() * Rgb8::CHANNELS;
    let stride = row_len.next_multiple_of(LANES);
    let needed = vertical.input_range();
    // Weights of zero stand at the end of a short group of taps: their rows must exist, whatever they hold.
    scratch.rows.resize((needed.len() + TAP_GROUP - 1) * stride, 0);
    scratch.sums.resize(stride.max(PIXEL_LEN), 0);
    let mut out = vec![0; vertical.len() * row_len];
    simd::widest(
        #[inline(always)]
        || {
            across(src, needed.clone(), horizontal, stride, scratch);
            let Scratch { rows, sums, .. } = scratch;
            for (y, out) in out.chunks_exact_mut(row_len).enumerate() {
                let (start, taps) = vertical.at(y);
                weigh(&rows[(start - needed.start) * stride..], stride, taps, &mut sums[..row_len], out);
            }
        },
    );
    Rgb8::new(horizontal.len() as u32, vertical.len() as u32, out).expect("the windows are not empty")
}

/// Horizontal pass over the source rows `needed` into `scratch.rows`.
#[inline(always)]
fn across(
    src: &Rgb8,
    needed: std::ops::Range<usize>,
    weights: &Weights,
    stride: usize,
    scratch: &mut Scratch,
) {
    let src_stride = src.width_px() as usize * Rgb8::CHANNELS;
    let src_rows = &src.as_bytes()[needed.start * src_stride..needed.end * src_stride];
    let window = weights.input_range();
    let window = window.start * Rgb8::CHANNELS..window.end * Rgb8::CHANNELS;
    let Scratch { columns, turned, rows, sums } = scratch;
    if weights.is_identity() {
        for (row, src_row) in rows.chunks_exact_mut(stride).zip(src_rows.chunks_exact(src_stride)) {
            row[..window.len()].copy_from_slice(&src_row[window.clone()]);
        }
        return;
    }
    columns.resize(window.len().next_multiple_of(LANES) * LANES + (TAP_GROUP - 1) * PIXEL_LEN, 0);
    turned.resize(stride * LANES, 0);
    for (rows, src_rows) in rows.chunks_mut(LANES * stride).zip(src_rows.chunks(LANES * src_stride)) {
        turn_to_columns(src_rows, src_stride, window.clone(), columns);
        for (x, pixel) in turned.chunks_exact_mut(PIXEL_LEN).take(weights.len()).enumerate() {
            let (start, taps) = weights.at(x);
            let first = (start * Rgb8::CHANNELS - window.start) * LANES;
            weigh(&columns[first..], PIXEL_LEN, taps, &mut sums[..PIXEL_LEN], pixel);
        }
        turn_to_rows(turned, rows, stride);
    }
}

/// Turns the byte columns `window` of up to 32 rows on their side; missing rows keep stale bytes.
#[inline(always)]
fn turn_to_columns(rows: &[u8], stride: usize, window: std::ops::Range<usize>, columns: &mut [u8]) {
    let (mut tile, mut spare) = ([0; TILE_LEN], [0; TILE_LEN]);
    for (start, columns) in window.step_by(LANES).zip(columns.chunks_exact_mut(TILE_LEN)) {
        let len = LANES.min(stride - start);
        for (lane, row) in tile.chunks_exact_mut(LANES).zip(rows.chunks_exact(stride)) {
            match row[start..].first_chunk::<LANES>() {
                Some(bytes) => lane.copy_from_slice(bytes),
                None => lane[..len].copy_from_slice(&row[start..]),
            }
        }
        transpose(&mut tile, &mut spare);
        columns.copy_from_slice(&tile);
    }
}

#[inline(always)]
fn turn_to_rows(turned: &[u8], rows: &mut [u8], stride: usize) {
    let mut spare = [0; TILE_LEN];
    for (i, tile) in turned.as_chunks::<TILE_LEN>().0.iter().enumerate() {
        let mut tile = *tile;
        transpose(&mut tile, &mut spare);
        for (row, bytes) in rows.chunks_exact_mut(stride).zip(tile.as_chunks::<LANES>().0) {
            row[i * LANES..][..LANES].copy_from_slice(bytes);
        }
    }
}

/// `out` = the rows, `stride` bytes apart, times their taps; `sums` and `out` are as long as what is summed.
#[inline(always)]
fn weigh(rows: &[u8], stride: usize, taps: &[i32], sums: &mut [i32], out: &mut [u8]) {
    let len = out.len();
    // Half a unit, so that the shift rounds.
    sums.fill(1 << (PRECISION_BITS - 1));
    for (i, &[a, b, c, d]) in taps.as_chunks::<TAP_GROUP>().0.iter().enumerate() {
        let row = |j: usize| &rows[(TAP_GROUP * i + j) * stride..][..len];
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
