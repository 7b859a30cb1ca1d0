//! Archives as public bug reports have them: what is read is read whole, and what is not says so, array by array.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use t3b_image::npz::NpyHeader;

use crate::inputs::archives::{pictures, quarantined, score_listed};
use crate::inputs::shards::{images, write_shard};
use crate::support::{Fixture, repo, shared};
use crate::tables::table;

/// An npz of arrays: name, type, shape, bytes.
type Arrays<'a> = Vec<(&'a str, &'a str, Vec<u64>, Vec<u8>)>;

fn write_npz(path: &Path, arrays: &Arrays<'_>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, descr, shape, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(&NpyHeader { descr: (*descr).to_owned(), shape: shape.clone() }.to_bytes()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Six 28 x 28 images of noise.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..6 * 28 * 28).map(next).collect()
}

/// Lists one root; what was said.
fn list(fixture: &Fixture, root: &str, more: &[&str]) -> String {
    let said = fixture.t3b(&[&["manifest", "build", root, "-o", "m.csv"], more].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// The manifest's rows by column.
fn column(fixture: &Fixture, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(fixture.path("m.csv")).unwrap();
    let place = reader.headers().unwrap().iter().position(|found| found == name);
    let field = |record: csv::StringRecord| place.map_or("", |place| &record[place]).to_owned();
    reader.records().map(|record| field(record.unwrap())).collect()
}

#[test]
fn z02b_z03_z04_one_bad_array_costs_that_array_and_says_what_it_is() {
    let fixture = Fixture::new();
    let good = || ("test_images", "|u1", vec![6, 28, 28], noise());
    let cases: [(&str, &str, Vec<u64>, &str); 7] = [
        ("float", "<f4", vec![6, 28, 28], "images: found float32 of shape (6, 28, 28)"),
        ("wide", ">u2", vec![6, 28, 28], "images: found big endian uint16"),
        ("bool", "|b1", vec![6, 28, 28], "images: found bool"),
        ("object", "|O", vec![6], "images: found objects, which are pickled"),
        ("volumes", "|u1", vec![6, 8, 8, 28], "images: found uint8 of shape (6, 8, 8, 28)"),
        ("channels first", "|u1", vec![6, 3, 28, 28], "images: found uint8 of shape (6, 3, 28, 28)"),
        ("with alpha", "|u1", vec![6, 28, 28, 2], "images: found uint8 of shape (6, 28, 28, 2)"),
    ];
    for (name, descr, shape, wanted) in cases {
        let size = if descr == "|O" { 8 } else { descr[2..].parse::<u64>().unwrap() };
        let bytes = vec![1; usize::try_from(shape.iter().product::<u64>() * size).unwrap()];
        let root = format!("npz {name}");
        write_npz(
            &fixture.path(&root).join("a.npz"),
            &vec![("train_images", descr, shape.clone(), bytes.clone()), good()],
        );
        let said = list(&fixture, &root, &[]);
        assert!(
            said.contains("7 samples") && said.contains("refused: archive_unsupported 1"),
            "{name}: {said}"
        );
        let found = column(&fixture, "found").concat();
        assert!(found.starts_with(wanted) && found.contains("read are uint8"), "{name}: {found}");
        // Alone it is a refused row and no wrong root, and the words reach the quarantine table.
        let root = format!("alone {name}");
        write_npz(&fixture.path(&root).join("a.npz"), &vec![("train_images", descr, shape, bytes)]);
        assert_eq!(quarantined(&fixture, &root, &format!("out {name}"), "40").len(), 1);
        let detail = table(&fixture.path(&format!("out {name}")), "quarantine").text("detail").concat();
        assert!(detail.starts_with(wanted), "{name}: {detail}");
    }
}

#[test]
fn z08_labels_of_every_kind_are_read_or_said_not_to_be() {
    let fixture = Fixture::new();
    let floats = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let text: Vec<u8> = "cat\0\0dog\0\0".repeat(3).chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let one_hot = [[1_u8, 0, 0], [0, 0, 1]].repeat(3).concat();
    let several = [[1_u8, 0, 1], [0, 0, 1]].repeat(3).concat();
    let big: Vec<u8> = [2_i64, -1].repeat(3).iter().flat_map(|v| v.to_be_bytes()).collect();
    type Case = (&'static str, &'static str, Vec<u64>, Vec<u8>, &'static str, [&'static str; 2], bool);
    let cases: [Case; 7] = [
        ("float", "<f8", vec![6, 1], floats(&[2.0, f64::NAN].repeat(3)), "label_idx", ["2", ""], false),
        ("fraction", "<f8", vec![6], floats(&[0.5, 1.0].repeat(3)), "label_idx", ["", "1"], true),
        ("text", "<U5", vec![6], text, "label", ["cat", "dog"], false),
        ("bool", "|b1", vec![6], [1, 0].repeat(3), "label_idx", ["1", "0"], false),
        ("one-hot", "|u1", vec![6, 3], one_hot, "label_idx", ["0", "2"], false),
        ("several", "|u1", vec![6, 3], several, "label_idx", ["", ""], true),
        ("big endian", ">i8", vec![6], big, "label_idx", ["2", ""], false),
    ];
    for (name, descr, shape, bytes, in_column, wanted, is_noted) in cases {
        let arrays =
            vec![("test_images", "|u1", vec![6, 28, 28], noise()), ("test_labels", descr, shape, bytes)];
        write_npz(&fixture.path(name).join("a.npz"), &arrays);
        let said = list(&fixture, name, &[]);
        assert!(said.contains("6 samples") && !said.contains("refused:"), "{name}: {said}");
        assert_eq!(column(&fixture, in_column)[..2], wanted, "{name}: {said}");
        assert_eq!(said.contains("not read: labels"), is_noted, "{name}: {said}");
    }
    // As many labels as images, or the images would be judged by others' labels.
    let arrays =
        vec![("test_images", "|u1", vec![6, 28, 28], noise()), ("test_labels", "|u1", vec![5], vec![0; 5])];
    write_npz(&fixture.path("five").join("a.npz"), &arrays);
    let said = list(&fixture, "five", &[]);
    assert!(said.contains("refused: archive_corrupt 1"), "{said}");
    assert_eq!(column(&fixture, "found"), ["5 labels for 6 images"]);
}

#[test]
fn z05_an_npz_without_images_says_what_it_holds() {
    let fixture = Fixture::new();
    write_npz(&fixture.path("npz").join("a.npz"), &vec![("x_train", "<f4", vec![2, 3], vec![0; 24])]);
    let said = list(&fixture, "npz", &[]);
    assert!(said.contains("1 objects: 0 images, 0 archives, 1 refused, 0 left out"), "{said}");
    assert_eq!(column(&fixture, "found"), ["1 arrays, none named images: float32 of shape (2, 3)"]);
}

fn write_table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn q05_q10_q11_q15_columns_of_images_are_read_or_said_not_to_be() {
    let fixture = Fixture::new();
    let files: Vec<Vec<u8>> = pictures(&fixture).into_iter().take(3).map(|picture| picture.file).collect();
    let values: ArrayRef = Arc::new(files.iter().map(Some).collect::<BinaryArray>());
    let item = Arc::new(Field::new("item", DataType::Binary, true));
    let lists: ArrayRef =
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1, 1, 1]), values.clone(), None));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png", "c.png"]));
    for (name, column, wanted) in [
        ("lists", lists, "images: found a column of lists"),
        ("text", text.clone(), "images: found a column of text"),
    ] {
        write_table(&fixture.path(name).join("a.parquet"), vec![("image", column)]);
        let said = list(&fixture, name, &[]);
        assert!(said.contains("refused: archive_unsupported 1"), "{name}: {said}");
        let found = self::column(&fixture, "found").concat();
        assert!(found.starts_with(wanted), "{name}: {found}");
    }
    // A table that is none of images, and a manifest.
    write_table(&fixture.path("others/a.parquet"), vec![("name", text.clone())]);
    write_table(&fixture.path("others/b.parquet"), vec![("uri", text)]);
    fs::write(fixture.path("others/c.png"), &files[0]).unwrap();
    let said = list(&fixture, "others", &[]);
    assert!(said.contains("left out: 1 manifests, 1 tables without images"), "{said}");
    // Bytes of one length.
    let n = files.iter().map(Vec::len).max().unwrap();
    let padded = files.iter().map(|file| {
        let mut file = file.clone();
        file.resize(n, 0);
        file
    });
    let fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(padded).unwrap());
    write_table(&fixture.path("fixed").join("a.parquet"), vec![("image", fixed)]);
    assert!(list(&fixture, "fixed", &[]).contains("3 samples"));
}

