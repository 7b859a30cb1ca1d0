//! Images in tar shards, indexed once, are the loose images they were made of.

use std::fs;
use std::path::Path;

use crate::support::Fixture;
use crate::tables::{Columns, table};

/// Every image of the fixture's archive, in the order of their names.
fn images(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![archive.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "png" || ending == "jpg") {
                let name = path.strip_prefix(archive).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn write_shard(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.finish().unwrap();
}

fn build(fixture: &Fixture, root: &str, out: &str, more: &[&str]) -> std::process::Output {
    fixture.t3b(&[&["manifest", "build", root, "-o", out], more].concat())
}

fn scored(fixture: &Fixture, out: &str, root: &str, manifest: &str) -> Columns {
    let manifest = fixture.path(manifest).to_string_lossy().into_owned();
    let root = fixture.path(root).to_string_lossy().into_owned();
    // Noise is keyed by the sample id, and that by the place of the image: only this corruption is the same for both.
    let same = ("corrupt.corruptions", r#"["pixelate"]"#);
    fixture.run(out, &[("input.root", &root), ("input.manifest", &manifest), same]).unwrap();
    table(&fixture.path(out), "predictions")
}

#[test]
fn shards_give_the_predictions_of_the_loose_images() {
    let fixture = Fixture::new();
    let images = images(&fixture.path("archive"));
    // A long name needs an extension header, which the index must skip.
    let renamed: Vec<(String, Vec<u8>)> =
        images.iter().map(|(name, bytes)| (format!("{}/{name}", "long".repeat(30)), bytes.clone())).collect();
    fs::create_dir(fixture.path("shards")).unwrap();
    let (front, back) = renamed.split_at(renamed.len() / 2);
    write_shard(&fixture.path("shards/a.tar"), front);
    write_shard(&fixture.path("shards/b.tar"), back);
    for (root, manifest, more) in [
        ("archive", "loose.csv", [].as_slice()),
        ("shards", "shards.parquet", &["--sha256"]),
        ("shards", "shards.csv", &[]),
    ] {
        let output = build(&fixture, root, manifest, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{} samples", images.len())));
    }
    let loose = scored(&fixture, "out-loose", "archive", "loose.csv");
    for manifest in ["shards.parquet", "shards.csv"] {
        let sharded = scored(&fixture, &format!("out-{manifest}"), "shards", manifest);
        for column in ["pred_prob", "pred_idx", "pos_in_batch"] {
            assert!(sharded.text(column) == loose.text(column), "{manifest}: {column}");
        }
    }
}

#[test]
fn folders_and_class_files_are_labels() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    fs::create_dir_all(fixture.path("labelled/platelet")).unwrap();
    fs::write(fixture.path("labelled/platelet/x.png"), &image).unwrap();
    let files = [("0.png", image.clone()), ("0.cls", b"2\n".to_vec()), ("1.png", image)];
    write_shard(&fixture.path("labelled/w.tar"), &files.map(|(name, bytes)| (name.to_owned(), bytes)));
    assert!(build(&fixture, "labelled", "m.csv", &["--labels-from-folders"]).status.success());
    let text = fs::read_to_string(fixture.path("m.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["uri", "entry", "offset", "bytes", "label", "label_idx"]);
    let labels: Vec<_> = rows[1..].iter().map(|row| (row[0], row[1], row[4], row[5])).collect();
    let wanted =
        [("platelet/x.png", "", "platelet", ""), ("w.tar", "0.png", "", "2"), ("w.tar", "1.png", "", "")];
    assert_eq!(labels, wanted);
}

/// The hash of an entry is looked at as that of a loose object is.
#[test]
fn an_entry_whose_bytes_changed_is_not_scored() {
    let fixture = Fixture::new();
    let images = images(&fixture.path("archive"));
    fs::create_dir(fixture.path("shards")).unwrap();
    let shard = fixture.path("shards/a.tar");
    write_shard(&shard, &images);
    assert!(build(&fixture, "shards", "m.csv", &["--sha256"]).status.success());
    let mut bytes = fs::read(&shard).unwrap();
    let inside_the_first = 512 + images[0].1.len() / 2;
    bytes[inside_the_first] ^= 1;
    fs::write(&shard, bytes).unwrap();
    scored(&fixture, "out", "shards", "m.csv");
    let quarantine = table(&fixture.path("out"), "quarantine");
    let reasons = quarantine.text("reason_code");
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason == "checksum_mismatch"), "{reasons:?}");
    let rows = quarantine.number("manifest_row");
    assert!(rows.iter().all(|&row| row == 0.0), "{rows:?}");
}

#[test]
fn a_shard_that_lies_is_refused_or_costs_its_own_rows() {
    let fixture = Fixture::new();
    let images = images(&fixture.path("archive"));
    fs::create_dir(fixture.path("shards")).unwrap();
    let shard = fixture.path("shards/a.tar");
    write_shard(&shard, &images);
    assert!(build(&fixture, "shards", "m.csv", &[]).status.success());

    // Cut after it was indexed: the entries that are gone are quarantined, the others scored.
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    scored(&fixture, "out", "shards", "m.csv");
    let reasons = table(&fixture.path("out"), "quarantine").text("reason_code");
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason == "size_mismatch"), "{reasons:?}");

    // Cut before: no index is made of it. Neither of a compressed one, nor of an empty root.
    for (bytes, code) in
        [(whole[..whole.len() / 2].to_vec(), "M021"), (b"\x1f\x8b\x08 gzip".repeat(90), "M021")]
    {
        fs::write(&shard, bytes).unwrap();
        let output = build(&fixture, "shards", "n.csv", &[]);
        assert_eq!(output.status.code(), Some(65));
        assert!(String::from_utf8_lossy(&output.stderr).contains(code), "{code}");
    }
    fs::remove_file(&shard).unwrap();
    let output = build(&fixture, "shards", "n.csv", &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("M022"));
    assert!(!fixture.path("n.csv").exists());
}
