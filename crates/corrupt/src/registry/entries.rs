//! One line per entry of a suite: a name and five levels.

use std::sync::Arc;

use super::Entry;
use crate::assets::{Assets, Glyphs, StainMasks};
use crate::kind::Corruption;

pub(super) fn pixelate(factors: [f64; 5]) -> Entry {
    Entry { name: "pixelate", levels: factors.map(|factor| Corruption::Pixelate { factor }) }
}

pub(super) fn jpeg(qualities: [u8; 5]) -> Entry {
    Entry {
        name: "jpeg_compression",
        levels: qualities.map(|quality| Corruption::JpegCompression { quality }),
    }
}

pub(super) fn gaussian_noise(stds: [f64; 5]) -> Entry {
    Entry { name: "gaussian_noise", levels: stds.map(|std| Corruption::GaussianNoise { std }) }
}

pub(super) fn speckle_noise(stds: [f64; 5]) -> Entry {
    Entry { name: "speckle_noise", levels: stds.map(|std| Corruption::SpeckleNoise { std }) }
}

pub(super) fn impulse_noise(amounts: [f64; 5]) -> Entry {
    Entry { name: "impulse_noise", levels: amounts.map(|amount| Corruption::ImpulseNoise { amount }) }
}

pub(super) fn shot_noise(photons: [f64; 5]) -> Entry {
    Entry { name: "shot_noise", levels: photons.map(|photons| Corruption::ShotNoise { photons }) }
}

pub(super) fn gaussian_blur(sizes_px: [u8; 5]) -> Entry {
    let level = |kernel_size_px| Corruption::GaussianBlur { kernel_size_px };
    Entry { name: "gaussian_blur", levels: sizes_px.map(level) }
}

/// Levels are pairs of disc radius and rim smoothing.
pub(super) fn defocus(levels: [(f64, f64); 5]) -> Entry {
    let level = |(radius_px, alias_sigma_px)| Corruption::DefocusBlur { radius_px, alias_sigma_px };
    Entry { name: "defocus_blur", levels: levels.map(level) }
}

/// Levels are pairs of radius and standard deviation.
pub(super) fn motion(levels: [(f64, f64); 5]) -> Entry {
    let level = |(radius_px, sigma_px)| Corruption::MotionBlur { radius_px, sigma_px };
    Entry { name: "motion_blur", levels: levels.map(level) }
}

/// Stops and steps of the five factor lists that every suite shares.
pub(super) const ZOOM: [(f64, f64); 5] =
    [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)];

/// Levels are pairs of stop and step.
pub(super) fn zoom(levels: [(f64, f64); 5]) -> Entry {
    let level = |(stop, step)| Corruption::ZoomBlur { stop, step };
    Entry { name: "zoom_blur", levels: levels.map(level) }
}

pub(super) fn brightness(name: &'static str, factors: [f64; 5]) -> Entry {
    Entry { name, levels: factors.map(|factor| Corruption::Brightness { factor }) }
}

pub(super) fn contrast(name: &'static str, factors: [f64; 5]) -> Entry {
    Entry { name, levels: factors.map(|factor| Corruption::Contrast { factor }) }
}

pub(super) fn gamma(name: &'static str, gammas: [f64; 5]) -> Entry {
    Entry { name, levels: gammas.map(|gamma| Corruption::GammaCorrection { gamma }) }
}

/// Levels are pairs of factor and shift.
pub(super) fn saturate(levels: [(f64, f64); 5]) -> Entry {
    let level = |(factor, shift)| Corruption::Saturate { factor, shift };
    Entry { name: "saturate", levels: levels.map(level) }
}

pub(super) fn stain(max_counts: [u8; 5], assets: &Assets) -> Entry {
    let masks = assets.stain_masks.clone().unwrap_or_else(|| Arc::new(StainMasks::procedural()));
    let level = |i: usize| Corruption::StainDeposit {
        max_count: max_counts[i],
        // The reference picks the size by severity, but never below that of severity 4.
        large: i == 4,
        masks: Arc::clone(&masks),
    };
    Entry { name: "stain_deposit", levels: std::array::from_fn(level) }
}

/// Levels are pairs of largest radius and largest number.
pub(super) fn bubble(levels: [(u8, u8); 5]) -> Entry {
    let level = |(max_radius_px, max_count)| Corruption::Bubble { max_radius_px, max_count };
    Entry { name: "bubble", levels: levels.map(level) }
}

pub(super) fn black_corner(factors: [f64; 5]) -> Entry {
    let level = |radius_factor| Corruption::BlackCorner { radius_factor };
    Entry { name: "black_corner", levels: factors.map(level) }
}

/// Levels are words, letters and size in percent, all largest.
pub(super) fn characters(levels: [(u8, u8, u8); 5], assets: &Assets) -> Entry {
    let glyphs = assets.glyphs.clone().unwrap_or_else(|| Arc::new(Glyphs::procedural()));
    let level = |(max_words, max_letters, max_scale_percent)| Corruption::Characters {
        max_words,
        max_letters,
        max_scale_percent,
        glyphs: Arc::clone(&glyphs),
    };
    Entry { name: "characters", levels: levels.map(level) }
}
