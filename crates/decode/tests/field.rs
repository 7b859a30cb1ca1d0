//! What public bug reports did to the decoder, each as a small file: the report's row is in the test's name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{
    DecodeError, Facts, Limits, Rendering, Slice, Window, decode_noted, decode_with, decoded_bytes_with,
    is_risky,
};
use t3b_image::Rgb8;

#[path = "../../../tests/support/dicom.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the job's tests")]
mod dicom;

use dicom::{Element, Syntax, compressed_file, data_set, file, grey_16, part_10, text, us, with};

const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn golden() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/field");
    serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap()
}

fn golden_file(entry: &Value) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/field/files");
    fs::read(folder.join(entry["file"].as_str().unwrap())).unwrap()
}

fn rendering(entry: &Value) -> Rendering {
    let number = |key: &str| entry[key].as_u64().map(|number| number as u32);
    let window = match &entry["window"] {
        Value::Null => Window::File,
        Value::String(name) if name == "minmax" => Window::MinMax,
        Value::Array(pair) => {
            Window::Fixed { center: pair[0].as_f64().unwrap(), width: pair[1].as_f64().unwrap() }
        }
        other => panic!("{other}"),
    };
    let slice = number("axis").map(|axis| Slice { axis: axis as u8, index: number("index").unwrap() });
    Rendering { frame: number("frame"), slice, window, ..Rendering::default() }
}

fn decoded(bytes: &[u8]) -> (Facts, Result<Rgb8, DecodeError>) {
    decode_noted(bytes, &LOOSE, &Rendering::default())
}

fn code(bytes: &[u8]) -> &'static str {
    decoded(bytes).1.map_or_else(|error| error.reason.code(), |_| "ok")
}

fn levels(bytes: &[u8]) -> Vec<u8> {
    let image = decoded(bytes).1.unwrap_or_else(|error| panic!("{error}"));
    image.as_bytes().iter().step_by(3).copied().collect()
}

