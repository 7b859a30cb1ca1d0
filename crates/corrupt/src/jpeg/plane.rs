//! One colour plane, transformed block by block.

use super::dct::{self, Blocks, LANES};
use super::quantise::Table;

/// Samples of one row of the blocks that are transformed together.
const ROW_LEN: usize = 8 * LANES;

/// A plane of whole groups of blocks, row by row.
///
/// Values are centred: sample minus 128. Columns that only fill up the last group are transformed with the others;
/// blocks do not influence each other.
#[derive(Debug, Default)]
pub(super) struct Plane {
    stride: usize,
    samples: Vec<i16>,
}

impl Plane {
    /// Takes room for `width` by `height` samples; the values are undefined.
    #[inline(always)]
    pub(super) fn reshape(&mut self, width: usize, height: usize) {
        self.stride = width.next_multiple_of(ROW_LEN);
        self.samples.resize(self.stride * height.next_multiple_of(8), 0);
    }

    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &[i16] {
        &self.samples[y * self.stride..][..self.stride]
    }

    #[inline(always)]
    pub(super) fn row_mut(&mut self, y: usize) -> &mut [i16] {
        &mut self.samples[y * self.stride..][..self.stride]
    }

    /// Repeats row `y` down to the end of its blocks.
    #[inline(always)]
    pub(super) fn repeat_row(&mut self, y: usize) {
        let (start, end) = (y * self.stride, (y + 1) * self.stride);
        for below in y + 1..(y + 1).next_multiple_of(8) {
            self.samples.copy_within(start..end, below * self.stride);
        }
    }

    /// Transforms, quantises and transforms back.
    #[inline(always)]
    pub(super) fn round_trip(&mut self, table: &Table) {
        let mut blocks: Blocks = [[0; LANES]; 64];
        for rows in self.samples.chunks_exact_mut(8 * self.stride) {
            for x in (0..self.stride).step_by(ROW_LEN) {
                for (row, lines) in rows.chunks_exact(self.stride).zip(blocks.as_chunks_mut::<8>().0) {
                    split(&row[x..], lines);
                }
                dct::forward(&mut blocks);
                table.round_trip(&mut blocks);
                dct::inverse(&mut blocks);
                for (row, lines) in rows.chunks_exact_mut(self.stride).zip(blocks.as_chunks::<8>().0) {
                    join(lines, &mut row[x..]);
                }
            }
        }
    }
}

/// Puts each column of the blocks into one line of lanes.
///
/// An interleave of the two halves of `2^n` numbers rotates their index by one bit; enough of them swap its block half
/// and its column half. Compilers turn an interleave into vector instructions, and a plain transpose not.
#[inline(always)]
fn split(row: &[i16], lines: &mut [[i16; LANES]; 8]) {
    const { assert!(LANES == 1 << 4) };
    let mut other = [0; ROW_LEN];
    let lines = lines.as_flattened_mut();
    interleave(&row[..ROW_LEN], &mut other);
    interleave(&other, lines);
    interleave(lines, &mut other);
    interleave(&other, lines);
}

/// Undoes [`split`].
#[inline(always)]
fn join(lines: &[[i16; LANES]; 8], row: &mut [i16]) {
    let (mut first, mut second) = ([0; ROW_LEN], [0; ROW_LEN]);
    interleave(lines.as_flattened(), &mut first);
    interleave(&first, &mut second);
    interleave(&second, &mut row[..ROW_LEN]);
}

#[inline(always)]
fn interleave(from: &[i16], to: &mut [i16]) {
    let (low, high) = from.split_at(ROW_LEN / 2);
    for ((pair, &low), &high) in to.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *pair = [low, high];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_hold_blocks_and_lines_hold_columns() {
        let row: [i16; ROW_LEN] = std::array::from_fn(|x| x as i16);
        let mut lines = [[0; LANES]; 8];
        split(&row, &mut lines);
        assert_eq!(
            lines,
            std::array::from_fn(|column| std::array::from_fn(|block| (8 * block + column) as i16))
        );
        let mut back = [0; ROW_LEN];
        join(&lines, &mut back);
        assert_eq!(back, row);
    }
}
