//! Real DICOM files from manifest to tables: every codec, frames by the manifest's column, JPEG 2000 in its own process,
//! damaged files by their codes. Skipped where `tests/support/fetch_dicom.sh` has not fetched them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use t3b_decode::{Limits, Rendering, decode_with, is_risky};

use crate::support::{Fixture, repo};
use crate::tables::table;

/// Larger files add time and no case.
const MAX_BYTES: u64 = 8 << 20;

/// Damaged or foreign files whose codes are part of the promise, whatever the decoder says of others.
const DAMAGED: [(&str, &str); 5] = [
    ("MR_truncated.dcm", "dicom_length_exceeds_file"),
    ("JPEG2000-embedded-sequence-delimiter.dcm", "decode_corrupt"),
    ("meta_missing_tsyntax.dcm", "dicom_missing_attribute"),
    ("test-SR.dcm", "dicom_no_pixel_data"),
    ("no_meta_group_length.dcm", "dicom_no_pixel_data"),
];

/// Files of several frames, with the frames that are asked for: `None` is the row without the column.
const FRAMES: [(&str, &[Option<u32>]); 3] = [
    ("examples_ybr_color.dcm", &[Some(0), Some(7), Some(29), Some(30), None]),
    ("emri_small_jpeg_2k_lossless.dcm", &[Some(0), Some(9), Some(10), None]),
    ("SC_rgb_rle_2frame.dcm", &[Some(1), Some(0)]),
];

struct Row {
    uri: String,
    frame: Option<u32>,
    code: &'static str,
    is_risky: bool,
}

/// Every file below a folder, in order of its path.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// One row a file, the frames of some files behind them, each with what this process says of it.
fn rows(root: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in files(root) {
        let uri = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let name = path.file_name().unwrap().to_string_lossy();
        if fs::metadata(&path).unwrap().len() > MAX_BYTES || (!name.ends_with(".dcm") && name.contains('.')) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let of_file =
            FRAMES.iter().find(|(file, _)| *file == name).map_or(&[Some(0)][..], |(_, frames)| frames);
        for &frame in of_file {
            let rendering = Rendering { frame, ..Rendering::default() };
            let code = match decode_with(&bytes, &Limits::default(), &rendering) {
                Ok(_) => "ok",
                Err(_) if bytes.is_empty() => "empty_object",
                Err(error) => error.reason.code(),
            };
            let damaged = DAMAGED.iter().find(|(file, _)| *file == name);
            assert!(damaged.is_none_or(|(_, wanted)| *wanted == code), "{uri}: {code}");
            rows.push(Row { uri: uri.clone(), frame, code, is_risky: is_risky(&bytes) });
        }
    }
    rows
}

#[test]
fn real_files_are_scored_or_quarantined_by_their_codes_wherever_they_are_decoded() {
    let root = repo(".cache/dicom");
    if !root.is_dir() {
        println!("skipped: .cache/dicom is absent; tests/support/fetch_dicom.sh fetches it");
        return;
    }
    let rows = rows(&root);
    let fixture = Fixture::new();
    for (file, _) in DAMAGED {
        assert!(rows.iter().any(|row| row.uri.ends_with(file)), "{file} is among the files");
    }
    let lines = rows.iter().enumerate().map(|(n, row)| {
        let frame = row.frame.map_or(String::new(), |frame| frame.to_string());
        format!("{},s{n},{frame}\n", row.uri)
    });
    let manifest = fixture.path("dicom.csv");
    fs::write(&manifest, "uri,sample_id,frame\n".to_owned() + &lines.collect::<String>()).unwrap();
    let (root, manifest) = (root.to_string_lossy().into_owned(), manifest.to_string_lossy().into_owned());
    let run = |isolation: &str| {
        let set = [
            ("input.root", root.as_str()),
            ("input.manifest", manifest.as_str()),
            ("corrupt.corruptions", "[]"),
            ("decoder.isolation", isolation),
            ("run.max_quarantine", "1.0"),
        ];
        let set = set.map(|(key, value)| format!("{key}={value}"));
        let flags = set.iter().flat_map(|pair| ["--set", pair.as_str()]);
        let args =
            ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--output", isolation];
        let said = fixture.t3b(&args.into_iter().chain(flags).collect::<Vec<_>>());
        assert!(said.status.success(), "{isolation}: {}", String::from_utf8_lossy(&said.stderr));
        fixture.published(isolation)
    };
    assert!(run("risky") == run("none"), "a process of its own has changed a row");

    let quarantine = table(&fixture.path("risky"), "quarantine");
    let found: BTreeMap<String, String> =
        quarantine.text("sample_id").into_iter().zip(quarantine.text("reason_code")).collect();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        let code = found.get(&format!("s{n}")).map_or("ok", String::as_str);
        assert_eq!(code, row.code, "{} frame {:?}", row.uri, row.frame);
        *counts.entry(row.code).or_default() += 1;
    }
    assert_eq!(table(&fixture.path("risky"), "signals").n_rows as u32, counts["ok"]);
    let n_isolated = rows.iter().filter(|row| row.is_risky && row.code == "ok").count();
    println!(
        "DICOM: {} rows, {n_isolated} scored from JPEG 2000 in a process of their own: {counts:?}",
        rows.len()
    );
    assert!(counts["ok"] >= 100 && n_isolated >= 10, "{counts:?}, {n_isolated}");
    assert!(counts["frame_out_of_range"] >= 2 && counts["multi_frame"] >= 2, "{counts:?}");
}
