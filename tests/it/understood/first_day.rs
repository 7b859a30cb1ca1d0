//! One test for each fault of the first walk of a new user; the letters are those of that walk's list.

use std::fs;
use std::process::Output;

use crate::support::{Fixture, N_IMAGES, repo};
use crate::tables::read;

fn told(said: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

/// Runs the binary and gives its exit code and everything it said.
pub(super) fn say(fixture: &Fixture, args: &[&str]) -> (i32, String) {
    let said = fixture.t3b(args);
    (said.status.code().unwrap_or(-1), told(&said))
}

/// The archive's manifest with some of its columns alone.
fn keep_columns(fixture: &Fixture, wanted: &[&str]) {
    let path = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&path).unwrap();
    let heads: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let places: Vec<usize> =
        wanted.iter().map(|name| heads.iter().position(|head| head == name).unwrap()).collect();
    let line = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        places.iter().map(|&place| cells[place]).collect::<Vec<_>>().join(",") + "\n"
    };
    fs::write(path, text.lines().map(line).collect::<String>()).unwrap();
}

/// The manifest beside the pipeline, so that the root can be wrong without it.
fn manifest_beside(fixture: &Fixture) {
    fs::copy(fixture.path("archive/manifest.csv"), fixture.path("manifest.csv")).unwrap();
}

#[test]
fn a1_a_wrong_root_is_an_error_of_check_and_run_and_leaves_nothing() {
    let fixture = Fixture::new();
    manifest_beside(&fixture);
    fs::create_dir(fixture.path("wrong")).unwrap();
    for command in ["check", "run"] {
        let (code, text) =
            say(&fixture, &[command, "pipeline.toml", "--set", "input.root=wrong", "--output", "out"]);
        assert_eq!(code, 65, "{command}: {text}");
        assert!(text.contains("M031") && text.contains("input.root") && text.contains("wrong"), "{text}");
        assert!(
            text.contains("16 of 16") && text.contains("manifest row 0 and row 1"),
            "two example rows: {text}"
        );
    }
    assert!(!fixture.path("out/tables").exists() && !fixture.path("out/_t3b/runs").exists());
    // The mended command is the same run.
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--output", "out"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("200 (sample, cell) pairs, 0 quarantined"), "{text}");
}

