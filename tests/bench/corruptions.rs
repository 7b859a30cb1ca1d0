//! Milliseconds per image of every corruption at every severity, on one core.
//!
//! `cargo bench --bench corruptions [-- PEER.json [FILTER]]`
//!
//! `PEER.json` is written by `peers/medmnistc_bench.py` on the same machine; with it, ratios are printed.
//! The fastest of all repeats is reported on both sides: other load on the machine only ever adds time.
//! `FILTER` keeps the cells whose name contains it. The input is 224x224 RGB, the same on both sides.
//!
//! Without a filter, one more line gives the processor time of a whole suite over 1000 images.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use t3b_corrupt::{Corruption, Scratch, Severity, Streams, Suite, apply};
use t3b_image::Rgb8;

const SIDE_PX: u32 = 224;
const MIN_REPEATS: usize = 7;
const MIN_TIME: Duration = Duration::from_millis(60);

/// The suite that is run as a whole.
const SUITE: &str = "bloodmnist";
const SUITE_IMAGES: u32 = 1000;
/// Images the peer is timed on; its time is scaled.
const PEER_SUITE_IMAGES: u32 = 100;
/// Images in memory at once.
const SUITE_BATCH: usize = 100;

fn main() {
    // `cargo bench` adds a flag of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let peer = args.first().map(|path| read_peer(path));
    let filter = args.get(1).map_or("", String::as_str);
    let image = input(0);
    println!("{:<42} {:>8} {:>8} {:>8} {:>7} {:>7}", "cell", "counter", "compat", "peer", "x", "x");

    let mut ratios = [Vec::new(), Vec::new()];
    for (name, kind, severity) in cells().iter().filter(|cell| cell.0.contains(filter)) {
        let counter = fastest_ms(&image, kind, || Streams::counter(0, "sample", name, *severity));
        // Sequential streams are seeded once per data set, so seeding is no part of the time.
        let seeded = Streams::numpy_compat(0);
        let compat = fastest_ms(&image, kind, || seeded.clone());
        let peer_ms = peer.as_ref().and_then(|peer| peer.get(name));
        let ratio = |ours: f64| peer_ms.map_or(f64::NAN, |theirs| theirs / ours);
        println!(
            "{name:<42} {counter:>8.3} {compat:>8.3} {:>8.3} {:>7.1} {:>7.1}",
            peer_ms.copied().unwrap_or(f64::NAN),
            ratio(counter),
            ratio(compat),
        );
        if peer_ms.is_some() {
            ratios[0].push(ratio(counter));
            ratios[1].push(ratio(compat));
        }
    }
    for (mode, ratios) in ["counter", "compat"].iter().zip(&ratios) {
        summarise(mode, ratios);
    }
    if filter.is_empty() {
        time_suite(peer.as_ref().and_then(|peer| peer.get(SUITE)));
    }
}

/// Every distinct cell once: data sets that share parameters count as one, as in the golden manifest.
fn cells() -> Vec<(String, Corruption, Severity)> {
    let mut cells = Vec::new();
    let mut seen: Vec<(&str, [Corruption; 5])> = Vec::new();
    for suite in Suite::names().iter().filter_map(|name| Suite::named(name)) {
        for entry in suite.entries() {
            let key = (entry.name, entry.levels.clone());
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            for severity in Severity::ALL {
                let name = format!("{}/{}/{}", suite.name(), entry.name, severity.get());
                cells.push((name, entry.at(severity).clone(), severity));
            }
        }
    }
    cells
}

fn fastest_ms(image: &Rgb8, kind: &Corruption, streams: impl Fn() -> Streams) -> f64 {
    let mut scratch = Scratch::default();
    let mut out = image.clone();
    apply(kind, false, image, &mut streams(), &mut scratch, &mut out);
    let (mut fastest, mut n, started) = (f64::INFINITY, 0, Instant::now());
    while n < MIN_REPEATS || started.elapsed() < MIN_TIME {
        let start = Instant::now();
        apply(kind, false, image, &mut streams(), &mut scratch, std::hint::black_box(&mut out));
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
        n += 1;
    }
    fastest
}

fn summarise(mode: &str, ratios: &[f64]) {
    if ratios.is_empty() {
        return;
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let worst = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let slower = ratios.iter().filter(|ratio| **ratio < 1.0).count();
    println!(
        "{mode}: {} cells, geometric mean {mean:.1} x, worst {worst:.2} x, {slower} slower",
        ratios.len()
    );
}

/// `peer_ms` is the peer's time per image.
fn time_suite(peer_ms: Option<&f64>) {
    let Some(suite) = Suite::named(SUITE) else { return };
    let counter = suite_seconds(&suite, |image, name, severity| {
        Streams::counter(0, &image.to_string(), name, severity)
    });
    let mut line = format!(
        "{SUITE}: {} corruptions x 5 severities x {SUITE_IMAGES} images in {counter:.1} s on one core",
        suite.entries().len()
    );
    if let Some(peer_ms) = peer_ms {
        let theirs = peer_ms / 1e3 * f64::from(SUITE_IMAGES);
        line += &format!(
            ", medmnistc {theirs:.0} s (timed on {PEER_SUITE_IMAGES} images and scaled): {:.0} x",
            theirs / counter
        );
    }
    println!("{line}");
}

/// Every image through every cell, an image at a time, as the pipeline does it.
fn suite_seconds(suite: &Suite, streams: impl Fn(u32, &str, Severity) -> Streams) -> f64 {
    let (mut scratch, mut seconds, wall) = (Scratch::default(), 0.0, Instant::now());
    for first in (0..SUITE_IMAGES).step_by(SUITE_BATCH) {
        // Made beforehand, and by the hundred because the clock ticks every few milliseconds.
        let images: Vec<Rgb8> = (first..first + SUITE_BATCH as u32).map(input).collect();
        let mut out = images[0].clone();
        let start = processor_seconds(wall);
        for (i, image) in (first..).zip(&images) {
            for (entry, severity) in suite.entries().iter().flat_map(|e| Severity::ALL.map(|s| (e, s))) {
                let mut streams = streams(i, entry.name, severity);
                apply(entry.at(severity), false, image, &mut streams, &mut scratch, &mut out);
                std::hint::black_box(&mut out);
            }
        }
        seconds += processor_seconds(wall) - start;
    }
    seconds
}

/// Processor time of this thread, which other load leaves alone; wall time where the system does not tell.
fn processor_seconds(wall: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = stat.and_then(|stat| stat.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| wall.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

fn read_peer(path: &str) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(path).expect("the peer file is readable");
    serde_json::from_str(&text).expect("the peer file maps cell names to milliseconds")
}

/// Three parts ramp, one part noise, per channel; integers only, so the peer script makes the same bytes.
fn input(i: u32) -> Rgb8 {
    let (mut state, mut values) = (12_345 + i, Vec::new());
    for y in 0..SIDE_PX {
        for x in 0..SIDE_PX {
            for ramp in [x * 255 / (SIDE_PX - 1), y * 255 / (SIDE_PX - 1), (x + y) * 255 / (2 * SIDE_PX - 2)]
            {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                values.push(((3 * ramp + (state >> 24)) / 4) as u8);
            }
        }
    }
    Rgb8::new(SIDE_PX, SIDE_PX, values).expect("the buffer has the size of the image")
}
