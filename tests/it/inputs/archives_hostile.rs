//! Archives that lie about what they hold: each is refused before anything is done for it.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use t3b_decode::{Limits, decode};
use t3b_image::npz::NpyHeader;

use crate::inputs::archives::{list, pictures, quarantined, score_listed, write_table, write_zip};
use crate::support::Fixture;
use crate::tables::table;

#[test]
fn an_archive_that_lies_costs_its_own_rows() {
    let fixture = Fixture::new();
    let rows = vec![vec![7_u8; 64 * 64 * 3]; 4];
    fs::create_dir(fixture.path("bad")).unwrap();
    let path = |name: &str| fixture.path("bad").join(name);
    write_zip(&path("a_cut.npz"), &rows, zip::CompressionMethod::Stored);
    let whole = fs::read(path("a_cut.npz")).unwrap();
    fs::write(path("a_cut.npz"), &whole[..whole.len() - 30]).unwrap();
    // All rows alike: one compressed byte stands for hundreds.
    write_zip(&path("b_bomb.npz"), &vec![vec![7_u8; 64 * 64 * 3]; 400], zip::CompressionMethod::Deflated);
    let mut locked = whole.clone();
    let entry = locked.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    locked[entry + 8] |= 1;
    fs::write(path("c_locked.npz"), &locked).unwrap();
    fs::write(path("d_text.npz"), b"PK\x03\x04 is not enough").unwrap();
    fs::write(path("e_cut.parquet"), b"PAR1 and nothing behind it").unwrap();
    let mut many = whole.clone();
    let end = many.len() - 22;
    many[end + 8..end + 12].fill(0xff);
    let locator =
        [b"PK\x06\x07".to_vec(), vec![0; 4], (end as u64).to_le_bytes().to_vec(), vec![1, 0, 0, 0]].concat();
    let record =
        [b"PK\x06\x06".to_vec(), vec![0; 20], 2_000_000_u64.to_le_bytes().repeat(2), vec![0; 16]].concat();
    let many = [&many[..end], &record, &locator, &many[end..]].concat();
    fs::write(path("f_many.npz"), many).unwrap();
    fs::write(path("g_none.npz"), b"\x1f\x8b\x08 another kind of file").unwrap();
    let found = quarantined(&fixture, "bad", "out", "40");
    let reasons: Vec<&str> = found.iter().map(|(_, reason)| reason.as_str()).collect();
    let wanted = [
        "archive_truncated",
        "archive_exceeds_limit",
        "archive_encrypted",
        "archive_truncated",
        "archive_truncated",
        "archive_exceeds_limit",
        "archive_truncated",
    ];
    assert_eq!(reasons, wanted);
}

/// What stands in the first column, and in a column of numbers below zero, is no class.
#[test]
fn a_column_of_bytes_in_front_of_the_images_is_not_taken_for_them() {
    let fixture = Fixture::new();
    let files: Vec<_> = pictures(&fixture).into_iter().map(|picture| picture.file).collect();
    let label: ArrayRef = Arc::new(files.iter().map(|_| Some(b"not an image")).collect::<BinaryArray>());
    let image: ArrayRef = Arc::new(files.iter().map(Some).collect::<BinaryArray>());
    let none: ArrayRef = Arc::new(files.iter().map(|_| Some(-1)).collect::<Int64Array>());
    fs::create_dir(fixture.path("tables")).unwrap();
    for (name, columns) in [
        ("front", vec![("label", label), ("image", image.clone())]),
        ("below", vec![("image", image), ("label", none)]),
    ] {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = fs::File::create(fixture.path("tables/a.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(quarantined(&fixture, "tables", name, "40"), [], "{name}");
        assert!(
            table(&fixture.path(name), "predictions").text("label_idx").iter().all(String::is_empty),
            "{name}"
        );
    }
}

/// Some bytes of a header can ask for gigabytes, or for a stack that nobody has.
#[test]
fn a_table_that_declares_too_much_is_refused_before_it_is_followed() {
    let fixture = Fixture::new();
    let files: Vec<_> = pictures(&fixture).into_iter().map(|picture| picture.file).collect();
    fs::create_dir(fixture.path("tables")).unwrap();
    let path = fixture.path("tables/a.parquet");
    write_table(&path, &files, "x.png", 40, Compression::SNAPPY);
    let sound = list(&fixture, "tables", "sound.parquet");
    let whole = fs::read(&path).unwrap();
    // The first page: its kind, then its size when unpacked, a varint of three bytes, here one of five.
    let mut page = whole.clone();
    let size = 4 + 3;
    assert_eq!((page[4], page[6]), (0x15, 0x15), "a page header as every writer begins it");
    page[size..size + 5].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    fs::write(&path, &page).unwrap();
    let found = score_listed(&fixture, "tables", &sound, "page", "40");
    assert_eq!(found.len(), files.len());
    assert!(found.iter().all(|(_, reason)| reason == "archive_exceeds_limit"), "{found:?}");

    // Version 1, then five thousand groups inside each other.
    let mut footer = vec![0x15, 2, 0x19, 0xfc, 0x89, 0x27];
    footer.extend([0x55, 2, 0].repeat(5000));
    footer.extend([0, 0]);
    let deep = [b"PAR1".as_slice(), &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat();
    fs::write(&path, deep).unwrap();
    assert_eq!(
        quarantined(&fixture, "tables", "deep", "40"),
        [("0".to_owned(), "archive_exceeds_limit".to_owned())]
    );
}

/// A wrong class is worse than none, and zip knows.
#[test]
fn labels_with_a_flipped_bit_are_not_believed() {
    let fixture = Fixture::new();
    let pictures = pictures(&fixture);
    fs::create_dir(fixture.path("arrays")).unwrap();
    let path = fixture.path("arrays/a.npz");
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, shape, values) in [
        (
            "test_images",
            vec![2, 64, 64, 3],
            pictures[..2]
                .iter()
                .flat_map(|p| decode(&p.file, &Limits::default()).unwrap().into_bytes())
                .collect(),
        ),
        ("test_labels", vec![2, 1], vec![1_u8, 2]),
    ] {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(&NpyHeader { descr: "|u1".to_owned(), shape }.to_bytes()).unwrap();
        zip.write_all(&values).unwrap();
    }
    zip.finish().unwrap();
    assert_eq!(quarantined(&fixture, "arrays", "sound", "40"), []);
    let mut bytes = fs::read(&path).unwrap();
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes[directory - 1] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        quarantined(&fixture, "arrays", "flipped", "40"),
        [("0".to_owned(), "archive_corrupt".to_owned())]
    );
}