#[test]
fn a1_a_run_that_was_bad_is_withdrawn_and_the_mended_command_runs_again() {
    let fixture = Fixture::new();
    manifest_beside(&fixture);
    fs::create_dir(fixture.path("wrong")).unwrap();
    let run = |more: &[&str]| {
        say(
            &fixture,
            &[&["run", "pipeline.toml", "--output", "out", "--set", "run.max_missing_first=1.0"], more]
                .concat(),
        )
    };
    let (code, text) = run(&["--set", "input.root=wrong"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("40 rows missing_object"), "reasons in the closing lines: {text}");
    assert!(text.contains("t3b discard"), "{text}");
    let uri = text.lines().find_map(|line| line.strip_prefix("run     ")).unwrap().to_owned();

    let (code, text) = say(&fixture, &["discard", &uri]);
    assert!(code == 0 && text.contains("would delete") && fixture.path("out/tables/runs").exists(), "{text}");
    let (code, text) = say(&fixture, &["discard", &uri, "--delete"]);
    assert!(code == 0 && text.contains("record"), "{text}");
    assert!(fixture.files("out/tables").is_empty());
    assert_eq!(fixture.files("out/_t3b/discarded").len(), 1, "a record stays");
    let (code, _) = say(&fixture, &["discard", &uri, "--delete"]);
    assert_eq!(code, 2, "nothing is left to withdraw");

    // The same run id, the right root: the location is no part of it.
    let (code, text) = run(&[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&uri) && text.contains("200 (sample, cell) pairs, 0 quarantined"), "{text}");
    let (code, text) = say(&fixture, &["verify", &uri]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a2_a_labels_file_named_anywhere_is_the_one_in_force() {
    let fixture = Fixture::new();
    keep_columns(&fixture, &["uri", "label_idx"]);
    let pipeline = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let names = "names = [\"red blood cell\", \"white blood cell\", \"platelet\", \"plasma background\"]";
    fs::write(fixture.path("one.toml"), names).unwrap();
    let reversed = "names = [\"plasma background\", \"platelet\", \"white blood cell\", \"red blood cell\"]";
    fs::write(fixture.path("two.toml"), reversed).unwrap();
    let bare = pipeline.replace(&format!("[labels]\n{names}"), "");
    fs::write(fixture.path("bare.toml"), &bare).unwrap();
    fs::write(fixture.path("one_named.toml"), format!("{bare}\n[labels]\nfile = \"one.toml\"\n")).unwrap();

    for pipeline in ["bare.toml", "one_named.toml", "pipeline.toml"] {
        let (code, text) = say(&fixture, &["check", pipeline, "--set", "labels.file=two.toml"]);
        let names = text.lines().find(|line| line.starts_with("labels.names")).unwrap_or_default();
        assert_eq!(code, 0, "{pipeline}: {text}");
        assert!(
            names.contains("[\"plasma background\"") && names.contains("two.toml"),
            "{pipeline}: {names}"
        );
        let (code, text) = say(&fixture, &["check", pipeline, "--set", "labels.file=nope.toml"]);
        assert!(code == 78 && text.contains("nope.toml"), "{pipeline}: {text}");
    }
    let variable =
        fixture.command(&["check", "bare.toml"]).env("T3B_LABELS_FILE", "two.toml").output().unwrap();
    assert!(variable.status.success() && told(&variable).contains("two.toml"), "{}", told(&variable));

    let axes = "\n[sweep.axes]\n\"labels.file\" = [\"one.toml\", \"two.toml\"]\n";
    fs::write(fixture.path("sweep.toml"), format!("{bare}{axes}")).unwrap();
    // The fixture's manifest names classes by number: another order of names is another meaning, and other predictions.
    let (code, text) = say(&fixture, &["sweep", "sweep.toml"]);
    assert_eq!(code, 0, "{text}");
    let csv = fs::read_to_string(fixture.path("out/sweeps/fixture.csv")).unwrap();
    let figures = |name: &str| -> Vec<String> {
        let lines = csv.lines().filter(|line| line.contains(name));
        lines.map(|line| line.split_once(name).unwrap().1.to_owned()).collect()
    };
    assert_eq!(csv.lines().next().unwrap().split(',').nth(1), Some("labels.file"), "{csv}");
    assert_ne!(figures("one.toml"), figures("two.toml"), "{csv}");
}

#[test]
fn a3_no_output_is_ever_a_local_folder_named_after_a_scheme() {
    let fixture = Fixture::new();
    for (args, there) in [
        (vec!["manifest", "build", "archive", "-o", "memory://place/m.csv"], true),
        (vec!["corrupt", "--suite", "bloodmnist", "--sheet", "-o", "memory://place/sheet.png"], true),
        (vec!["manifest", "build", "archive", "-o", "nope://place/m.csv"], false),
        (vec!["manifest", "build", "archive", "-o", "https://place/m.csv"], false),
    ] {
        let (code, text) = say(&fixture, &args);
        assert_eq!(code == 0, there, "{args:?}: {text}");
        for folder in ["memory:", "nope:", "https:"] {
            assert!(!fixture.path(folder).exists(), "{args:?}");
        }
    }
    let left: Vec<_> =
        fs::read_dir(fixture.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".t3b-")), "{left:?}");
}

#[test]
fn a4_a_bare_file_name_works_wherever_a_dotted_one_does() {
    let fixture = Fixture::new();
    fs::rename(fixture.path("archive/manifest.csv"), fixture.path("manifest.csv")).unwrap();
    for name in ["pipeline.toml", "./pipeline.toml"] {
        let (code, text) = say(&fixture, &["check", name]);
        assert_eq!(code, 0, "{name}: {text}");
    }
    fs::remove_file(fixture.path("manifest.csv")).unwrap();
    for name in ["pipeline.toml", "./pipeline.toml"] {
        let (code, text) = say(&fixture, &["check", name]);
        assert!(code == 65 && text.contains("M019") && text.contains("input.manifest"), "{name}: {text}");
    }
    let (code, text) = say(&fixture, &["manifest", "build", "nowhere", "-o", "m.csv"]);
    assert!(code == 78 && text.contains("S003") && text.contains("nowhere"), "{text}");
    let (code, text) = say(&fixture, &["check", "pipeline.toml", "--set", "input.root=nowhere"]);
    assert!(code == 78 && text.contains("S003") && text.contains("input.root"), "{text}");
}

#[test]
fn a4_a_relative_path_is_taken_from_the_file_it_is_in_and_from_the_caller_on_the_command_line() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("elsewhere")).unwrap();
    let from = |args: &[&str]| {
        let said = fixture.command(args).current_dir(fixture.path("elsewhere")).output().unwrap();
        (said.status.code().unwrap(), told(&said))
    };
    let (code, text) = from(&["check", "../pipeline.toml"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) =
        from(&["check", "../pipeline.toml", "--set", "models.expert=../expert", "--output", "here"]);
    assert_eq!(code, 0, "{text}");
    assert!(fixture.path("elsewhere/here").exists());
    let (code, text) = from(&["check", "../pipeline.toml", "--set", "models.expert=expert"]);
    assert!(code == 65 && text.contains("expert"), "{text}");
    let said = fixture
        .command(&["check", "../pipeline.toml"])
        .current_dir(fixture.path("elsewhere"))
        .env("T3B_MODELS_EXPERT", "../expert")
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", told(&said));
}

