use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b::decode::resize::{CropRule, Resizer};
use t3b::decode::{DecodeError, Format, Limits, decode, decoded_bytes};
use t3b::pixels::Rgb8;

use crate::hostile;

/// Limits for the goldens, some of which are one pixel wide.
const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/decode")
}

fn golden(list: &str) -> Vec<Value> {
    let text = fs::read_to_string(golden_dir().join("golden.json")).unwrap();
    let mut golden: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(entries) = golden[list].take() else { panic!("no list {list}") };
    assert!(!entries.is_empty(), "{list}");
    entries
}

fn golden_file(entry: &Value) -> Vec<u8> {
    fs::read(golden_dir().join("files").join(text(entry, "file"))).unwrap()
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap()
}

fn side(entry: &Value, key: &str) -> u32 {
    entry[key].as_u64().unwrap() as u32
}

fn digest(image: &Rgb8) -> String {
    hex::encode(Sha256::digest(image.as_bytes()))
}

fn assert_golden(image: &Rgb8, entry: &Value) {
    assert_eq!(
        (image.width_px(), image.height_px()),
        (side(entry, "width"), side(entry, "height")),
        "{entry}"
    );
    assert_eq!(digest(image), text(entry, "sha256"), "{entry}");
}

/// Real files beside the repository, or `None` with a message where they are not laid out.
fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: ../shared/data is absent");
    None
}

fn code(result: &Result<Rgb8, DecodeError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.reason.code(), |_| "ok")
}

#[test]
fn every_colour_type_depth_and_sampling_decodes_as_in_pillow() {
    for entry in golden("decode") {
        let bytes = golden_file(&entry);
        let image = decode(&bytes, &LOOSE).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_golden(&image, &entry);
        assert!(decoded_bytes(&bytes).unwrap() >= image.as_bytes().len() as u64, "{entry}");
    }
}

#[test]
fn sixteen_bit_grey_keeps_its_high_byte_where_pillow_clips() {
    let deviating: Vec<Value> =
        golden("decode").into_iter().filter(|entry| entry.get("pillow_sha256").is_some()).collect();
    assert_eq!(deviating.len(), 2, "plain and interlaced 16-bit grey, nothing else");
    for entry in deviating {
        assert!(text(&entry, "file").starts_with("color0_depth16"), "{entry}");
        assert_ne!(text(&entry, "pillow_sha256"), text(&entry, "sha256"), "{entry}");
    }
}

#[test]
fn bicubic_resize_equals_pillow() {
    // One resizer for all, so that stale scratch or weights would show.
    let mut resizer = Resizer::default();
    for entry in golden("resize") {
        let source = decode(&golden_file(&entry), &LOOSE).unwrap();
        assert_golden(&resizer.bicubic(&source, side(&entry, "width"), side(&entry, "height")), &entry);
    }
}

#[test]
fn short_side_and_centre_crop_equal_torchvision_and_hugging_face() {
    let (mut torchvision, mut hugging_face) = (Resizer::default(), Resizer::new(CropRule::Floor));
    let mut n_different = 0;
    for entry in golden("crop") {
        let source = decode(&golden_file(&entry), &LOOSE).unwrap();
        let is_floor = text(&entry, "rule") == "floor";
        let resizer = if is_floor { &mut hugging_face } else { &mut torchvision };
        let crop = resizer.short_side_then_center_crop(&source, side(&entry, "width"));
        assert_golden(&crop, &entry);
        let other = if is_floor { &mut torchvision } else { &mut hugging_face };
        n_different += usize::from(other.short_side_then_center_crop(&source, side(&entry, "width")) != crop);
    }
    assert!(n_different > 0, "no golden tells the two rules apart");
}

