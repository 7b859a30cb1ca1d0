//! DICOM: rules on files made here, and real files against pydicom.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b_decode::{BurnedIn, DecodeError, Limits, Rendering, Window, decode_with, decoded_bytes_with};
use t3b_image::Rgb8;

use crate::support::dicom::{
    Element, Syntax, compressed_file, data_set, file, grey_16, part_10, text, us, with,
};
use crate::support::{dicom, repo};

const LOOSE: Limits = Limits { max_side_px: 20_000, min_side_px: 1, max_pixels: 1 << 24, max_aspect: 1000 };

fn code(result: &Result<Rgb8, DecodeError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.reason.code(), |_| "ok")
}

fn code_of(bytes: &[u8]) -> &'static str {
    code(&decode_with(bytes, &LOOSE, &Rendering::default()))
}

fn windowed(window: Window) -> Rendering {
    Rendering { window, ..Rendering::default() }
}

/// One channel of a picture made of `pixels`, two rows of two.
fn levels(elements: Vec<Element>, pixels: [u16; 4], window: Window) -> Vec<u8> {
    let image = decode_with(&file(Syntax::Explicit, &elements, &pixels), &LOOSE, &windowed(window)).unwrap();
    image.as_bytes().iter().step_by(3).copied().collect()
}

fn grey() -> Vec<Element> {
    grey_16(2, 2, 12, false)
}

const PIXELS: [u16; 4] = [0, 1000, 2000, 4000];

#[test]
fn values_become_levels_by_window_range_or_percentile() {
    assert_eq!(
        levels(grey(), PIXELS, Window::File),
        [0, 64, 128, 255],
        "no window: the range of the picture"
    );
    let window =
        with(with(grey(), text((0x28, 0x1050), b"DS", "1000\\5")), text((0x28, 0x1051), b"DS", "2001\\9"));
    assert_eq!(levels(window.clone(), PIXELS, Window::File), [0, 128, 255, 255], "the first of two windows");
    let fixed = Window::Fixed { center: 2000.5, width: 4001.0 };
    assert_eq!(levels(window.clone(), PIXELS, fixed), [0, 64, 128, 255]);
    assert_eq!(levels(window.clone(), PIXELS, Window::MinMax), [0, 64, 128, 255]);
    let exact = with(window.clone(), text((0x28, 0x1056), b"CS", "LINEAR_EXACT"));
    assert_eq!(levels(exact, PIXELS, Window::File), [0, 128, 255, 255]);
    let sigmoid = with(window, text((0x28, 0x1056), b"CS", "SIGMOID"));
    assert_eq!(levels(sigmoid, PIXELS, Window::File), [30, 128, 225, 254]);
    let rescaled =
        with(with(grey(), text((0x28, 0x1052), b"DS", "-1000")), text((0x28, 0x1053), b"DS", "-2"));
    assert_eq!(
        levels(rescaled, PIXELS, Window::File),
        [255, 191, 128, 0],
        "a negative slope turns the order"
    );
    let inverted = with(grey(), text((0x28, 4), b"CS", "MONOCHROME1"));
    assert_eq!(levels(inverted, PIXELS, Window::File), [255, 191, 127, 0]);
}

#[test]
fn signed_values_padding_and_unused_bits_are_understood() {
    let signed = grey_16(2, 2, 12, true);
    assert_eq!(levels(signed.clone(), [0x0800, 0x0fff, 0, 0x07ff], Window::File), [0, 127, 128, 255]);
    // Overlays lived in the bits above those stored.
    assert_eq!(levels(signed.clone(), [0x8800, 0xffff, 0xf000, 0x17ff], Window::File), [0, 127, 128, 255]);
    let padded = with(signed, (0x28, 0x120, b"SS", dicom::Value::Words(vec![0xf800])));
    assert_eq!(levels(padded, [0x0800, 0, 50, 100], Window::File), [0, 0, 128, 255]);
    assert_eq!(levels(grey(), [7; 4], Window::MinMax), [0; 4], "one value has no range");
}

