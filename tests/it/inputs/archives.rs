//! Images in npz and Parquet archives are the loose images they were made of; damage costs the rows behind it, no more.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
pub(crate) use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use t3b_corrupt::export::write_png;
use t3b_decode::{Limits, decode};
use t3b_image::npz::{NpyHeader, NpzWriter};
use t3b_image::resize::Resizer;

use crate::inputs::shards::{images, write_shard};
use crate::support::{Fixture, python, repo, shared};
use crate::tables::{Columns, table};

/// Side of the pictures in the MedMNIST-like archive.
const SIDE_PX: u32 = 64;

/// One picture: its name, its file, its class.
pub(crate) struct Picture {
    name: String,
    pub(crate) file: Vec<u8>,
    class: u32,
}

/// A folder of archives and its outputs.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lists `root`; names every sample by its place and gives it its class, so that only the place differs; scores it.
    fn score(&self, root: &str, pictures: &[Picture]) -> PathBuf {
        let manifest = self.path(&format!("{root}.csv"));
        let listed = t3b(&["manifest", "build", text(&self.path(root)), "-o", text(&manifest)]);
        assert!(listed.contains("396 samples"), "{listed}");
        let lines = fs::read_to_string(&manifest).unwrap();
        let rows: Vec<Vec<&str>> = lines.lines().map(|line| line.split(',').collect()).collect();
        let column = |name: &str| rows[0].iter().position(|found| *found == name);
        if let (Some(split), Some(class)) = (column("split"), column("label_idx")) {
            for (row, picture) in rows[1..].iter().zip(pictures) {
                assert_eq!((row[split], row[class]), ("test", picture.class.to_string().as_str()));
            }
        }
        assert_eq!(column("split").is_some(), root.ends_with("npz"), "MedMNIST's files know both");
        let is_place = |name: &str| ["uri", "entry", "offset", "row", "bytes"].contains(&name);
        let places: Vec<usize> = (0..rows[0].len()).filter(|&n| is_place(rows[0][n])).collect();
        let place = |row: &[&str]| places.iter().map(|&n| row[n]).collect::<Vec<_>>().join(",");
        let mut named = format!("sample_id,label_idx,{}\n", place(&rows[0]));
        for (n, (row, picture)) in rows[1..].iter().zip(pictures).enumerate() {
            named += &format!("s{n},{},{}\n", picture.class, place(row));
        }
        fs::write(&manifest, named).unwrap();
        let out = self.path(&format!("{root}-out"));
        let set = [
            format!("input.root={}", text(&self.path(root))),
            format!("input.manifest={}", text(&manifest)),
            r#"corrupt.corruptions=["gaussian_noise","pixelate"]"#.to_owned(),
            "corrupt.severities=[3]".to_owned(),
        ];
        let pipeline = self.path("pipeline.toml");
        let mut args = vec!["run", text(&pipeline), "--output", text(&out), "--run-id", "r"];
        args.extend(["--run-date", "2026-01-02"]);
        set.iter().for_each(|pair| args.extend(["--set", pair.as_str()]));
        t3b(&args);
        out
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn t3b(args: &[&str]) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_t3b")).args(args).output().unwrap();
    assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// The test crops of the data set in the order of their names, and the same at one size.
fn crops() -> Option<(Vec<Picture>, Vec<Picture>)> {
    let folder = shared("data/bccd")?;
    let manifest = fs::read_to_string(folder.join("manifest.csv")).unwrap();
    let fields = manifest.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let mut whole: Vec<Picture> = fields
        .filter(|fields| fields[3] == "test")
        .map(|fields| Picture {
            name: fields[0].rsplit('/').next().unwrap().to_owned(),
            file: fs::read(folder.join(fields[0])).unwrap(),
            class: fields[1].parse().unwrap(),
        })
        .collect();
    whole.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut resizer, scratch) = (Resizer::default(), tempfile::tempdir().unwrap());
    let square = |picture: &Picture| {
        let image = decode(&picture.file, &Limits::default()).unwrap();
        let path = scratch.path().join("x.png");
        write_png(&path, &resizer.short_side_then_center_crop(&image, SIDE_PX)).unwrap();
        Picture { name: picture.name.clone(), file: fs::read(path).unwrap(), class: picture.class }
    };
    let squares = whole.iter().map(square).collect();
    Some((whole, squares))
}

