//! A reader that goes away, a full disk under the output and small limits: the work is done, and the code says the rest.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use crate::support::Fixture;

const RUN: [&str; 5] = ["run", "pipeline.toml", "--run-id", "r", "--run-date=2026-01-02"];

/// Runs with the standard output and error that are given.
fn ended(command: &mut Command, stdout: Stdio, stderr: Stdio) -> Option<i32> {
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap().code()
}

fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

/// A pipe whose reader has gone away.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn is_published(fixture: &Fixture, out: &str) -> bool {
    fixture.path(out).join("tables/runs/run_date=2026-01-02/run_id=r/run.parquet").exists()
}

#[test]
fn a_closed_output_ends_nothing() {
    let fixture = Fixture::new();
    let check = ["check", "pipeline.toml"];
    assert_eq!(ended(&mut fixture.command(&check), closed(), Stdio::null()), Some(0), "check | head");
    assert_eq!(ended(&mut fixture.command(&["--help"]), closed(), Stdio::null()), Some(0), "help | head");
    let inspect = ["models", "inspect", "pretrained"];
    assert_eq!(ended(&mut fixture.command(&inspect), closed(), closed()), Some(0), "inspect | true");
    let run = [&RUN[..], &["--output", "closed"]].concat();
    assert_eq!(ended(&mut fixture.command(&run), closed(), closed()), Some(0), "run, both closed");
    assert!(is_published(&fixture, "closed"));
}

#[test]
fn a_full_output_is_told_by_the_code_and_a_run_is_published_all_the_same() {
    let fixture = Fixture::new();
    let into = |out: &'static str| [&RUN[..], &["--output", out]].concat();
    assert_eq!(ended(&mut fixture.command(&into("out")), full(), Stdio::null()), Some(74), "run > full");
    assert_eq!(ended(&mut fixture.command(&into("err")), Stdio::null(), full()), Some(0), "run 2> full");
    assert_eq!(ended(&mut fixture.command(&into("both")), full(), full()), Some(74), "run &> full");
    for out in ["out", "err", "both"] {
        assert!(is_published(&fixture, out), "{out}");
        assert!(fixture.published(out) == fixture.published("out"));
    }
    for args in [&["status", "out/_t3b/runs/r"][..], &["plan", "pipeline.toml", "--json"], &["--help"]] {
        assert_eq!(ended(&mut fixture.command(args), full(), Stdio::null()), Some(74), "{args:?}");
    }
    let wrong = ["check", "pipeline.toml", "--set", "run.batch_size=0"];
    assert_eq!(
        ended(&mut fixture.command(&wrong), Stdio::null(), full()),
        Some(78),
        "an error to a full log"
    );
    let counted = fixture.command(&into("counted")).stderr(full()).output().unwrap();
    assert!(text(&counted).contains("lines could not be written"), "{}", text(&counted));
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// The binary under limits that a shell sets.
fn limited(fixture: &Fixture, limits: &str, args: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_t3b")]);
    shell.args(args).current_dir(fixture.path("")).output().unwrap()
}

#[test]
fn small_limits_of_the_system_end_with_a_documented_code() {
    let fixture = Fixture::new();
    let run = |out: &'static str| [&RUN[..], &["--output", out]].concat();
    for mib in ["128", "200", "400"] {
        let said =
            limited(&fixture, &format!("ulimit -v {}", mib.parse::<u64>().unwrap() * 1024), &run("space"));
        assert_eq!(said.status.code(), Some(78), "{mib} MiB: {}", text(&said));
        assert!(text(&said).contains("C020"), "{mib} MiB: {}", text(&said));
    }
    let said = limited(&fixture, "ulimit -f 1", &run("file"));
    assert_eq!(said.status.code(), Some(74), "file size: {}", text(&said));
    assert!(text(&said).contains("S005"), "{}", text(&said));
    let said = limited(&fixture, "ulimit -s 128", &run("stack"));
    assert_eq!(said.status.code(), Some(0), "stack: {}", text(&said));
    let said = fixture.command(&run("min-stack")).env("RUST_MIN_STACK", "1").output().unwrap();
    assert_eq!(said.status.code(), Some(0), "smallest stack: {}", text(&said));
    // What a limit ended is resumed without it.
    assert_eq!(fixture.command(&run("file")).output().unwrap().status.code(), Some(0));
    assert!(fixture.published("file") == fixture.published("stack"));
}

/// Pickles that make gigabytes of a kilobyte: refused within a gigabyte of address space, and nothing in them is run.
#[test]
fn a_pickle_that_would_cost_gigabytes_is_refused() {
    use std::io::Write;
    let fixture = Fixture::new();
    let mut laughs = b"\x80\x02K\x01q\0".to_vec();
    for line in 0..12_u8 {
        laughs.push(b'(');
        laughs.extend([b'h', line].repeat(10));
        laughs.extend([b't', b'q', line + 1]);
    }
    laughs.push(b'.');
    let huge = b"\x80\x02X\xff\xff\xff\x7fabc.".to_vec();
    let nest = [&b"\x80\x02N"[..], &[0x85; 500_000], b"."].concat();
    for (name, program) in [("laughs", laughs), ("huge", huge), ("nest", nest)] {
        let path = fixture.path(name).with_extension("pt");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let stored = zip::write::SimpleFileOptions::default();
        zip.start_file("archive/data.pkl", stored).unwrap();
        zip.write_all(&program).unwrap();
        zip.finish().unwrap();
        let file = path.to_string_lossy().into_owned();
        let said = limited(&fixture, "ulimit -v 2097152", &["models", "convert", &file, "converted"]);
        let told = text(&said);
        assert!(said.status.code() == Some(65) && told.contains("W0"), "{name}: {:?} {told}", said.status);
    }
}

/// The store's client puts these into headers, and would end the process where it cannot.
#[test]
fn an_environment_that_no_header_can_hold_is_refused() {
    let fixture = Fixture::new();
    for (name, value) in
        [("AWS_REGION", "\n"), ("AWS_SECRET_ACCESS_KEY", "zqx\u{1}"), ("AWS_ACCESS_KEY_ID", "zqx\u{e9}")]
    {
        let mut command = fixture.command(&["verify", "s3://bucket/out/_t3b/runs/r"]);
        command
            .env("AWS_ACCESS_KEY_ID", "k")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1");
        let said = command.env(name, value).output().unwrap();
        let told = text(&said);
        assert!(
            said.status.code() == Some(78) && told.contains(name) && !told.contains("zqx"),
            "{name}: {told}"
        );
    }
}
