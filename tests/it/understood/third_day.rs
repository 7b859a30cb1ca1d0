//! One test for each fault of the third walk of a new user that was a wrong or a missing word.

use std::fs;

use super::first_day::say;
use crate::support::Fixture;

const RUN: [&str; 6] = ["run", "pipeline.toml", "--run-id", "r", "--output", "out"];

/// What the program answers with variables of the store's client, of which no other is set.
fn say_with(fixture: &Fixture, args: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let said = fixture.command(args).envs(variables.iter().copied()).output().unwrap();
    (said.status.code().unwrap(), String::from_utf8_lossy(&said.stderr).into_owned())
}

#[test]
fn an_endpoint_that_is_no_url_is_a_wrong_setting_and_no_crash() {
    let fixture = Fixture::new();
    let list = ["manifest", "build", "s3://bucket/x", "-o", "m.csv"];
    let (code, text) = say(&fixture, &[&list[..], &["--set", "store.endpoint=127.0.0.1:5918"]].concat());
    assert!(code == 78 && text.contains("store.endpoint: found \"127.0.0.1:5918\""), "{text}");
    for endpoint in ["127.0.0.1:5918", "http://", "ftp://host"] {
        let (code, text) = say_with(&fixture, &list, &[("AWS_ENDPOINT_URL", endpoint)]);
        assert!(
            code == 78 && text.contains("C001") && text.contains("https://host:port"),
            "{endpoint}: {text}"
        );
    }
}

#[test]
fn half_of_a_pair_of_credentials_is_none() {
    let fixture = Fixture::new();
    let list = ["manifest", "build", "s3://bucket/x", "-o", "m.csv"];
    for half in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        let (code, text) = say_with(&fixture, &list, &[(half, "x")]);
        assert!(
            code == 77 && text.contains("S010") && text.contains("AWS_SECRET_ACCESS_KEY"),
            "{half}: {text}"
        );
    }
}

#[test]
fn a_uri_without_a_bucket_is_no_broken_connection() {
    let fixture = Fixture::new();
    for root in ["s3:///x", "gs://", "az:///x"] {
        let (code, text) = say(&fixture, &["manifest", "build", root, "-o", "m.csv"]);
        assert!(code == 78 && text.contains("S003") && text.contains("names no bucket"), "{root}: {text}");
    }
}

#[test]
fn a_flag_that_is_a_setting_is_answered_with_the_setting() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--split", "test"]);
    assert!(code == 2 && text.contains("--set input.split=VALUE") && !text.contains("-- --split"), "{text}");
}

#[test]
fn a_manifest_with_semicolons_is_told_from_one_without_the_column() {
    let fixture = Fixture::new();
    let text = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    fs::write(fixture.path("archive/manifest.csv"), text.replace(',', ";")).unwrap();
    let (code, text) = say(&fixture, &RUN);
    assert!(code == 65 && text.contains("M002") && text.contains("semicolons"), "{text}");
}

#[test]
fn a_misspelt_key_is_said_once_and_not_with_what_follows_from_it() {
    let fixture = Fixture::new();
    let text = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let pipeline = text.replace("suite = ", "siute = ");
    fs::write(fixture.path("pipeline.toml"), pipeline).unwrap();
    let (code, text) = say(&fixture, &["check", "pipeline.toml"]);
    assert!(code == 78 && text.contains("did you mean corrupt.suite?"), "{text}");
    assert!(!text.contains("none without corrupt.suite") && !text.contains("no cell is left"), "{text}");
}

#[test]
fn a_run_that_is_not_published_is_one_line_for_verify() {
    let fixture = Fixture::new();
    assert_eq!(say(&fixture, &RUN).0, 0);
    fs::remove_dir_all(fixture.path("out/tables")).unwrap();
    fs::remove_file(fixture.path("out/_t3b/runs/r/completed.json")).unwrap();
    let (code, text) = say(&fixture, &["verify", "out/_t3b/runs/r"]);
    assert!(code == 65 && text.contains("R008") && text.contains("t3b finalize"), "{text}");
    assert!(!text.contains("V001"), "{text}");
}

#[test]
fn a_run_that_was_withdrawn_is_called_so_by_every_command() {
    let fixture = Fixture::new();
    assert_eq!(say(&fixture, &RUN).0, 0);
    assert_eq!(say(&fixture, &["discard", "out/_t3b/runs/r", "--delete"]).0, 0);
    for command in ["status", "verify", "discard", "finalize"] {
        let (code, text) = say(&fixture, &[command, "out/_t3b/runs/r"]);
        assert!(code == 2 && text.contains("it was withdrawn, its record is _t3b/discarded/r."), "{text}");
    }
    let (code, text) = say(&fixture, &["status", "out/_t3b/runs/q"]);
    assert!(code == 2 && text.contains("R009") && !text.contains("withdrawn"), "{text}");
}