#[test]
fn q12_q16_labels_of_a_table_and_its_column_of_images_are_found() {
    let fixture = Fixture::new();
    let files: Vec<Vec<u8>> = pictures(&fixture).into_iter().take(2).map(|picture| picture.file).collect();
    let image = || -> ArrayRef { Arc::new(files.iter().map(Some).collect::<BinaryArray>()) };
    let hash: ArrayRef = Arc::new(BinaryArray::from(vec![&b"0123456789abcdef"[..], b"fedcba9876543210"]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(2.0), None]));
    let switches: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    for (name, columns, wanted) in [
        ("float", vec![("image", image()), ("Label", floats.clone())], ["2", ""]),
        ("bool", vec![(" label ", switches.clone()), ("image", image())], ["1", "0"]),
        (
            "hash first",
            vec![("md5", hash.clone()), ("image", image()), ("label", switches.clone())],
            ["1", "0"],
        ),
        ("sniffed", vec![("md5", hash.clone()), ("blob", image()), ("label", switches.clone())], ["1", "0"]),
    ] {
        write_table(&fixture.path(name).join("a.parquet"), columns);
        list(&fixture, name, &[]);
        assert_eq!(column(&fixture, "label_idx"), wanted, "{name}");
        assert_eq!(quarantined(&fixture, name, &format!("out {name}"), "40"), [], "{name}");
    }
    write_table(&fixture.path("fine").join("a.parquet"), vec![("image", image()), ("fine_label", switches)]);
    let said = list(&fixture, "fine", &[]);
    assert!(said.contains("--label-column") && column(&fixture, "label_idx")[0].is_empty(), "{said}");
    list(&fixture, "fine", &["--label-column", "fine_label"]);
    assert_eq!(column(&fixture, "label_idx"), ["1", "0"]);
}

