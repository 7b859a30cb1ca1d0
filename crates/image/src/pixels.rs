//! The one image type that travels: interleaved 8-bit RGB on the host.

use std::fmt;

/// An 8-bit RGB image in host memory.
///
/// Shapes: `[height, width, 3]`, row-major, channel fastest (HWC). Both sides are at least 1.
/// Grey images are carried with three equal channels, as `PIL.Image.convert("RGB")` makes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Rgb8 {
    width_px: u32,
    height_px: u32,
    data: Vec<u8>,
}

impl Rgb8 {
    /// Bytes of one pixel.
    pub const CHANNELS: usize = 3;

    /// Wraps `data`, or returns `None` when a side is zero or `data` is not `width * height * 3` long.
    #[must_use]
    pub fn new(width_px: u32, height_px: u32, data: Vec<u8>) -> Option<Self> {
        let wanted = (width_px as usize).checked_mul(height_px as usize)?.checked_mul(Self::CHANNELS)?;
        (wanted > 0 && wanted == data.len()).then_some(Self { width_px, height_px, data })
    }

    /// An image of one colour.
    ///
    /// # Panics
    /// When a side is zero.
    #[must_use]
    pub fn filled(width_px: u32, height_px: u32, rgb: [u8; 3]) -> Self {
        assert!(width_px > 0 && height_px > 0, "an image has at least one pixel");
        let data = rgb.repeat(width_px as usize * height_px as usize);
        Self { width_px, height_px, data }
    }

    /// Columns, at least 1.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Rows, at least 1.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// The bytes in HWC order.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// The bytes in HWC order, to change in place; the shape stays.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the buffer back, for reuse.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.data
    }
}

impl fmt::Debug for Rgb8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rgb8({}x{})", self.width_px, self.height_px)
    }
}
