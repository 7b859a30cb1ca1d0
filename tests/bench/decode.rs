//! Decode + resize + centre crop, and the same with one corruption behind it, on one core, in images a second.
//!
//! `cargo bench --bench decode -- [FOLDER]`; FOLDER holds the sets below and defaults to `../shared/data`. The last figure of a
//! row is how many cores keep a card busy that scores a thousand images a second.
//! Compare with `peers/pil_decode_bench.py` on the same, otherwise idle machine. Prints one line a data set: images
//! a second for the chain without and with a corruption, and the share of time spent decoding. An image's time is the fastest
//! of its rounds, so that other work on the machine disturbs little. Image n gets the nth corruption of its suite, by name, round and
//! round, at one severity, on both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use t3b_corrupt::{Scratch, Severity, Streams, Suite, apply};
use t3b_decode::{Limits, decode};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

const SIZE_PX: u32 = 224;
const N_ROUNDS: usize = 15;
const SUITE: &str = "bloodmnist";
const SEVERITY: Severity = Severity::ALL[2];

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let root =
        folder.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    for (name, pattern) in [
        ("png crops", "bccd/test"),
        ("jpeg crops", "bccd/train"),
        ("jpeg smears", "bccd_smears"),
        ("jpeg blood cells", "blood_pbc"),
        ("jpeg chest x-rays", "xray_pneumonia"),
        ("jpeg retinal scans", "oct_neh3"),
        ("png breast ultrasound", "breast_busi"),
    ] {
        let mut objects = read_all(&root.join(pattern));
        // Of large sets as many as say what the others would.
        objects.truncate(400);
        if objects.is_empty() {
            println!("{name}: skipped, no files under {pattern}");
            continue;
        }
        let [decoding, resized, corrupted] = measure(&objects).map(|time| time.as_secs_f64());
        println!(
            "{name}: {:.0} images/s ({:.1} us each, decode {:.0} %), {:.0} images/s corrupted; {:.1} cores for 1,000 images/s",
            1.0 / resized,
            resized * 1e6,
            100.0 * decoding / resized,
            1.0 / corrupted,
            1000.0 * corrupted,
        );
    }
}

/// Mean time for one image: decoded, resized, corrupted.
fn measure(objects: &[Vec<u8>]) -> [Duration; 3] {
    let (mut resizer, mut scratch, limits) = (Resizer::default(), Scratch::default(), Limits::default());
    let suite = Suite::named(SUITE).expect("a suite of MedMNIST-C");
    let mut entries: Vec<_> = suite.entries().iter().collect();
    entries.sort_by_key(|entry| entry.name);
    let mut out = Rgb8::filled(SIZE_PX, SIZE_PX, [0; 3]);
    let mut fastest = vec![[Duration::MAX; 3]; objects.len()];
    for _ in 0..N_ROUNDS {
        for (n, (object, fastest)) in objects.iter().zip(&mut fastest).enumerate() {
            let entry = entries[n % entries.len()];
            let mut streams = Streams::counter(0, "sample", entry.name, SEVERITY);
            let start = Instant::now();
            let image = decode(object, &limits).expect("the files are good");
            let decoded = start.elapsed();
            let pixels = resizer.short_side_then_center_crop(&image, SIZE_PX);
            let resized = start.elapsed();
            apply(entry.at(SEVERITY), suite.grey(), &pixels, &mut streams, &mut scratch, &mut out);
            std::hint::black_box(&out);
            for (fastest, time) in fastest.iter_mut().zip([decoded, resized, start.elapsed()]) {
                *fastest = time.min(*fastest);
            }
        }
    }
    let n = objects.len() as u32;
    std::array::from_fn(|part| fastest.iter().map(|times| times[part]).sum::<Duration>() / n)
}

fn read_all(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let is_image =
        |extension: &std::ffi::OsStr| ["png", "jpg", "jpeg"].iter().any(|known| extension == *known);
    files.retain(|path| path.extension().is_some_and(is_image));
    files.sort();
    files.iter().filter_map(|path| fs::read(path).ok()).collect()
}
