//! Full form: `T3B_FULL=1 cargo test --test it -- resources:: --nocapture`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::moto::Moto;
use crate::process::{is_full, peak_mib};
use crate::proxy::{Dose, Proxy, Toxic};
use crate::support::Fixture;

/// A small file system in memory, unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(at: &Path, kib: u64) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|said| said.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: this user may not mount a tmpfs");
        None
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg(&self.0).status();
    }
}

const ARGS: [&str; 8] =
    ["run", "pipeline.toml", "--output", "disk/out", "--run-id", "r", "--run-date", "2026-01-02"];

#[test]
fn a_full_disk_ends_in_a_message_and_is_resumed_when_there_is_space() {
    let fixture = Fixture::new();
    fixture.run("reference", &[]).unwrap();
    let sizes: &[u64] =
        if is_full() { &[4, 16, 40, 72, 104, 136, 168, 200, 240, 280] } else { &[16, 104, 200] };
    let mut n_full = 0;
    for &kib in sizes {
        let Some(disk) = SmallDisk::mount(&fixture.path("disk"), kib) else { return };
        let said = fixture.t3b(&ARGS);
        let text = String::from_utf8_lossy(&said.stderr);
        match said.status.code() {
            Some(0) => {}
            Some(74) => {
                assert!(text.contains("S005"), "{kib} KiB: {text}");
                n_full += 1;
            }
            other => panic!("{kib} KiB: {other:?} {text}"),
        }
        disk.grow();
        let resumed = fixture.t3b(&ARGS);
        assert!(resumed.status.success(), "{kib} KiB: {}", String::from_utf8_lossy(&resumed.stderr));
        assert!(fixture.published("disk/out") == fixture.published("reference"), "{kib} KiB");
    }
    assert!(n_full > 0);
    eprintln!("ENOSPC: {n_full} of {} sizes were full, all resumed to equal bytes", sizes.len());
}

/// A manifest of `n` samples over a few files.
fn write_manifest(fixture: &Fixture, uris: &[String], n: usize) {
    let rows = (0..n).map(|row| format!("{},s{row}\n", uris[row % uris.len()]));
    fs::write(fixture.path("archive/many.csv"), "uri,sample_id\n".to_owned() + &rows.collect::<String>())
        .unwrap();
}

/// Seconds and MiB of every progress line.
fn resident(log: &str) -> Vec<(f64, f64)> {
    let number = |line: &str, name: &str| {
        let rest = line.split(&format!("{name}=")).nth(1)?;
        rest.trim_start_matches("Some(").split(|c: char| !c.is_ascii_digit()).next()?.parse::<f64>().ok()
    };
    log.lines().filter_map(|line| Some((number(line, "elapsed_s")?, number(line, "rss_mib")?))).collect()
}

/// Least squares over the last four fifths, in MiB a minute.
fn slope_per_min(points: &[(f64, f64)]) -> f64 {
    let last = &points[points.len() / 5..];
    let n = last.len() as f64;
    let (mean_x, mean_y) =
        (last.iter().map(|p| p.0).sum::<f64>() / n, last.iter().map(|p| p.1).sum::<f64>() / n);
    let xy: f64 = last.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let xx: f64 = last.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    60.0 * xy / xx
}

const SMALL_MEMORY: [&str; 10] = [
    "--set",
    "memory.budget_mib=64",
    "--set",
    "input.manifest=many.csv",
    "--set",
    "corrupt.corruptions=[]",
    "--set",
    "log.every_s=1",
    "--set",
    "run.max_quarantine=0.2",
];

#[test]
fn memory_does_not_grow_with_the_archive_while_the_output_is_slow() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.stock(&fixture);
    moto.mark_probed("long");
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let uris: Vec<String> =
        manifest.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    let n = if is_full() { 100_000 } else { 2_000 };
    write_manifest(&fixture, &uris, n);
    // Every write is held back, some more than others.
    let dose = Dose { toxic: Toxic::Latency, writes: true, percent: 100 };
    let proxy = Proxy::start(moto.port, dose, 1);
    let archive = format!("input.root={}", fixture.path("archive").display());
    let more = ["--set", &archive, "--set", "run.partition_size=800"];
    let mut command = Moto::command(&fixture, proxy.port, "long", &[&SMALL_MEMORY[..], &more[..]].concat());
    let said = command.output().unwrap();
    let log = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{log}");
    let points = resident(&log);
    let slope = if points.len() > 10 { slope_per_min(&points) } else { 0.0 };
    eprintln!(
        "memory: {n} tiny images, slow output: peak {} MiB, slope {slope:.2} MiB a minute over {} s",
        peak_mib(&said),
        points.len()
    );
    // Over seconds a slope says nothing; over minutes it is the promise.
    assert!(!is_full() || slope <= 1.0, "{points:?}");
}

#[test]
fn large_images_and_bombs_stay_below_the_budget() {
    let fixture = Fixture::new();
    let run = |out: &str| {
        let args = ["run", "pipeline.toml", "--run-id", "r", "--output", out];
        let said = fixture.t3b(&[&args[..], &SMALL_MEMORY[..]].concat());
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        said
    };
    fs::write(fixture.path("archive/tiny.png"), crate::hostile::black_png(16, 16, 8, crate::hostile::RGB))
        .unwrap();
    write_manifest(&fixture, &["tiny.png".to_owned()], 40);
    let base = peak_mib(&run("tiny"));
    for (name, side) in [("large.png", 3000), ("bomb.png", 20_000)] {
        let png = crate::hostile::black_png(side, side, 8, crate::hostile::RGB);
        fs::write(fixture.path("archive").join(name), png).unwrap();
    }
    let mut uris = vec!["large.png".to_owned(); 10];
    uris.push("bomb.png".to_owned());
    let n = if is_full() { 220 } else { 22 };
    write_manifest(&fixture, &uris, n);
    let said = run("large");
    let peak = peak_mib(&said);
    let bound = (base + 64.0) * 1.15;
    eprintln!(
        "memory: {} large images and {} bombs: peak {peak} MiB, bound {bound:.0} MiB",
        n - n / 11,
        n / 11
    );
    assert!(String::from_utf8_lossy(&said.stdout).contains(&format!("{} quarantined", n / 11)));
    assert!(peak <= bound, "peak {peak} MiB, without images {base} MiB");
}
