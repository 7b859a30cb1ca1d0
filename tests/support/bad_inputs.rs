//! Single files that must not be scored, and odd ones that must: one entry for each item of the list of bad inputs that
//! a file and its manifest row can show (docs/reliability.md numbers them).

use std::fs;

use crate::hostile::{self, GREY, RGB, black_png, grey_tiff, header_only_png, tiff};
use crate::support::dicom::{
    Element, Syntax, compressed_file, data_set, file, grey_16, jpeg_2000_file, part_10, text, us, with,
};
use crate::support::repo;

/// One bad input.
pub struct BadInput {
    /// Its number in the list.
    pub item: u32,
    /// What it is, as a file name.
    pub name: &'static str,
    /// The object; `None` where there is none.
    pub bytes: Option<Vec<u8>>,
    /// What its manifest row declares: sha256, bytes, frame.
    pub declared: [Option<String>; 3],
    /// The reason code, or `ok`.
    pub code: &'static str,
}

/// Largest object of a run over these: the bombs are below, the object of item 22 is above.
pub const MAX_OBJECT_BYTES: usize = 12 << 20;

/// Every entry, in the order of the list.
pub fn bad_inputs() -> Vec<BadInput> {
    let entry = |(item, name, bytes, code)| BadInput {
        item,
        name,
        bytes: Some(bytes),
        declared: [None, None, None],
        code,
    };
    let mut all: Vec<BadInput> = pictures().into_iter().chain(dicom()).map(entry).collect();
    let good = black_png(64, 64, 8, RGB);
    let declared =
        |item, name, declared, code| BadInput { item, name, bytes: Some(good.clone()), declared, code };
    all.push(BadInput { bytes: None, ..entry((21, "missing.png", Vec::new(), "missing_object")) });
    all.push(declared(23, "longer.png", [None, Some("7".into()), None], "size_mismatch"));
    all.push(declared(24, "other.png", [Some("0".repeat(64)), None, None], "checksum_mismatch"));
    all.push(declared(56, "one.png", [None, None, Some("1".into())], "frame_out_of_range"));
    all.sort_by_key(|input| input.item);
    all
}

type Entry = (u32, &'static str, Vec<u8>, &'static str);

fn golden(name: &str) -> Vec<u8> {
    fs::read(repo("tests/golden").join(name)).expect("a golden file")
}

fn pictures() -> Vec<Entry> {
    let good = black_png(64, 64, 8, RGB);
    let mut crc = good.clone();
    crc[45] ^= 0xff;
    let jpeg = golden("decode/files/jpeg_64x48_420.jpg");
    let cmyk = grey_tiff(16, 16, 1, 256)
        .iter()
        .map(|&old| if old.0 == 262 { (262, 3, 1, 5) } else { old })
        .collect::<Vec<_>>();
    let count = grey_tiff(16, 16, 1, 256)
        .iter()
        .map(|&old| if old.0 == 273 { (273, 4, 0xffff_fff0, 8) } else { old })
        .collect::<Vec<_>>();
    let webp = [&b"RIFF\0\0\0\0WEBP"[..], &b"ANMF\x03\0\0\0abc\0".repeat(3)].concat();
    vec![
        (20, "empty.png", Vec::new(), "empty_object"),
        (22, "large.bin", vec![0; MAX_OBJECT_BYTES + 1], "object_too_large"),
        (27, "cut.png", good[..60].to_vec(), "decode_truncated"),
        (28, "cut.jpg", jpeg[..jpeg.len() / 20].to_vec(), "decode_truncated"),
        (28, "half.jpg", jpeg[..jpeg.len() / 2].to_vec(), "decode_truncated"),
        (30, "crc.png", crc, "decode_corrupt"),
        (31, "header.png", header_only_png(100_000, 100_000), "dimensions_exceed_limit"),
        (32, "bomb.png", black_png(20_000, 20_000, 8, RGB), "dimensions_exceed_limit"),
        (33, "bits.png", black_png(60_000, 60_000, 1, GREY), "dimensions_exceed_limit"),
        (34, "text.png", hostile::text_bomb_png(256 << 20), "ok"),
        (35, "zero.png", header_only_png(0, 64), "decode_corrupt"),
        (36, "huge.jpg", hostile::tiny_jpeg(65_500, 65_500, 0xc0, 3), "dimensions_exceed_limit"),
        (36, "huge2.jpg", hostile::tiny_jpeg(65_500, 65_500, 0xc2, 3), "dimensions_exceed_limit"),
        (37, "huge.tif", tiff(&grey_tiff(50_000, 50_000, 1, 16), 0, &[0; 16]), "dimensions_exceed_limit"),
        (37, "lzw.tif", tiff(&grey_tiff(50_000, 50_000, 5, 16), 0, &[0; 16]), "dimensions_exceed_limit"),
        (38, "count.tif", tiff(&count, 0, &[7; 256]), "decode_corrupt"),
        (39, "loop.tif", tiff(&grey_tiff(16, 16, 1, 256), 8, &[7; 256]), "decode_corrupt"),
        (40, "pages.tif", golden("tiff/files/pages.tif"), "multi_frame"),
        (45, "pixel.gif", hostile::gif(12), "image_too_small"),
        (40, "frames.png", hostile::animated_png(12), "multi_frame"),
        (40, "frames.webp", webp, "multi_frame"),
        (41, "cmyk.jpg", hostile::tiny_jpeg(64, 64, 0xc0, 4), "unsupported_color_type"),
        (41, "cmyk.tif", tiff(&cmyk, 0, &[7; 256]), "unsupported_color_type"),
        (42, "really_a_jpeg.png", jpeg, "ok"),
        (43, "page.png", b"<!DOCTYPE html><html></html>".to_vec(), "unsupported_format"),
        (43, "error.png", b"<?xml version=\"1.0\"?><Error/>".to_vec(), "unsupported_format"),
        (44, "deep.png", golden("decode/files/color0_depth16.png"), "ok"),
        (44, "alpha.png", golden("decode/files/color6_depth8.png"), "ok"),
        (44, "turned.jpg", golden("decode/files/jpeg_exif_rotation.jpg"), "ok"),
        (45, "pixel.png", black_png(1, 1, 8, RGB), "image_too_small"),
        (45, "thread.png", black_png(1, 30_000, 8, RGB), "aspect_exceeds_limit"),
        (66, "flat.png", good, "ok"),
    ]
}

