//! Decode + resize + centre crop on one core, in images a second.
//!
//! `cargo bench --bench decode -- [FOLDER]`; FOLDER holds `bccd/` and `bccd_smears/` and defaults to `../shared/data`.
//! Compare with `peers/pil_decode_bench.py` on the same, otherwise idle machine. Prints one line a data set: images
//! a second for the whole chain and the share of time spent decoding. An image's time is the fastest of its rounds, so
//! that other work on the machine disturbs little.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use t3b::decode::resize::Resizer;
use t3b::decode::{Limits, decode};

const SIZE_PX: u32 = 224;
const N_ROUNDS: usize = 15;

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let root =
        folder.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    for (name, pattern) in
        [("png crops", "bccd/test"), ("jpeg crops", "bccd/train"), ("jpeg smears", "bccd_smears")]
    {
        let objects = read_all(&root.join(pattern));
        if objects.is_empty() {
            println!("{name}: skipped, no files under {pattern}");
            continue;
        }
        let (total, decoding) = measure(&objects);
        println!(
            "{name}: {:.0} images/s ({:.1} us each, decode {:.0} %)",
            1.0 / total.as_secs_f64(),
            total.as_secs_f64() * 1e6,
            100.0 * decoding.as_secs_f64() / total.as_secs_f64(),
        );
    }
}

/// Mean time for one image, whole and decoding alone.
fn measure(objects: &[Vec<u8>]) -> (Duration, Duration) {
    let mut resizer = Resizer::default();
    let limits = Limits::default();
    let mut fastest = vec![(Duration::MAX, Duration::MAX); objects.len()];
    for _ in 0..N_ROUNDS {
        for (object, (total, decoding)) in objects.iter().zip(&mut fastest) {
            let start = Instant::now();
            let image = decode(object, &limits).expect("the files are good");
            *decoding = start.elapsed().min(*decoding);
            std::hint::black_box(resizer.short_side_then_center_crop(&image, SIZE_PX));
            *total = start.elapsed().min(*total);
        }
    }
    let n = objects.len() as u32;
    let mean = |part: fn(&(Duration, Duration)) -> Duration| fastest.iter().map(part).sum::<Duration>() / n;
    (mean(|times| times.0), mean(|times| times.1))
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
    files.retain(|path| path.extension().is_some_and(|extension| extension == "png" || extension == "jpg"));
    files.sort();
    files.iter().filter_map(|path| fs::read(path).ok()).collect()
}