#[test]
fn q02_a_null_where_bytes_should_be_says_so() {
    let fixture = Fixture::new();
    let file = pictures(&fixture)[0].file.clone();
    let image: ArrayRef = Arc::new(BinaryArray::from(vec![Some(file.as_slice()), None]));
    write_table(&fixture.path("nulls").join("a.parquet"), vec![("image", image)]);
    list(&fixture, "nulls", &[]);
    assert_eq!(column(&fixture, "found"), ["", "null, or no bytes, in this row"]);
}

#[test]
fn q07_pages_of_every_codec_give_the_same_rows() {
    let fixture = Fixture::new();
    let files: Vec<Vec<u8>> = pictures(&fixture).into_iter().take(4).map(|picture| picture.file).collect();
    let image: ArrayRef = Arc::new(files.iter().map(Some).collect::<BinaryArray>());
    let label: ArrayRef = Arc::new(StringArray::from(vec!["0", "1", "0", "1"]));
    let batch = RecordBatch::try_from_iter_with_nullable([("image", image, true), ("label", label, true)]);
    let batch = batch.unwrap();
    let codecs = [
        ("none", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
        ("zstd", Compression::ZSTD(ZstdLevel::default())),
        ("gzip", Compression::GZIP(GzipLevel::default())),
        ("brotli", Compression::BROTLI(BrotliLevel::default())),
        ("lz4", Compression::LZ4_RAW),
    ];
    let mut wanted = None;
    for (name, codec) in codecs {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let root = format!("{name} {}", version.as_num());
            let path = fixture.path(&root).join("a.parquet");
            fs::create_dir(path.parent().unwrap()).unwrap();
            let properties =
                WriterProperties::builder().set_compression(codec).set_writer_version(version).build();
            let file = fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let said = list(&fixture, &root, &["--sha256"]);
            assert!(said.contains("4 samples"), "{root}: {said}");
            let found = (column(&fixture, "sha256"), column(&fixture, "label"), column(&fixture, "bytes"));
            assert_eq!(found.0.len(), 4, "{root}");
            assert_eq!(*wanted.get_or_insert(found.clone()), found, "{root}");
        }
    }
}

