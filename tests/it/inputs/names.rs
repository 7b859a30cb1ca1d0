//! One odd name costs itself: it is scored where the store can address it, refused by its own reason where not, and never lost.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::inputs::shards::images;
use crate::process::is_full;
use crate::support::Fixture;
use crate::support::dicom::{Syntax, file, grey_16, text, with};
use crate::tables::table;

/// Lists `root`; what was said, which must have ended well.
fn list(fixture: &Fixture, root: &str, out: &str, more: &[&str]) -> String {
    let said = fixture.t3b(&[&["manifest", "build", root, "-o", out], more].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// Scores what was listed, one corruption at one severity; rows of `predictions` over methods and cells, and of `quarantine`.
fn score(fixture: &Fixture, root: &str, manifest: &str, out: &str) -> (usize, Vec<(String, String)>) {
    let root = fixture.path(root).to_string_lossy().into_owned();
    let manifest = fixture.path(manifest).to_string_lossy().into_owned();
    let set = [
        ("input.root", root.as_str()),
        ("input.manifest", manifest.as_str()),
        ("corrupt.corruptions", r#"["pixelate"]"#),
        ("corrupt.severities", "[1]"),
        ("corrupt.include_clean", "false"),
        ("merge.methods", r#"["pretrained","t3_b"]"#),
        ("run.partition_size", "512"),
        ("run.max_missing_first", "0.1"),
    ];
    fixture.run(out, &set).unwrap();
    let quarantine = table(&fixture.path(out), "quarantine");
    let reasons = quarantine.text("reason_code").into_iter().zip(quarantine.text("detail")).collect();
    (table(&fixture.path(out), "predictions").n_rows / 2, reasons)
}

/// Names that file systems have, and whether the store can address them.
const NAMES: [(&[u8], bool); 26] = [
    (b"plain.png", true),
    (b"~tilde.png", true),
    (b"back\\slash.png", true),
    (b"a%2fb.png", true),
    (b"percent%.png", true),
    (b"Dr. X./in a folder that ends in a dot.png", true),
    (b"a..png", true),
    (b"..a.png", true),
    (b".../dots.png", true),
    (b" blank.png", true),
    (b"quote\".png", true),
    (b"comma,comma.png", true),
    (b"hash#.png", true),
    (b"hash#1.png", true),
    ("K\u{f6}ln/\u{e9}t\u{e9}.png".as_bytes(), true),
    ("e\u{301}.png".as_bytes(), true),
    ("\u{202e}gnp.png".as_bytes(), true),
    (b"caf\xe9.png", false),
    (b"\xff\xfe.png", false),
    (b"new\nline.png", false),
    (b"tab\t.png", false),
    (b"esc\x1b[31m.png", false),
    (b"del\x7f.png", false),
    (b"..%2f.png", false),
    (b"%2e%2e/x.png", false),
    (b"half written.png#12", false),
];

fn write(folder: &Path, name: &[u8], bytes: &[u8]) {
    let path = folder.join(OsStr::from_bytes(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn f01_f03_f04_f07_c1_each_odd_name_is_scored_or_refused_by_its_own_reason() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    NAMES.iter().for_each(|(name, _)| write(&fixture.path("lake"), name, &image));
    for (manifest, out) in [("m.csv", "out-csv"), ("m.parquet", "out-parquet")] {
        let said = list(&fixture, "lake", manifest, &["--sha256"]);
        assert!(said.contains("26 samples") && said.contains("refused: object_refused 9"), "{said}");
        assert!(said.contains("26 objects: 17 images, 0 archives, 9 refused, 0 left out"), "{said}");
        let (n_scored, reasons) = score(&fixture, "lake", manifest, out);
        assert_eq!(n_scored, NAMES.iter().filter(|(_, scored)| *scored).count());
        assert_eq!(reasons.len(), 9);
        assert!(reasons.iter().all(|(reason, _)| reason == "object_refused"), "{reasons:?}");
        let details: std::collections::BTreeSet<_> =
            reasons.iter().map(|(_, detail)| detail.as_str()).collect();
        assert!(details.len() >= 4 && details.contains("a name that is not utf8"), "{details:?}");
    }
}

#[cfg(unix)]
#[test]
fn f08_links_and_pipes_cost_themselves() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    write(&fixture.path("lake"), b"a/good.png", &image);
    write(&fixture.path("elsewhere"), b"outside.png", &image);
    let link = |to: &Path, name: &str| symlink(to, fixture.path("lake").join(name)).unwrap();
    link(&fixture.path("elsewhere/outside.png"), "out.png");
    link(&fixture.path("elsewhere"), "folder out");
    link(Path::new("nowhere"), "broken.png");
    link(Path::new("loop.png"), "loop.png");
    link(Path::new("../a"), "a/up");
    link(Path::new("a/good.png"), "inside.png");
    let pipe = fixture.path("lake/pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let said = list(&fixture, "lake", "m.csv", &["--sha256"]);
    assert!(said.contains("8 objects: 2 images, 0 archives, 6 refused, 0 left out"), "{said}");
    let (n_scored, reasons) = score(&fixture, "lake", "m.csv", "out");
    assert_eq!((n_scored, reasons.len()), (2, 6));
}

#[test]
fn f10_a18_dicom_without_an_ending_is_found_by_content() {
    let fixture = Fixture::new();
    let dicom = file(Syntax::Explicit, &grey_16(32, 32, 12, false), &[700; 32 * 32]);
    for name in [&b"series/IM000001"[..], b"series/1.2.840.113619.2.1", b"x.ima", b"A/B"] {
        write(&fixture.path("pacs"), name, &dicom);
    }
    write(&fixture.path("pacs"), b"README", b"no image at all, only text");
    write(&fixture.path("pacs"), b"notes.txt", b"x");
    write(&fixture.path("pacs"), b"empty", b"");
    let said = list(&fixture, "pacs", "m.csv", &[]);
    assert!(said.contains("4 samples"), "{said}");
    assert!(said.contains("left out: 1 .txt, 2 without a known ending"), "{said}");
    let (n_scored, reasons) = score(&fixture, "pacs", "m.csv", "out");
    assert_eq!((n_scored, reasons), (4, vec![]));
}

/// A DICOMDIR with one image record per name and a report, which has no picture.
fn directory(names: &[&str]) -> Vec<u8> {
    let element = |tag: (u16, u16), vr: &[u8; 2], value: &[u8]| {
        let head = [tag.0.to_le_bytes(), tag.1.to_le_bytes(), *vr].concat();
        let length = match vr {
            b"SQ" => [vec![0, 0], (value.len() as u32).to_le_bytes().to_vec()].concat(),
            _ => (value.len() as u16).to_le_bytes().to_vec(),
        };
        [head, length, value.to_vec()].concat()
    };
    let item = |kind: &str, name: &str| {
        let fields =
            [element((4, 0x1430), b"CS", kind.as_bytes()), element((4, 0x1500), b"CS", name.as_bytes())];
        let fields = fields.concat();
        [vec![0xfe, 0xff, 0, 0xe0], (fields.len() as u32).to_le_bytes().to_vec(), fields].concat()
    };
    let mut items: Vec<u8> = names.iter().flat_map(|name| item("IMAGE ", name)).collect();
    items.extend(item("SR DOCUMENT ", "REPORT"));
    [vec![0; 128], b"DICM".to_vec(), element((4, 0x1220), b"SQ", &items)].concat()
}

#[test]
fn the_images_of_a_dicomdir_are_listed_in_its_order() {
    let fixture = Fixture::new();
    let dicom = file(Syntax::Explicit, &grey_16(32, 32, 12, false), &[700; 32 * 32]);
    for name in [&b"cd/dicom/im2"[..], b"cd/DICOM/IM1", b"cd/not named"] {
        write(&fixture.path(""), name, &dicom);
    }
    write(&fixture.path("cd"), b"DICOMDIR", &directory(&["DICOM\\IM2", "DICOM\\IM1", "DICOM\\IM9"]));
    let said = list(&fixture, "cd/DICOMDIR", "m.csv", &[]);
    assert!(said.contains("3 samples") && said.contains("refused: missing_object 1"), "{said}");
    let rows = fs::read_to_string(fixture.path("m.csv")).unwrap();
    let uris: Vec<&str> = rows.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(uris, ["dicom/im2", "DICOM/IM1", "DICOM/IM9"]);
    let (n_scored, reasons) = score(&fixture, "cd", "m.csv", "out");
    assert_eq!((n_scored, reasons.len()), (2, 1));
    fs::write(fixture.path("cd/DICOMDIR"), b"no directory").unwrap();
    let said = fixture.t3b(&["manifest", "build", "cd/DICOMDIR", "-o", "n.csv"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("M029"), "{:?}", said.status);
}

/// A NIfTI-1 volume of 8-bit voxels.
fn volume(sides: [i16; 3]) -> Vec<u8> {
    let mut head = vec![0; 352];
    head[..4].copy_from_slice(&348_i32.to_le_bytes());
    for (at, n) in (40..).step_by(2).zip([3, sides[0], sides[1], sides[2], 1, 1, 1, 1]) {
        head[at..at + 2].copy_from_slice(&i16::to_le_bytes(n));
    }
    head[70..72].copy_from_slice(&2_i16.to_le_bytes());
    head[72..74].copy_from_slice(&8_i16.to_le_bytes());
    head[108..112].copy_from_slice(&352_f32.to_le_bytes());
    head[344..348].copy_from_slice(b"n+1\0");
    let n_voxels = sides.iter().map(|&n| usize::try_from(n).unwrap()).product();
    head.extend((0..n_voxels).map(|n: usize| (n * 37 % 251) as u8));
    head
}

#[test]
fn pictures_of_one_object_are_listed_as_asked() {
    let fixture = Fixture::new();
    let frames = with(grey_16(32, 32, 12, false), text((0x28, 8), b"IS", "5 "));
    write(&fixture.path("many"), b"five.dcm", &file(Syntax::Explicit, &frames, &[700; 5 * 32 * 32]));
    write(
        &fixture.path("many"),
        b"one.dcm",
        &file(Syntax::Explicit, &grey_16(32, 32, 12, false), &[9; 32 * 32]),
    );
    write(&fixture.path("many"), b"volume.nii", &volume([20, 16, 12]));
    let said = list(&fixture, "many", "m.csv", &["--frames", "every:2", "--slices", "2:every:5", "--sha256"]);
    assert!(said.contains("7 samples") && said.contains("3 objects: 3 images"), "{said}");
    let (n_scored, reasons) = score(&fixture, "many", "m.csv", "out");
    assert_eq!((n_scored, reasons), (7, vec![]));
    let said = list(&fixture, "many", "m.csv", &["--frames", "middle", "--slices", "0:middle"]);
    assert!(said.contains("3 samples"), "{said}");
    let rows = fs::read_to_string(fixture.path("m.csv")).unwrap();
    assert!(rows.contains("five.dcm") && rows.lines().nth(1).unwrap().contains(",2,"), "{rows}");
    assert!(rows.lines().nth(3).unwrap().ends_with(",0,10"), "{rows}");
    let said = list(&fixture, "many", "m.csv", &[]);
    assert!(said.contains("2 samples") && said.contains("left out: 1 volumes without --slices"), "{said}");
}

#[test]
fn m022_says_what_lies_below_a_root_without_images() {
    let fixture = Fixture::new();
    write(&fixture.path("pacs"), b"a.xml", b"<x/>");
    write(&fixture.path("pacs"), b"b.nii.gz", b"x");
    let said = fixture.t3b(&["manifest", "build", "pacs", "-o", "m.csv"]);
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(65));
    assert!(text.contains("M022") && text.contains("1 .xml") && text.contains("--slices"), "{text}");
}

#[test]
fn f11_files_that_macos_puts_beside_others_are_left_out() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    write(&fixture.path("mac"), b"ok.png", &image);
    write(&fixture.path("mac"), b"__MACOSX/._ok.png", b"\0\x05\x16\x07 resource fork");
    let said = list(&fixture, "mac", "m.csv", &[]);
    assert!(said.contains("1 samples") && said.contains("left out: 1 macOS ._ files"), "{said}");
}

/// Full form, 10,000 files: `T3B_FULL=1 cargo test --test it -- names::`.
#[test]
fn a_large_listing_with_odd_names_and_archives_adds_up_and_can_be_run() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    let n_files = if is_full() { 10_000 } else { 600 };
    if !is_full() {
        eprintln!("reduced: {n_files} files of 10000");
    }
    let lake = fixture.path("lake");
    write(&lake, b"0/first.png", &image);
    let (mut n_odd, mut n_other) = (0, 0);
    for n in 0..50 {
        let (name, _) = NAMES[n % NAMES.len()];
        let folder = format!("odd-{}", n / NAMES.len());
        write(&lake.join(folder), name, &image);
        n_odd += 1;
    }
    let odd_archives: [(&str, &[u8]); 5] = [
        ("x.npz", b"no zip"),
        ("x.parquet", b"PAR1 no footer"),
        ("x.tar", b"\x1f\x8b\x08 gzip"),
        ("x.tar.gz", b"\x1f\x8b\x08 gzip"),
        ("y.tar", &[7; 700]),
    ];
    for n in 0..20 {
        let (name, bytes) = odd_archives[n % 5];
        write(&lake.join(format!("archives/{n:02}")), name.as_bytes(), bytes);
    }
    for n in 0..n_files - 1 - 50 - 20 {
        let folder = lake.join(format!("{:03}", n / 500));
        fs::create_dir_all(&folder).unwrap();
        if n % 20 == 7 {
            fs::write(folder.join(format!("{n}.xml")), b"<x/>").unwrap();
            n_other += 1;
        } else {
            fs::hard_link(lake.join("0/first.png"), folder.join(format!("{n}.png"))).unwrap();
        }
    }
    let said = list(&fixture, "lake", "m.parquet", &[]);
    let last = said.lines().last().unwrap();
    let numbers: Vec<u64> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [n_objects, n_images, n_archives, n_refused, n_left_out] = numbers[..] else { panic!("{said}") };
    assert_eq!(n_objects, n_files as u64, "{said}");
    assert_eq!(n_images + n_archives + n_refused + n_left_out, n_objects, "{said}");
    assert_eq!((n_archives, n_left_out), (0, n_other), "{said}");
    let hostile = (0..n_odd).filter(|n| !NAMES[n % NAMES.len()].1).count() as u64;
    assert_eq!(n_refused, hostile + 20, "{said}");
    let pipeline = ["--set", "corrupt.corruptions=[\"pixelate\"]", "--set", "corrupt.severities=[1]"];
    let root = format!("input.root={}", lake.display());
    let manifest = format!("input.manifest={}", fixture.path("m.parquet").display());
    let run =
        ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--set", &root, "--set", &manifest];
    let said = fixture.t3b(&[&run[..], &pipeline[..]].concat());
    let code = said.status.code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn a1_a_wrong_root_ends_the_run_before_a_row_is_written() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("wrong")).unwrap();
    let manifest = fixture.path("archive/manifest.csv").to_string_lossy().into_owned();
    let manifest = format!("input.manifest={manifest}");
    let wrong = ["--set", "input.root=wrong", "--set", &manifest];
    for command in ["check", "run"] {
        let said = fixture.t3b(&[&[command, "pipeline.toml", "--output", "out"][..], &wrong[..]].concat());
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(65), "{command}: {text}");
        assert!(
            text.contains("M031") && text.contains("row 0") && text.contains("wrong"),
            "{command}: {text}"
        );
    }
    assert!(!fixture.path("out/_t3b/runs").exists(), "nothing is committed");
    // Half of the first partition is allowed, and all of it where that is said.
    let root = fixture.path("wrong").to_string_lossy().into_owned();
    let manifest = fixture.path("archive/manifest.csv").to_string_lossy().into_owned();
    let set = [("input.root", root.as_str()), ("input.manifest", &manifest), ("run.max_missing_first", "1")];
    fixture.run("allowed", &set).unwrap();
    assert_eq!(table(&fixture.path("allowed"), "predictions").n_rows, 0);
}
