//! From a picture of any size to the square that a model takes.

use super::{CropRule, Filter, Resizer, scale_short_side};
use crate::pixels::Rgb8;

/// How a picture is scaled before the square is cut out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Not at all.
    Keep,
    /// The short side to so many pixels, the long one in proportion, rounded down.
    ShortSide(u32),
    /// The long side to so many pixels, the short one in proportion, rounded with halves to even.
    LongSide(u32),
    /// Both sides to so many pixels, whatever the picture's shape.
    Square(u32),
}

/// Everything between a picture and a model's square input: scale, then crop to the centre or pad around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// First step.
    pub scale: Scale,
    /// The filter of the first step.
    pub filter: Filter,
    /// Where an odd leftover of the crop goes.
    pub crop: CropRule,
    /// The colour of padding.
    pub fill: [u8; 3],
    /// Side of the square in pixels.
    pub side_px: u32,
}

impl Framing {
    /// `CLIP`'s: the short side to `side_px`, bicubic, then the centre square, as torchvision places it.
    #[must_use]
    pub fn clip(side_px: u32) -> Self {
        Self {
            scale: Scale::ShortSide(side_px),
            filter: Filter::Bicubic,
            crop: CropRule::HalfToEven,
            fill: [0; 3],
            side_px,
        }
    }
}

impl Resizer {
    /// The square a model takes of `src`.
    ///
    /// Order: scale; where a side is shorter than the square, pad it on both ends, the odd pixel at the end; where it is
    /// longer, crop the centre. Padding before a model whose files say that it pads with another colour is `fill`.
    ///
    /// # Panics
    /// When a size is zero, or a scaled side would not fit `u32`.
    ///
    /// References: torchvision `Resize` and `CenterCrop`, open_clip `ResizeKeepRatio` and `CenterCropOrPad`, transformers
    /// `TorchvisionBackend.center_crop`, all on Pillow images.
    #[must_use]
    pub fn frame(&mut self, src: &Rgb8, framing: &Framing) -> Rgb8 {
        let (width, height) = scaled(src, framing.scale);
        let side = framing.side_px;
        let (xs, ys) = (inside(width, side, framing.crop), inside(height, side, framing.crop));
        let seen = self.window(framing.filter, src, (width, height), xs, ys);
        if (seen.width_px(), seen.height_px()) == (side, side) {
            seen
        } else {
            padded(&seen, side, framing.fill)
        }
    }
}

fn scaled(src: &Rgb8, scale: Scale) -> (u32, u32) {
    let (width, height) = (src.width_px(), src.height_px());
    match scale {
        Scale::Keep => (width, height),
        Scale::ShortSide(size) => scale_short_side(width, height, size),
        Scale::LongSide(size) => scale_long_side(width, height, size),
        Scale::Square(size) => (size, size),
    }
}

/// open_clip's arithmetic: in doubles, through the larger ratio. A thin picture keeps one pixel.
fn scale_long_side(width: u32, height: u32, size: u32) -> (u32, u32) {
    let ratio = (f64::from(height) / f64::from(size)).max(f64::from(width) / f64::from(size));
    let side = |side: u32| (f64::from(side) / ratio).round_ties_even().max(1.0) as u32;
    (side(width), side(height))
}

/// The pixels of a scaled side that end in the square.
fn inside(total: u32, side: u32, crop: CropRule) -> std::ops::Range<u32> {
    if total <= side {
        return 0..total;
    }
    let start = crop.offset(total, side);
    start..start + side
}

fn padded(image: &Rgb8, side: u32, fill: [u8; 3]) -> Rgb8 {
    let mut out = Rgb8::filled(side, side, fill);
    let (left, top) = ((side - image.width_px()) / 2, (side - image.height_px()) / 2);
    let row_len = image.width_px() as usize * Rgb8::CHANNELS;
    let stride = side as usize * Rgb8::CHANNELS;
    let start = top as usize * stride + left as usize * Rgb8::CHANNELS;
    let rows = image.as_bytes().chunks_exact(row_len);
    for (row, out) in rows.zip(out.as_bytes_mut()[start..].chunks_mut(stride)) {
        out[..row_len].copy_from_slice(row);
    }
    out
}