/// A few kilobytes that stand for 2.4 TB, as pyarrow writes them: one refused row, after as many bytes as a small file may hold.
#[test]
fn c14_one_value_for_all_rows_is_refused_before_it_is_read_for_each() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("one value")).unwrap();
    let bomb = repo("tests/golden/archives/dictionary.parquet");
    fs::copy(bomb, fixture.path("one value/a.parquet")).unwrap();
    for more in [&[][..], &["--sha256"]] {
        let said = list(&fixture, "one value", more);
        assert!(said.contains("1 samples") && said.contains("refused: archive_exceeds_limit 1"), "{said}");
        let found = column(&fixture, "found").concat();
        assert!(found.starts_with("rows that hold more than 6") && found.contains("together"), "{found}");
    }
    // Whoever asks for a row by name gets those before the bound, and reads no further for the others.
    let rows: String = [0, 7, 8, 299_999].iter().map(|row| format!("a.parquet,{row},8388608\n")).collect();
    fs::write(fixture.path("rows.csv"), format!("uri,row,bytes\n{rows}")).unwrap();
    let manifest = fixture.path("rows.csv").to_string_lossy().into_owned();
    let reasons: Vec<String> = score_listed(&fixture, "one value", &manifest, "out", "40")
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons[..2], ["unsupported_format"; 2]);
    assert_eq!(reasons[2..], ["archive_exceeds_limit"; 2]);
}

#[test]
fn c39_a_manifest_compressed_by_gzip_is_refused_by_the_codecs_name() {
    let fixture = Fixture::new();
    let uri: ArrayRef = Arc::new(StringArray::from(vec!["a.png"]));
    let batch = RecordBatch::try_from_iter([("uri", uri)]).unwrap();
    for (codec, wanted) in [
        (Compression::GZIP(GzipLevel::default()), "M012"),
        (Compression::BROTLI(BrotliLevel::default()), "M012"),
        (Compression::LZ4_RAW, ""),
        (Compression::ZSTD(ZstdLevel::default()), ""),
    ] {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file = fs::File::create(fixture.path("archive/m.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let said = fixture.t3b(&["samples", "pipeline.toml", "--set", "input.manifest=m.parquet"]);
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.success(), wanted.is_empty(), "{codec}: {text}");
        let is_named = ["gzip", "brotli"].iter().any(|name| text.contains(&format!("compressed by {name}")));
        assert!(text.contains(wanted) && (wanted.is_empty() || is_named), "{codec}: {text}");
    }
}

fn entries(files: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
}

#[test]
fn a10_a17_a18_classes_of_a_shard_are_found_by_webdatasets_keys() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    let files = entries(&[
        ("000.input.png", image.clone()),
        ("000.cls", b"1\n".to_vec()),
        ("A.PNG", image.clone()),
        ("A.CLS", b"2".to_vec()),
        ("b.png", image.clone()),
        ("b.cls", b"-1".to_vec()),
        ("c.png", image.clone()),
        ("c.cls", b"platelet".to_vec()),
        ("d.png", image.clone()),
        ("d.json", b"{}".to_vec()),
        ("._e.png", image),
    ]);
    write_shard(&fixture.path("wds/a.tar"), &files);
    let said = list(&fixture, "wds", &[]);
    assert!(said.contains("5 samples") && said.contains("labels: 3 of 5 samples have one"), "{said}");
    assert!(said.contains("left out inside archives: 1 .json, 1 macOS ._ files"), "{said}");
    assert_eq!(column(&fixture, "label_idx"), ["1", "2", "", "", ""]);
    assert_eq!(column(&fixture, "label"), ["", "", "", "platelet", ""]);
    // What was built can be run.
    assert_eq!(quarantined(&fixture, "wds", "out", "40"), []);
}

