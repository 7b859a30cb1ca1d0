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
