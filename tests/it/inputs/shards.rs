//! Images in tar shards, indexed once, are the loose images they were made of.

use std::fs;
use std::path::Path;

use crate::support::Fixture;
use crate::tables::{Columns, table};

/// Every image of the fixture's archive, in the order of their names.
pub(crate) fn images(archive: &Path) -> Vec<(String, Vec<u8>)> {
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

pub(crate) fn write_shard(path: &Path, files: &[(String, Vec<u8>)]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
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

/// Rows and reasons of the quarantine table.
fn quarantined(fixture: &Fixture, out: &str) -> Vec<(String, String)> {
    let rows = table(&fixture.path(out), "quarantine");
    rows.text("manifest_row").into_iter().zip(rows.text("reason_code")).collect()
}

#[test]
fn a_shard_that_is_cut_costs_what_is_behind_the_cut() {
    let fixture = Fixture::new();
    let images = images(&fixture.path("archive"));
    fs::create_dir(fixture.path("shards")).unwrap();
    let shard = fixture.path("shards/a.tar");
    write_shard(&shard, &images);
    assert!(build(&fixture, "shards", "m.csv", &[]).status.success());

    // After it was indexed: the entries that are gone are quarantined, the others scored.
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    scored(&fixture, "after", "shards", "m.csv");
    let after = quarantined(&fixture, "after");
    assert!(!after.is_empty() && after.len() < images.len());
    assert!(after.iter().all(|(_, reason)| reason == "archive_truncated"), "{after:?}");

    // Before: the entries in front of the cut, and one row for the rest.
    let output = build(&fixture, "shards", "n.csv", &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("refused: archive_truncated 1"), "{said}");
    scored(&fixture, "before", "shards", "n.csv");
    let n_whole = images.len() - after.len();
    assert_eq!(quarantined(&fixture, "before"), [(n_whole.to_string(), "archive_truncated".to_owned())]);

    // Between two entries, where a reader of tar files sees a whole one; a compressed one; an empty root.
    fs::write(&shard, &whole[..512 + images[0].1.len().next_multiple_of(512)]).unwrap();
    assert!(build(&fixture, "shards", "o.csv", &[]).status.success());
    assert!(fs::read_to_string(fixture.path("o.csv")).unwrap().contains("archive_truncated"));
    fs::write(&shard, b"\x1f\x8b\x08 gzip".repeat(90)).unwrap();
    assert!(build(&fixture, "shards", "p.csv", &[]).status.success());
    assert_eq!(fs::read_to_string(fixture.path("p.csv")).unwrap().lines().count(), 2);
    fs::remove_file(&shard).unwrap();
    let output = build(&fixture, "shards", "q.csv", &[]);
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("M022"));
    assert!(!fixture.path("q.csv").exists() && !fixture.path("q.csv.parts").exists());
}

/// One entry whose header is made by hand.
fn entry(name: &str, kind: tar::EntryType, link: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    if let Some(link) = link {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let padding = vec![0; body.len().next_multiple_of(512) - body.len()];
    [header.as_bytes().as_slice(), body, &padding].concat()
}

#[test]
fn an_entry_that_leaves_the_shard_is_refused_and_the_others_go_on() {
    use tar::EntryType as Kind;
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    fs::create_dir(fixture.path("shards")).unwrap();
    let file = |name: &str| entry(name, Kind::Regular, None, &image);
    let hostile = [
        file("good.png"),
        file("../up.png"),
        file("a/../../up.png"),
        file("/etc/absolute.png"),
        entry("symlink.png", Kind::Symlink, Some("good.png"), b""),
        entry("hardlink.png", Kind::Link, Some("good.png"), b""),
        entry("device.png", Kind::Char, None, b""),
        entry("pipe.png", Kind::Fifo, None, b""),
        file("good.png"),
        entry("folder", Kind::Directory, None, b""),
        file("last.png"),
        vec![0; 1024],
    ];
    fs::write(fixture.path("shards/a.tar"), hostile.concat()).unwrap();
    assert!(build(&fixture, "shards", "m.csv", &[]).status.success());
    scored(&fixture, "out", "shards", "m.csv");
    let refused: Vec<_> = (1..9).map(|row| (row.to_string(), "archive_entry_refused".to_owned())).collect();
    assert_eq!(quarantined(&fixture, "out"), refused);
}

#[test]
fn an_entry_with_two_sizes_ends_the_listing() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    fs::create_dir(fixture.path("shards")).unwrap();
    // The extended header says that the entry is one block longer, which swallows the next entry's header.
    let longer = image.len() + 512;
    let record = format!("{:2} size={longer}\n", " size=\n".len() + 2 + longer.to_string().len());
    let smuggled = [
        entry("first.png", tar::EntryType::Regular, None, &image),
        entry("x", tar::EntryType::XHeader, None, record.as_bytes()),
        entry("second.png", tar::EntryType::Regular, None, &image),
        entry("third.png", tar::EntryType::Regular, None, &image),
        vec![0; 1024],
    ];
    fs::write(fixture.path("shards/a.tar"), smuggled.concat()).unwrap();
    assert!(build(&fixture, "shards", "m.csv", &[]).status.success());
    scored(&fixture, "out", "shards", "m.csv");
    assert_eq!(quarantined(&fixture, "out"), [("1".to_owned(), "archive_ambiguous".to_owned())]);
}