#[test]
fn every_byte_order_gives_the_same_picture() {
    let wanted =
        decode_with(&file(Syntax::Explicit, &grey(), &PIXELS), &LOOSE, &Rendering::default()).unwrap();
    for syntax in [Syntax::Implicit, Syntax::BigEndian] {
        let image = decode_with(&file(syntax, &grey(), &PIXELS), &LOOSE, &Rendering::default()).unwrap();
        assert_eq!(image, wanted, "{syntax:?}");
    }
}

#[test]
fn functional_groups_of_the_frame_win() {
    let voi = |center: &str| {
        let window = vec![text((0x28, 0x1050), b"DS", center), text((0x28, 0x1051), b"DS", "100")];
        vec![(0x28, 0x9132, b"SQ", dicom::Value::Items(vec![window]))]
    };
    let elements = with(grey(), text((0x28, 8), b"IS", "2"));
    let shared = with(elements, (0x5200, 0x9229, b"SQ", dicom::Value::Items(vec![voi("50")])));
    let both = with(shared.clone(), (0x5200, 0x9230, b"SQ", dicom::Value::Items(vec![vec![], voi("3000")])));
    let pixels = [PIXELS, PIXELS].concat();
    let picture = |elements: &[Element], frame| {
        let rendering = Rendering { frame: Some(frame), ..Rendering::default() };
        decode_with(&file(Syntax::Explicit, elements, &pixels), &LOOSE, &rendering).unwrap().as_bytes()[3]
    };
    assert_eq!([picture(&shared, 0), picture(&shared, 1)], [255, 255]);
    assert_eq!([picture(&both, 0), picture(&both, 1)], [255, 0]);
    assert_eq!(code_of(&file(Syntax::Explicit, &both, &pixels)), "multi_frame");
    let far = Rendering { frame: Some(2), ..Rendering::default() };
    assert_eq!(
        code(&decode_with(&file(Syntax::Explicit, &both, &pixels), &LOOSE, &far)),
        "frame_out_of_range"
    );
}

#[test]
fn wrong_attributes_have_their_codes() {
    let cell = |elements: Vec<Element>| code_of(&file(Syntax::Explicit, &elements, &PIXELS));
    assert_eq!(cell(grey()), "ok");
    let without = |tag: u16| grey().into_iter().filter(|element| element.1 != tag).collect::<Vec<_>>();
    for tag in [2, 4, 0x10, 0x11, 0x100, 0x101, 0x103] {
        assert_eq!(cell(without(tag)), "dicom_missing_attribute", "{tag:04x}");
    }
    let invalid = [
        us((0x28, 2), &[2]),
        us((0x28, 0x100), &[12]),
        us((0x28, 0x101), &[17]),
        us((0x28, 0x101), &[0]),
        us((0x28, 0x103), &[2]),
        text((0x28, 8), b"IS", "1A"),
        text((0x28, 0x1053), b"DS", "0"),
        text((0x28, 0x1053), b"DS", "NaN"),
        text((0x28, 0x1052), b"DS", "DOE^JOHN"),
    ];
    for element in invalid {
        assert_eq!(cell(with(grey(), element.clone())), "dicom_invalid_attribute", "{element:?}");
    }
    let window = with(grey(), text((0x28, 0x1050), b"DS", "40"));
    assert_eq!(cell(window.clone()), "dicom_missing_attribute");
    assert_eq!(cell(with(window, text((0x28, 0x1051), b"DS", "0"))), "ok", "a window of no width is none");
    assert_eq!(cell(with(grey(), text((0x28, 4), b"CS", "CMYK"))), "unsupported_color_type");
    assert_eq!(cell(with(grey(), us((0x28, 0x10), &[3]))), "dicom_pixel_length_mismatch");
    assert_eq!(cell(with(grey(), us((0x28, 0x10), &[1]))), "dicom_pixel_length_mismatch");
    assert_eq!(cell(with(grey(), us((0x28, 0x10), &[0]))), "decode_corrupt");
}

