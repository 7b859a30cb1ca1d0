use std::fs;
use std::process::Command;

use t3b_decode::{DecodeError, Format, Limits, decode, decoded_bytes};

use super::{LOOSE, assert_golden, code, golden, golden_file, shared, text};
use crate::hostile;

/// Cuts at up to 200 lengths, spread over the file and dense at both ends.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    let spread = (1..=160).map(move |i| i * len / 161);
    spread
        .chain((1..=20).map(move |i| i.min(len)))
        .chain((1..=20).map(move |i| len.saturating_sub(i)))
        .filter(|&cut| cut > 0)
}

fn assert_cut_is_never_scored(name: &str, bytes: &[u8]) {
    for cut in cuts(bytes.len()) {
        assert_eq!(
            code(&decode(&bytes[..cut], &LOOSE)),
            "decode_truncated",
            "{name} cut to {cut} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    for entry in golden("decode") {
        assert_cut_is_never_scored(text(&entry, "file"), &golden_file(&entry));
    }
}

#[test]
fn a_real_file_cut_anywhere_is_truncated() {
    let Some(root) = shared() else { return };
    for entry in golden("shared") {
        let name = text(&entry, "file");
        assert_cut_is_never_scored(name, &fs::read(root.join(name)).unwrap());
    }
}

#[test]
fn a_jpeg_cut_and_closed_again_is_not_scored() {
    for entry in golden("decode").iter().filter(|entry| text(entry, "file").ends_with(".jpg")) {
        let bytes = golden_file(entry);
        let sos = bytes.windows(2).rposition(|pair| pair == b"\xff\xda").unwrap();
        let data = sos + 2 + usize::from(u16::from_be_bytes([bytes[sos + 2], bytes[sos + 3]]));
        for cut in data..bytes.len() - 3 {
            let closed = [&bytes[..cut], b"\xff\xd9"].concat();
            let code = code(&decode(&closed, &LOOSE));
            assert!(["decode_truncated", "decode_corrupt"].contains(&code), "{entry}: {cut} gives {code}");
        }
    }
}

/// Start-of-scan offsets and where each scan's data end, of a file without thumbnails.
fn scans(bytes: &[u8]) -> Vec<(usize, usize)> {
    let is_marker = |at: &usize| bytes[*at] == 0xff && !matches!(bytes[*at + 1], 0 | 0xd0..=0xd7 | 0xff);
    let markers: Vec<usize> = (0..bytes.len() - 1).filter(is_marker).collect();
    markers.windows(2).filter(|pair| bytes[pair[0] + 1] == 0xda).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn a_progressive_jpeg_without_one_of_its_scans_is_not_scored() {
    let mut n_removed = 0;
    for entry in golden("decode").iter().filter(|entry| text(entry, "file").ends_with("progressive.jpg")) {
        let bytes = golden_file(entry);
        let scans = scans(&bytes);
        for (i, &(start, end)) in scans.iter().enumerate() {
            let without = [&bytes[..start], &bytes[end..]].concat();
            let code = code(&decode(&without, &LOOSE));
            let is_last = i + 1 == scans.len();
            assert!(
                code == "decode_truncated" || (!is_last && code == "decode_corrupt"),
                "{entry}: scan {i} gives {code}"
            );
            n_removed += 1;
        }
    }
    assert!(n_removed > 100);
}

#[test]
fn a_jpeg_with_bytes_left_over_is_corrupt() {
    for entry in golden("decode").iter().filter(|entry| text(entry, "file").ends_with(".jpg")) {
        let bytes = golden_file(entry);
        let (_, end) = scans(&bytes)[0];
        for extra in [&[0x5a][..], &[0x5a; 40], b"\xff\xd0"] {
            let longer = [&bytes[..end], extra, &bytes[end..]].concat();
            assert_eq!(code(&decode(&longer, &LOOSE)), "decode_corrupt", "{entry}");
        }
    }
}

#[test]
fn a_jpeg_of_endless_scans_is_refused_by_their_number() {
    let error = decode(&hostile::many_scans_jpeg(10_000), &LOOSE).unwrap_err();
    assert_eq!(error.detail, "found over 100 scans, allowed 100");
}

#[test]
fn bytes_after_the_end_marker_change_nothing() {
    for entry in golden("decode").iter().step_by(5) {
        let bytes = golden_file(entry);
        for tail in [&[0; 100][..], b"\xff\xd8\xff\xe0 a preview", b"<html>"] {
            assert_golden(&decode(&[&bytes, tail].concat(), &LOOSE).unwrap(), entry);
        }
    }
}

#[test]
fn a_png_with_a_flipped_bit_is_never_scored_differently() {
    for entry in golden("decode").iter().filter(|entry| text(entry, "file").ends_with(".png")) {
        let bytes = golden_file(entry);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(decode(&damaged, &LOOSE).is_err(), "{entry}: byte {at}");
        }
    }
}

#[test]
fn a_jpeg_with_a_flipped_byte_is_caught_or_keeps_its_shape() {
    let (mut n_caught, mut n_scored) = (0, 0);
    for entry in golden("decode").iter().filter(|entry| text(entry, "file").ends_with(".jpg")) {
        let bytes = golden_file(entry);
        for at in (2..bytes.len() - 2).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            match decode(&damaged, &LOOSE) {
                Ok(image) => {
                    n_scored += 1;
                    assert_eq!(image.as_bytes().len() % 3, 0);
                }
                Err(_) => n_caught += 1,
            }
        }
    }
    // JPEG has no checksum: the rest is what a manifest's sha256 is for.
    println!("flipped JPEG bytes: {n_caught} caught, {n_scored} scored");
    assert!(n_caught > n_scored / 2);
}

