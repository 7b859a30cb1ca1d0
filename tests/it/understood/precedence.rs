//! Which of several settings is in force, and that nothing else gets in.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::{Duration, Instant};

use t3b_image::simd;

use crate::support::Fixture;

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// `t3b check` with overrides and variables.
fn check(fixture: &Fixture, set: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut args = vec!["check", "pipeline.toml"];
    set.iter().for_each(|pair| args.extend(["--set", pair]));
    fixture.command(&args).envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn refused(said: &Output, words: &[&str]) {
    let text = told(said);
    assert_eq!(said.status.code(), Some(78), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn a_flag_is_stronger_than_a_variable_and_that_than_the_file() {
    let fixture = Fixture::new();
    let line = |said: &Output, key: &str| {
        told(said).lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned()
    };
    let variable = [("T3B_MERGE_GAMMA", "3.5"), ("T3B_RUN_BATCH_SIZE", "4")];
    let said = check(&fixture, &["merge.gamma=1.5"], &variable);
    let gamma = line(&said, "merge.gamma");
    assert!(gamma.contains("= 1.5") && gamma.ends_with("# flag"), "{}", told(&said));
    let batch = line(&said, "run.batch_size");
    assert!(batch.contains("= 4 ") && batch.ends_with("# $T3B_RUN_BATCH_SIZE"), "{batch}");
}

#[test]
fn a_labels_file_counts_from_wherever_it_is_named() {
    let fixture = Fixture::new();
    let template = r#"templates = ["a smear with one {}."]"#;
    fs::write(fixture.path("lab.toml"), template).unwrap();
    let said = check(&fixture, &["labels.file=lab.toml"], &[]);
    assert!(told(&said).contains("a smear with one {}."), "{}", told(&said));
    let said = check(&fixture, &[], &[("T3B_LABELS_FILE", "lab.toml")]);
    assert!(told(&said).contains("a smear with one {}."), "{}", told(&said));
    let said = check(&fixture, &["labels.file=/nonexistent.toml"], &[]);
    refused(&said, &["C007", "/nonexistent.toml"]);
}

#[test]
fn text_behind_a_newline_and_what_is_no_text_are_refused() {
    let fixture = Fixture::new();
    refused(&check(&fixture, &["merge.gamma=1.5\n[run]\nseed = 7"], &[]), &["C001", "merge.gamma"]);
    refused(&check(&fixture, &["merge.gamma=1.5\nlambda_max = 0.1"], &[]), &["C001"]);
    refused(
        &check(&fixture, &[], &[("T3B_MERGE_GAMMA", "1.5\nlambda_max = 0.1")]),
        &["C001", "T3B_MERGE_GAMMA"],
    );
    refused(&check(&fixture, &["a\nb=1"], &[]), &["C006"]);
    let mut command = fixture.command(&["check", "pipeline.toml"]);
    let said = command.env("T3B_RUN_SEED", OsStr::from_bytes(b"\xff7")).output().unwrap();
    refused(&said, &["C001", "T3B_RUN_SEED", "UTF-8"]);
    refused(
        &check(&fixture, &[], &[("T3B_RUN_BATCHSIZE", "16")]),
        &["C006", "did you mean T3B_RUN_BATCH_SIZE"],
    );
    refused(&check(&fixture, &[], &[("T3B_MEGRE_GAMMA", "16")]), &["C006", "did you mean T3B_MERGE_GAMMA"]);
}

#[test]
fn vector_instructions_that_this_machine_lacks_are_refused_before_anything_is_done() {
    let fixture = Fixture::new();
    let has: Vec<&str> = simd::paths().into_iter().map(|(name, _)| name).collect();
    // No machine has all four.
    for path in ["avx512", "avx2", "neon", "scalar"] {
        let forced = [(simd::SIMD, path)];
        if has.contains(&path) {
            let said = check(&fixture, &[], &forced);
            assert!(said.status.success(), "{path}: {}", told(&said));
            continue;
        }
        let words = ["C028", path, &has.join(", "), "unset it"];
        refused(&check(&fixture, &[], &forced), &words);
        let run = fixture.command(&["run", "pipeline.toml"]).envs(forced).output().unwrap();
        refused(&run, &words);
        assert!(!fixture.path("out/_t3b/runs").exists(), "a run was begun");
    }
    refused(&check(&fixture, &[], &[(simd::SIMD, "")]), &["C028"]);
}

#[test]
fn lists_are_sets() {
    let fixture = Fixture::new();
    for set in [
        "corrupt.severities=[1,1]",
        "corrupt.corruptions=[\"pixelate\",\"pixelate\"]",
        "merge.methods=[\"t3_b\",\"t3_b\"]",
        "labels.names=[\"a\",\"b\",\"a\"]",
        "labels.templates=[\"a {}\",\"a {}\"]",
        "corrupt.custom=[{name=\"pixelate\",kind=\"gaussian_noise\",parameters=[1,2,3,4,5]}]",
    ] {
        refused(&check(&fixture, &[set], &[]), &["C001", set.split('=').next().unwrap()]);
    }
    let file = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    fs::write(fixture.path("sweep.toml"), file + "[sweep.axes]\n\"merge.gamma\" = [1, 1.0]\n").unwrap();
    refused(&fixture.t3b(&["sweep", "sweep.toml"]), &["C010", "twice"]);
}

#[test]
fn absurd_settings_are_refused_within_a_second() {
    let fixture = Fixture::new();
    let deep = format!("{}=1", "a.".repeat(60_000) + "a");
    let many: String = (0..1_000_000).map(|n| format!("k{n} = 1\n")).collect();
    fs::write(fixture.path("many.toml"), many).unwrap();
    fs::write(fixture.path("fewer.toml"), (0..60_000).map(|n| format!("k{n} = 1\n")).collect::<String>())
        .unwrap();
    fs::write(fixture.path("deep.toml"), format!("{}a = 1\n", "a.".repeat(60_000))).unwrap();
    for args in [
        vec!["check", "pipeline.toml", "--set", &deep],
        vec!["check", "pipeline.toml", "--set", "threads.score=1024"],
        vec!["check", "pipeline.toml", "--set", "threads.cpu=1024"],
        vec!["check", "many.toml"],
        vec!["check", "fewer.toml"],
        vec!["check", "deep.toml"],
        vec!["check", "/dev/zero"],
    ] {
        let started = Instant::now();
        let said = fixture.t3b(&args);
        refused(&said, &["error[C"]);
        let shown = told(&said);
        assert!(shown.len() < 20_000, "{} bytes of message", shown.len());
        eprintln!(
            "{}: refused in {:?}",
            args[1..].last().unwrap().chars().take(30).collect::<String>(),
            started.elapsed()
        );
        assert!(started.elapsed() < Duration::from_secs(30), "not even under load");
    }
}

#[test]
fn characters_that_uris_escape_are_plain_in_paths() {
    for name in ["a~1", "a#1", "a^1", "a%1", "a[1", "a{1", "a\u{fc}1", "a b"] {
        let fixture = Fixture::new();
        let work = fixture.path(name);
        fs::create_dir(&work).unwrap();
        fs::rename(fixture.path("pretrained"), work.join(name)).unwrap();
        fs::rename(fixture.path("archive/manifest.csv"), work.join(format!("{name}.csv"))).unwrap();
        let set = [
            format!("models.pretrained={name}/{name}"),
            format!("input.manifest={name}/{name}.csv"),
            format!("output.root={name}/out"),
        ];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let said = check(&fixture, &set, &[]);
        assert_eq!(said.status.code(), Some(0), "{name}: {}", told(&said));
        assert!(work.join("out").exists(), "{name}");
    }
}

#[test]
fn a_pipeline_is_the_same_however_its_path_is_written() {
    let fixture = Fixture::new();
    fs::rename(fixture.path("archive/manifest.csv"), fixture.path("beside.csv")).unwrap();
    fs::create_dir(fixture.path("sub")).unwrap();
    let full = fixture.path("pipeline.toml").to_string_lossy().into_owned();
    for path in ["pipeline.toml", "./pipeline.toml", "sub/../pipeline.toml", full.as_str()] {
        let plan =
            |manifest: &str| fixture.t3b(&["plan", path, "--set", &format!("input.manifest={manifest}")]);
        let said = plan("beside.csv");
        assert_eq!(said.status.code(), Some(0), "{path}: {}", told(&said));
        let said = plan("nope.csv");
        assert!(said.status.code() == Some(65) && told(&said).contains("M019"), "{path}: {}", told(&said));
    }
}

#[test]
fn a_run_date_is_a_date() {
    let fixture = Fixture::new();
    for date in
        ["2026- 1- 1", "2026-02-30", "+2026-1-1", "2026/01/01", "20260101", " 2026-1-1", "２０２６-1-1"]
    {
        let said = fixture.t3b(&["run", "pipeline.toml", "--run-date", date]);
        refused(&said, &["C005"]);
    }
}

#[test]
fn an_output_that_resolves_into_the_archive_is_refused() {
    let fixture = Fixture::new();
    symlink(fixture.path("archive"), fixture.path("link")).unwrap();
    symlink(fixture.path("archive/images"), fixture.path("deeper")).unwrap();
    let archive = fixture.path("archive").to_string_lossy().into_owned();
    for output in ["link", "link/not/there/yet", "deeper/x", "archive/./x", "x/../archive"] {
        refused(&check(&fixture, &[&format!("output.root={output}")], &[]), &["C002"]);
    }
    for output in
        [format!("file://localhost{archive}/x"), format!("file://{archive}"), format!("file://{archive}/")]
    {
        refused(&check(&fixture, &[&format!("output.root={output}")], &[]), &["C002"]);
    }
    refused(&check(&fixture, &["input.root=s3://b/a", "output.root=s3a://b//a/out"], &[]), &["C002"]);
    refused(&check(&fixture, &["output.root=file://elsewhere/x"], &[]), &["S003"]);
    let before = fixture.files("archive").len();
    let here = format!("file://localhost{}", fixture.path("there").display());
    let said = fixture.t3b(&["run", "pipeline.toml", "--output", &here, "--run-id", "r"]);
    assert_eq!(said.status.code(), Some(0), "{}", told(&said));
    assert!(fixture.path("there/tables").exists());
    assert_eq!(fixture.files("archive").len(), before, "nothing was written into the archive");
}

#[test]
fn no_credential_in_a_value_of_another_kind_is_repeated() {
    let fixture = Fixture::new();
    for set in [
        "log.format=https://ZQXNAME:ZQXPASS@h/",
        "device.kind=s3://k:ZQXPASS@b",
        "labels.templates=[\"https://a:ZQXPASS@h\"]",
        "decode.window=https:/ZQXPASS",
        "input.root=ZQXPASS@x://h",
        "run.batch_size=\"s3://k:ZQXPASS@b\"",
        "run.name=k:ZQXPASS@b",
        "merge.methods=[\"s3://k:ZQXPASS@b\"]",
        "merge.primary=\"s3://k:ZQXPASS@b\"",
        "corrupt.suite=s3://k:ZQXPASS@b",
        "corrupt.corruptions=[\"s3://k:ZQXPASS@b\"]",
        "merge.gamma={ a = \"s3://k:ZQXPASS@b\" }",
        "s3://k:ZQXPASS@b=1",
        "models.pretrained_sha256=\"s3://k:ZQXPASS@b\"",
    ] {
        let said = check(&fixture, &[set], &[]);
        assert!(said.status.code().is_some_and(|code| code > 0), "{set}: {}", told(&said));
        assert!(!told(&said).contains("ZQX"), "{set}: {}", told(&said));
    }
    let said = fixture.t3b(&["run", "pipeline.toml", "--shard", "s3://k:ZQXPASS@b"]);
    assert!(said.status.code() == Some(2) && !told(&said).contains("ZQX"), "{}", told(&said));
    let said = fixture.t3b(&["run", "pipeline.toml", "--esc\u{1b}[31mape", "x"]);
    assert!(said.status.code() == Some(2) && !told(&said).contains('\u{1b}'), "{}", told(&said));
}
