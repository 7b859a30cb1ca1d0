//! Bytes of a batch become the tensor CLIP was trained on.

use candle_core::{Device, Tensor};

use super::error::ModelError;

/// Mean of each channel, on a scale of 0 to 1, in the order red, green, blue.
pub const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of each channel, on the same scale.
pub const STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

const CHANNELS: usize = 3;

/// The normalised value of every byte in every channel.
#[derive(Debug, Clone)]
pub struct Normalizer {
    table: [[f32; 256]; CHANNELS],
}

impl Normalizer {
    /// CLIP's own: `(x / 255 - mean) / std` with [`MEAN`] and [`STD`].
    #[must_use]
    pub fn new() -> Self {
        Self::with(1.0 / 255.0, MEAN, STD)
    }

    /// `(x * rescale - mean) / std`, each step rounded to f32, as `transformers` does it on numpy arrays. A `rescale` of 1/255
    /// is a division by 255.
    #[must_use]
    pub fn with(rescale: f64, mean: [f64; 3], std: [f64; 3]) -> Self {
        let scaled = |byte: usize| {
            if rescale == 1.0 / 255.0 { byte as f32 / 255.0 } else { (byte as f64 * rescale) as f32 }
        };
        let value = |channel: usize, byte: usize| (scaled(byte) - mean[channel] as f32) / std[channel] as f32;
        Self { table: std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte))) }
    }

    /// The value of `byte` in `channel` (0 red, 1 green, 2 blue).
    ///
    /// # Panics
    /// When `channel` is 3 or more.
    #[must_use]
    pub fn value(&self, channel: usize, byte: u8) -> f32 {
        self.table[channel][usize::from(byte)]
    }

    /// `pixels`, images of `side_px` by `side_px` in HWC order one behind the other, as `[B, 3, side_px, side_px]` f32 on
    /// `device`. One upload.
    ///
    /// # Errors
    /// `N002` when the device refuses.
    ///
    /// # Panics
    /// When `pixels` is not a whole number of such images, at least one.
    pub fn batch(&self, pixels: &[u8], side_px: usize, device: &Device) -> Result<Tensor, ModelError> {
        let plane = side_px * side_px;
        let image = plane * CHANNELS;
        assert!(
            image > 0 && !pixels.is_empty() && pixels.len().is_multiple_of(image),
            "whole images of one size"
        );
        let mut values = vec![0.0; pixels.len()];
        for (hwc, chw) in pixels.chunks_exact(image).zip(values.chunks_exact_mut(image)) {
            for (channel, (plane, table)) in chw.chunks_exact_mut(plane).zip(&self.table).enumerate() {
                let bytes = hwc.iter().skip(channel).step_by(CHANNELS);
                plane.iter_mut().zip(bytes).for_each(|(value, byte)| *value = table[usize::from(*byte)]);
            }
        }
        Ok(Tensor::from_vec(values, (pixels.len() / image, CHANNELS, side_px, side_px), device)?)
    }
}

impl Default for Normalizer {
    fn default() -> Self {
        Self::new()
    }
}
