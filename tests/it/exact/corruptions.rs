//! The corruption suite against its references, its own laws and awkward images.

mod golden;
mod laws;
mod random;
mod statistics;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use t3b_corrupt::{Assets, Corruption, Scratch, Streams, Suite, apply};
use t3b_image::Rgb8;

const SIDE_PX: u32 = 224;

/// Runs one corruption with fresh scratch memory.
fn corrupted(kind: &Corruption, grey: bool, image: &Rgb8, streams: &mut Streams) -> Rgb8 {
    let mut out = Rgb8::filled(image.width_px(), image.height_px(), [0; 3]);
    apply(kind, grey, image, streams, &mut Scratch::default(), &mut out);
    out
}

/// The five golden inputs, as `tests/golden/corruptions/inputs.py` makes them.
fn inputs() -> [(&'static str, Rgb8); 5] {
    let side = i64::from(SIDE_PX);
    let ramp = move |x: i64, y: i64| {
        [x * 255 / (side - 1), y * 255 / (side - 1), (x + y) * 255 / (2 * side - 2)].map(|v| v as u8)
    };
    let cells = move |x: i64, y: i64| match (x - side / 2).pow(2) + (y - side / 2).pow(2) {
        0..400 => [255; 3],
        400..3600 => [90, 30, 120],
        _ if (x / 16 + y / 16) % 2 == 0 => [230, 190, 210],
        _ => [120, 60, 140],
    };
    let flat = move |x: i64, y: i64| match (x, y) {
        (_, 150..) => [255; 3],
        (60..160, 60..120) => [255, 3, 77],
        _ if x < side / 2 => [200; 3],
        _ => [0; 3],
    };
    let noise = lcg(12_345, (side * side * 3) as usize);
    let grey = |x: i64, y: i64| {
        let grain = noise[(y * side + x) as usize * 3];
        [((3 * u16::from(ramp(x, y)[2]) + u16::from(grain)) / 4) as u8; 3]
    };
    [
        ("ramp", paint(ramp)),
        ("cells", paint(cells)),
        ("flat", paint(flat)),
        ("noise", Rgb8::new(SIDE_PX, SIDE_PX, noise.clone()).unwrap()),
        ("gray", paint(grey)),
    ]
}

fn input(name: &str) -> Rgb8 {
    inputs().into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn paint(colour: impl Fn(i64, i64) -> [u8; 3]) -> Rgb8 {
    let side = i64::from(SIDE_PX);
    let values = (0..side * side).flat_map(|i| colour(i % side, i / side)).collect();
    Rgb8::new(SIDE_PX, SIDE_PX, values).unwrap()
}

/// Top bytes of a linear congruential generator.
fn lcg(seed: u32, n: usize) -> Vec<u8> {
    let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(step(&seed), step).map(|state| (state >> 24) as u8).take(n).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn golden_file(name: &str) -> serde_json::Value {
    let path = manifest_dir().join("tests/golden/corruptions").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The pictures fetched by `tests/support/fetch_assets.sh`, as far as they are there.
fn assets() -> Assets {
    let dir =
        std::env::var_os("T3B_ASSETS").map_or_else(|| manifest_dir().join(".cache/assets"), PathBuf::from);
    Assets::from_dir(&dir).unwrap()
}

/// Whether the reference's bytes can be expected; if not, says why.
fn can_be_exact(kind: &Corruption, key: &str) -> bool {
    if !kind.is_exact() {
        println!("skipped {key}: its pictures are not here, see tests/support/fetch_assets.sh");
    }
    kind.is_exact()
}

fn suite(name: &str) -> Suite {
    Suite::with_assets(name, &assets()).unwrap()
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
