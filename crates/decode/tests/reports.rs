//! The pictures that public bug reports were rebuilt as: each is read, pixel by pixel as expected where that is stored, or refused by
//! a reason that names what is in the way. A picture that is not on the list of refusals must be read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{Limits, Rendering, Slice, decode, decode_with};

const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

/// Refused, why, and what the reason names.
const REFUSED: [(&str, &str, &str); 15] = [
    // The same attribute twice with two values: readers take the first or the last.
    ("D24l", "dicom_structure_invalid", "(0028,1050)"),
    ("D47g", "multi_frame", "found 3 frames, want 1"),
    ("D63", "dicom_no_pixel_data", "no (7fe0,0010)"),
    // Bytes that are no part of a JPEG, and a scan that is not there.
    ("J04", "decode_corrupt", ""),
    ("J22", "decode_corrupt", ""),
    ("J21", "decode_truncated", ""),
    ("P10", "decode_truncated", "no IEND chunk"),
    ("P11", "decode_corrupt", "checksum"),
    ("P16", "unsupported_format", "CgBI"),
    ("T06", "unsupported_format", "compression 6"),
    ("T08c", "unsupported_format", "compression 4"),
    ("T15c", "unsupported_format", "compression 34925"),
    ("T15d", "unsupported_format", "compression 50001"),
    // Named in another list, and refused there too.
    ("Q10_a", "", ""),
    ("Q10_b", "", ""),
];

/// Shown otherwise than a viewer would: the rule is in docs/inputs.md.
const DECIDED: [&str; 2] = ["D64", "P03b"];

fn rendering(id: &str) -> Rendering {
    let frame = match id {
        "D47c" | "D47j" => Some(1),
        "D47e" => Some(0),
        _ => None,
    };
    let slice = id.starts_with('N').then(|| Slice { axis: 2, index: if id == "N05" { 1 } else { 5 } });
    Rendering { frame, slice, ..Rendering::default() }
}

/// A golden file, its rendering, and the hash of the reference's pixels.
fn golden(name: &str) -> (Vec<u8>, Rendering, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/field");
    let entries: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
    let entry = entries.into_iter().find(|entry| entry["file"] == name).unwrap();
    let slice = entry["axis"].as_u64().map(|axis| Slice {
        axis: u8::try_from(axis).unwrap(),
        index: u32::try_from(entry["index"].as_u64().unwrap()).unwrap(),
    });
    let rendering = Rendering { slice, ..Rendering::default() };
    (
        fs::read(folder.join("files").join(name)).unwrap(),
        rendering,
        entry["sha256"].as_str().unwrap().to_owned(),
    )
}

fn assert_reference(bytes: &[u8], rendering: &Rendering, sha256: &str, name: &str) {
    let image = decode_with(bytes, &LOOSE, rendering).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(hex::encode(Sha256::digest(image.as_bytes())), sha256, "{name}");
}

/// HP's colour transforms undone, JFIF before the attribute, libjpeg's rule without a marker, lossy values clamped.
#[test]
fn d20_d37b_d38_e23_codestreams_that_their_attributes_describe_wrongly_are_the_references_pixels() {
    for name in [
        "hp1.dcm",
        "hp2.dcm",
        "hp3.dcm",
        "jfif_rgb.dcm",
        "bare_rgb.dcm",
        "overshoot_u.dcm",
        "overshoot_s.dcm",
    ] {
        let (bytes, rendering, sha256) = golden(name);
        assert_reference(&bytes, &rendering, &sha256, name);
    }
}

#[test]
fn n06_integers_of_8_32_and_64_bits_are_the_references_pixels() {
    for name in ["n1_i1.nii", "n1_u4.nii", "n1_i8.nii", "n1_u8.nii"] {
        let (bytes, rendering, sha256) = golden(name);
        assert_reference(&bytes, &rendering, &sha256, name);
    }
}

#[test]
fn n07b_zeros_behind_a_gzipped_volume_are_padding_and_other_bytes_are_not() {
    let (bytes, rendering, sha256) = golden("n1_i2.nii");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&bytes).unwrap();
    let gzip = gzip.finish().unwrap();
    for n_zeros in [0, 1, 512] {
        let padded = [gzip.as_slice(), &vec![0; n_zeros]].concat();
        assert_reference(&padded, &rendering, &sha256, &format!("{n_zeros} zeros"));
    }
    let error = decode_with(&[gzip.as_slice(), b"\0\0x"].concat(), &LOOSE, &rendering).unwrap_err();
    // Where the padding ends another member must begin, and this is none.
    assert!(["decode_corrupt", "decode_truncated"].contains(&error.reason.code()), "{error}");
}

#[test]
fn every_picture_of_the_reports_is_read_or_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/field/inputs");
    if !folder.exists() {
        eprintln!("skipped: ../shared/field/inputs is not there");
        return;
    }
    let (mut n_read, mut n_compared, mut n_refused, mut wrong) = (0, 0, 0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (id, ending) = name.split_once('.').unwrap();
        let is_picture = ["dcm", "jpg", "png", "tif", "nii", "nii.gz"].contains(&ending);
        let refused = REFUSED.iter().find(|(of, _, _)| *of == id);
        if !is_picture || refused.is_some_and(|(_, code, _)| code.is_empty()) || id.contains("_u") {
            continue;
        }
        let image = decode_with(&fs::read(folder.join(&name)).unwrap(), &LOOSE, &rendering(id));
        match (image, refused) {
            (Ok(image), None) => {
                n_read += 1;
                let Ok(expected) = fs::read(folder.join(format!("{id}.expected.png"))) else { continue };
                n_compared += 1;
                let is_equal = image == decode(&expected, &LOOSE).unwrap();
                if is_equal == DECIDED.contains(&id) {
                    wrong.push(format!("{id}: equal to what is expected: {is_equal}"));
                }
            }
            (Err(error), Some((_, code, names))) => {
                n_refused += 1;
                if error.reason.code() != *code || !error.to_string().contains(names) {
                    wrong.push(format!("{id}: {error}"));
                }
            }
            (Ok(_), Some(_)) => wrong.push(format!("{id}: read")),
            (Err(error), None) => wrong.push(format!("{id}: {error}")),
        }
    }
    println!("{n_read} read, {n_compared} of them compared, {n_refused} refused");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_read > 90 && n_compared == 16 && n_refused == REFUSED.len() - 2);
}
