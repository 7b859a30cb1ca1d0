//! Sample planes of the components, in their own resolution.

use super::super::simd;
use super::frame::Component;
use super::idct;

/// The samples of one component, whole MCUs, row-major.
#[derive(Debug)]
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
    quant: [u16; 64],
    /// Columns and rows that carry the image.
    pub(super) size: (usize, usize),
}

impl Plane {
    /// A plane for `component`; a component without a quantization table never had a scan and keeps a flat one.
    pub(super) fn new(component: &Component) -> Self {
        let stride = 8 * component.blocks.0;
        Self {
            samples: vec![0; stride * 8 * component.blocks.1],
            stride,
            quant: component.quant.unwrap_or([1; 64]),
            size: component.size,
        }
    }

    /// Turns one row of blocks into samples.
    pub(super) fn put_block_row(&mut self, row: usize, blocks: &[[i16; 64]]) {
        let (stride, quant) = (self.stride, self.quant.map(i32::from));
        let rows = &mut self.samples[8 * stride * row..][..8 * stride];
        simd::widest(
            #[inline(always)]
            || idct::block_row(blocks, &quant, rows, stride),
        );
    }

    /// Row `y` of the image part; rows past the last repeat it.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.samples[self.stride * y.min(self.size.1 - 1)..][..self.size.0]
    }
}
