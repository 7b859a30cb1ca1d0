//! Pixel noise.
//!
//! Values are drawn in array order: row by row, pixel by pixel, channel fastest. Results are truncated, not
//! rounded, as the reference casts to `uint8`.

use super::rng::counter::{BATCH, Counter};
use super::rng::legacy::Legacy;
use super::rng::pcg64::Pcg64;
use super::rng::ziggurat::Ziggurat;
use super::streams::{Streams, StreamsInner};
use super::{certain, level};
use t3b_image::simd::widest;

/// Adds normal noise of standard deviation `std` (fraction of full scale) to every value.
///
/// Formula: `trunc(255 * clip(f + std * g, 0, 1))`.
///
/// Reference: `GaussianNoise`.
pub(super) fn gaussian(std: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    let scale = (255.0 * std) as f32;
    match streams.inner() {
        StreamsInner::Numpy(numpy) => {
            widest(
                #[inline(always)]
                || with_normals(image, out, &mut numpy.legacy, |f, g| f + std * g),
            );
        }
        StreamsInner::Counter(counter) => {
            widest(
                #[inline(always)]
                || counter_normals(image, counter, out, |value, g| value + scale * g),
            );
        }
    }
}

/// Multiplies every value by `1 + std * g`, with `g` standard normal.
///
/// Formula: `trunc(255 * clip(f + f * (std * g), 0, 1))`.
///
/// Reference: `SpeckleNoise`.
pub(super) fn speckle(std: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    match streams.inner() {
        StreamsInner::Numpy(numpy) => {
            widest(
                #[inline(always)]
                || with_normals(image, out, &mut numpy.legacy, |f, g| f + f * (std * g)),
            );
        }
        StreamsInner::Counter(counter) => {
            let std = std as f32;
            widest(
                #[inline(always)]
                || counter_normals(image, counter, out, |value, g| value + value * (std * g)),
            );
        }
    }
}

/// Sets a share `amount` of all values to 0 or 255 with equal chance, each channel on its own.
///
/// Order on the sequential stream: one uniform per value decides which flip, then one more per value, flipped
/// or not, decides their direction.
///
/// Reference: `ImpulseNoise`, `skimage.util.random_noise(mode="s&p")`.
pub(super) fn impulse(amount: f64, image: &[u8], streams: &mut Streams, out: &mut [u8]) {
    match streams.inner() {
        StreamsInner::Numpy(numpy) => widest(
            #[inline(always)]
            || impulse_sequential(amount, image, &mut numpy.generator, out),
        ),
        StreamsInner::Counter(counter) => widest(
            #[inline(always)]
            || impulse_counter(amount, image, counter, out),
        ),
    }
}

#[inline(always)]
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

#[inline(always)]
fn impulse_counter(amount: f64, image: &[u8], counter: &mut Counter, out: &mut [u8]) {
    // Given that a draw is below the first threshold, it is below the second with chance one half.
    let flip_below = (amount * f64::from(1u32 << 31)) as u32;
    let salt_below = flip_below / 2;
    for (to, from) in out.chunks_mut(BATCH).zip(image.chunks(BATCH)) {
        for ((to, &from), &word) in to.iter_mut().zip(from).zip(&counter.next_batch()) {
            let draw = word >> 1;
            let extreme = if draw < salt_below { 255 } else { 0 };
            *to = if draw < flip_below { extreme } else { from };
        }
    }
}

/// As the reference computes: in double precision, from fractions of full scale.
#[inline(always)]
fn with_normals(image: &[u8], out: &mut [u8], legacy: &mut Legacy, noisy: impl Fn(f64, f64) -> f64) {
    let fractions: [f64; 256] = std::array::from_fn(|v| v as f64 / 255.0);
    let mut batch = [0.0; BATCH];
    for (to, from) in out.chunks_mut(BATCH).zip(image.chunks(BATCH)) {
        let batch = &mut batch[..to.len()];
        legacy.normals(batch);
        for ((to, &from), &g) in to.iter_mut().zip(from).zip(batch.iter()) {
            *to = level::of_f64(noisy(fractions[usize::from(from)], g) * 255.0);
        }
    }
}

/// The same law in single precision and units of levels, with levels split at multiples of 1 to within 2^-16.
#[inline(always)]
fn counter_normals(image: &[u8], counter: &mut Counter, out: &mut [u8], noisy: impl Fn(f32, f32) -> f32) {
    let ziggurat = Ziggurat::get();
    let mut batch = [0.0f32; BATCH];
    for (to, from) in out.chunks_mut(BATCH).zip(image.chunks(BATCH)) {
        ziggurat.normals(counter, &mut batch);
        for ((to, &from), &g) in to.iter_mut().zip(from).zip(&batch) {
            *to = certain::level(noisy(f32::from(from), g));
        }
    }
}

/// The level of a fraction of full scale: clipped and truncated, which is what a cast to an integer does.
pub(super) fn to_level(fraction: f64) -> u8 {
    (fraction * 255.0) as u8
}
