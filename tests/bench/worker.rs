//! What a process of its own costs a picture: `cargo bench --bench worker -- [FILE.dcm ...]`.
//!
//! Decodes each file here and in a worker, in turns, and prints the fastest of each and their ratio, then the time a
//! worker takes to start. Without files: a small golden frame, and JPEG 2000 files of `.cache/dicom` where they are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use t3b_decode::worker::{Decoder, Isolation};
use t3b_decode::{Limits, Rendering, decode_with};

#[path = "../support/dicom.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests")]
mod dicom;

const N_ROUNDS: usize = 25;

/// Where `dicom` looks for golden files.
fn repo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn main() {
    let given: Vec<PathBuf> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).map(PathBuf::from).collect();
    let mut objects = vec![("24x20 golden".to_owned(), dicom::jpeg_2000_file(None))];
    let names = ["MR_small_jp2klossless.dcm", "693_J2KR.dcm", "US1_J2KR.dcm", "RG1_J2KR.dcm"];
    let folders = ["pydicom/data/test_files", "data_store/data"];
    let known =
        names.iter().flat_map(|name| folders.map(|folder| repo(".cache/dicom").join(folder).join(name)));
    for path in known.chain(given) {
        if let Ok(bytes) = fs::read(&path) {
            objects.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes));
        }
    }
    for (name, bytes) in &objects {
        compare(name, bytes);
    }
    let started = (0..N_ROUNDS).map(|_| fresh(&objects[0].1)).min().unwrap_or_default();
    println!("start of a worker and a {}: {:.2} ms", objects[0].0, started.as_secs_f64() * 1e3);
}

fn decoder() -> Decoder {
    Decoder::new(Isolation::Risky, Path::new(env!("CARGO_BIN_EXE_t3b")).into())
}

fn fresh(bytes: &[u8]) -> Duration {
    let (start, decoder) = (Instant::now(), decoder());
    let decoded = decoder.decode(bytes, &Limits::default(), &Rendering::default());
    std::hint::black_box(decoded.expect("a worker").1.expect("a picture"));
    start.elapsed()
}

fn compare(name: &str, bytes: &[u8]) {
    let (limits, rendering, decoder) = (Limits::default(), Rendering::default(), decoder());
    let (mut here, mut there, mut n_pixels) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..N_ROUNDS {
        let start = Instant::now();
        let image = decode_with(bytes, &limits, &rendering).expect("a picture");
        here = here.min(start.elapsed());
        let start = Instant::now();
        let same = decoder.decode(bytes, &limits, &rendering).expect("a worker").1.expect("a picture");
        there = there.min(start.elapsed());
        assert!(image == same, "{name}");
        n_pixels = image.as_bytes().len() / 3;
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{name}: {n_pixels} px, here {:.2} ms, worker {:.2} ms, ratio {:.2}",
        ms(here),
        ms(there),
        ms(there) / ms(here)
    );
}
