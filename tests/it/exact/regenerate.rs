use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use t3b_corrupt::export::{ExportError, contact_sheet, data_set_name, export_medmnist_c};
use t3b_corrupt::{Assets, Severity, Suite};
use t3b_image::Rgb8;
use t3b_image::npz::{NpyHeader, Npz, NpzError, NpzWriter};

const SIDE: i64 = 224;

/// The golden inputs of `tests/golden/corruptions/inputs.py`, as interleaved RGB.
fn paint(colour: impl Fn(i64, i64) -> [u8; 3]) -> Vec<u8> {
    (0..SIDE * SIDE).flat_map(|i| colour(i % SIDE, i / SIDE)).collect()
}

fn ramp(x: i64, y: i64) -> [u8; 3] {
    [x * 255 / (SIDE - 1), y * 255 / (SIDE - 1), (x + y) * 255 / (2 * SIDE - 2)].map(|v| v as u8)
}

fn cells(x: i64, y: i64) -> [u8; 3] {
    match (x - SIDE / 2).pow(2) + (y - SIDE / 2).pow(2) {
        0..400 => [255; 3],
        400..3600 => [90, 30, 120],
        _ if (x / 16 + y / 16) % 2 == 0 => [230, 190, 210],
        _ => [120, 60, 140],
    }
}

fn grey() -> Vec<u8> {
    let mut state = 12_345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..SIDE * SIDE * 3).map(|_| next()).collect();
    let mix =
        |i: i64| ((3 * u16::from(ramp(i % SIDE, i / SIDE)[2]) + u16::from(noise[3 * i as usize])) / 4) as u8;
    (0..SIDE * SIDE).map(mix).collect()
}

/// The two images of the golden script's stand-in for a data set.
fn two_images(is_grey: bool) -> [Vec<u8>; 2] {
    if is_grey {
        [paint(cells).into_iter().step_by(3).collect(), grey()]
    } else {
        [paint(cells), paint(ramp)]
    }
}

fn header(descr: &str, shape: &[u64]) -> NpyHeader {
    NpyHeader { descr: descr.to_owned(), shape: shape.to_vec() }
}

fn write_npz(path: &Path, arrays: &[(&str, NpyHeader, Vec<u8>)]) {
    let mut npz = NpzWriter::create(path).unwrap();
    for (name, header, bytes) in arrays {
        npz.start(name, header).unwrap();
        npz.write_rows(bytes).unwrap();
    }
    npz.finish().unwrap();
}

/// A data set of two images with labels 7 and 9.
fn write_data_set(folder: &Path, name: &str, is_grey: bool) -> PathBuf {
    let path = folder.join(format!("{name}_224.npz"));
    let side = SIDE as u64;
    let shape = if is_grey { vec![2, side, side] } else { vec![2, side, side, 3] };
    let labels = [7i64, 9].map(i64::to_le_bytes).concat();
    let arrays = [
        ("test_images", header("|u1", &shape), two_images(is_grey).concat()),
        ("test_labels", header("<i8", &[2, 1]), labels),
    ];
    write_npz(&path, &arrays);
    path
}

fn read(path: &Path, member: &str) -> (NpyHeader, Vec<u8>) {
    let mut rows = Npz::open(path).unwrap().into_rows(member).unwrap();
    let (mut all, mut row) = (Vec::new(), Vec::new());
    while rows.next_into(&mut row).unwrap() {
        all.extend_from_slice(&row);
    }
    (rows.header().clone(), all)
}

/// Where the reference's pictures are missing, their corruptions are not compared.
#[test]
fn exports_are_those_of_the_references_data_set_manager() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = fs::read(root.join("tests/golden/corruptions/end_to_end.json")).unwrap();
    let golden: BTreeMap<String, String> = serde_json::from_slice(&golden).unwrap();
    let cache = std::env::var_os("T3B_ASSETS").map_or_else(|| root.join(".cache/assets"), PathBuf::from);
    let assets = Assets::from_dir(&cache).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut n_compared, mut wrong) = (0, Vec::new());
    for name in ["dermamnist", "pneumoniamnist", "octmnist"] {
        let suite = Suite::with_assets(name, &assets).unwrap();
        let source = write_data_set(folder.path(), name, suite.grey());
        let name = data_set_name(&source).unwrap();
        let written = export_medmnist_c(&source, name, folder.path(), &assets, 0, |_| {}).unwrap();
        assert_eq!(written.len(), suite.entries().len());
        for (entry, path) in suite.entries().iter().zip(&written) {
            assert_eq!(*path, folder.path().join(name).join(format!("{}.npz", entry.name)));
            let (images, values) = read(path, "test_images");
            assert_eq!((images.n_rows(), images.shape.len()), (10, if suite.grey() { 3 } else { 4 }));
            let (labels, numbers) = read(path, "test_labels");
            assert_eq!(labels, header("<i8", &[10, 1]));
            assert_eq!(numbers, [7i64, 9].map(i64::to_le_bytes).concat().repeat(5));
            // The blur's near-ties are accounted for one by one among the tests of corruptions.
            if entry.name != "gaussian_blur" && entry.at(Severity::ALL[0]).is_exact() {
                let key = format!("{name}/{}", entry.name);
                n_compared += 1;
                if golden[&key] != hex::encode(Sha256::digest(&values)) {
                    wrong.push(key);
                }
            }
        }
        assert_eq!(
            fs::read_dir(folder.path().join(name)).unwrap().count(),
            written.len(),
            "something was left"
        );
    }
    println!("{n_compared} files compared");
    assert!(n_compared >= 20 && wrong.is_empty(), "{} of {n_compared} differ: {wrong:?}", wrong.len());
}