#[test]
fn a7_ids_that_change_with_the_manifest_are_said_before_anything_is_scored() {
    let fixture = Fixture::new();
    keep_columns(&fixture, &["uri", "label_idx"]);
    let said = fixture.t3b(&["run", "pipeline.toml"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("T3B_PSEUDONYM_KEY") && text.contains("of this manifest alone"), "{text}");
    let keyed = fixture
        .command(&["run", "pipeline.toml", "--output", "keyed"])
        .env("T3B_PSEUDONYM_KEY", "0123456789abcdef0123456789abcdef")
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&keyed.stderr).contains("of this manifest alone"));
}

#[test]
fn a7_the_same_image_is_corrupted_alike_whatever_the_manifest() {
    let fixture = Fixture::new();
    let text = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    fixture.run("tonight", &[]).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let head = lines.remove(0);
    lines.reverse();
    fs::write(fixture.path("archive/manifest.csv"), format!("{head}\n{}\n", lines[..20].join("\n"))).unwrap();
    fixture.run("tomorrow", &[]).unwrap();
    // By content: label, cell and what the parents say of it, which no batch changes.
    let rows = |out: &str| {
        let table = read(&fixture.path(out).join("tables/predictions/run_date=2026-01-02/run_id=r"));
        let columns = ["corruption", "severity", "label", "method", "pred_prob", "entropy_nats"]
            .map(|name| table.text(name));
        let rows = (0..table.n_rows).filter(|&n| ["pretrained", "expert"].contains(&columns[3][n].as_str()));
        let mut rows: Vec<[String; 6]> =
            rows.map(|n| columns.each_ref().map(|column| column[n].clone())).collect();
        rows.sort();
        rows
    };
    let (tonight, tomorrow) = (rows("tonight"), rows("tomorrow"));
    assert_eq!((tonight.len(), tomorrow.len()), (N_IMAGES * 5 * 2, 20 * 5 * 2));
    assert!(
        tomorrow.iter().all(|row| tonight.binary_search(row).is_ok()),
        "an image of tonight was corrupted otherwise"
    );
}

