//! Coefficients, sixteen blocks side by side.
//!
//! The inverse DCT then works on sixteen blocks at once, and needs no transposition between its two passes.

use super::ZIGZAG;
use super::bits::BadData;

/// Blocks side by side.
pub(super) const LANES: usize = 16;

/// By natural index, then by block: neighbours in the image, left to right.
pub(super) type Group = [[i16; LANES]; 64];

/// Coefficients of some rows of blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    groups: Vec<Group>,
    groups_per_row: usize,
}

impl Blocks {
    /// Zeros for `size` blocks across and down.
    pub(super) fn new(size: (usize, usize)) -> Self {
        let groups_per_row = size.0.div_ceil(LANES);
        Self { groups: vec![[[0; LANES]; 64]; groups_per_row * size.1], groups_per_row }
    }

    /// Sets everything to zero.
    pub(super) fn clear(&mut self) {
        self.groups.fill([[0; LANES]; 64]);
    }

    /// The block at `column` of `row`.
    #[inline(always)]
    pub(super) fn block(&mut self, column: usize, row: usize) -> Block<'_> {
        Block { group: &mut self.groups[row * self.groups_per_row + column / LANES], lane: column % LANES }
    }

    /// The rows of blocks, top to bottom.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[Group]> {
        self.groups.chunks_exact(self.groups_per_row)
    }

    /// Heap bytes held for a component of `size` blocks.
    pub(super) fn size_bytes(size: (usize, usize)) -> u64 {
        size.0.div_ceil(LANES) as u64 * size.1 as u64 * size_of::<Group>() as u64
    }
}

/// One block inside its group.
#[derive(Debug)]
pub(super) struct Block<'a> {
    group: &'a mut Group,
    lane: usize,
}

impl Block<'_> {
    /// The coefficient at index `k` in file order; an index past the last is bad data.
    #[inline(always)]
    pub(super) fn at(&mut self, k: usize) -> Result<&mut i16, BadData> {
        let natural = *ZIGZAG.get(k).ok_or(BadData)?;
        // The masks change nothing; they spare two bounds checks.
        Ok(&mut self.group[usize::from(natural & 63)][self.lane % LANES])
    }
}
