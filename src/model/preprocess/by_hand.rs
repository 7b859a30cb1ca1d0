//! What a pipeline says of preprocessing, against the checkpoint's files.

use t3b_image::resize::{CropRule, Filter, Scale};

use super::Preprocess;

/// How the picture becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeMode {
    /// The short side to the size, then the centre.
    Shortest,
    /// The long side to the size, padded.
    Longest,
    /// Both sides to the size.
    Squash,
}

/// The keys of `[models.preprocess]`; what is absent stays as the checkpoint says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ByHand {
    /// First step.
    pub resize_mode: Option<ResizeMode>,
    /// Pixels the picture is scaled to, where that is not the model's size.
    pub size_px: Option<u32>,
    /// The filter.
    pub interpolation: Option<Filter>,
    /// Where an odd leftover goes.
    pub crop: Option<CropRule>,
    /// The colour of padding.
    pub fill_color: Option<[u8; 3]>,
    /// Of each channel.
    pub mean: Option<[f64; 3]>,
    /// Of each channel.
    pub std: Option<[f64; 3]>,
}

impl ByHand {
    /// The way that is in force.
    #[must_use]
    pub fn over(&self, said: &Preprocess) -> Preprocess {
        let mut used = said.clone();
        let framing = &mut used.framing;
        let (mode, px) = match framing.scale {
            Scale::Keep => (None, framing.side_px),
            Scale::ShortSide(px) => (Some(ResizeMode::Shortest), px),
            Scale::LongSide(px) => (Some(ResizeMode::Longest), px),
            Scale::Square(px) => (Some(ResizeMode::Squash), px),
        };
        let px = self.size_px.unwrap_or(px);
        framing.scale = match self.resize_mode.or(mode) {
            None => Scale::Keep,
            Some(ResizeMode::Shortest) => Scale::ShortSide(px),
            Some(ResizeMode::Longest) => Scale::LongSide(px),
            Some(ResizeMode::Squash) => Scale::Square(px),
        };
        framing.filter = self.interpolation.unwrap_or(framing.filter);
        framing.crop = self.crop.unwrap_or(framing.crop);
        framing.fill = self.fill_color.unwrap_or(framing.fill);
        used.mean = self.mean.unwrap_or(used.mean);
        used.std = self.std.unwrap_or(used.std);
        used
    }
}
