//! Sample planes of the components, in their own resolution.

use super::blocks::Group;
use super::frame::Component;
use super::idct::{self, GROUP_WIDTH};
use t3b_image::simd;

/// The samples of one component, row-major.
#[derive(Debug)]
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
    quant: [u16; 64],
    /// Columns and rows that carry the image.
    pub(super) size: (usize, usize),
}

impl Plane {
    /// A plane for `component`, which has a quantization table if it had a scan.
    pub(super) fn new(component: &Component) -> Self {
        let (stride, height) = Self::extent(component);
        let quant = component.quant.unwrap_or([1; 64]);
        Self { samples: vec![0; stride * height], stride, quant, size: component.size }
    }

    /// Heap bytes of the plane of `component`.
    pub(super) fn size_bytes(component: &Component) -> u64 {
        let (stride, height) = Self::extent(component);
        stride as u64 * height as u64
    }

    /// Whole groups of blocks, with room for one column past the image.
    fn extent(component: &Component) -> (usize, usize) {
        ((8 * component.blocks.0 + 1).next_multiple_of(GROUP_WIDTH), 8 * component.blocks.1)
    }

    /// Turns one row of blocks into samples and repeats the last column of the image once past it.
    pub(super) fn put_block_row(&mut self, row: usize, groups: &[Group]) {
        let rows = &mut self.samples[8 * self.stride * row..][..8 * self.stride];
        simd::widest(
            #[inline(always)]
            || idct::block_row(groups, &self.quant, rows, self.stride),
        );
        for row in rows.chunks_exact_mut(self.stride) {
            row[self.size.0] = row[self.size.0 - 1];
        }
    }

    /// Row `y` with what lies right of the image; rows past the last repeat it.
    ///
    /// The length is a multiple of [`GROUP_WIDTH`] and over `size.0`; the value at `size.0` repeats the last column.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.samples[self.stride * y.min(self.size.1 - 1)..][..self.stride]
    }
}
