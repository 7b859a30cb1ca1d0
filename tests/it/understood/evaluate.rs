use std::fs;
use std::process::Command;

use crate::support::{Fixture, N_CELLS, N_IMAGES, python, repo};
use crate::tables::{Columns, read, table};

const SET: [(&str, &str); 4] = [
    ("output.probs", "true"),
    ("merge.grid", "11"),
    ("merge.methods", r#"["pretrained","expert","wise_ft","constant","expo","t3_b"]"#),
    ("merge.constant.lambda", "0.3"),
];

fn scored(out: &str, more: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new();
    fixture.run(out, &[&SET[..], more].concat()).unwrap();
    fixture
}

fn of(table: &Columns, method: &str, column: &str) -> Vec<String> {
    let (methods, values) = (table.text("method"), table.text(column));
    (0..table.n_rows).filter(|&n| methods[n] == method).map(|n| values[n].clone()).collect()
}

/// What tune picks is a row that a run without a grid would have written, to the bit.
#[test]
fn a_point_of_the_grid_is_the_constant_of_that_weight() {
    let fixture = scored("out", &[]);
    let predictions = table(&fixture.path("out"), "predictions");
    for column in ["pred_idx", "pred_prob", "margin", "entropy_nats"] {
        assert_eq!(of(&predictions, "line_030", column), of(&predictions, "constant", column), "{column}");
        assert_eq!(of(&predictions, "line_050", column), of(&predictions, "wise_ft", column), "{column}");
    }
    assert_eq!(predictions.n_rows, N_IMAGES * N_CELLS * (6 + 11));
    let tuned = fixture.t3b(&["tune", "pipeline.toml", "--run-id", "r", "--output", "out"]);
    let said = String::from_utf8(tuned.stdout).unwrap();
    assert!(tuned.status.success(), "{}", String::from_utf8_lossy(&tuned.stderr));
    let picked: f64 = said.lines().find_map(|line| line.strip_prefix("lambda = ")).unwrap().parse().unwrap();
    assert!(said.contains("headroom") && (0.0..=1.0).contains(&picked), "{said}");
}

#[test]
fn figures_are_those_of_the_tables_and_the_same_bytes_twice() {
    let tags = [("run.tags.dataset", "fixture"), ("run.tags.modality", "drawn cells")];
    let fixture = scored("out", &tags);
    for folder in ["one", "two"] {
        let done = fixture.t3b(&["evaluate", "out/_t3b/runs/r", "--out", folder, "--draws", "50"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let (one, two) = (fixture.files("one"), fixture.files("two"));
    let names: Vec<&str> = one.keys().map(String::as_str).collect();
    assert!(one == two, "the files of two evaluations differ: {names:?}");
    for name in ["summary.csv", "summary.parquet", "metrics.json", "report.html", "tables.md", "tables.tex"] {
        assert!(one.contains_key(name), "{name} is missing: {names:?}");
    }
    assert!(one["report.html"].len() < 250_000);

    let summary = read(&fixture.path("one"));
    let (method, metric) = (summary.text("method"), summary.text("metric"));
    let (corruption, severity) = (summary.text("corruption"), summary.text("severity"));
    let value = summary.number("value");
    let found = |name: &str| {
        let is_it = |n: &usize| {
            method[*n] == "t3_b" && metric[*n] == name && corruption[*n] == "pixelate" && severity[*n] == "4"
        };
        value[(0..summary.n_rows).find(is_it).unwrap()]
    };
    let predictions = table(&fixture.path("out"), "predictions");
    let columns = ["method", "corruption", "severity", "correct"].map(|name| predictions.text(name));
    let rows = (0..predictions.n_rows)
        .filter(|&n| columns[0][n] == "t3_b" && columns[1][n] == "pixelate" && columns[2][n] == "4");
    let right: Vec<f64> = rows.map(|n| f64::from(u8::from(columns[3][n] == "true"))).collect();
    assert!((found("top1") - right.iter().sum::<f64>() / right.len() as f64).abs() < 1e-12);
    assert!(summary.text("dataset").iter().all(|tag| tag == "fixture"));
    assert_eq!(table(&fixture.path("out"), "runs").text("modality"), ["drawn cells"]);
    assert!(
        method.iter().any(|name| name == "oracle_line") && method.iter().any(|name| name == "best_static")
    );
}

/// A part in the place of another has as many rows as the plan asks for, of the wrong samples. (Rows that are missing, twice
/// or not in the plan: `crates/report/tests/figures.rs`.)
#[test]
fn tables_that_are_not_those_published_are_refused() {
    let fixture = scored("out", &[]);
    let part = |n: u8| {
        fixture.path(&format!("out/tables/predictions/run_date=2026-01-02/run_id=r/part-0000{n}.parquet"))
    };
    fs::copy(part(0), part(1)).unwrap();
    let done = fixture.t3b(&["evaluate", "out/_t3b/runs/r", "--out", "report"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(65) && said.contains("R006"), "{:?} {said}", done.status.code());
    assert!(!fixture.path("report").exists(), "nothing is written of a run that is refused");
}

/// Patients are in the owner's manifest alone; the report says how many it resampled and holds no name.
#[test]
fn figures_are_resampled_by_the_groups_of_the_manifest() {
    let fixture = Fixture::new();
    let path = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&path).unwrap();
    let line = |(n, line): (usize, &str)| match n {
        0 => format!("{line},group\n"),
        39 | 40 => format!("{line},\n"),
        n => format!("{line},DOE{}\n", n / 5),
    };
    fs::write(&path, text.lines().enumerate().map(line).collect::<String>()).unwrap();
    fixture.run("out", &SET).unwrap();
    let run = "out/_t3b/runs/r";
    let said = |args: &[&str]| {
        let done = fixture.t3b(&[&["evaluate", run, "--draws", "50"], args].concat());
        let text = [done.stdout, done.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (done.status.code(), text)
    };
    let (code, text) = said(&["--out", "grouped", "--groups", "archive/manifest.csv"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("40 labelled clean samples, resampled by group: 10 groups and lone samples"),
        "{text}"
    );
    assert_eq!(said(&["--out", "single"]).0, Some(0));
    let low = |folder: &str| {
        let summary = read(&fixture.path(folder));
        let columns = ["method", "metric", "corruption", "low"].map(|name| summary.text(name));
        let is_it =
            |n: &usize| columns[0][*n] == "t3_b" && columns[1][*n] == "top1" && columns[2][*n] == "clean";
        columns[3][(0..summary.n_rows).find(is_it).unwrap()].clone()
    };
    assert_ne!(low("grouped"), low("single"));
    let files = fixture.files("grouped");
    assert!(files.values().all(|bytes| !bytes.windows(3).any(|word| word == b"DOE")), "a patient is named");

    fs::write(fixture.path("other.csv"), "uri,group\na,b\n").unwrap();
    let (code, text) = said(&["--out", "refused", "--groups", "other.csv"]);
    assert!(code == Some(78) && text.contains("E008"), "{text}");
    fs::write(fixture.path("without.csv"), "uri\na\n").unwrap();
    let (code, text) = said(&["--out", "refused", "--groups", "without.csv"]);
    assert!(code == Some(65) && text.contains("M002") && text.contains("'group'"), "{text}");
}

#[test]
fn a_night_like_another_does_not_alarm_and_another_model_does() {
    let fixture = scored("a", &[]);
    fixture.run("b", &SET).unwrap();
    fixture.run("c", &[&SET[..], &[("merge.temperature.expert", "50.0")]].concat()).unwrap();
    let drift = |run: &str| {
        let run = format!("{run}/_t3b/runs/r");
        fixture.t3b(&["drift", &run, "--against", "a/_t3b/runs/r", "--out", &format!("drift-{}", &run[..1])])
    };
    let (same, other) = (drift("b"), drift("c"));
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stderr));
    assert_eq!(other.status.code(), Some(3), "{}", String::from_utf8_lossy(&other.stdout));
    let rows = read(&fixture.path("drift-c"));
    let alarm: Vec<String> = rows
        .text("quantity")
        .into_iter()
        .zip(rows.text("is_alarm"))
        .filter(|(_, is)| is == "true")
        .map(|(name, _)| name)
        .collect();
    assert!(alarm.contains(&"ft_entropy_nats".to_owned()), "{alarm:?}");
    assert!(!alarm.contains(&"pt_entropy_nats".to_owned()), "{alarm:?}");
}

/// Features say what no coefficient says: the pictures of a night are others.
#[test]
fn kept_features_are_the_models_and_a_night_of_other_pictures_alarms() {
    let with = [("output.features", "true"), ("merge.methods", r#"["pretrained","expert","t3_b"]"#)];
    let fixture = Fixture::new();
    fixture.run("a", &with).unwrap();
    fixture.run("plain", &with[1..]).unwrap();
    let [kept, plain] = ["a", "plain"].map(|out| table(&fixture.path(out), "signals"));
    let (kept, plain) = (kept.names(), plain.names());
    assert!(plain.iter().all(|name| kept.contains(name)));
    assert!(kept.len() == plain.len() + 1 && kept.contains(&"features"), "{kept:?}");
    // Every picture of the archive becomes noise of its own.
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    for (n, line) in manifest.lines().skip(1).enumerate() {
        let path = fixture.path("archive").join(line.split(',').next().unwrap());
        let noise = |x: u32, y: u32| image::Rgb([(x * 7919 + y * 104_729 + n as u32 * 31) as u8; 3]);
        image::RgbImage::from_fn(64, 64, noise).save(path).unwrap();
    }
    // Sizes and hashes of the pictures before would refuse these.
    let uris = manifest.lines().map(|line| line.split(',').next().unwrap().to_owned() + "\n");
    fs::write(fixture.path("archive/manifest.csv"), uris.collect::<String>()).unwrap();
    fixture.run("b", &[&with[..], &[("run.name", "other")]].concat()).unwrap();
    let said = fixture.t3b(&["drift", "b/_t3b/runs/r", "--against", "a/_t3b/runs/r", "--out", "d"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let rows = read(&fixture.path("d"));
    let (quantity, mmd2) = (rows.text("quantity"), rows.text("mmd2"));
    let place = quantity.iter().position(|name| name == "features").expect(&text);
    assert!(mmd2[place].parse::<f64>().unwrap() > 0.025, "{text}");
    let same = fixture.t3b(&["drift", "a/_t3b/runs/r", "--against", "a/_t3b/runs/r"]);
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stdout));
    // Without the column on one side there is nothing to compare them by.
    let said = fixture.t3b(&["drift", "plain/_t3b/runs/r", "--against", "a/_t3b/runs/r"]);
    assert!(!String::from_utf8_lossy(&said.stdout).contains("features"));
}

#[test]
fn the_dashboard_questions_run() {
    let Some(python) = python() else {
        println!("skipped: tests/support/setup.sh has not been run");
        return;
    };
    let fixture = scored("out", &[]);
    let mut command = Command::new(python);
    command
        .arg(repo("tests/support/sql_questions.py"))
        .arg(fixture.path("out"))
        .arg(repo("deploy/sql/duckdb"));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answers: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answers.as_object().unwrap().len(), 8);
    assert_eq!(answers["01_accuracy_by_method"].as_array().unwrap().len(), N_CELLS * (6 + 11));
}
