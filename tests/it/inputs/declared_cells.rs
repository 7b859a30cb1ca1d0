//! Images that are corrupted already go into the cells they declare: the published benchmark files are scored as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use t3b_corrupt::{Scratch, Severity, Streams, Suite, apply};
use t3b_decode::{Limits, decode};
use t3b_image::Rgb8;
use t3b_image::npz::{NpyHeader, NpzWriter};
use t3b_image::resize::Resizer;

use crate::inputs::shards::images;
use crate::support::Fixture;
use crate::tables::{Columns, table};

/// The model's side, so that corrupting before and after the resize is the same.
const SIDE_PX: u32 = 32;
/// No multiple of the batch size: a declared cell must begin a batch of its own.
const N: usize = 37;

fn pictures(fixture: &Fixture) -> Vec<Rgb8> {
    let mut resizer = Resizer::default();
    let square = |(_, file): (String, Vec<u8>)| {
        resizer.short_side_then_center_crop(&decode(&file, &Limits::default()).unwrap(), SIDE_PX)
    };
    images(&fixture.path("archive")).into_iter().take(N).map(square).collect()
}

fn write_npz(path: &Path, images: (&str, &[Rgb8]), labels: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let side = u64::from(SIDE_PX);
    let n = images.1.len() as u64;
    let header = |shape: Vec<u64>| NpyHeader { descr: "|u1".to_owned(), shape };
    let mut npz = NpzWriter::create(path).unwrap();
    npz.start(images.0, &header(vec![n, side, side, 3])).unwrap();
    images.1.iter().for_each(|image| npz.write_rows(image.as_bytes()).unwrap());
    npz.start(labels, &header(vec![n, 1])).unwrap();
    npz.write_rows(&(0..images.1.len()).map(|row| (row % 4) as u8).collect::<Vec<_>>()).unwrap();
    npz.finish().unwrap();
}

/// Lists a root and names every sample by its image, whichever cell it is in.
fn list(fixture: &Fixture, root: &str) -> PathBuf {
    let manifest = fixture.path(&format!("{root}.csv"));
    let said = fixture.t3b(&["manifest", "build", root, "-o", manifest.to_str().unwrap()]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = fs::read_to_string(&manifest).unwrap();
    let row = text.lines().next().unwrap().split(',').position(|name| name == "row").unwrap();
    let mut named = String::new();
    for (n, line) in text.lines().enumerate() {
        let id = match n {
            0 => "sample_id".to_owned(),
            _ => format!("s{}", line.split(',').nth(row).unwrap().parse::<usize>().unwrap() % N),
        };
        named += &format!("{id},{line}\n");
    }
    fs::write(&manifest, named).unwrap();
    manifest
}

fn score(fixture: &Fixture, root: &str, out: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let manifest = list(fixture, root);
    let root = fixture.path(root).to_string_lossy().into_owned();
    let set = [
        ("input.root", root.as_str()),
        ("input.manifest", manifest.to_str().unwrap()),
        ("corrupt.rng", "numpy-compat"),
        ("corrupt.include_clean", "false"),
    ];
    fixture.run(out, &[&set[..], more].concat()).unwrap();
    assert_eq!(table(&fixture.path(out), "quarantine").n_rows, 0);
    rows(&fixture.path(out))
}

/// Every row of the tables but for its place in the manifest, by what it is of.
fn rows(out: &Path) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let by = |table: &Columns, keys: &[&str], values: &[&str], rows: &mut BTreeMap<String, String>| {
        let texts = |names: &[&str]| names.iter().map(|name| table.text(name)).collect::<Vec<_>>();
        let (keys, values) = (texts(keys), texts(values));
        for n in 0..table.n_rows {
            let line =
                |columns: &[Vec<String>]| columns.iter().map(|c| c[n].clone()).collect::<Vec<_>>().join(" ");
            assert!(rows.insert(line(&keys), line(&values)).is_none(), "one row each");
        }
    };
    let at = ["sample_id", "corruption", "severity"];
    let said = [
        "pos_in_batch",
        "label",
        "label_idx",
        "pred",
        "pred_idx",
        "pred_prob",
        "margin",
        "entropy_nats",
        "correct",
    ];
    by(&table(out, "predictions"), &["sample_id", "corruption", "severity", "method"], &said, &mut rows);
    let signals = ["pos_in_batch", "js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats", "agree"];
    by(&table(out, "signals"), &at, &signals, &mut rows);
    rows
}