#[test]
fn hostile_structure_has_its_codes() {
    let cell = |data_set: &[u8]| code_of(&part_10(Syntax::Explicit, data_set));
    let good = data_set(Syntax::Explicit, &grey());
    assert_eq!(cell(&good), "dicom_no_pixel_data");
    let giant = [&good[..], b"\xe0\x7f\x10\0OW\0\0\xf0\xff\xff\xff0123456789"].concat();
    assert_eq!(cell(&giant), "dicom_length_exceeds_file");
    let open = b"\x40\0\x00\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
    assert_eq!(cell(&open.repeat(16)), "decode_truncated");
    assert_eq!(cell(&open.repeat(17)), "dicom_nesting_exceeds_limit");
    assert_eq!(cell(&open.repeat(200_000)), "dicom_nesting_exceeds_limit");
    assert_eq!(cell(b"\x08\0\x05\0xx\x02\0abc"), "dicom_structure_invalid");
    assert_eq!(cell(b"\xfe\xff\x0d\xe0\0\0\0\0"), "dicom_structure_invalid");
    let other = data_set(Syntax::Explicit, &with(grey(), us((0x28, 0x10), &[3])));
    let twice = [&good[..], &other, b"\xe0\x7f\x10\0OW\0\0\x08\0\0\0", &[0; 8]].concat();
    assert_eq!(cell(&twice), "dicom_structure_invalid");
    let tiny = b"\x09\0\x10\0UN\0\0\0\0\0\0".repeat((1 << 22) + 1);
    assert_eq!(cell(&tiny), "dicom_element_count_exceeds_limit");
    let mut meta = file(Syntax::Explicit, &grey(), &PIXELS);
    meta[140..144].fill(0xf0);
    assert_eq!(code_of(&meta), "dicom_meta_invalid");
    assert_eq!(code_of(&part_10(Syntax::Compressed("4.102"), &good)), "dicom_unsupported_transfer_syntax");
    assert_eq!(code_of(&part_10(Syntax::Compressed("9.9.9"), &good)), "dicom_unsupported_transfer_syntax");
    assert_eq!(code_of(&file(Syntax::Compressed("5"), &grey(), &PIXELS)), "ok", "uncompressed all the same");
    assert_eq!(code_of(&compressed_file("5", &grey(), &[vec![0; 4]])), "decode_truncated");
    let bare = data_set(Syntax::Explicit, &[text((8, 5), b"CS", "ISO_IR 100")]);
    assert_eq!(code_of(&bare), "dicom_no_pixel_data");
    assert_eq!(code_of(&[&bare[..], b"and then a text"].concat()), "not_dicom");
}

#[test]
fn the_compressed_icon_of_a_picture_is_stepped_over() {
    let open = b"\xff\xff\xff\xff";
    let (item, end) = (b"\xfe\xff\0\xe0", [0; 4]);
    let icon = [
        &b"\x88\0\0\x02SQ\0\0"[..],
        open,
        item,
        open,
        b"\xe0\x7f\x10\0OB\0\0",
        open,
        item,
        &end,
        item,
        b"\x04\0\0\0\xff\xd8\xff\xd9",
        b"\xfe\xff\xdd\xe0",
        &end,
        b"\xfe\xff\x0d\xe0",
        &end,
        b"\xfe\xff\xdd\xe0",
        &end,
    ]
    .concat();
    let pixels = (0x7fe0, 0x10, b"OW", dicom::Value::Words(PIXELS.to_vec()));
    let whole = [data_set(Syntax::Explicit, &grey()), icon, data_set(Syntax::Explicit, &[pixels])].concat();
    assert_eq!(code_of(&part_10(Syntax::Explicit, &whole)), "ok");
}

#[test]
fn a_deflated_bomb_stops_at_the_limit() {
    // A raw deflate stream of stored and repeated zeros, made by hand: one literal, then matches of 258.
    let bomb = crate::support::dicom::part_10(Syntax::Compressed("1.99"), &deflated_zeros(1 << 30));
    assert!(bomb.len() < 2 << 20);
    assert_eq!(code_of(&bomb), "dicom_inflate_exceeds_limit");
}

fn deflated_zeros(n: usize) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let block = [0; 1 << 16];
    (0..n / block.len()).for_each(|_| encoder.write_all(&block).unwrap());
    encoder.finish().unwrap()
}

