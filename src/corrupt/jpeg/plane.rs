//! One colour plane cut into blocks.

use super::dct::{self, Blocks, LANES};
use super::quantise::Table;

/// A plane whose sides are multiples of 8, stored block by block, eight blocks interleaved.
///
/// Values are centred: sample minus 128.
#[derive(Debug, Default)]
pub(super) struct Plane {
    blocks_per_row: usize,
    groups: Vec<Blocks>,
}

impl Plane {
    /// Takes the shape of `blocks_per_row` by `block_rows` blocks; the values are undefined.
    pub(super) fn reshape(&mut self, blocks_per_row: usize, block_rows: usize) {
        self.blocks_per_row = blocks_per_row;
        self.groups.resize((blocks_per_row * block_rows).div_ceil(LANES), [[0; LANES]; 64]);
    }

    /// Stores one row of centred samples, `8 * blocks_per_row` long.
    pub(super) fn write_row(&mut self, y: usize, row: &[i16]) {
        let first_block = y / 8 * self.blocks_per_row;
        for (block, samples) in (first_block..).zip(row.chunks_exact(8)) {
            let line = &mut self.groups[block / LANES][y % 8 * 8..][..8];
            for (to, &sample) in line.iter_mut().zip(samples) {
                to[block % LANES] = sample;
            }
        }
    }

    /// Reads one row of centred samples, `8 * blocks_per_row` long.
    pub(super) fn read_row(&self, y: usize, row: &mut [i16]) {
        let first_block = y / 8 * self.blocks_per_row;
        for (block, samples) in (first_block..).zip(row.chunks_exact_mut(8)) {
            let line = &self.groups[block / LANES][y % 8 * 8..][..8];
            for (to, from) in samples.iter_mut().zip(line) {
                *to = from[block % LANES];
            }
        }
    }

    /// Transforms, quantises and transforms back.
    pub(super) fn round_trip(&mut self, table: &Table) {
        for blocks in &mut self.groups {
            dct::forward(blocks);
            table.round_trip(blocks);
            dct::inverse(blocks);
        }
    }
}
