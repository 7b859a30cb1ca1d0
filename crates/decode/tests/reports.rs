//! The pictures that public bug reports were rebuilt as: each is read, pixel by pixel as expected where that is stored, or refused by
//! a reason that names what is in the way. A picture that is not on the list of refusals must be read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

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