#[test]
fn the_limits_are_checked_before_the_pixels() {
    let bomb = compressed_file("5", &grey_16(65_535, 65_535, 16, false), &[vec![0; 64]]);
    assert_eq!(code_of(&bomb), "dimensions_exceed_limit");
    assert!(decoded_bytes_with(&bomb, &Rendering::default()).unwrap() > 1 << 33);
    let large = compressed_file("5", &grey_16(4_000, 4_000, 16, false), &[vec![0; 64]]);
    assert_eq!(code_of(&large), "dicom_pixel_length_mismatch");
}

#[test]
fn burned_in_annotation_follows_the_policy() {
    let bytes = file(Syntax::Explicit, &with(grey(), text((0x28, 0x301), b"CS", "YES")), &PIXELS);
    assert_eq!(code_of(&bytes), "ok");
    let refused = Rendering { burned_in: BurnedIn::Quarantine, ..Rendering::default() };
    assert_eq!(code(&decode_with(&bytes, &LOOSE, &refused)), "burned_in_annotation");
}

#[test]
fn no_text_of_the_file_is_in_an_error() {
    let canary = "CANARY^PATIENT";
    let slots =
        [(0x10, 0x10), (0x28, 4), (0x28, 8), (0x28, 0x1050), (0x28, 0x1053), (0x28, 0x1056), (0x28, 0x301)];
    for tag in slots {
        let window = with(with(grey(), text((0x28, 0x1050), b"DS", "1")), text((0x28, 0x1051), b"DS", "9"));
        let elements = with(window, text(tag, b"LO", canary));
        for len in (0..4000).step_by(3) {
            let bytes = file(Syntax::Explicit, &elements, &PIXELS);
            if let Err(error) = decode_with(&bytes[..len.min(bytes.len())], &LOOSE, &Rendering::default()) {
                assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
            }
        }
    }
}

#[test]
fn a_cut_anywhere_is_never_scored() {
    for bytes in [file(Syntax::Implicit, &grey(), &PIXELS), file(Syntax::Explicit, &grey(), &PIXELS)] {
        for len in 0..bytes.len() {
            assert_ne!(code_of(&bytes[..len]), "ok", "{len} of {}", bytes.len());
            assert_ne!(code_of(&bytes[..len]), "decoder_panic", "{len} of {}", bytes.len());
        }
    }
}

#[test]
fn frames_of_every_codec_decode_to_their_pixels() {
    let folder = repo("tests/golden/dicom");
    let table: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("frames.json")).unwrap()).unwrap();
    assert!(table.len() > 25);
    for entry in table {
        let frame = fs::read(folder.join("frames").join(entry["file"].as_str().unwrap())).unwrap();
        let bits = entry["bits"].as_u64().unwrap() as u16;
        let mut elements = grey_16(24, 20, bits, entry["signed"].as_bool().unwrap());
        if bits == 8 {
            elements = with(elements, us((0x28, 0x100), &[8]));
        }
        if entry["samples"] == 3 {
            elements = with(with(elements, us((0x28, 2), &[3])), text((0x28, 4), b"CS", "RGB"));
        }
        let uid = UIDS.iter().find(|&&uid| entry["syntax"] == uid).unwrap();
        let file = |frame: Vec<u8>| compressed_file(uid, &elements, &[frame]);
        let image = decode_with(&file(frame.clone()), &LOOSE, &Rendering::default());
        let image = image.unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert_eq!(
            hex::encode(Sha256::digest(image.as_bytes())),
            entry["sha256"].as_str().unwrap(),
            "{entry}"
        );
        // Every cut of the compressed bytes is noticed, whatever the codec, or has taken no value: the end of a JPEG's
        // data may be padding, and its end marker may be missing.
        for len in 0..frame.len() - 2 {
            let cut = decode_with(&file(frame[..len].to_vec()), &LOOSE, &Rendering::default());
            let is_whole = cut.as_ref().is_ok_and(|cut| *cut == image);
            assert!(is_whole || !["ok", "decoder_panic"].contains(&code(&cut)), "{entry} cut at {len}");
        }
    }
}

/// Transfer syntaxes of the frames, after 1.2.840.10008.1.2.
const UIDS: [&str; 6] = ["4.50", "4.57", "4.70", "4.80", "4.81", "4.90"];

