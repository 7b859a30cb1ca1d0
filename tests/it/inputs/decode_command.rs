//! `t3b decode`: the pixels of the decoder, the facts of the file, and nothing that identifies anybody.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{Limits, Rendering, Window, decode, decode_with};

use crate::support::dicom::{Syntax, file, grey_16, jpeg_2000_file, text, with};
use crate::support::repo;

fn t3b(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_t3b")).arg("decode").args(args).output().unwrap()
}

fn said(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_string_lossy().into_owned()
}

fn chest() -> Vec<u8> {
    let elements = with(grey_16(24, 20, 12, false), text((0x10, 0x10), b"PN", "CANARY^PATIENT"));
    let pixels: Vec<u16> = (0..480).map(|n| n * 8).collect();
    file(Syntax::Explicit, &elements, &pixels)
}

#[test]
fn the_picture_is_the_decoders_and_the_facts_are_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = chest();
    let (image, out) = (write(&folder, "chest.dcm", &bytes), write(&folder, "out.png", b""));
    for (flags, window) in [
        (vec![], Window::File),
        (vec!["--window", "1000,2000"], Window::Fixed { center: 1000.0, width: 2000.0 }),
    ] {
        let output = t3b(&[&[image.as_str(), "--json", "-o", &out][..], flags.as_slice()].concat());
        assert!(output.status.success(), "{output:?}");
        let said = said(&output);
        let wanted =
            decode_with(&bytes, &Limits::default(), &Rendering { window, ..Rendering::default() }).unwrap();
        assert_eq!(said["rgb_sha256"], hex::encode(Sha256::digest(wanted.as_bytes())));
        assert_eq!((&said["width_px"], &said["height_px"]), (&Value::from(24), &Value::from(20)));
        assert_eq!((&said["format"], &said["bits_stored"]), (&Value::from("dicom"), &Value::from(12)));
        assert_eq!(said["transfer_syntax"], "1.2.840.10008.1.2.1");
        assert_eq!(decode(&fs::read(&out).unwrap(), &Limits::default()).unwrap(), wanted);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("CANARY"));
    }
}

#[test]
fn a_risky_picture_is_decoded_in_its_process_and_a_refused_one_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let image = write(&folder, "j2k.dcm", &jpeg_2000_file(None));
    let output = t3b(&[&image, "--json"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output)["codec"], "JPEG 2000");
    let cut = write(&folder, "cut.dcm", &chest()[..600]);
    let output = t3b(&[&cut, "--json"]);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    assert_eq!(said(&output)["reason"], "dicom_length_exceeds_file");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("CANARY"));
    assert_eq!(t3b(&["/no/such/file.png"]).status.code(), Some(78));
}

#[test]
fn a_slice_a_frame_and_a_uri_are_shown() {
    let nifti = repo("crates/decode/tests/golden/field/files/n2_i2.nii");
    let output = t3b(&[&nifti.to_string_lossy(), "--axis", "2", "--index", "3", "--json"]);
    // The slice is found and judged by its own sides.
    assert_eq!(said(&output)["declared_px"], "6 7");
    assert_eq!(said(&output)["reason"], "image_too_small");
    let pages = repo("crates/decode/tests/golden/field/files/thumbnail.tif");
    let uri = format!("file://{}", pages.canonicalize().unwrap().display());
    let shas: Vec<Value> = ["0", "1"]
        .map(|frame| said(&t3b(&[&uri, "--frame", frame, "--json"]))["rgb_sha256"].clone())
        .to_vec();
    assert_ne!(shas[0], shas[1]);
    assert_eq!(said(&t3b(&[&uri, "--json"]))["reason"], "multi_frame");
}
