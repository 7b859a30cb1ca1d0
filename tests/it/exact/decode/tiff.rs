//! TIFF against Pillow, and its damage.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{DecodeError, Limits, Rendering, decode_with, decoded_bytes_with};
use t3b_image::Rgb8;

use crate::hostile::{grey_tiff as grey, tiff};

const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiff")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join("files").join(name)).unwrap()
}

fn page(frame: Option<u32>) -> Rendering {
    Rendering { frame, ..Rendering::default() }
}

fn code(result: &Result<Rgb8, DecodeError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.reason.code(), |_| "ok")
}

#[test]
fn every_layout_decodes_as_in_pillow() {
    let table: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap();
    let table = table.as_array().unwrap();
    assert!(table.len() > 50);
    for entry in table {
        let bytes = read(entry["file"].as_str().unwrap());
        let rendering = page(entry["frame"].as_u64().map(|frame| frame as u32));
        let image =
            decode_with(&bytes, &LOOSE, &rendering).unwrap_or_else(|error| panic!("{entry}: {error}"));
        let size = (u64::from(image.width_px()), u64::from(image.height_px()));
        assert_eq!(size, (entry["width"].as_u64().unwrap(), entry["height"].as_u64().unwrap()), "{entry}");
        assert_eq!(
            hex::encode(Sha256::digest(image.as_bytes())),
            entry["sha256"].as_str().unwrap(),
            "{entry}"
        );
        assert!(decoded_bytes_with(&bytes, &rendering).unwrap() >= image.as_bytes().len() as u64, "{entry}");
    }
}

#[test]
fn one_of_several_pages_must_be_named() {
    let bytes = read("pages.tif");
    assert_eq!(code(&decode_with(&bytes, &LOOSE, &page(None))), "multi_frame");
    assert_eq!(code(&decode_with(&bytes, &LOOSE, &page(Some(3)))), "frame_out_of_range");
    assert_eq!(code(&decode_with(&read("bits1.tif"), &LOOSE, &page(Some(0)))), "ok");
}

#[test]
fn hostile_headers_have_their_codes() {
    let limits = Limits::default();
    let cell = |bytes: &[u8]| code(&decode_with(bytes, &limits, &page(None)));
    let entry = |entries: &[(u16, u16, u32, u32)], tag: u16, new: (u16, u16, u32, u32)| {
        entries.iter().map(|&old| if old.0 == tag { new } else { old }).collect::<Vec<_>>()
    };
    let good = grey(16, 16, 1, 256);
    assert_eq!(cell(&tiff(&good, 0, &[7; 256])), "ok");
    for compression in [1, 5, 8, 32_773] {
        assert_eq!(
            cell(&tiff(&grey(50_000, 50_000, compression, 16), 0, &[0; 16])),
            "dimensions_exceed_limit"
        );
        assert_eq!(cell(&tiff(&grey(8_000, 8_000, compression, 16), 0, &[0; 16])), "decode_truncated");
    }
    assert_eq!(cell(&tiff(&entry(&good, 273, (273, 4, 0xffff_fff0, 8)), 0, &[7; 256])), "decode_corrupt");
    assert_eq!(cell(&tiff(&good, 8, &[7; 256])), "decode_corrupt", "the next page is this one");
    assert_eq!(cell(&tiff(&grey(0, 16, 1, 256), 0, &[7; 256])), "decode_corrupt");
    assert_eq!(cell(&tiff(&entry(&good, 258, (258, 3, 1, 32)), 0, &[7; 256])), "decode_truncated");
    assert_eq!(cell(&tiff(&entry(&good, 262, (262, 3, 1, 5)), 0, &[7; 256])), "unsupported_color_type");
    assert_eq!(cell(&tiff(&entry(&good, 259, (259, 3, 1, 4)), 0, &[7; 256])), "unsupported_format");
    assert_eq!(cell(b"II*\0"), "decode_truncated");
}

#[test]
fn a_cut_anywhere_is_never_scored() {
    for name in [
        "rgb8_lzw.tif",
        "tiles_adobe_deflate.tif",
        "jpeg_tiles.tif",
        "big_be.tif",
        "pages.tif",
        "palette16.tif",
    ] {
        let bytes = read(name);
        let rendering = page((name == "pages.tif").then_some(2));
        assert!(decode_with(&bytes, &LOOSE, &rendering).is_ok(), "{name}");
        // The last bytes may be resolutions, software or padding of a tag that is not read.
        let n_unread = if name == "pages.tif" { 200 } else { 64 };
        for len in (0..bytes.len().saturating_sub(n_unread)).step_by(7) {
            let result = decode_with(&bytes[..len], &LOOSE, &rendering);
            let is_same = result
                .as_ref()
                .is_ok_and(|image| Some(image) == decode_with(&bytes, &LOOSE, &rendering).ok().as_ref());
            assert!(result.is_err() || is_same, "{name} cut at {len} of {}", bytes.len());
        }
    }
}