fn dicom() -> Vec<Entry> {
    let pixels: Vec<u16> = (0..256).map(|value| value * 16).collect();
    let grey = || grey_16(16, 16, 12, false);
    let cell = |element: Element| file(Syntax::Explicit, &with(grey(), element), &pixels);
    let without = |tag: u16| grey().into_iter().filter(|element| element.1 != tag).collect::<Vec<_>>();
    let start = data_set(Syntax::Explicit, &grey());
    let giant = [&start[..], b"\xe0\x7f\x10\0OW\0\0\xf0\xff\xff\xff0123456789"].concat();
    let nest = |n| b"\x40\0\x00\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff".repeat(n);
    let mut meta = file(Syntax::Explicit, &grey(), &pixels);
    meta[140..144].fill(0xf0);
    let dying = |how: &str| jpeg_2000_file(Some(&format!("T3B-TEST-DIE:{how}")));
    let window = with(grey(), text((0x28, 0x1050), b"DS", "40"));
    let narrow = with(window, text((0x28, 0x1051), b"DS", "narrow"));
    let frames = with(grey(), text((0x28, 8), b"IS", "2"));
    let bare = data_set(Syntax::Explicit, &[text((8, 5), b"CS", "ISO_IR 100")]);
    let bare = [&bare[..], b"and then a text"].concat();
    let fragments = compressed_file("4.102", &grey(), &[vec![0; 4]]);
    vec![
        (47, "abort.dcm", dying("abort"), "poison_confirmed"),
        (47, "overflow.dcm", dying("overflow"), "poison_confirmed"),
        (47, "allocate.dcm", dying("allocate"), "poison_confirmed"),
        (47, "spin.dcm", dying("spin"), "poison_confirmed"),
        (48, "giant.dcm", part_10(Syntax::Explicit, &giant), "dicom_length_exceeds_file"),
        (49, "nest_3200.dcm", part_10(Syntax::Explicit, &nest(3_200)), "dicom_nesting_exceeds_limit"),
        (49, "nest_20000.dcm", part_10(Syntax::Explicit, &nest(20_000)), "dicom_nesting_exceeds_limit"),
        (50, "meta.dcm", meta, "dicom_meta_invalid"),
        (51, "bare.dcm", bare, "not_dicom"),
        (52, "rows.dcm", file(Syntax::Explicit, &without(0x10), &pixels), "dicom_missing_attribute"),
        (52, "columns.dcm", file(Syntax::Explicit, &without(0x11), &pixels), "dicom_missing_attribute"),
        (53, "short.dcm", cell(us((0x28, 0x10), &[17])), "dicom_pixel_length_mismatch"),
        (53, "long.dcm", cell(us((0x28, 0x10), &[8])), "dicom_pixel_length_mismatch"),
        (54, "h264.dcm", fragments, "dicom_unsupported_transfer_syntax"),
        (55, "bits.dcm", cell(us((0x28, 0x101), &[17])), "dicom_invalid_attribute"),
        (55, "high.dcm", cell(us((0x28, 0x102), &[16])), "dicom_invalid_attribute"),
        (55, "samples.dcm", cell(us((0x28, 2), &[2])), "dicom_invalid_attribute"),
        (56, "frames.dcm", file(Syntax::Explicit, &frames, &pixels.repeat(2)), "multi_frame"),
        (57, "report.dcm", part_10(Syntax::Explicit, &start), "dicom_no_pixel_data"),
        (58, "slope.dcm", cell(text((0x28, 0x1053), b"DS", "0")), "dicom_invalid_attribute"),
        (58, "nan.dcm", cell(text((0x28, 0x1053), b"DS", "NaN")), "dicom_invalid_attribute"),
        (58, "width.dcm", file(Syntax::Explicit, &narrow, &pixels), "dicom_invalid_attribute"),
        (
            59,
            "deflated.dcm",
            part_10(Syntax::Compressed("1.99"), &deflated_zeros(1 << 30)),
            "dicom_inflate_exceeds_limit",
        ),
        (60, "inverted.dcm", cell(text((0x28, 4), b"CS", "MONOCHROME1")), "ok"),
        (61, "burned.dcm", cell(text((0x28, 0x301), b"CS", "YES")), "burned_in_annotation"),
    ]
}

fn deflated_zeros(n: usize) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let block = [0; 1 << 16];
    (0..n / block.len()).for_each(|_| encoder.write_all(&block).expect("memory"));
    encoder.finish().expect("memory")
}