fn write_loose(folder: &Path, pictures: &[Picture]) {
    fs::create_dir_all(folder).unwrap();
    for picture in pictures {
        fs::write(folder.join(&picture.name), &picture.file).unwrap();
    }
}

/// As MedMNIST's files are: `test_images` and `test_labels`.
fn write_npz(path: &Path, pictures: &[Picture]) {
    let (n, side) = (pictures.len() as u64, u64::from(SIDE_PX));
    let header = |descr: &str, shape: Vec<u64>| NpyHeader { descr: descr.to_owned(), shape };
    let mut npz = NpzWriter::create(path).unwrap();
    npz.start("test_images", &header("|u1", vec![n, side, side, 3])).unwrap();
    for picture in pictures {
        npz.write_rows(decode(&picture.file, &Limits::default()).unwrap().as_bytes()).unwrap();
    }
    npz.start("test_labels", &header("|u1", vec![n, 1])).unwrap();
    npz.write_rows(&pictures.iter().map(|picture| picture.class as u8).collect::<Vec<_>>()).unwrap();
    npz.finish().unwrap();
}

/// As Hugging Face's files are, by another writer: a struct of bytes and path, a class, small row groups, snappy.
fn write_parquet(python: &Path, path: &Path, loose: &Path) {
    let script = format!(
        "import duckdb\nduckdb.sql(\"copy (select {{'bytes': content, 'path': filename}} as image, 1 as label \
         from read_blob('{}/*.png') order by filename) to '{}' (format parquet, row_group_size 100)\")",
        text(loose),
        text(path)
    );
    assert!(Command::new(python).args(["-c", &script]).status().unwrap().success());
}

#[test]
fn archives_of_real_crops_give_the_tables_of_the_loose_files() {
    let (Some((whole, squares)), Some(python)) = (crops(), python()) else { return };
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    let pipeline = fs::read_to_string(repo("pipelines/bccd.toml")).unwrap();
    let pipeline = pipeline
        .replace("split = \"test\"", "")
        .replace("labels/bccd.toml", text(&repo("pipelines/labels/bccd.toml")))
        .replace("../models", text(&repo("models")));
    fs::write(bench.path("pipeline.toml"), pipeline).unwrap();
    for (kind, pictures) in [("whole", &whole), ("square", &squares)] {
        let folder = |what: &str| bench.path(&format!("{kind}-{what}"));
        write_loose(&folder("loose"), pictures);
        for what in ["tar", "parquet", "npz"] {
            fs::create_dir(folder(what)).unwrap();
        }
        let files: Vec<_> = pictures.iter().map(|p| (p.name.clone(), p.file.clone())).collect();
        write_shard(&folder("tar").join("a.tar"), &files);
        write_parquet(&python, &folder("parquet").join("a.parquet"), &folder("loose"));
        let mut archives = vec!["tar", "parquet"];
        // An array has one size of images.
        if kind == "square" {
            write_npz(&folder("npz").join("bloodmnist_64.npz"), pictures);
            archives.push("npz");
        }
        let loose = bench.score(&format!("{kind}-loose"), pictures);
        assert_eq!(table(&loose, "predictions").n_rows, 396 * 3 * 4);
        for archive in archives {
            let found = bench.score(&format!("{kind}-{archive}"), pictures);
            for name in ["predictions", "signals", "batches", "coefficients", "quarantine"] {
                assert!(table(&found, name) == table(&loose, name), "{kind} {archive}: {name}");
            }
        }
    }
}

/// The fixture's pictures at one size, and its pipeline over other roots.
pub(crate) fn pictures(fixture: &Fixture) -> Vec<Picture> {
    let (mut resizer, path) = (Resizer::default(), fixture.path("x.png"));
    let square = |(name, file): (String, Vec<u8>)| {
        let image = decode(&file, &Limits::default()).unwrap();
        write_png(&path, &resizer.short_side_then_center_crop(&image, SIDE_PX)).unwrap();
        Picture { name: name.replace('/', "_"), file: fs::read(&path).unwrap(), class: 1 }
    };
    images(&fixture.path("archive")).into_iter().map(square).collect()
}

