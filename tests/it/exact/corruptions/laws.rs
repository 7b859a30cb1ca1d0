//! What must hold for every corruption, whatever it does.

use t3b_corrupt::{Corruption, Scratch, Severity, Streams, Suite, apply, apply_native_grey};
use t3b_image::Rgb8;

use super::{corrupted, input, lcg};

/// Every distinct corruption of every suite, with its name and severity.
fn all() -> Vec<(&'static str, Severity, Corruption)> {
    let mut all: Vec<(&'static str, Severity, Corruption)> = Vec::new();
    for suite in Suite::names().iter().map(|name| Suite::named(name).unwrap()) {
        for entry in suite.entries() {
            for severity in Severity::ALL {
                if !all.iter().any(|(_, _, kind)| kind == entry.at(severity)) {
                    all.push((entry.name, severity, entry.at(severity).clone()));
                }
            }
        }
    }
    all
}

fn textured(width_px: u32, height_px: u32) -> Rgb8 {
    Rgb8::new(width_px, height_px, lcg(7, (width_px * height_px * 3) as usize)).unwrap()
}

/// Sizes at which the reference raises or goes wrong: below its margins, oblong, a single pixel.
#[test]
fn every_corruption_takes_every_shape() {
    let mut scratch = Scratch::default();
    for (width_px, height_px) in [(28, 28), (64, 64), (513, 257), (1, 1), (1, 40), (33, 2)] {
        let image = textured(width_px, height_px);
        for (name, severity, kind) in all() {
            for mut streams in [Streams::numpy_compat(1), Streams::counter(1, "sample", name, severity)] {
                let mut out = Rgb8::filled(width_px, height_px, [0; 3]);
                apply(&kind, false, &image, &mut streams, &mut scratch, &mut out);
                assert_eq!((out.width_px(), out.height_px()), (width_px, height_px), "{name}");
            }
        }
    }
}

#[test]
fn grey_suites_give_three_equal_channels() {
    let image = input("gray");
    let (mut scratch, mut out) = (Scratch::default(), image.clone());
    for (name, severity, kind) in all() {
        apply(&kind, true, &image, &mut Streams::counter(0, "", name, severity), &mut scratch, &mut out);
        assert!(out.as_bytes().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]), "{name}");
        apply_native_grey(
            &kind,
            &image,
            &mut Streams::counter(0, "", name, severity),
            &mut scratch,
            &mut out,
        );
        assert!(out.as_bytes().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]), "{name}");
    }
}

/// Bytes may depend on the cell and the sample only: not on what ran before, on scratch memory or on what the
/// output held.
#[test]
fn counter_streams_do_not_depend_on_order_or_on_used_memory() {
    let image = textured(96, 80);
    let run = |(name, severity, kind): &(&'static str, Severity, Corruption), scratch: &mut Scratch| {
        let mut out = Rgb8::filled(96, 80, [77; 3]);
        apply(kind, false, &image, &mut Streams::counter(5, "a", name, *severity), scratch, &mut out);
        out
    };
    let all = all();
    let mut used = Scratch::default();
    let forwards: Vec<Rgb8> = all.iter().map(|cell| run(cell, &mut used)).collect();
    for (cell, expected) in all.iter().zip(&forwards).rev() {
        assert_eq!(&run(cell, &mut Scratch::default()), expected, "{} {:?}", cell.0, cell.1);
    }
    // Sizes change between images in practice, so memory fitted to another size must do as well.
    let other = textured(31, 47);
    let mut small = other.clone();
    for (cell, expected) in all.iter().zip(&forwards) {
        apply(&cell.2, false, &other, &mut Streams::numpy_compat(0), &mut used, &mut small);
        assert_eq!(&run(cell, &mut used), expected, "{} {:?}", cell.0, cell.1);
    }
}

#[test]
fn random_corruptions_differ_between_samples_and_seeds() {
    let image = input("cells");
    let derma = Suite::named("dermamnist").unwrap();
    for name in
        ["gaussian_noise", "speckle_noise", "impulse_noise", "shot_noise", "motion_blur", "characters"]
    {
        let severity = Severity::ALL[4];
        let run = |seed, sample| {
            let mut streams = Streams::counter(seed, sample, name, severity);
            corrupted(derma.entry(name).unwrap().at(severity), false, &image, &mut streams)
        };
        assert!(run(0, "a") != run(0, "b"), "{name}");
        assert!(run(0, "a") != run(1, "a"), "{name}");
    }
}

/// The same on every machine, whatever its processor and however the crate was compiled.
#[test]
fn counter_bytes_are_pinned() {
    let image = textured(64, 48);
    let mut bytes = Vec::new();
    for (name, severity, kind) in all() {
        let mut streams = Streams::counter(9, "pinned", name, severity);
        bytes.extend(corrupted(&kind, false, &image, &mut streams).into_bytes());
    }
    assert_eq!(super::sha256(&bytes), PINNED);
}

/// Changes whenever any counter-mode byte changes: then results of earlier runs cannot be extended.
const PINNED: &str = "10f76e8ef7f7cf3ccb3868e98aca54ec9430b12c413d7c81c68267aa19fd2ab8";