/// Name, bytes and the code that each must give.
fn hostile_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = hostile::black_png(64, 64, 8, hostile::RGB);
    let mut bad_crc = good.clone();
    bad_crc[45] ^= 0xff;
    let mut lossless = hostile::tiny_jpeg(64, 64, 0xc3, 3);
    lossless.truncate(190);
    let precision_12 = {
        let mut bytes = hostile::tiny_jpeg(64, 64, 0xc1, 1);
        let at = bytes.windows(2).position(|pair| pair == b"\xff\xc1").unwrap();
        bytes[at + 4] = 12;
        bytes
    };
    vec![
        ("nothing", vec![], "empty_object"),
        ("a good png", good.clone(), "ok"),
        ("a png cut", good[..60].to_vec(), "decode_truncated"),
        ("a png signature", good[..8].to_vec(), "decode_truncated"),
        ("a png checksum", bad_crc, "decode_corrupt"),
        ("a png header of 30 GB", hostile::header_only_png(100_000, 100_000), "dimensions_exceed_limit"),
        ("a png header of 2^62 px", hostile::header_only_png(1 << 31, 1 << 31), "dimensions_exceed_limit"),
        ("a png of 1.2 GB", hostile::black_png(20_000, 20_000, 8, hostile::RGB), "dimensions_exceed_limit"),
        (
            "a 1-bit png of 3.6 Gpx",
            hostile::black_png(60_000, 60_000, 1, hostile::GREY),
            "dimensions_exceed_limit",
        ),
        ("a png with 256 MiB of text", hostile::text_bomb_png(256 << 20), "ok"),
        ("a png of width zero", hostile::header_only_png(0, 64), "decode_corrupt"),
        ("a png without data", hostile::header_only_png(64, 64), "decode_corrupt"),
        ("an animated png", hostile::animated_png(12), "multi_frame"),
        ("an animation of one", hostile::animated_png(1), "ok"),
        ("an animated gif of one pixel", hostile::gif(12), "image_too_small"),
        ("a gif of one pixel", hostile::gif(1), "image_too_small"),
        (
            "a jpeg header of 65,500 squared",
            hostile::tiny_jpeg(65_500, 65_500, 0xc0, 3),
            "dimensions_exceed_limit",
        ),
        ("a progressive one", hostile::tiny_jpeg(65_500, 65_500, 0xc2, 3), "dimensions_exceed_limit"),
        ("a jpeg of width zero", hostile::tiny_jpeg(0, 64, 0xc0, 3), "decode_corrupt"),
        ("a jpeg of 36 Mpx without its tables", hostile::tiny_jpeg(6000, 6000, 0xc0, 3), "decode_truncated"),
        ("a jpeg of four components", hostile::tiny_jpeg(64, 64, 0xc0, 4), "unsupported_color_type"),
        ("a jpeg of 12 bits", precision_12, "unsupported_color_type"),
        ("a lossless jpeg", lossless, "unsupported_format"),
        ("an arithmetic jpeg", hostile::tiny_jpeg(64, 64, 0xc9, 3), "unsupported_format"),
        ("a jpeg of 10,000 scans", hostile::many_scans_jpeg(10_000), "decode_corrupt"),
        ("a pixel", hostile::black_png(1, 1, 8, hostile::RGB), "image_too_small"),
        ("a thread", hostile::black_png(1, 30_000, 8, hostile::RGB), "aspect_exceeds_limit"),
        (
            "a store's error page",
            b"<?xml version=\"1.0\"?><Error>AccessDenied</Error>".to_vec(),
            "unsupported_format",
        ),
        ("noise", vec![0x5a; 1000], "unsupported_format"),
    ]
}

/// Runs in a process of its own, because the peak of this one is everybody's.
#[test]
fn hostile_files_have_their_codes_and_cost_no_memory() {
    const CHILD: &str = "T3B_TEST_HOSTILE_CHILD";
    const MAX_PEAK_KIB: u64 = 96 << 10;
    if std::env::var_os(CHILD).is_none() {
        let name = format!("{}::hostile_files_have_their_codes_and_cost_no_memory", module_path!());
        let name = name.split_once("::").unwrap().1;
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    for (name, bytes, expected) in hostile_files() {
        let result = decode(&bytes, &Limits::default());
        assert_eq!(code(&result), expected, "{name}: {result:?}");
        if let Err(error) = result {
            assert!(error.detail.len() <= DecodeError::MAX_DETAIL_LEN && error.detail.is_ascii(), "{name}");
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    assert!(peak.is_none_or(|kib| kib < MAX_PEAK_KIB), "peak {peak:?} KiB");
}

#[test]
fn an_error_names_the_declared_size_and_the_format() {
    let error = decode(&hostile::header_only_png(100_000, 90_000), &Limits::default()).unwrap_err();
    assert_eq!((error.format, error.declared_px), (Format::Png, Some((100_000, 90_000))));
    assert_eq!(error.detail, "found 100000x90000 px, allowed max side 16384");
    assert_eq!(decoded_bytes(b"neither this nor that"), None);
}
