//! Pixel noise.
//!
//! Values are drawn in array order: row by row, pixel by pixel, channel fastest. Results are truncated, not
//! rounded, as the reference casts to `uint8`.

use super::rng::counter::Counter;
use super::rng::pcg64::Pcg64;
use super::streams::{Streams, StreamsInner};

/// Adds normal noise of standard deviation `std` (fraction of full scale) to every value.
///
/// Formula: `trunc(255 * clip(f + std * g, 0, 1))`.
///
/// Reference: `GaussianNoise`.
pub(super) fn gaussian(std: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    with_normals(image, streams, out, |f, g| f + std * g);
}

/// Multiplies every value by `1 + std * g`, with `g` standard normal.
///
/// Formula: `trunc(255 * clip(f + f * (std * g), 0, 1))`.
///
/// Reference: `SpeckleNoise`.
pub(super) fn speckle(std: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    with_normals(image, streams, out, |f, g| f + f * (std * g));
}

/// Sets a share `amount` of all values to 0 or 255 with equal chance, each channel on its own.
///
/// Order on the sequential stream: one uniform per value decides which flip, then one more per value, flipped
/// or not, decides their direction.
///
/// Reference: `ImpulseNoise`, `skimage.util.random_noise(mode="s&p")`.
pub(super) fn impulse(amount: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    match streams.inner() {
        StreamsInner::Numpy(numpy) => impulse_sequential(amount, image, &mut numpy.generator, out),
        StreamsInner::Counter(counter) => impulse_counter(amount, image, counter, out),
    }
}

fn impulse_sequential(amount: f64, image: &[u8], flips: &mut Pcg64, out: &mut [u8]) {
    // The directions follow all flips in the stream; a second cursor spares a mask as large as the image.
    let mut salts = flips.clone();
    salts.advance(image.len() as u128);
    for (to, &from) in out.iter_mut().zip(image) {
        let (flip, salt) = (flips.next_f64() <= amount, salts.next_f64() <= 0.5);
        *to = if flip { u8::from(salt) * 255 } else { from };
    }
    *flips = salts;
}

fn impulse_counter(amount: f64, image: &[u8], counter: &mut Counter, out: &mut [u8]) {
    // Given that a draw is below the first threshold, it is below the second with chance one half.
    let flip_below = (amount * 4_294_967_296.0) as u64;
    let salt_below = flip_below / 2;
    for (to, &from) in out.iter_mut().zip(image) {
        let draw = u64::from(counter.next_u32());
        *to = if draw < flip_below { u8::from(draw < salt_below) * 255 } else { from };
    }
}

fn with_normals(image: &[u8], streams: &mut Streams, out: &mut [u8], formula: impl Fn(f64, f64) -> f64) {
    let level = |value: u8, g: f64| to_level(formula(f64::from(value) / 255.0, g));
    match streams.inner() {
        StreamsInner::Numpy(numpy) => map(image, out, |value| level(value, numpy.legacy.normal())),
        StreamsInner::Counter(counter) => map(image, out, |value| level(value, counter.normal())),
    }
}

fn map(image: &[u8], out: &mut [u8], mut change: impl FnMut(u8) -> u8) {
    for (to, &from) in out.iter_mut().zip(image) {
        *to = change(from);
    }
}

/// The level of a fraction of full scale: clipped, then truncated.
pub(super) fn to_level(fraction: f64) -> u8 {
    (fraction.clamp(0.0, 1.0) * 255.0) as u8
}