/// Real files, or `None` with a message where the set-up script has not fetched them.
fn real() -> Option<PathBuf> {
    let root = repo(".cache/dicom");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: .cache/dicom is absent; tests/support/fetch_dicom.sh fetches it");
    None
}

/// Every file below a folder, in order of its path.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn find(root: &Path, name: &str) -> Vec<u8> {
    let path = files(root).into_iter().find(|path| path.file_name().is_some_and(|file| file == name));
    fs::read(path.unwrap_or_else(|| panic!("{name} is not in .cache/dicom"))).unwrap()
}

#[test]
fn real_files_render_as_with_pydicom() {
    let Some(root) = real() else { return };
    let text = fs::read_to_string(repo("tests/golden/dicom/golden.json")).unwrap();
    let table: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(table.len() >= 40);
    for entry in table {
        let window = match &entry["window"] {
            Value::Array(pair) => {
                Window::Fixed { center: pair[0].as_f64().unwrap(), width: pair[1].as_f64().unwrap() }
            }
            Value::String(name) if name == "minmax" => Window::MinMax,
            Value::String(name) if name == "percentile" => Window::Percentile,
            _ => Window::File,
        };
        let frame = entry["frame"].as_u64().map(|frame| frame as u32);
        let bytes = find(&root, entry["file"].as_str().unwrap());
        let rendering = Rendering { frame, window, ..Rendering::default() };
        let image =
            decode_with(&bytes, &LOOSE, &rendering).unwrap_or_else(|error| panic!("{entry}: {error}"));
        let (w, h) = (image.width_px() as usize, image.height_px() as usize);
        assert_eq!(
            (w as u64, h as u64),
            (entry["width"].as_u64().unwrap(), entry["height"].as_u64().unwrap())
        );
        let grid = hex::decode(entry["grid"].as_str().unwrap()).unwrap();
        let places =
            (0..8).flat_map(|y| (0..8).map(move |x| ((2 * y + 1) * h / 16 * w + (2 * x + 1) * w / 16) * 3));
        for (at, golden) in places.zip(grid.chunks(3)) {
            let pixel = &image.as_bytes()[at..at + 3];
            assert!(
                pixel.iter().zip(golden).all(|(a, b)| a.abs_diff(*b) <= 1),
                "{entry}: {pixel:?} {golden:?}"
            );
        }
        for channel in 0..3 {
            let sum: u64 = image.as_bytes()[channel..].iter().step_by(3).map(|&byte| u64::from(byte)).sum();
            let golden = entry["sums"][channel].as_u64().unwrap();
            // Under one level in a hundred pixels: a picture that is off by one everywhere would show.
            assert!(sum.abs_diff(golden) <= (w * h / 100) as u64, "{entry}: sum {sum}");
        }
    }
}

