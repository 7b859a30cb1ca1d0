//! A listing that was cut short goes on where it stood, and large archives are listed in bounded memory.

use std::fs;
use std::path::Path;

use crate::inputs::shards::{images, write_shard};
use crate::process::is_full;
use crate::support::Fixture;
use crate::tables::table;

fn build(fixture: &Fixture, out: &str) -> (Option<i32>, String) {
    let said = fixture.t3b(&["manifest", "build", "lake", "-o", out, "--sha256"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (said.status.code(), text(&said.stdout) + &text(&said.stderr))
}

/// 2,500 images in two folders and a shard: four chunks.
fn fill(fixture: &Fixture) {
    let images = images(&fixture.path("archive"));
    for (folder, n) in [("a", 1_200), ("b/c", 1_300)] {
        let folder = fixture.path("lake").join(folder);
        fs::create_dir_all(&folder).unwrap();
        for row in 0..n {
            fs::write(folder.join(format!("{row:05}.png")), &images[row % images.len()].1).unwrap();
        }
    }
    write_shard(&fixture.path("lake/b/shard.tar"), &images);
}

#[test]
fn a_listing_that_was_cut_short_is_taken_up_again() {
    let fixture = Fixture::new();
    fill(&fixture);
    let (code, said) = build(&fixture, "reference.parquet");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2540 samples") && !said.contains("earlier"), "{said}");

    // A folder where the manifest should be: everything is listed, nothing can be written.
    fs::create_dir_all(fixture.path("m.parquet/x")).unwrap();
    let (code, said) = build(&fixture, "m.parquet");
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("C007"), "{said}");
    fs::remove_dir_all(fixture.path("m.parquet")).unwrap();
    // And one part that was not written in time.
    let parts = fixture.path("m.parquet.parts");
    let lost = fs::read_dir(&parts).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(lost).unwrap();
    let (code, said) = build(&fixture, "m.parquet");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 of 4 chunks were left by an earlier listing"), "{said}");
    let bytes = |name: &str| fs::read(fixture.path(name)).unwrap();
    assert!(bytes("m.parquet") == bytes("reference.parquet"), "the same manifest");
    assert!(!parts.exists());
}

#[test]
fn what_changed_between_two_calls_is_listed_again() {
    let fixture = Fixture::new();
    fill(&fixture);
    fs::create_dir_all(fixture.path("m.csv/x")).unwrap();
    assert_eq!(build(&fixture, "m.csv").0, Some(77));
    fs::remove_dir_all(fixture.path("m.csv")).unwrap();
    let changed = fixture.path("lake/b/c/00000.png");
    let longer = [fs::read(&changed).unwrap(), vec![0]].concat();
    fs::write(&changed, &longer).unwrap();
    let (code, said) = build(&fixture, "m.csv");
    assert_eq!(code, Some(0), "{said}");
    let line = fs::read_to_string(fixture.path("m.csv")).unwrap();
    let line = line.lines().find(|line| line.starts_with("b/c/00000.png")).unwrap();
    assert!(line.contains(&format!(",{},", longer.len())), "{line}");
}

#[test]
fn names_are_listed_as_the_store_has_them() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    let names = ["K\u{f6}ln/a#b~[1].png", "a~b/{x}^y.png", "a~b/50%.png", "\u{e9}t\u{e9}.png"];
    for name in names {
        let path = fixture.path("lake").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &image).unwrap();
    }
    let files = [("x~1.png".to_owned(), image.clone()), ("\u{f6}.png".to_owned(), image)];
    write_shard(&fixture.path("lake/K\u{f6}ln/shard~1.tar"), &files);
    let (code, said) = build(&fixture, "m.csv");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("6 samples") && !said.contains("refused:"), "{said}");
    let root = fixture.path("lake").to_string_lossy().into_owned();
    let manifest = fixture.path("m.csv").to_string_lossy().into_owned();
    fixture.run("out", &[("input.root", &root), ("input.manifest", &manifest)]).unwrap();
    assert_eq!(table(&fixture.path("out"), "quarantine").n_rows, 0, "each is found where it was listed");
}

/// A stand-in for what could not be listed has no class: a folder's name would end the run.
#[test]
fn what_cannot_be_listed_has_no_label() {
    let fixture = Fixture::new();
    let images = images(&fixture.path("archive"));
    fs::create_dir_all(fixture.path("lake/platelet")).unwrap();
    fs::write(fixture.path("lake/platelet/x.png"), &images[0].1).unwrap();
    write_shard(&fixture.path("lake/shards/a.tar"), &[]);
    fs::write(fixture.path("lake/shards/a.tar"), [7; 700]).unwrap();
    let listed = fixture.t3b(&["manifest", "build", "lake", "-o", "m.csv", "--labels-from-folders"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let root = fixture.path("lake").to_string_lossy().into_owned();
    let manifest = fixture.path("m.csv").to_string_lossy().into_owned();
    fixture.run("out", &[("input.root", &root), ("input.manifest", &manifest)]).unwrap();
    assert_eq!(table(&fixture.path("out"), "quarantine").text("reason_code"), ["archive_truncated"]);
}

/// MiB that a listing reached, as the kernel saw it.
fn peak_mib(fixture: &Fixture, root: &Path) -> f64 {
    let script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); \
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)";
    let binary = env!("CARGO_BIN_EXE_t3b");
    let said = std::process::Command::new("python3")
        .args(["-c", script, binary, "manifest", "build", root.to_str().unwrap(), "-o"])
        .arg(fixture.path("m.parquet"))
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap()
}

/// Full form: `T3B_FULL=1 cargo test --test it -- catalog:: --nocapture`.
#[test]
fn memory_does_not_grow_with_what_is_listed() {
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    let n_large = if is_full() { 400 } else { 40 };
    let peak = |n_folders: usize| {
        let root = fixture.path(&format!("lake-{n_folders}"));
        for folder in 0..n_folders {
            let folder = root.join(format!("{folder:04}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0.png"), &image).unwrap();
            // Links cost no bytes.
            (1..500)
                .for_each(|n| fs::hard_link(folder.join("0.png"), folder.join(format!("{n}.png"))).unwrap());
        }
        peak_mib(&fixture, &root)
    };
    let (small, large) = (peak(10), peak(n_large));
    eprintln!("listing: {small:.0} MiB for 5000 images, {large:.0} MiB for {}", n_large * 500);
    assert!(large < small + 24.0, "{small} MiB, then {large} MiB");
}
