//! One test for each fault of the second walk of a new user; the numbers are those of that walk's list.

use std::fs;

use super::first_day::say;
use crate::support::Fixture;

#[test]
fn n1_class_vectors_of_other_prompts_are_refused_and_of_another_checkpoint_said() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["models", "encode", "pipeline.toml", "-o", "bank.safetensors"]);
    assert_eq!(code, 0, "{text}");
    let with = ["check", "pipeline.toml", "--set", "models.text_features=bank.safetensors"];
    let (code, text) = say(&fixture, &with);
    assert!(code == 0 && !text.contains("another checkpoint"), "{text}");
    let other = ["--set", r#"labels.templates=["an x-ray of {}"]"#];
    let (code, text) = say(&fixture, &[&with[..], &other].concat());
    assert!(code == 65 && text.contains("W010") && text.contains("t3b models encode"), "{text}");
    let (code, text) = say(&fixture, &[&with[..], &["--set", "models.pretrained=expert"]].concat());
    assert!(code == 0 && text.contains("encoded by another checkpoint"), "{text}");
}

#[test]
fn n2_a_run_of_another_split_is_not_tuned_on() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--run-id", "r", "--set", "merge.grid=11"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = say(&fixture, &["tune", "pipeline.toml", "--run-id", "r", "--split", "val"]);
    assert!(code == 78 && text.contains("R001") && text.contains(r#"asked is split "val""#), "{text}");
    assert!(!text.contains("lambda ="), "{text}");
}

#[test]
fn n3_n4_figures_are_of_published_runs_and_of_their_methods() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--output", "out"];
    assert_eq!(say(&fixture, &[&run[..], &["--shard", "0/3"]].concat()).0, 0);
    for command in [&["evaluate", "out/_t3b/runs/r"][..], &["drift", "out/_t3b/runs/r", "--against", "out"]] {
        let (code, text) = say(&fixture, command);
        assert!(code == 65 && text.contains("R008") && text.contains("not published yet"), "{text}");
    }
    assert_eq!(say(&fixture, &run).0, 0);
    let (code, text) = say(&fixture, &["evaluate", "out/_t3b/runs/r", "--reference", "foo"]);
    assert!(code == 78 && text.contains("C001") && text.contains("pretrained, expert"), "{text}");
    // Another key is another manifest, and the message names the key.
    let mut command = fixture.command(&run);
    let said = command.env("T3B_PSEUDONYM_KEY", "0123456789abcdef0123456789abcdef").output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.status.code() == Some(78) && text.contains("R002") && text.contains("T3B_PSEUDONYM_KEY"),
        "{text}"
    );
}

#[test]
fn n7_n8_n10_paths_of_checkpoints_are_what_they_are_and_nothing_is_written_over() {
    let fixture = Fixture::new();
    for args in [&["models", "inspect", "nope"][..], &["models", "convert", "nope", "x"]] {
        let (code, text) = say(&fixture, args);
        assert!(code == 65 && text.contains("\"nope\": no such file or folder"), "{text}");
        assert!(!text.contains("in pretrained"), "{text}");
    }
    let before = fixture.files("pretrained");
    let (code, text) = say(&fixture, &["models", "convert", "pretrained", "pretrained"]);
    assert!(code == 78 && text.contains("C007") && text.contains("new or empty folder"), "{text}");
    assert!(fixture.files("pretrained") == before, "the source was written over");
    let (code, text) =
        say(&fixture, &["models", "encode", "pipeline.toml", "-o", "nowhere/bank.safetensors"]);
    assert!(code == 78 && text.contains("C007") && text.contains("cannot be written"), "{text}");
    let adapter = crate::support::repo("tests/golden/models/adapters/dora/adapter_model.safetensors");
    let (code, text) = say(&fixture, &["models", "inspect", &adapter.to_string_lossy()]);
    assert!(code == 0 && text.contains("low-rank updates"), "{text}");
}

