#![doc = include_str!("../README.md")]
//!
//! # In detail
//!
//! Image corruptions at five severities: MedMNIST-C and relatives.
//!
//! One file per kind. A kind with its parameters is a [`Corruption`]; a [`Suite`] lists, per data set, which
//! kinds apply in which order and how strongly. [`apply`] runs one kind on one image. All randomness comes in
//! through [`Streams`], so the same streams give the same bytes on every machine and in every order.
//!
//! Two ways to be random (see [`RngMode`]):
//! - *counter*: every (seed, sample, corruption, severity) owns its stream; images may be done in any order;
//! - *numpy-compat*: the three sequential streams of the Python reference, for byte parity with it.
//!
//! Reference: `medmnistc` 0.1.0 (Di Salvo et al., "MedMNIST-C", 2024).

mod assets;
mod blur;
mod bubble;
mod cell;
mod certain;
mod characters;
mod colour;
mod corner;
mod elastic;
pub mod export;
mod fog;
mod grey;
mod hsv;
mod jpeg;
mod kind;
mod level;
mod line;
mod math;
mod noise;
mod pixelate;
mod registry;
pub mod rng;
mod scratch;
mod severity;
mod shot;
mod snow;
mod stain;
mod streams;
mod words;

pub use assets::{AssetError, Assets, Glyph, Glyphs, StainMask, StainMasks};
pub use cell::Cell;
pub use elastic::Elasticity;
pub use grey::Grey;
pub use kind::Corruption;
pub use registry::{Entry, Suite};
pub use scratch::Scratch;
pub use severity::Severity;
pub use snow::Snowfall;
pub use streams::{RngMode, Streams};

use std::mem;

use t3b_image::Rgb8;

/// Corrupts `image` into `out`.
///
/// Shapes: `out` has the shape of `image`; every byte of it is overwritten.
///
/// Order:
/// 1. the kind is applied to the three channels, drawing from `streams`;
/// 2. with `grey`, each pixel is replaced by its luma, in all three channels.
///
/// So on grey sets noise is drawn for three channels and then averaged by the luma weights, which leaves
/// 0.668 of its nominal strength. The reference does this; [`apply_native_grey`] does not.
///
/// # Panics
/// When the shapes of `image` and `out` differ.
///
/// Reference: `DatasetManager.create_single_dataset`.
pub fn apply(
    kind: &Corruption,
    grey: bool,
    image: &Rgb8,
    streams: &mut Streams,
    scratch: &mut Scratch,
    out: &mut Rgb8,
) {
    assert_same_shape(image, out);
    apply_rgb(kind, image, streams, scratch, out);
    if grey {
        grey::replace_by_luma(out.as_bytes_mut());
    }
}

/// Corrupts a grey image (three equal channels) as one channel: noise is drawn once per pixel.
///
/// Differs from [`apply`] with `grey` only for the noise kinds, which keep their nominal strength. No
/// published figure was made this way; it is for reading a severity as the standard deviation it names.
///
/// # Panics
/// When the shapes of `image` and `out` differ.
pub fn apply_native_grey(
    kind: &Corruption,
    image: &Rgb8,
    streams: &mut Streams,
    scratch: &mut Scratch,
    out: &mut Rgb8,
) {
    assert_same_shape(image, out);
    // Lent out, because the noise needs the rest of the scratch memory.
    let (mut plane, mut noisy) = (mem::take(&mut scratch.plane), mem::take(&mut scratch.noisy_plane));
    grey::first_channel(image.as_bytes(), &mut plane);
    noisy.resize(plane.len(), 0);
    if apply_noise(kind, &plane, streams, scratch, &mut noisy) {
        grey::replicate(&noisy, out.as_bytes_mut());
    } else {
        apply(kind, true, image, streams, scratch, out);
    }
    (scratch.plane, scratch.noisy_plane) = (plane, noisy);
}

