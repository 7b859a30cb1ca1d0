//! Random damage to DICOM and TIFF files: an error or a picture, never a panic, and bounded memory.

use std::fs;
use std::process::Command;

use t3b_decode::{Limits, Reason, Rendering, Window, decode_with, decoded_bytes_with};

use crate::support::dicom::{Syntax, Value, compressed_file, file, grey_16, text, us, with};
use crate::support::repo;

const LIMITS: Limits = Limits { max_side_px: 2048, min_side_px: 1, max_pixels: 1 << 20, max_aspect: 1000 };
/// What one process may grow to: the test binary itself is some 15 MB, a picture of the limits 12 MB.
const MAX_RSS_KIB: u64 = 96 << 10;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

/// Damages a file: flips, hostile lengths, cuts, copies and gaps, up to eight of them.
fn mutate(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=dice.roll(8) {
        // Mostly behind the preamble, where the structure is.
        let first = if dice.roll(8) == 0 { 0 } else { 132.min(bytes.len()) };
        let at = first + dice.roll(bytes.len() - first);
        let len = dice.roll(64).min(bytes.len() - at);
        match dice.roll(7) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.roll(8)),
            1 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            2 => bytes.iter_mut().skip(at).take(1 + len / 16).for_each(|byte| *byte = dice.roll(256) as u8),
            3 => bytes.truncate(at.max(1)),
            4 => {
                let part = bytes[at..at + len].to_vec();
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, part);
            }
            5 => drop(bytes.drain(at..at + len)),
            _ => {
                let item = [&b"\xfe\xff\0\xe0\xff\xff\xff\xff"[..], b"\x40\0\0\x01SQ\0\0\xff\xff\xff\xff"]
                    [dice.roll(2)];
                bytes.splice(at..at, item.repeat(1 + dice.roll(40)));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Small good files of every structure that the walk knows.
fn seeds() -> Vec<Vec<u8>> {
    let window = with(grey_16(8, 8, 12, false), text((0x28, 0x1050), b"DS", "1000"));
    let window = with(window, text((0x28, 0x1051), b"DS", "2000"));
    let group = vec![(0x28, 0x9132, b"SQ", Value::Items(vec![vec![text((0x28, 0x1050), b"DS", "9")]]))];
    let nested = with(window.clone(), (0x5200, 0x9229, b"SQ", Value::Items(vec![group])));
    let lut = vec![us((0x28, 0x3002), &[4, 0, 16]), us((0x28, 0x3006), &[0, 9, 99, 999])];
    let nested = with(nested, (0x28, 0x3010, b"SQ", Value::Items(vec![lut])));
    let pixels: Vec<u16> = (0..64).map(|value| value * 50).collect();
    let mut rle = [2_u32, 64, 80].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    rle.resize(64, 0);
    rle.extend([0xc1, 3, 0]);
    rle.resize(80, 0);
    rle.extend([0xc1, 7]);
    let mut all = vec![
        file(Syntax::Explicit, &nested, &pixels),
        file(Syntax::Implicit, &nested, &pixels),
        file(Syntax::BigEndian, &nested, &pixels),
        compressed_file("5", &window, &[rle]),
    ];
    let tiffs = [
        "tiles_predictor.tif",
        "jpeg_tiles.tif",
        "big_be.tif",
        "pages.tif",
        "planes8_lzw.tif",
        "palette16.tif",
    ];
    all.extend(tiffs.map(|name| fs::read(repo("tests/golden/tiff/files").join(name)).unwrap()));
    // Real ones of the other codecs, where they have been fetched.
    let names = [
        "pydicom/data/test_files/MR_small_jpeg_ls_lossless.dcm",
        "pydicom/data/test_files/MR_small_jp2klossless.dcm",
        "pydicom/data/test_files/SC_rgb_jpeg_gdcm.dcm",
        "pydicom/data/test_files/SC_rgb_jpeg_dcmtk.dcm",
        "pydicom/data/test_files/SC_rgb_jls_lossy_sample.dcm",
        "pydicom/data/test_files/image_dfl.dcm",
        "pydicom/data/test_files/SC_rgb_rle_2frame.dcm",
    ];
    for folder in ["a", "b", ""] {
        all.extend(
            names.iter().filter_map(|name| fs::read(repo(".cache/dicom").join(folder).join(name)).ok()),
        );
    }
    all
}

/// The largest memory this process has held, in KiB.
fn peak_rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn random_damage_neither_panics_nor_fills_memory() {
    // In a process of its own, so that other tests' memory does not count.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "decode::prescan::damage_in_this_process", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    println!("{output}");
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
#[ignore = "run by random_damage_neither_panics_nor_fills_memory; T3B_FUZZ_ROUNDS makes it longer"]
fn damage_in_this_process() {
    let n_rounds = std::env::var("T3B_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let seeds = seeds();
    let rendering = Rendering { frame: Some(0), window: Window::File, ..Rendering::default() };
    seeds.iter().for_each(|seed| assert!(decode_with(seed, &LIMITS, &rendering).is_ok()));
    let (mut n_ok, mut n_refused) = (0, 0);
    for round in 0..n_rounds {
        for (index, seed) in seeds.iter().enumerate() {
            let mut dice = Dice(round << 8 | index as u64);
            let bytes = mutate(seed, &mut dice);
            let _ = decoded_bytes_with(&bytes, &rendering);
            match decode_with(&bytes, &LIMITS, &rendering) {
                Ok(_) => n_ok += 1,
                Err(error) => {
                    assert_ne!(error.reason, Reason::DecoderPanic, "seed {index}, round {round}: {error}");
                    n_refused += 1;
                }
            }
        }
    }
    let peak = peak_rss_kib();
    println!("{} seeds: {n_ok} decoded, {n_refused} refused, peak {peak} KiB", seeds.len());
    assert!(peak < MAX_RSS_KIB, "{peak} KiB");
}