#[test]
fn n12_an_output_below_a_file_is_a_wrong_setting_and_not_a_store_to_try_again() {
    let fixture = Fixture::new();
    fs::write(fixture.path("file"), "x").unwrap();
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--output", "file/out"]);
    assert!(code == 78 && text.contains("S003") && text.contains("file/out"), "{text}");
}

#[test]
fn n14_a_manifest_is_written_under_an_ending_by_which_it_is_read() {
    let fixture = Fixture::new();
    for name in ["m.json", "m", "m.txt"] {
        let (code, text) = say(&fixture, &["manifest", "build", "archive", "-o", name]);
        assert!(code == 78 && text.contains(".parquet or .csv") && !fixture.path(name).exists(), "{text}");
    }
}

/// The manifest without the columns that say what an image is.
fn without_labels(fixture: &Fixture) {
    let path = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&path).unwrap();
    let place = text.lines().next().unwrap().split(',').position(|name| name == "uri").unwrap();
    let uris = text.lines().map(|line| line.split(',').nth(place).unwrap().to_owned() + "\n");
    fs::write(path, uris.collect::<String>()).unwrap();
}

#[test]
fn n19_a_run_without_labels_says_which_column_gives_accuracies() {
    let fixture = Fixture::new();
    let labelled = say(&fixture, &["run", "pipeline.toml", "--run-id", "with"]).1;
    assert!(!labelled.contains("labels  none"), "{labelled}");
    without_labels(&fixture);
    let run = ["run", "pipeline.toml", "--run-id", "without"];
    for command in [&run[..], &["runs", "show", "out/_t3b/runs/without"], &["sweep", "pipeline.toml"]] {
        let said = fixture.t3b(command);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        for word in ["labels  none", "label_idx", "docs/manifest.md", "t3b evaluate"] {
            assert!(text.contains(word), "{command:?}: {text}");
        }
    }
    let said = fixture.t3b(&[&run[..], &["--json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(found["is_labelled"], false);
}

/// A10 of the first walk: what an interrupt will lose is said before it is lost, and how much it was afterwards.
#[test]
#[cfg(debug_assertions)]
fn a10_what_an_interrupt_loses_is_said_before_and_after() {
    let fixture = Fixture::new();
    let run = crate::support::run_to("out");
    let said = fixture.command(&run).env("T3B_CRASH_AT", "after:60:TERM").output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(75), "{text}");
    assert!(text.contains("finishing the open partition") && text.contains("open_pairs"), "{text}");
    let mut held = fixture.command(&run);
    held.env("T3B_CRASH_AT", "before:20:HOLD,after:20:TERM").env("T3B_STOP_DRAIN_DEADLINE_S", "1");
    let said = held.output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(75), "{text}");
    assert!(text.contains("(sample, cell) pairs of it are lost") && text.contains("hint: "), "{text}");
}

/// A16 of the first walk: what is told of a resumed run counts from where it stood.
#[test]
fn a16_the_progress_of_a_resumed_run_begins_where_it_stood() {
    let fixture = Fixture::new();
    let run = crate::support::run_to("out");
    assert_eq!(say(&fixture, &[&run[..], &["--shard", "0/3"]].concat()).0, 0);
    let said = fixture.t3b(&["status", "out/_t3b/runs/r", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((found["n_committed"].as_u64(), found["n_partitions"].as_u64()), (Some(1), Some(3)));
    let said = fixture.t3b(&[&run[..], &["--json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    // 16 of 40 samples in 5 cells were there already.
    assert_eq!(found["process"]["n_pairs"].as_u64(), Some(24 * 5), "{found}");
    assert_eq!(found["n_scored"].as_u64(), Some(200));
}

/// A20 of the first walk: of a listing that found nothing, nothing stays.
#[test]
fn a20_a_listing_that_failed_leaves_no_folder_of_parts() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("nothing")).unwrap();
    for root in ["nothing", "nowhere"] {
        let (code, text) = say(&fixture, &["manifest", "build", root, "-o", "m.parquet"]);
        assert!(code != 0 && text.contains(root), "{text}");
        for name in ["m.parquet", "m.parquet.parts"] {
            assert!(!fixture.path(name).exists(), "{root}: {name} stays");
        }
    }
}