#[test]
fn exported_medmnist_c_files_score_as_corrupting_on_the_way_does() {
    let fixture = Fixture::new();
    // Those without random numbers: the reference's one stream over a data set depends on all its images.
    let kinds = ["pixelate", "jpeg_compression", "defocus_blur", "brightness_up"];
    write_npz(&fixture.path("clean/a.npz"), ("test_images", &pictures(&fixture)), "test_labels");
    let said =
        fixture.t3b(&["corrupt", "clean/a.npz", "all", "--export", "medmnist-c", "--suite", "dermamnist"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    fs::create_dir_all(fixture.path("published/dermamnist")).unwrap();
    for kind in kinds {
        let name = format!("dermamnist/{kind}.npz");
        fs::copy(fixture.path("all").join(&name), fixture.path("published").join(&name)).unwrap();
    }
    let corruptions = format!("{kinds:?}");
    let all = ("corrupt.severities", "[1,2,3,4,5]");
    let made = score(&fixture, "clean", "made", &[("corrupt.corruptions", &corruptions), all]);
    // The pipeline's own cells are of no use here: every row declares its own.
    let declared = score(&fixture, "published", "declared", &[("corrupt.corruptions", r#"["pixelate"]"#)]);
    assert_eq!(made.len(), N * kinds.len() * 5 * (4 + 1));
    assert!(made == declared, "the same rows, whoever corrupted");
}

#[test]
fn medimeta_c_files_with_random_corruptions_score_as_corrupting_on_the_way_does() {
    let fixture = Fixture::new();
    let pictures = pictures(&fixture);
    write_npz(&fixture.path("clean/a.npz"), ("test_images", &pictures), "test_labels");
    let suite = Suite::named("dermamnist").unwrap();
    for severity in [1, 4] {
        let kind = suite.entry("gaussian_noise").unwrap().at(Severity::new(severity).unwrap());
        let corrupted: Vec<Rgb8> = pictures
            .iter()
            .map(|image| {
                let mut out = image.clone();
                apply(kind, false, image, &mut Streams::numpy_compat(0), &mut Scratch::default(), &mut out);
                out
            })
            .collect();
        let path = fixture.path(&format!("published/derm/test/gaussian_noise_severity_{severity}.npz"));
        write_npz(&path, ("images", &corrupted), "labels");
    }
    let kinds = ("corrupt.corruptions", r#"["gaussian_noise"]"#);
    let made = score(&fixture, "clean", "made", &[kinds, ("corrupt.severities", "[1,4]")]);
    let declared = score(&fixture, "published", "declared", &[kinds, ("corrupt.severities", "[1]")]);
    assert!(made == declared, "the same rows, whoever corrupted");
    // Corrupted once more where that is asked: in the pipeline's cell, and nowhere else.
    let again = [kinds, ("corrupt.severities", "[1]"), ("corrupt.declared", "corrupt")];
    let manifest = fixture.path("published.csv").to_string_lossy().into_owned();
    let text = fs::read_to_string(&manifest).unwrap();
    let unnamed: String =
        text.lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n").collect();
    fs::write(&manifest, unnamed).unwrap();
    let root = fixture.path("published").to_string_lossy().into_owned();
    let set =
        [("input.root", root.as_str()), ("input.manifest", &manifest), ("corrupt.include_clean", "false")];
    fixture.run("again", &[&set[..], &again[..]].concat()).unwrap();
    let severities = table(&fixture.path("again"), "signals").text("severity");
    assert_eq!(severities, vec!["1"; 2 * N]);
}

#[test]
fn declared_and_made_cells_share_no_batch_and_a_bad_declared_image_is_one_row() {
    let fixture = Fixture::new();
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let uris: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    fs::write(fixture.path("archive/bad.png"), b"no image").unwrap();
    let mut text = "uri,sample_id,corruption,severity\n".to_owned();
    // Declared rows stand between the others, in a cell that the pipeline makes too and in one it does not.
    for (n, uri) in uris.iter().enumerate() {
        let cell = match n % 3 {
            0 => ",",
            1 => "pixelate,1",
            _ => "scanner_noise,2",
        };
        text += &format!("{uri},s{n},{cell}\n");
    }
    text += "bad.png,bad,pixelate,1\n";
    fs::write(fixture.path("archive/manifest.csv"), text).unwrap();
    fixture.run("out", &[("corrupt.corruptions", r#"["pixelate"]"#)]).unwrap();
    let signals = table(&fixture.path("out"), "signals");
    let (ids, batches) = (signals.text("sample_id"), signals.text("batch"));
    let cells = (signals.text("corruption"), signals.text("severity"));
    let mut kinds: BTreeMap<(String, String, String), Vec<usize>> = BTreeMap::new();
    let mut n_by_kind = [0; 3];
    for n in 0..signals.n_rows {
        let kind = ids[n][1..].parse::<usize>().unwrap() % 3;
        n_by_kind[kind] += 1;
        let batch = (cells.0[n].clone(), cells.1[n].clone(), batches[n].clone());
        kinds.entry(batch).or_default().push(kind);
        match kind {
            0 => assert_ne!(cells.0[n], "scanner_noise"),
            1 => assert_eq!((cells.0[n].as_str(), cells.1[n].as_str()), ("pixelate", "1")),
            _ => assert_eq!((cells.0[n].as_str(), cells.1[n].as_str()), ("scanner_noise", "2")),
        }
    }
    // 14 images in clean and pixelate at two severities; 13 each in their own cell.
    assert_eq!(n_by_kind, [14 * 3, 13, 13]);
    assert!(kinds.values().all(|kinds| kinds.iter().all(|kind| *kind == kinds[0])), "no batch holds both");
    let quarantine = table(&fixture.path("out"), "quarantine");
    assert_eq!((quarantine.n_rows, quarantine.text("corruption")), (1, vec!["pixelate".to_owned()]));
    let said = fixture.t3b(&[
        "reproduce",
        "pipeline.toml",
        "--run-id",
        "r",
        "--output",
        "out",
        "--set",
        "corrupt.corruptions=[\"pixelate\"]",
    ]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(
        fixture.run("mixed", &[("run.batches", "mixed")]).unwrap_err().problems()[0].code,
        "C001",
        "batches of all cells cannot hold rows of one"
    );
}
