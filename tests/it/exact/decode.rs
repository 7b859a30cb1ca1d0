/// Cut, flipped, spliced and hostile files.
mod damage;
/// DICOM: rules on files made here, and real files against pydicom.
mod dicom;
/// What holds for every image and every byte string.
mod laws;
/// Slices of volumes against nibabel, and their damage.
mod nifti;
/// Random damage to DICOM and TIFF.
mod prescan;
/// TIFF against Pillow, and its damage.
mod tiff;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{DecodeError, Limits, decode, decoded_bytes};
use t3b_image::Rgb8;
use t3b_image::resize::{CropRule, Resizer};

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