#[test]
fn a10_a_default_partition_is_minutes_and_plan_says_how_many() {
    let fixture = Fixture::new();
    let (code, text) =
        say(&fixture, &["plan", "pipeline.toml", "--set", "run.partition_size=auto", "--json"]);
    assert_eq!(code, 0, "{text}");
    let plan: serde_json::Value =
        serde_json::from_str(text.split_once("\nnote").map_or(text.as_str(), |(json, _)| json).trim())
            .unwrap();
    assert_eq!(plan["partition_size"], 1632, "8192 pairs of 5 cells in batches of 8");
    assert!(plan["seconds_per_partition"].as_f64().unwrap() > 0.0, "{text}");
    let (_, text) = say(&fixture, &["plan", "pipeline.toml"]);
    assert!(text.contains("pairs a second on this machine") && text.contains("partition   about"), "{text}");
}

#[test]
fn a11_stand_ins_are_named_before_in_the_summary_and_in_the_table() {
    let fixture = Fixture::new();
    let set = [
        "--set",
        "corrupt.suite=bloodmnist",
        "--set",
        "corrupt.corruptions=[\"stain_deposit\",\"pixelate\"]",
    ];
    let said = fixture.t3b(&[&["run", "pipeline.toml"], &set[..]].concat());
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(err.contains("stand in for the reference's in stain_deposit"), "{err}");
    assert!(out.contains("stain_deposit*") && out.contains("*: pictures made here"), "{out}");
}

/// A12: all bad labels at once, counted as `manifest_row` counts.
#[test]
fn a12_bad_labels_are_told_together_by_the_rows_that_the_tables_name() {
    let fixture = Fixture::new();
    let path = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&path).unwrap();
    let place = text.lines().next().unwrap().split(',').position(|name| name == "label_idx").unwrap();
    let line = |(n, line): (usize, &str)| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if [3, 8, 21].contains(&n.wrapping_sub(1)) {
            cells[place] = "77";
        }
        cells.join(",") + "\n"
    };
    fs::write(&path, text.lines().enumerate().map(line).collect::<String>()).unwrap();
    for command in ["check", "run"] {
        let (code, text) = say(&fixture, &[command, "pipeline.toml"]);
        assert_eq!(code, 65, "{text}");
        assert!(text.contains("M010") && text.contains("rows 3 (77), 8 (77), 21 (77)"), "{text}");
        assert!(text.contains("count from 0") && text.contains("allowed 0 to"), "{text}");
    }
}

#[test]
fn a14_an_adapter_is_told_for_what_it_is() {
    let fixture = Fixture::new();
    let adapter = repo("tests/golden/models/adapters/dora");
    let (code, text) = say(&fixture, &["models", "inspect", &adapter.to_string_lossy()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("low-rank updates") && text.contains("peft_type"), "{text}");
}

#[test]
fn a15_a_variable_that_is_no_setting_is_refused_with_the_nearest_name() {
    let fixture = Fixture::new();
    for command in [&["check", "pipeline.toml"][..], &["run", "pipeline.toml"], &["runs", "list", "out"]] {
        let said = fixture.command(command).env("T3B_RUN_BATCHSIZE", "16").output().unwrap();
        let text = told(&said);
        assert_eq!(said.status.code(), Some(78), "{command:?}: {text}");
        assert!(text.contains("did you mean T3B_RUN_BATCH_SIZE"), "{command:?}: {text}");
    }
}

/// Exit 70 is a defect of ours, caught at the edge: it says where, and nothing of it is visible.
#[test]
#[cfg(debug_assertions)]
fn e_a_defect_of_ours_ends_with_its_own_exit_and_leaves_nothing_visible() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    let said = fixture.command(&run).env("T3B_CRASH_AT", "after:60:PANIC").output().unwrap();
    assert_eq!(said.status.code(), Some(70), "{}", told(&said));
    assert!(!fixture.path("out/tables/runs").exists(), "a broken run is visible");
    let said = fixture.t3b(&run);
    assert!(said.status.success(), "{}", told(&said));
}

