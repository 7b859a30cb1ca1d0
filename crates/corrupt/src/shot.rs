//! Shot noise: photon counts.

use super::math::exp;
use super::noise::to_level;
use super::rng::alias::Alias;
use super::rng::counter::BATCH;
use super::rng::legacy::Legacy;
use super::rng::poisson::Poisson;
use super::streams::{Streams, StreamsInner};

/// Prepared distributions, one list per photon count met so far.
#[derive(Debug, Default)]
pub(super) struct Tables {
    sequential: Vec<(f64, Vec<Poisson>)>,
    counter: Vec<(f64, Vec<Alias>)>,
}

/// Replaces every value by a photon count over `photons`, the count that full scale stands for.
///
/// Formula: `trunc(255 * clip(Poisson(f * photons) / photons, 0, 1))`. Fewer photons are noisier. A value of 0
/// stays 0 and takes nothing from the sequential stream.
///
/// Reference: `ShotNoise`.
pub(super) fn shot(photons: f64, image: &[u8], streams: &mut Streams, tables: &mut Tables, out: &mut [u8]) {
    match streams.inner() {
        StreamsInner::Numpy(numpy) => {
            let laws = find(&mut tables.sequential, photons, |value| Poisson::new(mean(value, photons)));
            draw_sequential(photons, image, laws, &mut numpy.legacy, out);
        }
        StreamsInner::Counter(counter) => {
            let laws = find(&mut tables.counter, photons, |value| level_law(value, photons));
            for (to, from) in out.chunks_mut(BATCH).zip(image.chunks(BATCH)) {
                for ((to, &from), bits) in to.iter_mut().zip(from).zip(counter.next_batch()) {
                    *to = laws[usize::from(from)].draw(bits);
                }
            }
        }
    }
}

fn draw_sequential(photons: f64, image: &[u8], laws: &[Poisson], legacy: &mut Legacy, out: &mut [u8]) {
    for (to, &from) in out.iter_mut().zip(image) {
        let count = laws[usize::from(from)].draw(|| legacy.next_f64());
        *to = to_level(f64::from(count) / photons);
    }
}

fn mean(value: u8, photons: f64) -> f64 {
    f64::from(value) / 255.0 * photons
}

/// The distribution of the output level for one input value.
fn level_law(value: u8, photons: f64) -> Alias {
    // Below this a share is under the resolution of the draw and only makes the table larger.
    const NEGLIGIBLE: f64 = 1e-12;
    let mean = mean(value, photons);
    let (mut share, mut below_full_scale) = (exp(-mean), 0.0);
    let mut weights = Vec::new();
    let mut count = 0.0;
    while count < photons {
        if share > NEGLIGIBLE {
            weights.push((to_level(count / photons), share));
        }
        below_full_scale += share;
        count += 1.0;
        share *= mean / count;
    }
    weights.push((255, (1.0 - below_full_scale).max(0.0)));
    Alias::new(&weights)
}

/// The laws of all 256 values for `photons`, made on first use.
fn find<T>(known: &mut Vec<(f64, Vec<T>)>, photons: f64, law: impl Fn(u8) -> T) -> &[T] {
    let at = known.iter().position(|(other, _)| *other == photons).unwrap_or_else(|| {
        known.push((photons, (0..=255).map(law).collect()));
        known.len() - 1
    });
    &known[at].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::severity::Severity;

    #[test]
    fn black_stays_black_and_draws_nothing() {
        let mut streams = Streams::numpy_compat(0);
        let mut out = [9; 12];
        shot(60.0, &[0; 12], &mut streams, &mut Tables::default(), &mut out);
        assert_eq!(out, [0; 12]);
        let StreamsInner::Numpy(numpy) = streams.inner() else { unreachable!() };
        assert_eq!(numpy.legacy.next_f64(), Legacy::seed(0).next_f64());
    }

    #[test]
    fn both_modes_draw_from_one_law() {
        let image = vec![100; 60_000];
        let mean_level = |mut streams: Streams| {
            let mut out = vec![0; image.len()];
            shot(25.0, &image, &mut streams, &mut Tables::default(), &mut out);
            out.iter().map(|&v| f64::from(v)).sum::<f64>() / out.len() as f64
        };
        let sequential = mean_level(Streams::numpy_compat(3));
        let counter = mean_level(Streams::counter(3, "", "shot_noise", Severity::ALL[0]));
        let std_of_difference = 255.0 * (100.0 / 255.0 / 25.0f64).sqrt() * (2.0 / 60_000.0f64).sqrt();
        assert!((sequential - counter).abs() < 4.0 * std_of_difference, "{sequential} {counter}");
    }
}
