//! Pillow's resizes, and what models make of them: a square of one size, bit for bit.
//!
//! Reference: Pillow 13 `src/libImaging/Resample.c`, 8-bit path: [`Filter`]s whose support is widened by the scale when
//! shrinking, weights in 22-bit fixed point, and an 8-bit clipped image between the passes, which makes their order
//! matter. Up to Pillow 12 the horizontal pass always came first; since 13 the vertical one does where the height
//! shrinks by over twice as many pixels as the width. Of a uniform scale that means tall images, over 2:1, made smaller.

mod filter;
mod framing;
mod nearest;
mod passes;
mod transpose;
mod weights;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::pixels::Rgb8;
pub use filter::Filter;
pub use framing::{Framing, Scale};
use passes::Scratch;
use weights::Weights;

/// How a centre crop places an odd leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CropRule {
    /// `round(leftover / 2)` with halves to even: torchvision, OpenAI CLIP, open_clip.
    #[default]
    HalfToEven,
    /// `leftover // 2`: Hugging Face image processors. Differs by one pixel where leftover is 3, 7, 11, ...
    Floor,
}

impl CropRule {
    /// The first kept pixel of `kept` out of `total`.
    fn offset(self, total: u32, kept: u32) -> u32 {
        let leftover = total - kept;
        match self {
            Self::HalfToEven if leftover % 4 == 3 => leftover / 2 + 1,
            Self::HalfToEven | Self::Floor => leftover / 2,
        }
    }
}

/// Resizes images one after another, keeping buffers and weights between them.
///
/// The result for an image does not depend on what was resized before.
#[derive(Debug, Default)]
pub struct Resizer {
    crop_rule: CropRule,
    weights: HashMap<(Filter, u32, u32, u32, u32), Arc<Weights>>,
    weights_bytes: usize,
    scratch: Scratch,
}

/// Weights are dropped together once they pass this; an archive of ever new sizes must not grow memory.
const MAX_WEIGHTS_BYTES: usize = 8 << 20;

impl Resizer {
    /// A resizer whose centre crop follows `crop_rule`. [`Resizer::default`] follows torchvision.
    #[must_use]
    pub fn new(crop_rule: CropRule) -> Self {
        Self { crop_rule, ..Self::default() }
    }

    /// Resizes to `width` x `height` pixels.
    ///
    /// Shapes: `[h, w, 3]` to `[height, width, 3]`.
    /// Order: both axes, each clipped to 8 bits, in the order that Pillow 13 chooses (see the module); an axis whose
    /// size does not change is left alone.
    ///
    /// # Panics
    /// When `width` or `height` is zero.
    ///
    /// Reference: `PIL.Image.Image.resize((width, height), BICUBIC)`, equal in every value.
    #[must_use]
    pub fn bicubic(&mut self, src: &Rgb8, width: u32, height: u32) -> Rgb8 {
        self.window(Filter::Bicubic, src, (width, height), 0..width, 0..height)
    }

    /// Resizes the short side to `size` pixels and crops the centre square.
    ///
    /// Shapes: `[h, w, 3]` to `[size, size, 3]`.
    /// Order: long side = `size * long / short` rounded down; [`Resizer::bicubic`]; crop by the [`CropRule`]. Only the
    /// pixels inside the crop are computed, which leaves their values as they are.
    ///
    /// # Panics
    /// When `size` is zero, or the long side would not fit `u32`.
    ///
    /// Reference: `torchvision.transforms.Resize(size, BICUBIC)` on a PIL image, then `CenterCrop(size)`.
    #[must_use]
    pub fn short_side_then_center_crop(&mut self, src: &Rgb8, size: u32) -> Rgb8 {
        let (width, height) = scale_short_side(src.width_px(), src.height_px(), size);
        let left = self.crop_rule.offset(width, size);
        let top = self.crop_rule.offset(height, size);
        self.window(Filter::Bicubic, src, (width, height), left..left + size, top..top + size)
    }

    /// Columns `xs` and rows `ys` of `src` resized to `full`.
    fn window(
        &mut self,
        filter: Filter,
        src: &Rgb8,
        full: (u32, u32),
        xs: Range<u32>,
        ys: Range<u32>,
    ) -> Rgb8 {
        assert!(!xs.is_empty() && !ys.is_empty(), "an image has at least one pixel");
        if filter == Filter::Nearest {
            return nearest::resize(src, full, xs, ys);
        }
        let horizontal = self.weights(filter, src.width_px(), full.0, xs);
        let vertical = self.weights(filter, src.height_px(), full.1, ys);
        let is_vertical_first = is_vertical_first((src.width_px(), src.height_px()), full);
        passes::resize(src, &horizontal, &vertical, is_vertical_first, &mut self.scratch)
    }

    fn weights(&mut self, filter: Filter, n_in: u32, n_out: u32, window: Range<u32>) -> Arc<Weights> {
        let key = (filter, n_in, n_out, window.start, window.end);
        if let Some(weights) = self.weights.get(&key) {
            return Arc::clone(weights);
        }
        let weights = Arc::new(Weights::new(filter, n_in, n_out, window));
        if self.weights_bytes > MAX_WEIGHTS_BYTES {
            self.weights.clear();
            self.weights_bytes = 0;
        }
        self.weights_bytes += weights.size_bytes();
        self.weights.insert(key, Arc::clone(&weights));
        weights
    }
}

/// Pillow's choice of the first pass, by how many pixels each axis loses.
fn is_vertical_first(from: (u32, u32), to: (u32, u32)) -> bool {
    let lost = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let (columns, rows) = (lost(from.0, to.0), lost(from.1, to.1));
    rows > 0 && rows > 2 * columns
}

fn scale_short_side(width: u32, height: u32, size: u32) -> (u32, u32) {
    let long_side = |long: u32, short: u32| {
        u32::try_from(u64::from(size) * u64::from(long) / u64::from(short)).expect("long side fits u32")
    };
    if width <= height { (size, long_side(height, width)) } else { (long_side(width, height), size) }
}