#[test]
fn a_sample_is_shown_with_the_settings_that_its_run_had() {
    let fixture = Fixture::new();
    let set = ["--set", "run.batch_size=2"];
    assert_eq!(say(&fixture, &[&RUN[..], &set].concat()).0, 0);
    let ids = fixture.command(&["samples", "pipeline.toml"]).output().unwrap();
    let table = String::from_utf8(ids.stdout).unwrap();
    let id = table.lines().nth(1).unwrap().split(',').next().unwrap();
    let show = ["show", "out/_t3b/runs/r", id, "--pipeline", "pipeline.toml"];
    let said = fixture.command(&[&show[..], &set].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.contains("manifest row 0"), "{text}");
}

#[test]
fn models_that_are_nowhere_are_named_by_their_path() {
    let fixture = Fixture::new();
    for args in [["models", "compare", "nope", "expert"], ["models", "compare", "pretrained", "nope"]] {
        let (code, text) = say(&fixture, &args);
        assert!(code == 65 && text.contains("\"nope\": no such file or folder"), "{text}");
    }
}

#[test]
fn a_sweep_without_axes_says_that_it_is_one_run() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["sweep", "pipeline.toml", "--output", "out"]);
    assert!(code == 0 && text.contains("a sweep of one run"), "{text}");
}

#[test]
fn a_run_that_scored_nothing_points_at_what_it_left_out() {
    let fixture = Fixture::new();
    for (name, bytes) in fixture.files("archive").iter().filter(|(name, _)| *name != "manifest.csv") {
        fs::write(fixture.path("archive").join(name), vec![b'x'; bytes.len()]).unwrap();
    }
    let said = fixture.command(&RUN).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.code() == Some(3) && text.contains("tables/quarantine/**/*.parquet"), "{text}");
    assert!(!text.contains("tables/predictions/**"), "{text}");
}

#[test]
fn roots_that_are_no_folders_are_told_for_what_they_are() {
    let fixture = Fixture::new();
    fs::write(fixture.path("one.npz"), "x").unwrap();
    for (root, why) in [
        ("one.npz", "is a file"),
        ("~/photos", "a shell expands"),
        ("$HOME/photos", "a shell expands"),
        ("s3:/archive/2026", "two slashes"),
    ] {
        let (code, text) = say(&fixture, &["manifest", "build", root, "-o", "m.csv"]);
        assert!(code == 78 && text.contains("S003") && text.contains(why), "{root}: {text}");
    }
    let (code, text) = say(&fixture, &["check", "pipeline.toml", "--output", "~/out"]);
    assert!(code == 78 && text.contains("a shell expands") && !fixture.path("~").exists(), "{text}");
    let (code, text) = say(&fixture, &["check", "pipeline.toml", "--output", "out/_t3b/runs/r"]);
    assert!(code == 78 && text.contains("inside _t3b") && !fixture.path("out").exists(), "{text}");
}

#[test]
fn a_key_without_its_section_is_answered_with_the_section() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["check", "pipeline.toml", "--set", "batch_size=16"]);
    assert!(code == 78 && text.contains("did you mean run.batch_size?"), "{text}");
}

#[test]
fn a_secret_in_quotes_or_with_a_blank_is_not_another_secret() {
    let fixture = Fixture::new();
    let secret = "kqzvWpLxTnRbYcDfGhJm3X-nights";
    for wrong in [format!("\"{secret}\""), format!(" {secret}"), format!("{secret}\n"), format!("'{secret}'")]
    {
        let (code, text) = say_with(&fixture, &["check", "pipeline.toml"], &[("T3B_PSEUDONYM_KEY", &wrong)]);
        assert!(code == 78 && text.contains("C021") && text.contains("begins or ends with"), "{text}");
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_manifest_under_a_wrong_ending_is_told_by_what_it_is() {
    let fixture = Fixture::new();
    let text = fs::read(fixture.path("archive/manifest.csv")).unwrap();
    for (name, bytes, why) in [
        ("m.csv", &b"PAR1 and more"[..], "name it .parquet"),
        ("m.csv", b"PK\x03\x04 and more", "save the sheet as CSV"),
        ("m.parquet", &text, "name it .csv"),
    ] {
        fs::write(fixture.path("archive").join(name), bytes).unwrap();
        let (code, text) =
            say(&fixture, &["check", "pipeline.toml", "--set", &format!("input.manifest={name}")]);
        assert!(code == 65 && text.contains(why), "{name}: {text}");
    }
}