#[test]
fn a04_a14_shards_put_together_are_read_and_compressed_ones_are_named() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    let shard = |name: &str| {
        write_shard(&fixture.path("one.tar"), &entries(&[(name, image.clone())]));
        fs::read(fixture.path("one.tar")).unwrap()
    };
    fs::create_dir(fixture.path("tars")).unwrap();
    fs::write(fixture.path("tars/a.tar"), [shard("a.png"), shard("b.png")].concat()).unwrap();
    for name in ["b.tar", "c.tar.gz", "d.tgz"] {
        fs::write(fixture.path("tars").join(name), b"\x1f\x8b\x08 gzip".repeat(90)).unwrap();
    }
    let said = list(&fixture, "tars", &[]);
    assert!(said.contains("5 samples") && said.contains("refused: archive_unsupported 3"), "{said}");
    let found = column(&fixture, "found");
    assert_eq!(found[2], "gzip where a tar should be; gunzip it");
    assert_eq!(found[3..], ["a compressed tar; unpack it to a plain tar first"; 2]);
}

/// The files that the reports were rebuilt as: what is listed of each, and how many of the rows are refused.
#[test]
fn files_of_the_reports_are_rows_or_refused_rows() {
    let Some(folder) = shared("field/inputs") else { return };
    let fixture = Fixture::new();
    for (id, n_rows, n_refused) in [
        ("Z02_a.npz", 1, 1),
        ("Z03_a.npz", 7, 1),
        ("Z04_a.npz", 1, 1),
        ("Z04d_a.npz", 1, 1),
        ("Z06_a.npz", 1, 1),
        ("Z08_a.npz", 6, 0),
        ("Z08b_a.npz", 6, 0),
        ("Z08c_a.npz", 6, 0),
        ("Z08d_a.npz", 6, 0),
        ("Z08e_a.npz", 6, 0),
        ("Z09_a.npz", 1, 1),
        ("Z12_a.npz", 1, 1),
        ("Z13_a.npz", 6, 0),
        ("Z14_a.npy", 1, 0),
        ("Z15_a.npz", 1, 1),
        ("A04_s.tar", 2, 0),
        ("A07_s.tar", 1, 1),
        ("A09_s.tar", 3, 2),
        ("A10_s.tar", 2, 0),
        ("A12_s.tar", 1, 0),
        ("A13_s.tar", 1, 0),
        ("A14_s.tar.gz", 1, 1),
        ("A14b_s.tar", 1, 1),
        ("A16_s.tar", 1, 1),
        ("A16b_s.tar", 1, 1),
        ("A17_s.tar", 3, 0),
        ("A18_s.tar", 1, 0),
        ("Q02_a.parquet", 2, 1),
        ("Q05_a.parquet", 1, 1),
        ("Q07_brotli_a.parquet", 6, 0),
        ("Q07_gzip_a.parquet", 6, 0),
        ("Q07_lz4_a.parquet", 6, 0),
        ("Q10_a.parquet", 1, 1),
        ("Q11_a.parquet", 2, 0),
        ("Q12b_a.parquet", 6, 0),
        ("Q12d_a.parquet", 6, 0),
        ("Q12e_a.parquet", 6, 0),
        ("Q12f_a.parquet", 6, 0),
        ("Q15_a.parquet", 1, 1),
        ("Q16_a.parquet", 6, 0),
    ] {
        let root = fixture.path(id).with_extension("d");
        fs::create_dir(&root).unwrap();
        fs::copy(folder.join(id), root.join(id)).unwrap();
        let said = list(&fixture, root.to_str().unwrap(), &[]);
        let found = column(&fixture, "found");
        let refused = column(&fixture, "refused").iter().filter(|text| !text.is_empty()).count();
        assert_eq!((found.len(), refused), (n_rows, n_refused), "{id}: {said} {found:?}");
        assert!(!found.iter().any(|text| text == "found when the archive was listed"), "{id}: {found:?}");
    }
}