#[test]
fn lossless_twins_are_equal() {
    let Some(root) = real() else { return };
    let groups: [&[&str]; 15] = [
        &["RG1_UNCR", "RG1_J2KR"],
        &["RG3_UNCR", "RG3_J2KR"],
        &["MR2_UNCR", "MR2_J2KR"],
        &["693_UNCR", "693_J2KR"],
        &["US1_UNCR", "US1_J2KR"],
        // The uncompressed ones were made of the others, whose irreversible transform is defined by its reference decoder.
        &["RG1_UNCI", "RG1_J2KI"],
        &["RG3_UNCI", "RG3_J2KI"],
        &["MR2_UNCI", "MR2_J2KI"],
        &["US1_UNCI", "US1_J2KI"],
        &["693_UNCI", "693_J2KI"],
        &["OBXXXX1A", "OBXXXX1A_rle", "OBXXXX1A_expb"],
        &["OBXXXX1A_2frame", "OBXXXX1A_rle_2frame", "OBXXXX1A_expb_2frame"],
        &[
            "emri_small",
            "emri_small_RLE",
            "emri_small_jpeg_ls_lossless",
            "emri_small_jpeg_2k_lossless",
            "emri_small_big_endian",
        ],
        &[
            "MR_small",
            "MR_small_RLE",
            "MR_small_bigendian",
            "MR_small_expb",
            "MR_small_implicit",
            "MR_small_jp2klossless",
            "MR_small_jpeg_ls_lossless",
            "MR_small_padded",
        ],
        &["gdcm-US-ALOKA-16", "gdcm-US-ALOKA-16_big"],
    ];
    // Windows one value a level, side by side, so that every stored bit counts.
    let centers = [0.0, 1000.0, 15_000.0];
    let windows = centers.map(|center| Window::Fixed { center, width: 256.0 });
    for group in groups {
        let all: Vec<Vec<u8>> = group.iter().map(|name| find(&root, &format!("{name}.dcm"))).collect();
        let n_frames =
            if group[0] == "emri_small" { 10 } else { 1 + u32::from(group[0].ends_with("2frame")) };
        for frame in 0..n_frames {
            for window in windows.into_iter().chain([Window::File, Window::MinMax]) {
                let rendering = Rendering { frame: Some(frame), window, ..Rendering::default() };
                let first = decode_with(&all[0], &LOOSE, &rendering).unwrap();
                for (bytes, name) in all.iter().zip(group).skip(1) {
                    assert!(
                        decode_with(bytes, &LOOSE, &rendering).unwrap() == first,
                        "{name} frame {frame} {window:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn damaged_real_files_have_their_codes() {
    let Some(root) = real() else { return };
    let cases = [
        ("MR_truncated.dcm", "dicom_length_exceeds_file"),
        ("badVR.dcm", "dicom_invalid_attribute"),
        ("JPEG-lossy.dcm", "ok"),
        ("JPGExtended.dcm", "ok"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "decode_corrupt"),
        ("no_meta.dcm", "unsupported_format"),
        ("no_meta_group_length.dcm", "dicom_no_pixel_data"),
        ("meta_missing_tsyntax.dcm", "dicom_missing_attribute"),
        ("emri_small_jpeg_2k_lossless_too_short.dcm", "ok"),
        ("rtplan_truncated.dcm", "dicom_length_exceeds_file"),
        ("OT-PAL-8-face.dcm", "ok"),
        ("SC_rgb_jpeg.dcm", "ok"),
        ("test-SR.dcm", "dicom_no_pixel_data"),
        ("waveform_ecg.dcm", "dicom_no_pixel_data"),
        ("nested_priv_SQ.dcm", "dicom_missing_attribute"),
        ("zipMR.gz", "unsupported_format"),
    ];
    for (name, wanted) in cases {
        let rendering = Rendering { frame: Some(0), ..Rendering::default() };
        assert_eq!(code(&decode_with(&find(&root, name), &LOOSE, &rendering)), wanted, "{name}");
    }
}

/// The transfer syntax as a file names it, for the count alone.
fn transfer_syntax(bytes: &[u8]) -> String {
    let at = bytes.windows(6).take(2000).position(|window| window == b"\x02\0\x10\0UI");
    let Some(at) = at.filter(|_| bytes.get(128..132) == Some(b"DICM")) else { return "none".to_owned() };
    let len = usize::from(bytes[at + 6]);
    String::from_utf8_lossy(&bytes[at + 8..at + 8 + len]).trim_end_matches('\0').to_owned()
}

#[test]
fn real_files_are_read_or_refused_and_counted() {
    let Some(root) = real() else { return };
    let mut counts: BTreeMap<String, (u32, BTreeMap<&'static str, u32>)> = BTreeMap::new();
    for path in files(&root) {
        let bytes = fs::read(&path).unwrap();
        if !["dcm", ""].contains(&path.extension().map_or("", |ending| ending.to_str().unwrap())) {
            continue;
        }
        let rendering = Rendering { frame: Some(0), ..Rendering::default() };
        let entry = counts.entry(transfer_syntax(&bytes)).or_default();
        match code(&decode_with(&bytes, &LOOSE, &rendering)) {
            "ok" => entry.0 += 1,
            refused => *entry.1.entry(refused).or_default() += 1,
        }
    }
    let n_read: u32 = counts.values().map(|(n_read, _)| n_read).sum();
    for (syntax, (n_read, refused)) in &counts {
        println!("{syntax}: read {n_read}, refused {refused:?}");
    }
    println!("read {n_read} in all");
    assert!(n_read >= 150, "{n_read}");
    assert!(counts.values().all(|(_, refused)| !refused.contains_key("decoder_panic")));
}
