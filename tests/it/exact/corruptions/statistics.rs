//! Counter-mode noise against the laws it is meant to follow, on flat images.

use t3b_corrupt::{Corruption, Scratch, Severity, Streams, Suite, apply_native_grey};
use t3b_image::Rgb8;

use super::{SIDE_PX, corrupted, input};

const N_IMAGES: usize = 10;
const LEVELS: [u8; 3] = [32, 128, 220];

/// Kolmogorov-Smirnov bound on the scaled distance at a chance of 1 in 1000.
const KS_LIMIT: f64 = 1.95;

/// A law over the 256 levels.
struct Law([f64; 256]);

impl Law {
    /// Levels of `trunc(clip(value + std_levels * g))` with `g` standard normal.
    fn normal(value: u8, std_levels: f64) -> Self {
        let below = |level: f64| 0.5 * erfc(-(level - f64::from(value)) / std_levels / 2f64.sqrt());
        let upper = |level: usize| if level == 255 { 1.0 } else { below(level as f64 + 1.0) };
        Self(std::array::from_fn(|level| upper(level) - if level == 0 { 0.0 } else { upper(level - 1) }))
    }

    /// Levels of `trunc(255 * min(count / photons, 1))` with a Poisson count.
    fn shot(value: u8, photons: f64) -> Self {
        let mean = f64::from(value) / 255.0 * photons;
        let (mut shares, mut share) = ([0.0; 256], (-mean).exp());
        for count in 0..2000 {
            shares[(f64::from(count) / photons * 255.0) as u8 as usize] += share;
            share *= mean / f64::from(count + 1);
        }
        Self(shares)
    }

    fn mean(&self) -> f64 {
        self.0.iter().enumerate().map(|(level, share)| level as f64 * share).sum()
    }

    fn std(&self) -> f64 {
        let mean = self.mean();
        self.0
            .iter()
            .enumerate()
            .map(|(level, share)| (level as f64 - mean).powi(2) * share)
            .sum::<f64>()
            .sqrt()
    }

    /// Mean within four standard errors, standard deviation within 1 %, histogram by Kolmogorov-Smirnov.
    fn check(&self, values: &[u8], what: &str) {
        let n = values.len() as f64;
        let mut observed = Self([0.0; 256]);
        values.iter().for_each(|&value| observed.0[usize::from(value)] += 1.0 / n);
        let error = observed.mean() - self.mean();
        assert!(error.abs() < 4.0 * self.std() / n.sqrt(), "{what}: mean off by {error}");
        assert!((observed.std() / self.std() - 1.0).abs() < 0.01, "{what}: std {}", observed.std());
        let (mut gap, mut distance) = (0.0, 0f64);
        for (ours, theirs) in observed.0.iter().zip(&self.0) {
            gap += ours - theirs;
            distance = distance.max(gap.abs());
        }
        assert!(distance * n.sqrt() < KS_LIMIT, "{what}: distance {distance}");
    }
}

/// Abramowitz and Stegun 7.1.26, within 1.5e-7.
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let tail = series.iter().rev().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp();
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// Ten noisy flat images.
fn samples(kind: &Corruption, value: u8) -> Vec<u8> {
    let image = Rgb8::filled(SIDE_PX, SIDE_PX, [value; 3]);
    let run = |i: usize| {
        let mut streams = Streams::counter(11, &i.to_string(), "noise", Severity::ALL[0]);
        corrupted(kind, false, &image, &mut streams).into_bytes()
    };
    (0..N_IMAGES).flat_map(run).collect()
}

#[test]
fn gaussian_and_speckle_noise_are_normal() {
    for value in LEVELS {
        for std in [0.04, 0.12, 0.26] {
            let law = Law::normal(value, 255.0 * std);
            law.check(
                &samples(&Corruption::GaussianNoise { std }, value),
                &format!("gaussian {std} {value}"),
            );
            let law = Law::normal(value, f64::from(value) * std);
            law.check(&samples(&Corruption::SpeckleNoise { std }, value), &format!("speckle {std} {value}"));
        }
    }
}

#[test]
fn shot_noise_is_poisson() {
    for value in LEVELS {
        for photons in [3.0, 18.0, 60.0, 300.0] {
            let law = Law::shot(value, photons);
            law.check(
                &samples(&Corruption::ShotNoise { photons }, value),
                &format!("shot {photons} {value}"),
            );
        }
    }
}