#[test]
fn arrays_survive_the_round_trip_and_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        ("a", header("|u1", &[3, 2, 2]), (0..12).collect::<Vec<u8>>()),
        ("b", header("<i8", &[1]), vec![1; 8]),
        ("none", header("|u1", &[0, 4]), Vec::new()),
    ];
    let [first, second] = ["first.npz", "second.npz"].map(|name| folder.path().join(name));
    write_npz(&first, &arrays);
    write_npz(&second, &arrays);
    for (name, header, bytes) in arrays {
        assert_eq!(read(&first, name), (header, bytes));
    }
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn damaged_archives_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bloodmnist_224.npz");
    fs::write(&path, b"not a zip").unwrap();
    assert!(matches!(Npz::open(&path), Err(NpzError::Zip(_))));

    let rows: Vec<u8> = (0..200u32).map(|i| (i * i % 251) as u8).collect();
    write_npz(&path, &[("a", header("|u1", &[2, 100]), rows)]);
    assert!(matches!(Npz::open(&path).unwrap().into_rows("b"), Err(NpzError::Missing { .. })));
    let exported = export_medmnist_c(&path, "bloodmnist", folder.path(), &Assets::default(), 0, |_| {});
    assert!(matches!(exported, Err(ExportError::Source { source: NpzError::Missing { .. }, .. })));

    // One bit among the compressed rows, which start after the member's own header.
    let mut bytes = fs::read(&path).unwrap();
    bytes[120] ^= 1;
    fs::write(&path, bytes).unwrap();
    let read = || -> Result<(), NpzError> {
        let mut rows = Npz::open(&path)?.into_rows("a")?;
        let mut row = Vec::new();
        while rows.next_into(&mut row)? {}
        Ok(())
    };
    assert!(read().is_err());
}

#[test]
fn an_export_refuses_what_its_suite_is_not_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = write_data_set(folder.path(), "octmnist", true);
    let export = |name| export_medmnist_c(&source, name, folder.path(), &Assets::default(), 0, |_| {});
    assert!(matches!(export("bloodmnist"), Err(ExportError::Images { .. })));
    assert!(matches!(export("imagenet-c"), Err(ExportError::DataSet { .. })));
    assert!(!folder.path().join("bloodmnist").exists());
}

#[test]
fn rows_are_neither_too_many_nor_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut npz = NpzWriter::create(&folder.path().join("a.npz")).unwrap();
    npz.start("a", &header("|u1", &[2, 2])).unwrap();
    npz.write_rows(&[1; 3]).unwrap();
    assert!(matches!(npz.write_rows(&[1; 2]), Err(NpzError::Size { found: "more", .. })));
    assert!(matches!(npz.finish(), Err(NpzError::Size { found: "fewer", .. })));
}

#[test]
fn a_sheet_has_a_row_per_corruption_and_a_column_per_severity() {
    let image = Rgb8::new(SIDE as u32, SIDE as u32, paint(cells)).unwrap();
    let [small, large] = ["octmnist", "bloodmnist"].map(|name| {
        let suite = Suite::named(name).unwrap();
        (suite.entries().len() as u32, contact_sheet(&image, &suite, 0))
    });
    let pitch_px = (large.1.height_px() - small.1.height_px()) / (large.0 - small.0);
    assert!((112..140).contains(&pitch_px), "{pitch_px}");
    assert!(small.1.width_px() > 6 * 112);
    let suite = Suite::named("octmnist").unwrap();
    assert_eq!(contact_sheet(&image, &suite, 0), small.1, "not the same bytes again");
}