#[test]
fn a16_a_resumed_run_counts_from_where_it_stood() {
    let fixture = Fixture::new();
    let run = ["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02"];
    assert_eq!(say(&fixture, &[&run[..], &["--shard", "0/3"]].concat()).0, 0);
    let said = fixture.command(&run).env("T3B_LOG_FORMAT", "bar").output().unwrap();
    assert!(said.status.success(), "{}", told(&said));
}

#[test]
fn a17_what_a_run_prints_fits_eighty_columns() {
    let fixture = Fixture::new();
    let set = [
        "--set",
        "corrupt.suite=bloodmnist",
        "--set",
        "corrupt.corruptions=[\"pixelate\",\"defocus_blur\",\"motion_blur\",\"saturate\",\"brightness_up\",\"brightness_down\"]",
    ];
    let said = fixture.t3b(&[&["run", "pipeline.toml", "--output", "o"], &set[..]].concat());
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{}", told(&said));
    // Places are as long as the user made them.
    let long = text.lines().find(|line| line.chars().count() > 80 && !line.contains("/o/"));
    assert_eq!(long, None, "{text}");
    assert!(text.contains("worst") && text.contains("pairs in this call"), "{text}");
    let wide = fixture.t3b(&[&["run", "pipeline.toml", "--output", "o", "--wide"], &set[..]].concat());
    assert!(String::from_utf8_lossy(&wide.stdout).contains("  brightness_down"), "{}", told(&wide));
}