fn apply_rgb(kind: &Corruption, image: &Rgb8, streams: &mut Streams, scratch: &mut Scratch, out: &mut Rgb8) {
    let (from, to) = (image.as_bytes(), out.as_bytes_mut());
    match *kind {
        Corruption::GaussianNoise { .. }
        | Corruption::SpeckleNoise { .. }
        | Corruption::ImpulseNoise { .. }
        | Corruption::ShotNoise { .. } => {
            apply_noise(kind, from, streams, scratch, to);
        }
        Corruption::Brightness { factor } => colour::brightness(factor, from, to),
        Corruption::Contrast { factor } => colour::contrast(factor, from, to),
        Corruption::GammaCorrection { gamma } => colour::gamma(gamma, from, to),
        Corruption::ContrastPerChannel { factor } => colour::contrast_per_channel(factor, from, to),
        Corruption::Saturate { factor, shift } => hsv::saturate(factor, shift, from, to),
        Corruption::BrightnessHsv { shift } => hsv::brighten(shift, from, to),
        Corruption::Pixelate { factor } => pixelate::pixelate(factor, image, &mut scratch.pixelate, out),
        Corruption::JpegCompression { quality } => jpeg::jpeg(quality, image, &mut scratch.jpeg, out),
        Corruption::GaussianBlur { kernel_size_px } => {
            blur::gaussian::gaussian(kernel_size_px, image, &mut scratch.gaussian, out);
        }
        Corruption::SmoothBlur { sigma_px } => {
            blur::smooth::smooth(sigma_px, image, &mut scratch.smooth, out);
        }
        Corruption::GlassBlur { sigma_px, max_delta_px, n_passes } => {
            let glass = blur::glass::Glass { sigma_px, max_delta_px, n_passes };
            blur::glass::glass(glass, image, streams, &mut scratch.smooth, out);
        }
        Corruption::DefocusBlur { radius_px, alias_sigma_px } => {
            blur::defocus::defocus(radius_px, alias_sigma_px, image, &mut scratch.defocus, out);
        }
        Corruption::MotionBlur { radius_px, sigma_px } => {
            let angle_deg = streams.uniform(-45.0, 45.0);
            blur::motion::motion(radius_px, sigma_px, angle_deg, image, &mut scratch.motion, out);
        }
        Corruption::ZoomBlur { stop, step } => blur::zoom::zoom(stop, step, image, &mut scratch.zoom, out),
        Corruption::Fog { amount, decay } => fog::fog(amount, decay, image, streams, &mut scratch.fog, out),
        Corruption::Snow(ref fall) => snow::snow(fall, image, streams, &mut scratch.snow, out),
        Corruption::Elastic(ref elasticity) => {
            elastic::elastic(elasticity, image, streams, &mut scratch.elastic, out);
        }
        Corruption::BlackCorner { radius_factor } => corner::black_corner(radius_factor, image, out),
        Corruption::StainDeposit { max_count, large, ref masks } => {
            to.copy_from_slice(from);
            stain::stain(max_count, masks.of_size(large), streams, out);
        }
        Corruption::Bubble { max_radius_px, max_count } => {
            to.copy_from_slice(from);
            bubble::bubble(max_radius_px, max_count, streams, &mut scratch.bubble, out);
        }
        Corruption::Characters { max_words, max_letters, max_scale_percent, ref glyphs } => {
            to.copy_from_slice(from);
            let words = characters::Words { max_words, max_letters, max_scale_percent };
            characters::characters(words, glyphs, streams, out);
        }
    }
}

/// Runs a kind that treats every value on its own; does nothing and returns `false` for the others.
fn apply_noise(
    kind: &Corruption,
    values: &[u8],
    streams: &mut Streams,
    scratch: &mut Scratch,
    out: &mut [u8],
) -> bool {
    match *kind {
        Corruption::GaussianNoise { std } => noise::gaussian(std, values, streams, out),
        Corruption::SpeckleNoise { std } => noise::speckle(std, values, streams, out),
        Corruption::ImpulseNoise { amount } => noise::impulse(amount, values, streams, out),
        Corruption::ShotNoise { photons } => shot::shot(photons, values, streams, &mut scratch.shot, out),
        _ => return false,
    }
    true
}

fn assert_same_shape(image: &Rgb8, out: &Rgb8) {
    assert!(
        (image.width_px(), image.height_px()) == (out.width_px(), out.height_px()),
        "the output image has the shape of the input image"
    );
}