#[test]
fn every_format_and_codec_gives_the_pixels_of_its_reference() {
    let golden = golden();
    assert!(golden.len() > 80);
    let mut wrong = Vec::new();
    for entry in golden {
        let (bytes, rendering) = (golden_file(&entry), rendering(&entry));
        let (facts, image) = decode_noted(&bytes, &LOOSE, &rendering);
        match image {
            Err(error) => wrong.push(format!("{}: {error}", entry["file"])),
            Ok(image) => {
                if hex::encode(Sha256::digest(image.as_bytes())) != entry["sha256"].as_str().unwrap() {
                    wrong.push(format!("{}: other pixels", entry["file"]));
                }
                assert_eq!(facts.warning().is_some(), entry["warning"] == true, "{entry}");
                let weighed = decoded_bytes_with(&bytes, &rendering).unwrap();
                assert!(weighed >= image.as_bytes().len() as u64, "{entry}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_cut_of_any_of_them_is_never_scored() {
    for entry in golden() {
        let name = entry["file"].as_str().unwrap();
        let (bytes, rendering) = (golden_file(&entry), rendering(&entry));
        // The last bytes of a file may be padding or an end marker that the picture does not need.
        let spare = match name.rsplit('.').next().unwrap() {
            "dcm" => 16,
            "gif" => 1 + if name == "animated.gif" { bytes.len() } else { 0 },
            _ => 1,
        };
        let whole = decode_with(&bytes, &LOOSE, &rendering).unwrap();
        for len in (0..bytes.len()).rev().step_by(bytes.len() / 60 + 1) {
            if let Ok(image) = decode_with(&bytes[..len], &LOOSE, &rendering) {
                let is_spare = bytes.len() - len <= spare || name.ends_with(".tif");
                assert!(is_spare && image == whole, "{name} cut to {len} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn what_others_decode_is_decoded_in_a_process_of_its_own() {
    for entry in golden() {
        let name = entry["file"].as_str().unwrap();
        let others = ["bmp", "webp", "gif", "pbm", "pgm", "ppm"];
        let is_foreign = others.iter().any(|ending| name.ends_with(ending))
            || ["htj2k", "jpegxl", "overshoot", "j2k", "aperio"].iter().any(|start| name.starts_with(start));
        assert_eq!(is_risky(&golden_file(&entry)), is_foreign, "{name}");
    }
    // A codestream under a syntax that does not name it is found all the same.
    let frame = fs::read(repo("tests/golden/dicom/frames/j2k8.j2k")).unwrap();
    let elements = with(grey_16(24, 20, 8, false), us((0x28, 0x100), &[8]));
    for uid in ["4.50", "5", "4.70"] {
        let bytes = compressed_file(uid, &elements, std::slice::from_ref(&frame));
        assert!(is_risky(&bytes), "{uid}");
        assert_eq!(code(&bytes), "ok", "{uid}");
    }
}

fn grey() -> Vec<Element> {
    grey_16(2, 2, 12, false)
}

const PIXELS: [u16; 4] = [0, 1000, 2000, 4000];

fn voi_lut(descriptor: [u16; 3], entries: Vec<u16>) -> Element {
    let item = vec![us((0x28, 0x3002), &descriptor), us((0x28, 0x3006), &entries)];
    (0x28, 0x3010, b"SQ", dicom::Value::Items(vec![item]))
}

#[test]
fn d12_a_voi_lut_that_uses_fewer_bits_than_declared_reaches_white() {
    let narrow = with(grey(), voi_lut([4096, 0, 16], (0..4096).collect()));
    assert_eq!(levels(&file(Syntax::Explicit, &narrow, &PIXELS)), [0, 62, 125, 249]);
    let wide = with(grey(), voi_lut([4096, 0, 16], (0..4096).map(|n| n * 16).collect()));
    assert_eq!(levels(&file(Syntax::Explicit, &wide, &PIXELS)), [0, 62, 125, 249], "one that uses them");
}

#[test]
fn d12d_a_voi_lut_without_entries_leaves_the_window() {
    let empty = with(grey(), voi_lut([4096, 0, 16], Vec::new()));
    let window = with(with(empty, text((0x28, 0x1050), b"DS", "2000")), text((0x28, 0x1051), b"DS", "2001"));
    assert_eq!(levels(&file(Syntax::Explicit, &window, &PIXELS)), [0, 0, 128, 255]);
}

#[test]
fn d12f_the_first_input_of_a_voi_lut_behind_a_negative_intercept_is_signed() {
    let table = voi_lut([4096, 0xfc00, 12], (0..4096).collect());
    let elements = with(with(grey(), text((0x28, 0x1052), b"DS", "-1024")), table);
    let elements = with(elements, text((0x28, 0x1053), b"DS", "1"));
    for syntax in [Syntax::Implicit, Syntax::Explicit] {
        assert_eq!(levels(&file(syntax, &elements, &PIXELS)), [0, 62, 125, 249], "{syntax:?}");
    }
}

#[test]
fn d07_d08_a_window_of_no_width_is_none_and_a_narrow_one_is_exact() {
    let window = |center: &str, width: &str| {
        let elements =
            with(with(grey(), text((0x28, 0x1050), b"DS", center)), text((0x28, 0x1051), b"DS", width));
        with(elements, text((0x28, 0x1053), b"DS", "0.0002"))
    };
    assert_eq!(levels(&file(Syntax::Explicit, &window("0", "0"), &PIXELS)), [0, 64, 128, 255]);
    assert_eq!(levels(&file(Syntax::Explicit, &window("0.4", "0.8"), &PIXELS)), [0, 64, 128, 255]);
}

#[test]
fn d14_a_padding_value_outside_of_the_stored_bits_is_black_and_counts_for_no_range() {
    let padded = with(grey(), us((0x28, 0x120), &[63_536]));
    assert_eq!(levels(&file(Syntax::Explicit, &padded, &[63_536, 1000, 2000, 3000])), [0, 0, 128, 255]);
}

#[test]
fn d15_floating_point_pixels_are_shown_from_the_smallest_to_the_largest() {
    let mut elements = grey();
    elements.retain(|element| !matches!(element.1, 0x101..=0x103));
    elements = with(elements, us((0x28, 0x100), &[32]));
    let values = [-1.0_f32, 0.0, 1.0, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    elements.push((0x7fe0, 8, b"OW", dicom::Value::Bytes(values)));
    let bytes = part_10(Syntax::Explicit, &data_set(Syntax::Explicit, &elements));
    assert_eq!(levels(&bytes), [0, 64, 128, 255]);
}

fn palette(bits: u16, first: u16, vr: &'static [u8; 2], tables: [Vec<u16>; 3]) -> Vec<Element> {
    let n = tables[0].len() as u16;
    let mut elements = with(
        with(grey_16(2, 2, 8, vr == b"SS"), us((0x28, 0x100), &[8])),
        text((0x28, 4), b"CS", "PALETTE COLOR"),
    );
    for (channel, table) in (0..).zip(tables) {
        let descriptor = (0x28, 0x1101 + channel, vr, dicom::Value::Words(vec![n, first, bits]));
        elements = with(elements, descriptor);
        elements = with(elements, (0x28, 0x1201 + channel, b"OW", dicom::Value::Words(table)));
    }
    elements
}

/// Four indices of 8 bits as two words.
fn indices(elements: &[Element], indices: [u8; 4]) -> Vec<u8> {
    let words = [[indices[0], indices[1]], [indices[2], indices[3]]].map(u16::from_le_bytes);
    file(Syntax::Explicit, elements, &words)
}

#[test]
fn d43d_a_palette_of_16_bits_whose_entries_use_8_or_12_is_not_black() {
    let ramp = |step: u16| [0, 1, 2].map(|_| (0..256).map(|n| n * step).collect::<Vec<u16>>());
    let packed = [0, 1, 2].map(|_| (0..128).map(|n| u16::from_le_bytes([2 * n, 2 * n + 1])).collect());
    let mut packed = palette(16, 0, b"US", packed);
    for element in &mut packed {
        if let (0x28, 0x1101..=0x1103, _, dicom::Value::Words(descriptor)) = element {
            descriptor[0] = 256;
        }
    }
    assert_eq!(levels(&indices(&packed, [0, 100, 200, 255])), [0, 100, 200, 255], "two in a word");
    for (step, name) in [(1, "8"), (16, "12"), (256, "16")] {
        let bytes = indices(&palette(16, 0, b"US", ramp(step)), [0, 100, 200, 255]);
        assert_eq!(levels(&bytes), [0, 100, 200, 255], "{name} bits");
    }
}

#[test]
fn d43h_d43i_a_palette_may_be_signed_or_lack_its_last_entry() {
    let table = || [0, 1, 2].map(|_| (0..256).map(|n| n << 8).collect::<Vec<u16>>());
    let signed = palette(16, 0xff80, b"SS", table());
    assert_eq!(levels(&indices(&signed, [0x80, 0, 0x7f, 0xff])), [0, 128, 255, 127]);
    let mut short = palette(16, 0, b"US", table());
    for element in &mut short {
        if let (0x28, 0x1201..=0x1203, _, dicom::Value::Words(words)) = element {
            words.truncate(255);
        }
    }
    assert_eq!(levels(&indices(&short, [0, 100, 200, 250])), [0, 100, 200, 250]);
}

#[test]
fn d501_a_transfer_syntax_padded_by_any_zeros_or_blanks_is_found() {
    let good = file(Syntax::Explicit, &grey(), &PIXELS);
    let at = good.windows(19).position(|window| window == b"1.2.840.10008.1.2.1").unwrap();
    for padding in [&b"\0\0\0\0"[..], b"    ", b"\0 \0 \0"] {
        let mut padded = good.clone();
        padded.splice(at + 19..at + 20, padding.iter().copied().chain([0]));
        let len = 19 + padding.len() as u16 + 1;
        padded[at - 2..at].copy_from_slice(&len.to_le_bytes());
        assert_eq!(levels(&padded), levels(&good), "{padding:?}");
    }
}

#[test]
fn d63_zeros_behind_a_data_set_without_pixels_are_padding() {
    let bytes = part_10(Syntax::Explicit, &data_set(Syntax::Explicit, &grey()));
    assert_eq!(code(&[&bytes[..], &[0; 300]].concat()), "dicom_no_pixel_data");
    assert_eq!(code(&[&bytes[..], &[0; 5]].concat()), "dicom_no_pixel_data");
}

#[test]
fn d24_elements_without_a_vr_or_with_one_that_is_none_are_stepped_over() {
    let whole = file(Syntax::Explicit, &with(grey(), text((8, 5), b"CS", "ISO_IR 100")), &PIXELS);
    let wanted = levels(&whole);
    let at = whole.windows(4).position(|window| window == b"\x28\0\x02\0").unwrap();
    let private = [
        &b"\x09\0\x10\0--\x04\0abcd"[..],
        b"\x09\0\x10\0??\x04\0abcd",
        b"\x09\0\x10\0OX\x04\0abcd",
        b"\x09\0\x10\0  \x04\0abcd",
        b"\x09\0\x10\0\0\0\x04\0abcd",
        b"\x09\0\x10\0xx\0\0\x04\0\0\0abcd",
        b"\x09\0\x10\0\x04\0\0\0abcd",
        b"\x09\0\x10\0\xff\xff\xff\xff\xfe\xff\0\xe0\x0c\0\0\0\x09\0\x11\0\x04\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0",
        // Bytes of undefined length, and a sequence's item in implicit VR.
        b"\x09\0\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\x04\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0",
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x50\x11\x04\0\0\0abcd\x08\0\x55\x11\x04\0\0\0efgh\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
        // A delimiter with a length, and an item without its own.
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x50\x11UI\x02\x001\0\xfe\xff\x0d\xe0\x08\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x50\x11UI\x02\x001\0\xfe\xff\xdd\xe0\0\0\0\0",
    ];
    for element in private {
        let bytes = [&whole[..at], element, &whole[at..]].concat();
        assert_eq!(levels(&bytes), wanted, "{element:?}");
        for len in 0..bytes.len() {
            assert_ne!(code(&bytes[..len]), "ok", "{element:?} cut to {len}");
        }
    }
    let garbage = [&whole[..at], b"\x09\0\x10\0xx\x04\0abcdefgh", &whole[at..]].concat();
    assert_eq!(code(&garbage), "dicom_structure_invalid");
}

#[test]
fn d24h_d24i_the_data_set_knows_its_encoding_better_than_the_transfer_syntax() {
    let wanted = levels(&file(Syntax::Explicit, &grey(), &PIXELS));
    let mut elements = with(grey(), text((8, 0x16), b"UI", "1.2.3.4"));
    elements.push((0x7fe0, 0x10, b"OW", dicom::Value::Words(PIXELS.to_vec())));
    for declared in [Syntax::Implicit, Syntax::Explicit, Syntax::BigEndian] {
        for real in [Syntax::Implicit, Syntax::Explicit, Syntax::BigEndian] {
            let bytes = part_10(declared, &data_set(real, &elements));
            let is_guessed = (declared, real) != (Syntax::BigEndian, Syntax::Implicit);
            if is_guessed {
                assert_eq!(levels(&bytes), wanted, "{declared:?} says, {real:?} is");
            }
        }
    }
}

#[test]
fn d31_d32_preamble_meta_group_and_transfer_syntax_may_be_missing() {
    let wanted = levels(&file(Syntax::Explicit, &grey(), &PIXELS));
    let mut elements = with(grey(), text((8, 0x16), b"UI", "1.2.3.4"));
    elements.push((0x7fe0, 0x10, b"OW", dicom::Value::Words(PIXELS.to_vec())));
    for syntax in [Syntax::Implicit, Syntax::Explicit, Syntax::BigEndian] {
        let bare = data_set(syntax, &elements);
        assert_eq!(levels(&bare), wanted, "bare {syntax:?}");
        let no_meta = [&[0; 128][..], b"DICM", &bare].concat();
        assert_eq!(levels(&no_meta), wanted, "no meta group {syntax:?}");
        assert_eq!(levels(&part_10(syntax, &bare)[132..]), wanted, "no preamble {syntax:?}");
    }
    assert_eq!(code(b"\x08\0\x05\0CS\x0a\0ISO_IR 100and then no data set at all"), "not_dicom");
}

#[test]
fn d30_the_high_bit_may_be_missing_or_wrong() {
    let wanted = levels(&file(Syntax::Explicit, &grey(), &PIXELS));
    let mut without = grey();
    without.retain(|element| element.1 != 0x102);
    assert_eq!(levels(&file(Syntax::Explicit, &without, &PIXELS)), wanted);
    let high = with(grey(), us((0x28, 0x102), &[15]));
    assert_eq!(levels(&file(Syntax::Explicit, &high, &PIXELS)), wanted, "values in the low bits");
    assert_eq!(levels(&file(Syntax::Explicit, &high, &PIXELS.map(|value| value << 4))), wanted);
    assert_eq!(code(&file(Syntax::Explicit, &high, &[1, 0x8001, 2, 3])), "dicom_invalid_attribute");
}

#[test]
fn d29d_d49_d55b_small_lies_about_length_frames_and_case_are_read() {
    let wanted = levels(&file(Syntax::Explicit, &grey(), &PIXELS));
    assert_eq!(levels(&file(Syntax::Explicit, &grey(), &[0, 1000, 2000, 4000, 77])), wanted);
    let twice = [PIXELS, PIXELS].concat();
    assert_eq!(code(&file(Syntax::Explicit, &grey(), &twice)), "dicom_pixel_length_mismatch");
    for n_frames in ["0", "1.0", "", " 1"] {
        let bytes = file(Syntax::Explicit, &with(grey(), text((0x28, 8), b"IS", n_frames)), &PIXELS);
        assert_eq!(levels(&bytes), wanted, "{n_frames:?}");
    }
    assert_eq!(
        code(&file(Syntax::Explicit, &with(grey(), text((0x28, 8), b"IS", "-1")), &PIXELS)),
        "dicom_invalid_attribute"
    );
    let lower = with(grey(), text((0x28, 4), b"CS", "monochrome2"));
    assert_eq!(levels(&file(Syntax::Explicit, &lower, &PIXELS)), wanted);
}

#[test]
fn d24l_an_attribute_that_stands_twice_must_say_the_same() {
    let twice = |second: &str| {
        let mut elements = with(grey(), text((0x28, 0x1050), b"DS", "2000"));
        elements.push(text((0x28, 0x1050), b"DS", second));
        elements.push(text((0x28, 0x1051), b"DS", "4000"));
        file(Syntax::Explicit, &elements, &PIXELS)
    };
    assert_eq!(code(&twice("2000")), "ok");
    let error = decoded(&twice("5")).1.unwrap_err();
    assert_eq!(error.detail, "(0028,1050) stands twice, with two values");
}

#[test]
fn d41d_full_chroma_under_ybr_full_422_is_read_as_it_is() {
    let mut elements = with(grey_16(2, 2, 8, false), us((0x28, 0x100), &[8]));
    elements = with(with(elements, us((0x28, 2), &[3])), text((0x28, 4), b"CS", "YBR_FULL"));
    let pixels: [u16; 6] = std::array::from_fn(|n| 0x8040 + 0x0713 * n as u16);
    let full = decoded(&file(Syntax::Explicit, &elements, &pixels)).1.unwrap();
    elements = with(elements, text((0x28, 4), b"CS", "YBR_FULL_422"));
    assert_eq!(decoded(&file(Syntax::Explicit, &elements, &pixels)).1.unwrap(), full);
    assert_eq!(code(&file(Syntax::Explicit, &elements, &pixels[..4])), "ok", "pairs of pixels");
}

/// A grey JPEG frame of 24 x 20 pixels and the elements around it.
fn jpeg() -> (Vec<u8>, Vec<Element>) {
    let folder = repo("tests/golden/dicom");
    let table: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("frames.json")).unwrap()).unwrap();
    let is_it = |entry: &&Value| entry["syntax"] == "4.50" && entry["samples"] == 1;
    let entry = table.iter().find(is_it).unwrap();
    let frame = fs::read(folder.join("frames").join(entry["file"].as_str().unwrap())).unwrap();
    (frame, with(grey_16(24, 20, 8, false), us((0x28, 0x100), &[8])))
}

fn fragments(elements: &[Element], fragments: &[&[u8]], end: &[u8]) -> Vec<u8> {
    let mut bytes = data_set(Syntax::Explicit, elements);
    bytes.extend(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0");
    for fragment in fragments {
        bytes.extend(b"\xfe\xff\0\xe0");
        bytes.extend((fragment.len() as u32).to_le_bytes());
        bytes.extend(*fragment);
    }
    bytes.extend(end);
    part_10(Syntax::Compressed("4.50"), &bytes)
}

const END: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

#[test]
fn d47_fragments_without_offsets_belong_to_the_frame_that_began_before_them() {
    let (frame, elements) = jpeg();
    let wanted = levels(&fragments(&elements, &[&frame], END));
    let (a, b) = frame.split_at(100);
    let of_frames = with(elements.clone(), text((0x28, 8), b"IS", "3"));
    let bytes = fragments(&of_frames, &[a, b, &frame, a, b], END);
    for n in 0..3 {
        let rendering = Rendering { frame: Some(n), ..Rendering::default() };
        let image = decode_with(&bytes, &LOOSE, &rendering).unwrap_or_else(|error| panic!("{n}: {error}"));
        assert_eq!(image.as_bytes().iter().step_by(3).copied().collect::<Vec<_>>(), wanted, "{n}");
    }
    let empty_first = fragments(&with(elements.clone(), text((0x28, 8), b"IS", "1")), &[&[], &frame], END);
    assert_eq!(levels(&empty_first), wanted, "an empty fragment");
    // More frames than declared are not passed over in silence.
    let one = with(elements.clone(), text((0x28, 8), b"IS", "1"));
    assert_eq!(code(&fragments(&one, &[&frame, &frame], END)), "dicom_pixel_length_mismatch");
    assert_eq!(code(&fragments(&elements, &[&frame, &frame, &frame], END)), "multi_frame");
}

#[test]
fn d47k_d47m_a_frame_without_the_delimiter_behind_it_is_whole_or_refused() {
    let (frame, elements) = jpeg();
    let wanted = levels(&fragments(&elements, &[&frame], END));
    for end in [&b""[..], &[0; 8], &[0; 200]] {
        assert_eq!(levels(&fragments(&elements, &[&frame], end)), wanted, "{end:?}");
    }
    assert_eq!(code(&fragments(&elements, &[&frame[..frame.len() - 40]], &[0; 8])), "decode_truncated");
    let cut = fragments(&elements, &[&frame], b"");
    assert_eq!(code(&cut[..cut.len() - 10]), "dicom_length_exceeds_file");
}

#[test]
fn d52c_a_frame_without_its_end_marker_needs_every_block() {
    let (frame, elements) = jpeg();
    let wanted = levels(&fragments(&elements, &[&frame], END));
    let end = frame.windows(2).rposition(|pair| pair == b"\xff\xd9").unwrap();
    assert_eq!(levels(&fragments(&elements, &[&frame[..end]], END)), wanted);
    for len in 2..end {
        assert_ne!(code(&fragments(&elements, &[&frame[..len]], END)), "ok", "{len} of {end}");
    }
}

#[test]
fn d48_d52_the_frame_knows_its_codec_better_than_the_transfer_syntax() {
    let (frame, elements) = jpeg();
    let wanted = levels(&fragments(&elements, &[&frame], END));
    for uid in ["4.70", "4.80", "4.90", "1"] {
        assert_eq!(levels(&compressed_file(uid, &elements, std::slice::from_ref(&frame))), wanted, "{uid}");
    }
    let mut native = data_set(Syntax::Explicit, &grey());
    native.extend(b"\xe0\x7f\x10\0OW\0\0\x08\0\0\0");
    native.extend(PIXELS.iter().flat_map(|value| value.to_le_bytes()));
    let wanted = levels(&file(Syntax::Explicit, &grey(), &PIXELS));
    assert_eq!(levels(&part_10(Syntax::Compressed("4.50"), &native)), wanted);
}

#[test]
fn d59c_a_deflated_data_set_may_have_a_zlib_header() {
    use std::io::Write;
    let mut elements = grey();
    elements.push((0x7fe0, 0x10, b"OW", dicom::Value::Words(PIXELS.to_vec())));
    let plain = data_set(Syntax::Explicit, &elements);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).unwrap();
    let bytes = part_10(Syntax::Compressed("1.99"), &encoder.finish().unwrap());
    assert_eq!(levels(&bytes), levels(&file(Syntax::Explicit, &grey(), &PIXELS)));
}

#[test]
fn messages_name_the_thing() {
    let detail = |bytes: &[u8]| decoded(bytes).1.unwrap_err().detail;
    let mut pair = vec![0; 348];
    pair[..4].copy_from_slice(&348_u32.to_le_bytes());
    pair[344..348].copy_from_slice(b"ni1\0");
    assert!(detail(&pair).contains(".hdr, .img"));
    assert!(detail(b"%PDF-1.7 ...").starts_with("found pdf, allowed png"));
    assert!(detail(b"\0\0\0\x18ftypheic....").starts_with("found heif"));
    assert!(detail(&[0x5a; 40]).starts_with("found none of the formats"));
    let uid = compressed_file("4.102", &grey(), &[vec![0; 4]]);
    assert_eq!(detail(&uid), "found 1.2.840.10008.1.2.4.102");
    let private = part_10(Syntax::Explicit, &data_set(Syntax::Explicit, &grey()));
    let private = String::from_utf8_lossy(&private).replace("1.2.840.10008.1.2.1", "1.2.999.SMITH.1.2.1");
    assert!(!detail(private.as_bytes()).contains("SMITH"));
}