#[test]
fn a19_a_bad_date_is_refused_before_the_run_is_named_and_config_may_be_repeated() {
    let fixture = Fixture::new();
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--run-date", "01.02.2026"]);
    assert!(code == 78 && !text.contains("run     "), "{text}");
    fs::write(fixture.path("one.toml"), "[fetch]\nconcurrency = 3\nrange_mib = 2\n").unwrap();
    fs::write(fixture.path("two.toml"), "[fetch]\nconcurrency = 5\n").unwrap();
    let (code, text) =
        say(&fixture, &["check", "pipeline.toml", "--config", "one.toml", "--config", "two.toml"]);
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert_eq!(code, 0, "{text}");
    assert!(line("fetch.concurrency").contains("= 5") && line("fetch.range_mib").contains("= 2"), "{text}");
    let (code, text) =
        say(&fixture, &["manifest", "build", "archive", "-o", "m.csv", "--set", "fetch.concurrency=2"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) =
        say(&fixture, &["manifest", "build", "archive", "-o", "m.csv", "--set", "fetch.concurency=2"]);
    assert!(code == 78 && text.contains("did you mean fetch.concurrency?"), "{text}");
}

#[test]
fn e_runs_are_listed_and_shown_and_a_sample_tells_whose_it_is() {
    let fixture = Fixture::new();
    let (_, text) = say(&fixture, &["runs", "list", "archive"]);
    assert!(text.contains("no run below this root"), "{text}");
    let uri = |id: &str| format!("out/_t3b/runs/{id}");
    for id in ["first", "second"] {
        let (code, text) = say(&fixture, &["run", "pipeline.toml", "--run-id", id]);
        assert_eq!(code, 0, "{text}");
    }
    let (code, text) = say(&fixture, &["runs", "list", "out"]);
    assert!(
        code == 0 && text.contains("first") && text.contains("second") && text.contains("published"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let said = fixture.t3b(&["runs", "list", "out", "--json"]);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&said.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((lines.len(), lines[1]["run_id"].as_str()), (2, Some("second")));
    let said = fixture.t3b(&["runs", "show", "out", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(shown["run_id"], "second", "the newest of a root");
    let (code, text) = say(&fixture, &["runs", "show", &uri("first")]);
    assert!(code == 0 && text.contains("published    yes") && text.contains("accuracy %"), "{text}");

    let folder = fixture.path("out/tables/predictions");
    let day = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let table = read(&day.join("run_id=first"));
    let id = table.text("sample_id")[0].clone();
    let (code, text) = say(&fixture, &["show", &uri("first"), &id]);
    assert!(code == 0 && text.contains("clean/0") && !text.contains("object"), "{text}");
    let (code, text) = say(&fixture, &["show", &uri("first"), &id, "--pipeline", "pipeline.toml"]);
    assert!(code == 0 && text.contains("object") && text.contains("manifest row 0"), "{text}");
    let (code, text) = say(&fixture, &["show", &uri("first"), "nobody"]);
    assert!(code == 2 && text.contains("R010"), "{text}");
}

#[test]
fn e_json_is_one_object_and_nothing_else() {
    let fixture = Fixture::new();
    let json = |args: &[&str]| -> serde_json::Value {
        let said = fixture.t3b(args);
        serde_json::from_slice(&said.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", told(&said)))
    };
    let run = json(&["run", "pipeline.toml", "--run-id", "r", "--json"]);
    assert_eq!((run["state"].as_str(), run["n_scored"].as_i64()), (Some("published"), Some(200)));
    assert!(
        run["process"]["pairs_per_s"].as_f64().unwrap() > 0.0 && run["accuracy"]["t3_b"]["clean"].is_number()
    );
    assert_eq!(json(&["verify", "out/_t3b/runs/r", "--json"])["n_rows"].as_i64().map(|n| n > 0), Some(true));
    assert_eq!(json(&["status", "out/_t3b/runs/r", "--json"])["is_published"], true);
    assert_eq!(json(&["plan", "pipeline.toml", "--json"])["n_samples"], 40);
    assert_eq!(json(&["run", "pipeline.toml", "--run-id", "r", "--json"])["state"], "already_complete");
}

#[test]
fn a13_a_checkpoint_that_is_not_there_is_named_with_its_key_and_what_to_do() {
    let fixture = Fixture::new();
    for key in ["models.pretrained", "models.expert"] {
        let (code, text) = say(
            &fixture,
            &["check", "pipeline.toml", "--set", &format!("{key}=openai/clip-vit-base-patch32")],
        );
        assert_eq!(code, 65, "{text}");
        assert!(
            text.contains("W012")
                && text.contains(&format!("{key} = "))
                && text.contains("openai/clip-vit-base-patch32"),
            "{text}"
        );
        assert!(text.contains("t3b models fetch"), "{text}");
    }
}

/// A command that a run prints works when runs with and without probabilities share a root, whichever comes first.
#[test]
fn a5_runs_with_and_without_probs_are_read_together() {
    let fixture = Fixture::new();
    for (id, probs) in [("a", "false"), ("b", "true"), ("c", "false")] {
        let set = format!("output.probs={probs}");
        assert_eq!(say(&fixture, &["run", "pipeline.toml", "--run-id", id, "--set", &set]).0, 0);
    }
    let day = fs::read_dir(fixture.path("out/tables/predictions")).unwrap().next().unwrap().unwrap().path();
    let names = |id: &str| {
        read(&day.join(format!("run_id={id}"))).names().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("a"), names("b"));
    assert!(names("a").contains(&"probs".to_owned()));
    let Some(python) = crate::support::python() else { return };
    let said = fixture.t3b(&["run", "pipeline.toml", "--run-id", "a"]);
    let text = String::from_utf8_lossy(&said.stdout).replace('\n', " ");
    let sql = text.split("duckdb -c \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let script = "import sys, duckdb\nprint(len(duckdb.sql(sys.argv[1]).fetchall()))";
    let printed = std::process::Command::new(python)
        .args(["-c", script, &sql])
        .current_dir(fixture.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), "9", "{sql}: {}", told(&printed));
}