#[test]
fn impulse_noise_flips_its_share_both_ways_and_each_channel_alone() {
    for amount in [0.01, 0.17] {
        let values = samples(&Corruption::ImpulseNoise { amount }, 128);
        let n = values.len() as f64;
        let share = |level: u8| values.iter().filter(|v| **v == level).count() as f64 / n;
        let (salt, pepper) = (share(255), share(0));
        let error = 4.0 * (amount * (1.0 - amount) / n).sqrt();
        assert!((salt + pepper - amount).abs() < error, "{salt} {pepper}");
        assert!((salt / (salt + pepper) - 0.5).abs() < 2.0 / (amount * n).sqrt(), "{salt} {pepper}");
        assert!((salt + pepper + share(128) - 1.0).abs() < 1e-9);
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let both = values.chunks_exact(3).filter(|p| p[a] != 128 && p[b] != 128).count() as f64;
            let correlation = (both / (n / 3.0) - amount * amount) / (amount * (1.0 - amount));
            assert!(correlation.abs() < 0.01, "{correlation}");
        }
    }
}

/// Three channels averaged by the luma weights keep the root of the sum of their squares.
#[test]
fn grey_noise_has_two_thirds_of_its_nominal_strength_and_native_grey_all_of_it() {
    let image = Rgb8::filled(SIDE_PX, SIDE_PX, [128; 3]);
    let kind = Corruption::GaussianNoise { std: 0.08 };
    let std = |out: &Rgb8| {
        let values: Vec<f64> = out.as_bytes().iter().step_by(3).map(|v| f64::from(*v)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    let mut streams = Streams::counter(0, "grey", "gaussian_noise", Severity::ALL[1]);
    let averaged = std(&corrupted(&kind, true, &image, &mut streams));
    let mut native = image.clone();
    apply_native_grey(&kind, &image, &mut streams, &mut Scratch::default(), &mut native);
    let kept = (0.299f64.powi(2) + 0.587f64.powi(2) + 0.114f64.powi(2)).sqrt();
    assert!((averaged / (255.0 * 0.08) / kept - 1.0).abs() < 0.01, "{averaged}");
    assert!((std(&native) / (255.0 * 0.08) - 1.0).abs() < 0.01);
}

/// The same strength as the reference's bytes, seen as the error against the clean image.
#[test]
fn both_modes_are_equally_far_from_the_clean_image() {
    const TOLERANCE_DB: f64 = 0.3;
    const N_REPEATS: u64 = 8;
    let image = input("cells");
    let derma = Suite::named("dermamnist").unwrap();
    for name in ["gaussian_noise", "speckle_noise", "impulse_noise", "shot_noise"] {
        for severity in Severity::ALL {
            let psnr_db = |streams: &dyn Fn(u64) -> Streams| {
                let kind = derma.entry(name).unwrap().at(severity);
                let error = |seed| squared_error(&corrupted(kind, false, &image, &mut streams(seed)), &image);
                let total = (0..N_REPEATS).map(error).sum::<f64>() / N_REPEATS as f64;
                10.0 * (255.0f64.powi(2) / total).log10()
            };
            let counter = psnr_db(&|seed| Streams::counter(seed, "sample", name, severity));
            let sequential = psnr_db(&Streams::numpy_compat);
            assert!((counter - sequential).abs() < TOLERANCE_DB, "{name} {counter} {sequential}");
        }
    }
}

/// Mean over values.
fn squared_error(a: &Rgb8, b: &Rgb8) -> f64 {
    let pairs = a.as_bytes().iter().zip(b.as_bytes());
    pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>() / a.as_bytes().len() as f64
}

/// Blots lie inside the margin and have the area of one mask when there is one.
#[test]
fn stains_keep_to_the_margin() {
    let image = Rgb8::filled(SIDE_PX, SIDE_PX, [200; 3]);
    let path = Suite::named("pathmnist").unwrap();
    let kind = path.entry("stain_deposit").unwrap().at(Severity::ALL[0]);
    let Corruption::StainDeposit { masks, .. } = kind else { unreachable!() };
    let areas: Vec<usize> =
        masks.of_size(false).iter().map(|m| m.cells().iter().filter(|c| **c).count()).collect();
    let mut seen = vec![0; areas.len()];
    for i in 0..200 {
        let mut streams = Streams::counter(0, &i.to_string(), "stain_deposit", Severity::ALL[0]);
        let out = corrupted(kind, false, &image, &mut streams);
        let stained: Vec<usize> =
            out.as_bytes().chunks_exact(3).enumerate().filter(|(_, p)| p[0] == 0).map(|(i, _)| i).collect();
        let side = SIDE_PX as usize;
        assert!(
            stained
                .iter()
                .all(|i| (10..side - 10).contains(&(i % side)) && (10..side - 10).contains(&(i / side)))
        );
        areas.iter().zip(&mut seen).filter(|(area, _)| **area == stained.len()).for_each(|(_, n)| *n += 1);
    }
    assert!(seen.iter().all(|n| *n > 0), "every mask is drawn: {seen:?}");
}
