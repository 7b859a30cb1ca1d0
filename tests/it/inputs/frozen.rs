//! A manifest that is frozen once: the same tables, and a worker that reads its own rows alone.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::support::Fixture;

const SET: [&str; 4] = ["--set", "run.partition_size=8", "--set", "run.batch_size=4"];

fn frozen(fixture: &Fixture, to: &str) -> String {
    let said = fixture.t3b(&[&["manifest", "freeze", "pipeline.toml", "-o", to][..], &SET].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    format!("input.manifest={}", fixture.path(to).display())
}

#[test]
fn a_run_of_a_frozen_manifest_writes_the_bytes_of_one_of_the_file() {
    let fixture = Fixture::new();
    fixture.run("reference", &[("run.partition_size", "8"), ("run.batch_size", "4")]).unwrap();
    let manifest = frozen(&fixture, "lists/m.frozen");
    let run = ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--run-date", "2026-01-02"];
    let said = fixture.t3b(&[&run[..], &SET, &["--set", &manifest]].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(fixture.published("out") == fixture.published("reference"));
    // The other way round: a run that was begun from the file goes on from the list, for both have one fingerprint.
    let said = fixture.t3b(&[&run[..], &SET].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = fixture.t3b(&[&run[..], &SET[..2], &["--set", &manifest]].concat());
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.status.code() == Some(78) && told.contains("M034") && told.contains("run.batch_size 4"),
        "{told}"
    );
}

#[test]
fn a_frozen_manifest_that_readers_of_tables_could_read_is_refused() {
    let fixture = Fixture::new();
    for (to, code) in [("out/m.frozen", "C002"), ("lists/m.parquet", "C007"), ("lists/.frozen", "C007")] {
        let said = fixture.t3b(&["manifest", "freeze", "pipeline.toml", "--output", "out", "-o", to]);
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(78) && told.contains(code), "{to}: {told}");
    }
    assert!(!fixture.path("out/m.frozen").exists());
}

/// Bytes that a worker read which joined a run of a frozen manifest of that many rows and scored one partition.
fn bytes_of_partition_3(rows: u32) -> u64 {
    let fixture = Fixture::new();
    let images: Vec<String> = fs::read_to_string(fixture.path("archive/manifest.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect();
    let mut text = "uri,sample_id\n".to_owned();
    for n in 0..rows {
        writeln!(text, "{},s{n:07}", images[n as usize % images.len()]).unwrap();
    }
    fs::write(fixture.path("archive/manifest.csv"), text).unwrap();
    let manifest = frozen(&fixture, "lists/m.frozen");
    let metrics = format!("metrics.textfile={}", fixture.path("m.prom").display());
    let worker = ["worker", "pipeline.toml", "--output", "out", "--run-id", "r", "--stdin"];
    // The first one begins the run and looks at objects of all partitions.
    for number in ["0\n", "3\n"] {
        let args = [&worker[..], &SET, &["--set", &manifest, "--set", &metrics]].concat();
        let mut command = fixture.command(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(number.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert!(String::from_utf8_lossy(&said.stdout).contains("\"committed\""));
    }
    let told = fs::read_to_string(fixture.path("m.prom")).unwrap();
    let count = told.lines().find(|line| line.starts_with("t3b_store_read_bytes_total"));
    count.and_then(|line| line.split_whitespace().last()).unwrap().parse().unwrap()
}

#[test]
fn a_worker_reads_its_own_rows_of_a_frozen_manifest_and_a_head_of_the_others() {
    let (few, many) = (bytes_of_partition_3(2_000), bytes_of_partition_3(40_000));
    println!("one partition of 8 rows: {few} bytes of 2,000 rows, {many} of 40,000");
    // 5,000 partitions stand in 157 parts, of which the head has a line each; 38,000 rows more are 700 KB of CSV.
    assert!(many < few + 40_000, "{few} {many}");
}
