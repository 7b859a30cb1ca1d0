//! ImageNet-C, and the seven of it that MediMeta-C names.
//!
//! Left out: `frost`, which needs photographs, and `spatter`, a validation corruption made of OpenCV's edge and
//! distance detectors.
//!
//! The published ImageNet-C was saved as JPEG of quality 85 after corruption; these are the images before that.
//!
//! Reference: `make_imagenet_c.py` of Hendrycks and Dietterich, "Benchmarking neural network robustness to common
//! corruptions and perturbations", 2019.

use super::Entry;
use super::entries::{
    ZOOM, defocus, gaussian_noise, impulse_noise, jpeg, motion, pixelate, saturate, shot_noise,
    speckle_noise, zoom,
};
use crate::elastic::Elasticity;
use crate::kind::Corruption;
use crate::snow::Snowfall;

/// The names MediMeta-C publishes; its parameters are not public.
const MEDIMETA_C: [&str; 7] =
    ["brightness", "contrast", "gaussian_noise", "impulse_noise", "motion_blur", "pixelate", "zoom_blur"];

/// The seven of MediMeta-C, with ImageNet-C's parameters.
pub(super) fn medimeta() -> Vec<Entry> {
    all().into_iter().filter(|entry| MEDIMETA_C.contains(&entry.name)).collect()
}

/// Everything but what is left out above.
pub(super) fn all() -> Vec<Entry> {
    vec![
        gaussian_noise([0.08, 0.12, 0.18, 0.26, 0.38]),
        shot_noise([60.0, 25.0, 12.0, 5.0, 3.0]),
        impulse_noise([0.03, 0.06, 0.09, 0.17, 0.27]),
        defocus([(3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)]),
        glass_blur([(0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)]),
        motion([(10.0, 3.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0)]),
        zoom(ZOOM),
        snow([
            [0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8],
            [0.2, 0.3, 2.0, 0.5, 12.0, 4.0, 0.7],
            [0.55, 0.3, 4.0, 0.9, 12.0, 8.0, 0.7],
            [0.55, 0.3, 4.5, 0.85, 12.0, 8.0, 0.65],
            [0.55, 0.3, 2.5, 0.85, 12.0, 12.0, 0.55],
        ]),
        fog([(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)]),
        brightness([0.1, 0.2, 0.3, 0.4, 0.5]),
        contrast([0.4, 0.3, 0.2, 0.1, 0.05]),
        elastic([
            (2.0, 0.7, 0.1),
            (2.0, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        ]),
        pixelate([0.6, 0.5, 0.4, 0.3, 0.25]),
        jpeg([25, 18, 15, 10, 7]),
        // The authors' validation corruptions.
        speckle_noise([0.15, 0.2, 0.35, 0.45, 0.6]),
        gaussian_blur([1.0, 2.0, 3.0, 4.0, 6.0]),
        saturate([(0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)]),
    ]
}

fn brightness(shifts: [f64; 5]) -> Entry {
    Entry { name: "brightness", levels: shifts.map(|shift| Corruption::BrightnessHsv { shift }) }
}

fn contrast(factors: [f64; 5]) -> Entry {
    Entry { name: "contrast", levels: factors.map(|factor| Corruption::ContrastPerChannel { factor }) }
}

/// Not the blur of that name in MedMNIST-C: levels are standard deviations.
fn gaussian_blur(sigmas_px: [f64; 5]) -> Entry {
    Entry { name: "gaussian_blur", levels: sigmas_px.map(|sigma_px| Corruption::SmoothBlur { sigma_px }) }
}

/// Levels are standard deviation, largest distance and passes.
fn glass_blur(levels: [(f64, u8, u8); 5]) -> Entry {
    let level =
        |(sigma_px, max_delta_px, n_passes)| Corruption::GlassBlur { sigma_px, max_delta_px, n_passes };
    Entry { name: "glass_blur", levels: levels.map(level) }
}

/// Levels are pairs of amount and decay.
fn fog(levels: [(f64, f64); 5]) -> Entry {
    Entry { name: "fog", levels: levels.map(|(amount, decay)| Corruption::Fog { amount, decay }) }
}

/// Levels are the fields of [`Snowfall`] in order.
fn snow(levels: [[f64; 7]; 5]) -> Entry {
    let level = |[mean, std, zoom, threshold, radius_px, sigma_px, mix]: [f64; 7]| {
        Corruption::Snow(Snowfall { mean, std, zoom, threshold, radius_px, sigma_px, mix })
    };
    Entry { name: "snow", levels: levels.map(level) }
}

/// Levels are the fields of [`Elasticity`] in order, over 244 pixels (the authors' side, meant to be 224).
fn elastic(levels: [(f64, f64, f64); 5]) -> Entry {
    let level = |(displacement, sigma, affine)| {
        Corruption::Elastic(Elasticity {
            displacement_px: 244.0 * displacement,
            sigma_px: 244.0 * sigma,
            affine_px: 244.0 * affine,
        })
    };
    Entry { name: "elastic_transform", levels: levels.map(level) }
}
