//! NIfTI slices against nibabel and numpy, and damage.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{DecodeError, Format, Limits, Rendering, Slice, Window, decode_with, decoded_bytes_with};
use t3b_image::Rgb8;

use crate::support::repo;

const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

fn code(result: &Result<Rgb8, DecodeError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.reason.code(), |_| "ok")
}

fn at(axis: u8, index: u32) -> Rendering {
    Rendering { slice: Some(Slice { axis, index }), ..Rendering::default() }
}

fn code_of(bytes: &[u8]) -> &'static str {
    code(&decode_with(bytes, &LOOSE, &at(2, 0)))
}

#[test]
fn every_type_order_axis_and_window_decodes_as_with_nibabel() {
    let folder = repo("tests/golden/nifti");
    let table: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
    assert!(table.len() > 150);
    let mut n_skipped = 0;
    for entry in table {
        let name = entry["file"].as_str().unwrap();
        let path = folder.join("files").join(name);
        let path = if name == "ch2bet.nii.gz" { repo(".cache/nifti").join(name) } else { path };
        let Ok(bytes) = fs::read(path) else {
            assert_eq!(name, "ch2bet.nii.gz");
            n_skipped += 1;
            continue;
        };
        let number = |key: &str| entry[key].as_u64().map(|number| number as u32);
        let window = match entry["window"].as_str().unwrap() {
            "minmax" => Window::MinMax,
            "percentile" => Window::Percentile,
            _ => Window::File,
        };
        let slice = number("axis").map(|axis| Slice { axis: axis as u8, index: number("index").unwrap() });
        let rendering = Rendering { slice, window, frame: number("frame"), ..Rendering::default() };
        let image =
            decode_with(&bytes, &LOOSE, &rendering).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_eq!(
            (Some(image.width_px()), Some(image.height_px())),
            (number("width"), number("height")),
            "{entry}"
        );
        assert_eq!(
            hex::encode(Sha256::digest(image.as_bytes())),
            entry["sha256"].as_str().unwrap(),
            "{entry}"
        );
        assert!(decoded_bytes_with(&bytes, &rendering).unwrap() >= image.as_bytes().len() as u64, "{entry}");
    }
    if n_skipped > 0 {
        println!("skipped: {n_skipped} slices of .cache/nifti; tests/support/fetch_nifti.sh fetches it");
    }
}

/// A volume of u8 as the standard has it: 348 bytes of header, 4 that say there is no extension, the voxels.
fn volume(sides: &[i16], voxels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    bytes[..4].copy_from_slice(&348_u32.to_le_bytes());
    let mut half = |at: usize, value: i16| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    half(40, sides.len() as i16);
    sides.iter().enumerate().for_each(|(n, &side)| half(42 + 2 * n, side));
    half(70, 2);
    half(72, 8);
    bytes[108..112].copy_from_slice(&352_f32.to_le_bytes());
    bytes[344..348].copy_from_slice(b"n+1\0");
    bytes.extend(voxels);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn with(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn a_slice_must_be_named_and_be_in_the_volume() {
    let bytes = volume(&[8, 9, 10], &[1; 720]);
    assert_eq!(code(&decode_with(&bytes, &LOOSE, &Rendering::default())), "multi_frame");
    for (axis, n) in [(0, 8), (1, 9), (2, 10)] {
        assert_eq!(code(&decode_with(&bytes, &LOOSE, &at(axis, n - 1))), "ok");
        assert_eq!(code(&decode_with(&bytes, &LOOSE, &at(axis, n))), "frame_out_of_range");
    }
    assert_eq!(code(&decode_with(&bytes, &LOOSE, &at(3, 0))), "frame_out_of_range");
    let plane = volume(&[8, 9], &[1; 72]);
    assert_eq!(code(&decode_with(&plane, &LOOSE, &Rendering::default())), "ok");
    let series = volume(&[8, 8, 8, 2], &[1; 1024]);
    assert_eq!(code_of(&series), "multi_frame");
    let second = Rendering { frame: Some(1), ..at(0, 3) };
    assert_eq!(code(&decode_with(&series, &LOOSE, &second)), "ok");
    let third = Rendering { frame: Some(2), ..at(0, 3) };
    assert_eq!(code(&decode_with(&series, &LOOSE, &third)), "frame_out_of_range");
}

#[test]
fn a_cut_anywhere_is_never_scored_and_bytes_behind_the_voxels_change_nothing() {
    let good = volume(&[8, 8, 3], &[9; 192]);
    let zipped = gzipped(&good);
    assert_eq!((code_of(&good), code_of(&zipped)), ("ok", "ok"));
    for len in 0..good.len() {
        let expected = if len >= 348 { "decode_truncated" } else { "unsupported_format" };
        let found = code_of(&good[..len]);
        assert!(found == expected || len == 0, "{found} cut at {len}");
    }
    for len in 1..zipped.len() {
        assert!(
            ["decode_truncated", "unsupported_format"].contains(&code_of(&zipped[..len])),
            "cut at {len}"
        );
    }
    // The checksum and length of gzip stand behind everything.
    for at in zipped.len() - 8..zipped.len() {
        let damaged = with(zipped.clone(), at, &[zipped[at] ^ 1]);
        assert_eq!(code_of(&damaged), "decode_corrupt", "{at}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!((code_of(&longer), code_of(&gzipped(&longer))), ("ok", "ok"));
}

#[test]
fn hostile_headers_have_their_codes_and_cost_nothing() {
    let good = volume(&[8, 8, 3], &[9; 192]);
    let largest = i16::MAX.to_le_bytes();
    let huge = with(with(with(good.clone(), 42, &largest), 44, &largest), 46, &largest);
    let bomb = gzipped(&[volume(&[1024, 1024, 1024], &[]), vec![0; 64 << 20]].concat());
    let cases = [
        ("sides of 2^45 voxels", huge.clone(), "dimensions_exceed_limit"),
        ("the same in gzip", gzipped(&huge), "dimensions_exceed_limit"),
        ("a gzip that is a part of what it declares", bomb, "decode_truncated"),
        ("no axes", with(good.clone(), 40, &[0, 0]), "decode_corrupt"),
        ("eight axes", with(good.clone(), 40, &[8, 0]), "decode_corrupt"),
        ("a side of zero", with(good.clone(), 42, &[0, 0]), "decode_corrupt"),
        ("a side below zero", with(good.clone(), 42, &[0xff, 0xff]), "decode_corrupt"),
        ("complex voxels", with(good.clone(), 70, &[32, 0]), "unsupported_color_type"),
        ("u8 of 16 bits", with(good.clone(), 72, &[16, 0]), "ok"),
        (
            "data before the end of the header",
            with(good.clone(), 108, &8_f32.to_le_bytes()),
            "decode_corrupt",
        ),
        ("data nowhere", with(good.clone(), 108, &f32::NAN.to_le_bytes()), "decode_corrupt"),
        ("data beyond the file", with(good.clone(), 108, &9_999_f32.to_le_bytes()), "decode_truncated"),
        ("five axes", volume(&[2, 2, 2, 2, 2], &[1; 32]), "unsupported_format"),
        ("a header of its own file", with(good.clone(), 344, b"ni1\0"), "unsupported_format"),
        (
            "an intercept that is no number",
            with(with(good.clone(), 112, &1_f32.to_le_bytes()), 116, &f32::NAN.to_le_bytes()),
            "decode_corrupt",
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(code_of(&bytes), expected, "{name}");
    }
    assert_eq!(decode_with(&huge, &LOOSE, &at(0, 0)).unwrap_err().format, Format::Nifti);
}