/// Lists and scores a root of the fixture, in partitions of `partition_size`; rows and reasons of the quarantine table.
pub(crate) fn quarantined(
    fixture: &Fixture,
    root: &str,
    out: &str,
    partition_size: &str,
) -> Vec<(String, String)> {
    let manifest = list(fixture, root, &format!("{root}.parquet"));
    score_listed(fixture, root, &manifest, out, partition_size)
}

/// Path of the manifest of a root.
pub(crate) fn list(fixture: &Fixture, root: &str, manifest: &str) -> String {
    let listed = fixture.t3b(&["manifest", "build", root, "-o", manifest]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    fixture.path(manifest).to_string_lossy().into_owned()
}

pub(crate) fn score_listed(
    fixture: &Fixture,
    root: &str,
    manifest: &str,
    out: &str,
    partition_size: &str,
) -> Vec<(String, String)> {
    let root = fixture.path(root).to_string_lossy().into_owned();
    let set =
        [("input.root", root.as_str()), ("input.manifest", manifest), ("run.partition_size", partition_size)];
    fixture.run(out, &set).unwrap();
    let rows = table(&fixture.path(out), "quarantine");
    rows.text("manifest_row").into_iter().zip(rows.text("reason_code")).collect()
}

/// A Parquet archive in Hugging Face's layout, every file with a path of its own, `per_group` rows to a group; an empty file is a
/// null.
pub(crate) fn write_table(
    path: &Path,
    files: &[Vec<u8>],
    name: &str,
    per_group: usize,
    compression: Compression,
) {
    let field = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(per_group))
        .set_compression(compression)
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .set_dictionary_enabled(false)
        .build();
    let bytes: BinaryArray = files.iter().map(|file| (!file.is_empty()).then_some(file)).collect();
    let paths: StringArray = files.iter().map(|_| Some(name)).collect();
    let nulls: NullBuffer = files.iter().map(|file| !file.is_empty()).collect();
    let fields = vec![field("bytes", DataType::Binary), field("path", DataType::Utf8)];
    let image: ArrayRef =
        Arc::new(StructArray::new(fields.into(), vec![Arc::new(bytes), Arc::new(paths)], Some(nulls)));
    let label: ArrayRef = Arc::new(files.iter().map(|_| Some(2)).collect::<Int64Array>());
    let batch =
        RecordBatch::try_from_iter_with_nullable([("image", image, true), ("label", label, true)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Where a picture's own bytes stand in an archive; they are too random to be compressed once more.
fn place_of(archive: &[u8], file: &[u8]) -> usize {
    archive.windows(32).position(|bytes| bytes == &file[40..72]).unwrap() - 40
}

#[test]
fn a_damaged_page_costs_the_rest_of_its_row_group_whoever_reads_it() {
    let fixture = Fixture::new();
    let pictures = pictures(&fixture);
    let files: Vec<_> = pictures.iter().map(|picture| picture.file.clone()).collect();
    fs::create_dir(fixture.path("tables")).unwrap();
    let path = fixture.path("tables/a.parquet");
    write_table(&path, &files, "x.png", 16, Compression::ZSTD(Default::default()));
    assert_eq!(quarantined(&fixture, "tables", "sound", "40"), []);
    let labels = table(&fixture.path("sound"), "predictions").text("label_idx");
    assert!(labels.iter().all(|label| label == "2"), "classes of the label column");

    // The compressed page of row 20, in the middle of the second group, no longer is one; its header stands.
    let sound = list(&fixture, "tables", "listed-sound.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let page = place_of(&bytes, &files[20]);
    let frame = bytes[..page].windows(4).rposition(|four| four == b"\x28\xb5\x2f\xfd").unwrap();
    bytes[frame..frame + 4].fill(0);
    fs::write(&path, bytes).unwrap();
    let lost: Vec<_> = (20..32).map(|row| (row.to_string(), "archive_corrupt".to_owned())).collect();
    assert_eq!(quarantined(&fixture, "tables", "damaged", "40"), lost, "known since the listing");
    for partition_size in ["8", "24", "40"] {
        let out = format!("damaged-{partition_size}");
        let found = score_listed(&fixture, "tables", &sound, &out, partition_size);
        assert_eq!(found, lost, "damaged since the listing, partitions of {partition_size}");
    }
}

#[test]
fn nulls_and_other_columns_of_a_table_are_told_apart() {
    let fixture = Fixture::new();
    let mut files: Vec<_> = pictures(&fixture).into_iter().map(|picture| picture.file).collect();
    files[3] = Vec::new();
    files[5] = b"<html>not found</html>".to_vec();
    fs::create_dir(fixture.path("tables")).unwrap();
    write_table(&fixture.path("tables/a.parquet"), &files, "x.png", 16, Compression::SNAPPY);
    // A table without images is none of the archive's.
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let file = fs::File::create(fixture.path("tables/b.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let found = quarantined(&fixture, "tables", "out", "40");
    let reason = |row: &str, code: &str| (row.to_owned(), code.to_owned());
    assert_eq!(found, [reason("3", "empty_object"), reason("5", "unsupported_format")]);
}

/// An npz of one array, each row 64 x 64 x 3, whose zip is made by hand: stored or deflated.
pub(crate) fn write_zip(path: &Path, rows: &[Vec<u8>], method: zip::CompressionMethod) {
    let header = NpyHeader { descr: "|u1".to_owned(), shape: vec![rows.len() as u64, 64, 64, 3] };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    zip.start_file("test_images.npy", options).unwrap();
    zip.write_all(&header.to_bytes()).unwrap();
    rows.iter().for_each(|row| zip.write_all(row).unwrap());
    zip.finish().unwrap();
}

#[test]
fn a_damaged_array_costs_the_rows_behind_the_damage_whoever_reads_it() {
    let fixture = Fixture::new();
    let pictures = pictures(&fixture);
    let pixels = |picture: &Picture| decode(&picture.file, &Limits::default()).unwrap().as_bytes().to_vec();
    let rows: Vec<_> = pictures.iter().map(pixels).collect();
    fs::create_dir(fixture.path("arrays")).unwrap();
    let path = fixture.path("arrays/a.npz");
    let mut tables: Vec<Columns> = Vec::new();
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        write_zip(&path, &rows, method);
        for partition_size in ["8", "40"] {
            let out = format!("{method:?}-{partition_size}");
            assert_eq!(quarantined(&fixture, "arrays", &out, partition_size), []);
            tables.push(table(&fixture.path(&out), "predictions"));
        }
    }
    assert!(tables[..2] == tables[2..], "stored or deflated");

    // A block type that deflate does not have: nothing behind it can be inflated.
    let sound = list(&fixture, "arrays", "listed-sound.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let first = score_listed(&fixture, "arrays", &sound, "damaged", "40");
    assert!(!first.is_empty() && first.len() < rows.len(), "{first:?}");
    assert!(first.iter().all(|(_, reason)| reason == "archive_corrupt"), "{first:?}");
    assert_eq!(first.last().unwrap().0, "39");
    for partition_size in ["8", "40"] {
        let out = format!("damaged-{partition_size}");
        let found = score_listed(&fixture, "arrays", &sound, &out, partition_size);
        assert_eq!(found, first, "damaged since the listing, partitions of {partition_size}");
    }
}

/// The hash of a row is looked at as that of a loose object is.
#[test]
fn a_row_whose_bytes_changed_is_not_scored() {
    let fixture = Fixture::new();
    let files: Vec<_> = pictures(&fixture).into_iter().map(|picture| picture.file).collect();
    fs::create_dir(fixture.path("tables")).unwrap();
    let path = fixture.path("tables/a.parquet");
    write_table(&path, &files, "x.png", 16, Compression::UNCOMPRESSED);
    let manifest = fixture.path("m.csv").to_string_lossy().into_owned();
    assert!(fixture.t3b(&["manifest", "build", "tables", "-o", "m.csv", "--sha256"]).status.success());
    let mut bytes = fs::read(&path).unwrap();
    let inside = place_of(&bytes, &files[9]) + files[9].len() / 2;
    bytes[inside] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = score_listed(&fixture, "tables", &manifest, "out", "40");
    assert_eq!(found, [("9".to_owned(), "checksum_mismatch".to_owned())]);
}
