//! What can be done to an image, and how strongly.

use std::sync::Arc;

use super::assets::{Glyphs, StainMasks};
use super::elastic::Elasticity;
use super::snow::Snowfall;

/// One corruption with its parameters for one severity.
///
/// Intensities in formulas are fractions of full scale: `f = value / 255`, in `[0, 1]`. Noise is independent
/// for every pixel and channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Corruption {
    /// Shrinks and enlarges back, both by box averaging.
    Pixelate {
        /// Ratio of the small side to the full side, in `(0, 1]`; the small side is truncated to whole pixels.
        factor: f64,
    },
    /// Compresses with JPEG, baseline, chroma at half resolution.
    JpegCompression {
        /// The quality setting of libjpeg, 1 to 100.
        quality: u8,
    },
    /// Adds normal noise: `f + g`.
    GaussianNoise {
        /// Standard deviation of `g`, as a fraction of full scale.
        std: f64,
    },
    /// Multiplies by normal noise: `f + f g`.
    SpeckleNoise {
        /// Standard deviation of `g`.
        std: f64,
    },
    /// Sets a share of all values to 0 or 255.
    ImpulseNoise {
        /// The share, in `[0, 1]`.
        amount: f64,
    },
    /// Replaces every value by a Poisson count over its full-scale mean.
    ShotNoise {
        /// The mean count at full scale; fewer is noisier.
        photons: f64,
    },
    /// Blurs with a Gaussian of standard deviation `0.15 size + 0.35` pixels.
    GaussianBlur {
        /// Taps of the kernel, odd.
        kernel_size_px: u8,
    },
    /// Blurs with a disc.
    DefocusBlur {
        /// Radius of the disc.
        radius_px: f64,
        /// Standard deviation of the smoothing of the disc's rim.
        alias_sigma_px: f64,
    },
    /// Blurs along a line of random angle, uniform in `[-45, 45)` degrees.
    MotionBlur {
        /// Half the number of samples along the line, before rounding up.
        radius_px: f64,
        /// Standard deviation of the weights along the line.
        sigma_px: f64,
    },
    /// Averages enlargements by `1, 1 + step, ...` below `stop`.
    ZoomBlur {
        /// First factor that is left out.
        stop: f64,
        /// Spacing of the factors.
        step: f64,
    },
    /// Scales every value: `factor * f`.
    Brightness {
        /// Below 1 darkens, above 1 brightens.
        factor: f64,
    },
    /// Moves every value from the mean luma `m` of the image: `m + factor * (f - m)`.
    Contrast {
        /// Below 1 flattens, above 1 sharpens.
        factor: f64,
    },
    /// Raises every value to a power: `f^gamma`.
    GammaCorrection {
        /// Above 1 darkens, below 1 brightens.
        gamma: f64,
    },
    /// Moves every value from the mean of its own channel over the image: `mean + factor * (f - mean)`.
    ContrastPerChannel {
        /// Below 1 flattens.
        factor: f64,
    },
    /// Changes the saturation of every pixel, in HSV: `factor * s + shift`.
    Saturate {
        /// 1 leaves it, below 1 greys.
        factor: f64,
        /// What is added, on a scale of 0 to 1.
        shift: f64,
    },
    /// Adds to the value of every pixel, in HSV.
    BrightnessHsv {
        /// What is added, on a scale of 0 to 1.
        shift: f64,
    },
    /// Blurs with a Gaussian of given standard deviation.
    SmoothBlur {
        /// The standard deviation.
        sigma_px: f64,
    },
    /// Smooths, disorders pixels locally, and smooths again.
    GlassBlur {
        /// Standard deviation of both smoothings.
        sigma_px: f64,
        /// Largest distance to the pixel whose colour is taken.
        max_delta_px: u8,
        /// Times every pixel is disordered.
        n_passes: u8,
    },
    /// Lays a plasma fractal over the image.
    Fog {
        /// Its height, as a fraction of full scale.
        amount: f64,
        /// Ratio of the roughness of one scale to that of half the scale; smaller is rougher.
        decay: f64,
    },
    /// Lays blown flakes over a whitened scene.
    Snow(Snowfall),
    /// Deforms the image.
    Elastic(Elasticity),
    /// Blackens one to `max_count` blots.
    StainDeposit {
        /// Largest number of blots.
        max_count: u8,
        /// Whether blots are drawn from the large set (32 pixels) or the small one (24 pixels).
        large: bool,
        /// The shapes.
        masks: Arc<StainMasks>,
    },
    /// Lays 7 to `max_count` translucent discs over the image.
    Bubble {
        /// Largest radius, at least 3.
        max_radius_px: u8,
        /// Largest number of discs, at least 7.
        max_count: u8,
    },
    /// Blackens everything outside a central disc.
    BlackCorner {
        /// Radius of the disc over half the shorter side.
        radius_factor: f64,
    },
    /// Writes one to `max_words` random words.
    Characters {
        /// Largest number of words.
        max_words: u8,
        /// Largest length of a word, at least 3.
        max_letters: u8,
        /// Largest letter size, at least 14, in hundredths of a pixel per font unit.
        max_scale_percent: u8,
        /// The letters.
        glyphs: Arc<Glyphs>,
    },
}

impl Corruption {
    /// Whether numpy-compat streams give the reference's bytes, up to rounding at ties.
    ///
    /// False where pictures made here stand in for the reference's, see [`Assets`](super::Assets).
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match self {
            Self::StainDeposit { masks, .. } => masks.is_exact(),
            Self::Characters { glyphs, .. } => glyphs.is_exact(),
            _ => true,
        }
    }
}
