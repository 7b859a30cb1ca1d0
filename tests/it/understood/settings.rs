use std::fs;

use crate::support::Fixture;

fn refused(fixture: &Fixture, set: &[&str], code: i32, words: &[&str]) {
    let mut args = vec!["check", "pipeline.toml"];
    for pair in set {
        args.extend(["--set", pair]);
    }
    let said = fixture.t3b(&args);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(code), "{set:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{set:?}: {word:?} is not in {text}");
    }
}

#[test]
fn wrong_values_name_the_key_what_was_found_and_what_is_allowed() {
    let fixture = Fixture::new();
    refused(&fixture, &["run.batch_size=0"], 78, &["C001", "run.batch_size: found 0, allowed 1..=4096"]);
    refused(&fixture, &["corrupt.severities=[6]"], 78, &["C001", "corrupt.severities"]);
    refused(
        &fixture,
        &["corrupt.corruptions=[\"fog\"]"],
        78,
        &["corrupt.corruptions: found \"fog\", allowed pixelate"],
    );
    refused(
        &fixture,
        &["merge.lambda_min=0.9", "merge.lambda_max=0.1"],
        78,
        &["merge.lambda_min: found 0.9"],
    );
    refused(&fixture, &["merge.gamma=nan"], 78, &["merge.gamma: found nan, allowed a finite number"]);
    refused(&fixture, &["run.partition_size=12"], 78, &["a multiple of run.batch_size (8)"]);
    refused(&fixture, &["merge.methods=[\"t3_c\"]"], 78, &["merge.methods: found \"t3_c\"", "merge.primary"]);
    refused(&fixture, &["threads.io=0"], 78, &["threads.io: found 0"]);
    refused(&fixture, &["labels.names=[\"a\",\"a\"]"], 78, &["1 distinct"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let fixture = Fixture::new();
    let set = ["run.batch_size=0", "corrupt.rng=dice", "queues.batchs=3", "merge.gama=1"];
    refused(
        &fixture,
        &set,
        78,
        &["run.batch_size", "corrupt.rng", "did you mean queues.batches?", "did you mean merge.gamma?"],
    );
}

#[test]
fn the_output_may_not_lie_inside_the_archive() {
    refused(&Fixture::new(), &["output.root=archive/out"], 78, &["C002"]);
}

#[test]
fn credentials_in_a_uri_are_refused_and_not_printed() {
    let fixture = Fixture::new();
    let said = fixture.t3b(&["run", "pipeline.toml", "--output", "s3://KEY:SECRET@bucket/out"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.status.code(), Some(78));
    assert!(text.contains("C003") && text.contains("output.root"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let fixture = Fixture::new();
    fs::write(fixture.path("broken.toml"), "[run]\nname = \"x\nseed = 1").unwrap();
    let said = fixture.t3b(&["check", "broken.toml"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(78) && text.contains("broken.toml:2:"), "{text}");
}

#[test]
fn check_prints_origins_and_the_fingerprint() {
    let fixture = Fixture::new();
    let said = fixture
        .command(&["check", "pipeline.toml", "--set", "merge.gamma=0.7"])
        .env("T3B_RUN_SEED", "9")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("merge.gamma").ends_with("# flag"), "{text}");
    assert!(line("run.seed").contains("= 9") && line("run.seed").ends_with("# $T3B_RUN_SEED"));
    assert!(line("run.batch_size").ends_with("# pipeline.toml"));
    assert!(line("merge.lambda_max").ends_with("# default"));
    assert!(line("fingerprint").len() > 70);
}

#[test]
fn plan_counts_and_writes_nothing() {
    let fixture = Fixture::new();
    let said = fixture.t3b(&["plan", "pipeline.toml", "--json"]);
    let plan: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let counts = ["n_samples", "n_partitions", "n_cells", "n_batches"].map(|key| plan[key].as_u64().unwrap());
    assert_eq!(counts, [40, 3, 5, 25]);
    assert!(plan["input_bytes"].as_u64().unwrap() > 0);
    assert!(!fixture.path("out").exists());
}

#[test]
fn a_bad_manifest_ends_with_65_before_any_inference() {
    let fixture = Fixture::new();
    let path = fixture.path("archive/manifest.csv");
    for (text, code) in [("uri,label_idx\n", "M001"), ("path\nx", "M002"), ("uri,label_idx\na,9", "M010")] {
        fs::write(&path, text).unwrap();
        refused(&fixture, &[], 65, &[code]);
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let fixture = Fixture::new();
    for command in ["demo", "run", "plan", "check", "finalize", "verify"] {
        let said = fixture.t3b(&[command, "--help"]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.status.success() && text.contains("Example: t3b ") && text.contains("T3B_"), "{text}");
    }
    assert_eq!(fixture.t3b(&["rum"]).status.code(), Some(2));
}

#[test]
fn an_archive_that_is_not_there_is_named_with_where_it_can_be_had() {
    let fixture = Fixture::new();
    let missing = fixture.path("nowhere").to_string_lossy().into_owned();
    let set = [("input.root", missing.as_str()), ("input.about", "crops of the example set")];
    let error = fixture.run("out", &set).unwrap_err();
    let said = error.to_string();
    assert_eq!((error.problems()[0].code, error.problems().len()), ("S003", 1), "{said}");
    for part in [&*missing, "crops of the example set", "--set input.root=FOLDER"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_key_that_would_do_nothing_is_refused() {
    let fixture = Fixture::new();
    let error = fixture.run("out", &[("models.dtype", "f16")]).unwrap_err();
    assert_eq!(error.problems()[0].code, "C006", "{error}");
}