#[test]
fn real_cells_and_smears_equal_pillow() {
    let Some(root) = shared() else { return };
    let mut resizer = Resizer::default();
    for entry in golden("shared") {
        let image = decode(&fs::read(root.join(text(&entry, "file"))).unwrap(), &Limits::default()).unwrap();
        assert_golden(&image, &entry);
        for size in [224, 32] {
            let crop = resizer.short_side_then_center_crop(&image, size);
            assert_eq!(digest(&crop), text(&entry, &format!("crop{size}_sha256")), "{entry}");
        }
    }
}

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
        ("an animated gif", hostile::gif(12), "multi_frame"),
        ("a gif", hostile::gif(1), "unsupported_format"),
        (
            "a jpeg header of 65,500 squared",
            hostile::tiny_jpeg(65_500, 65_500, 0xc0, 3),
            "dimensions_exceed_limit",
        ),
        ("a progressive one", hostile::tiny_jpeg(65_500, 65_500, 0xc2, 3), "dimensions_exceed_limit"),
        ("a jpeg of width zero", hostile::tiny_jpeg(0, 64, 0xc0, 3), "decode_corrupt"),
        ("a jpeg whose scan is too short", hostile::tiny_jpeg(6000, 6000, 0xc0, 3), "decode_corrupt"),
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
    assert_eq!(decoded_bytes(&hostile::gif(1)), None);
}

fn any_image(max_side: u32) -> impl Strategy<Value = Rgb8> {
    (1..=max_side, 1..=max_side).prop_flat_map(|(width, height)| {
        let len = (width * height * 3) as usize;
        proptest::collection::vec(any::<u8>(), len)
            .prop_map(move |data| Rgb8::new(width, height, data).unwrap())
    })
}

/// What Pillow's loops say, without any of our layout: every output pixel on its own.
fn naive_pixel_range(image: &Rgb8) -> [(u8, u8); 3] {
    std::array::from_fn(|channel| {
        let values = image.as_bytes().iter().skip(channel).step_by(3);
        (*values.clone().min().unwrap(), *values.max().unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resizing_to_the_same_size_is_the_identity(image in any_image(40)) {
        let same = Resizer::default().bicubic(&image, image.width_px(), image.height_px());
        prop_assert!(same == image);
    }

    #[test]
    fn a_constant_image_stays_constant(rgb in any::<[u8; 3]>(), from in (1_u32..300, 1_u32..300), to in (1_u32..300, 1_u32..300)) {
        let resized = Resizer::default().bicubic(&Rgb8::filled(from.0, from.1, rgb), to.0, to.1);
        prop_assert!(resized == Rgb8::filled(to.0, to.1, rgb));
    }

    #[test]
    fn overshoot_stays_inside_the_kernels_bound(image in any_image(24), to in (1_u32..50, 1_u32..50)) {
        let resized = Resizer::default().bicubic(&image, to.0, to.1);
        // One pass overshoots by at most 1/8 of the range at either end, two by a bit over 1/4.
        for ((low, high), (lowest, highest)) in naive_pixel_range(&image).into_iter().zip(naive_pixel_range(&resized)) {
            let slack = (f64::from(high - low) * 0.3125).ceil() as u8 + 1;
            prop_assert!(lowest >= low.saturating_sub(slack) && highest <= high.saturating_add(slack));
        }
    }

    #[test]
    fn a_crop_is_the_middle_of_the_whole(image in any_image(40), size in 1_u32..40) {
        let mut resizer = Resizer::default();
        let crop = resizer.short_side_then_center_crop(&image, size);
        let (short, long) = (image.width_px().min(image.height_px()), image.width_px().max(image.height_px()));
        let scaled = size * long / short;
        let (width, height) = if image.width_px() <= image.height_px() { (size, scaled) } else { (scaled, size) };
        let whole = resizer.bicubic(&image, width, height);
        // Python's round(leftover / 2).
        let offset = |total: u32| (f64::from(total - size) / 2.0).round_ties_even() as usize;
        let (left, top) = (offset(width), offset(height));
        for y in 0..size as usize {
            let start = ((top + y) * width as usize + left) * 3;
            let row = &whole.as_bytes()[start..start + 3 * size as usize];
            prop_assert_eq!(row, &crop.as_bytes()[y * 3 * size as usize..][..3 * size as usize]);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &LOOSE);
        for magic in [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"] {
            prop_assert_ne!(code(&decode(&[magic, &bytes].concat(), &LOOSE)), "decoder_panic");
        }
    }

    #[test]
    fn mutated_files_are_decoded_or_refused(
        pick in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let entries = golden("decode");
        let mut bytes = golden_file(pick.get(&entries));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            let (from, len) = (cut.index(bytes.len()), bytes.len());
            bytes.drain(from..(from + 9).min(len));
        }
        prop_assert_ne!(code(&decode(&bytes, &LOOSE)), "decoder_panic");
    }
}
