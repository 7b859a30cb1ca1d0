use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Fixture, in_chromium, python, repo};
use crate::tables::read;

/// The page as `npm run build` writes it, or a stand-in: what is beside it does not depend on it.
fn bundle(fixture: &Fixture) -> (String, bool) {
    let built = repo("dashboard/dist");
    if built.join("app.js").exists() {
        return (built.to_string_lossy().into_owned(), true);
    }
    fs::create_dir_all(fixture.path("bundle")).unwrap();
    for name in ["index.html", "app.js", "app.css", "LICENSES.txt"] {
        fs::write(fixture.path("bundle").join(name), name).unwrap();
    }
    ("bundle".to_owned(), false)
}

fn done(fixture: &Fixture, args: &[&str], code: i32) -> String {
    let said = fixture.t3b(args);
    assert_eq!(said.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
}

/// Three nights of one set and one of another without labels, evaluated as `t3b nightly` does it.
fn month(fixture: &Fixture) {
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let bare: Vec<String> =
        manifest.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    fs::write(fixture.path("bare.csv"), bare.join("\n")).unwrap();
    for (id, date, dataset, more) in [
        ("a-1", "2026-01-01", "smears", "output.probs=true"),
        ("a-2", "2026-01-02", "smears", "models.expert=expert"),
        ("a-4", "2026-01-04", "smears", "merge.temperature.expert=50.0"),
        ("b-2", "2026-01-02", "ward", "input.manifest=bare.csv"),
    ] {
        let tag = format!("run.tags.dataset={dataset}");
        let args = ["run", "pipeline.toml", "--run-id", id, "--run-date", date, "--set", &tag, "--set", more];
        done(fixture, &args, 0);
        let (run, out) = (format!("out/_t3b/runs/{id}"), format!("out/reports/{date}/{id}"));
        done(fixture, &["evaluate", &run, "--out", &out, "--draws", "50"], 0);
        if id == "a-4" {
            done(fixture, &["drift", &run, "--against", "out/_t3b/runs/a-1", "--out", &out], 3);
        }
    }
}

fn lines(fixture: &Fixture, name: &str) -> BTreeMap<String, serde_json::Value> {
    let text = fs::read_to_string(fixture.path("page").join(name)).unwrap();
    let lines: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    lines.into_iter().map(|line| (line["run_id"].as_str().unwrap().to_owned(), line)).collect()
}

#[test]
fn a_dashboard_says_what_the_tables_say_and_is_the_same_bytes_twice() {
    let fixture = Fixture::new();
    month(&fixture);
    let (bundle, is_built) = bundle(&fixture);
    for out in ["page", "again"] {
        let said = done(&fixture, &["dashboard", "out", "--out", out, "--bundle", &bundle], 0);
        assert!(said.contains("4 runs") && !said.contains("note:"), "{said}");
    }
    assert!(fixture.files("page") == fixture.files("again"), "two pages of the same nights differ");

    let (all, latest) = (lines(&fixture, "nights.json"), lines(&fixture, "latest.json"));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["a-1", "a-2", "a-4", "b-2"]);
    // All are of the pipeline `fixture`: its newest night.
    assert_eq!(latest.keys().collect::<Vec<_>>(), ["a-4"]);
    let csv = fs::read_to_string(fixture.path("page/latest.csv")).unwrap();
    assert!(csv.starts_with("run_id,run_date,name,") && csv.lines().count() == 2, "{csv}");
    for (id, line) in &all {
        assert_eq!(line["n_drift_alarms"].as_i64().is_some_and(|n| n > 0), id == "a-4", "{line}");
        assert_eq!(line["n_scored"].as_i64(), Some(200));
        assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["lambda_mean"].as_f64().is_some());
    }

    // Accuracy and its estimate, once more from the rows.
    for (id, line) in &all {
        let date = line["run_date"].as_str().unwrap();
        let folder = fixture.path("out").join(format!("tables/predictions/run_date={date}/run_id={id}"));
        let predictions = read(&folder);
        let column = |name: &str| predictions.text(name);
        let (method, cell, correct) = (column("method"), column("corruption"), column("correct"));
        let confidence = predictions.number("pred_prob");
        let is_asked = |&n: &usize| method[n] == "t3_b" && cell[n] == "clean";
        let rows: Vec<usize> = (0..predictions.n_rows).filter(is_asked).collect();
        assert_eq!(rows.len(), 40);
        let mean = |of: &dyn Fn(usize) -> f64| rows.iter().map(|&n| of(n)).sum::<f64>() / 40.0;
        let top1 = mean(&|n| f64::from(u8::from(correct[n] == "true")));
        let is_near =
            |found: &serde_json::Value, wanted: f64| (found.as_f64().unwrap() - wanted).abs() < 1e-6;
        match id.as_str() {
            "b-2" => assert!(line["top1"].is_null()),
            _ => assert!(is_near(&line["top1"], top1), "{line}"),
        }
        let guess = mean(&|n| confidence[n]);
        assert!(is_near(&line["top1_estimated"], guess), "{guess}: {line}");
        let ends = ["low", "high"].map(|end| line[format!("top1_estimated_{end}")].as_f64().unwrap());
        assert!(ends[0] < guess && guess < ends[1]);
    }
    board_reads(&all["a-1"]);
    duckdb_reads(&fixture.path("page"));
    if is_built {
        in_chromium("page.mjs", &fixture.path("page"));
    } else {
        println!("skipped: the page in a browser (npm ci && npm run build in dashboard/ first)");
    }
}

/// `deploy/sql/duckdb/nights.sql` over the page's folder.
fn duckdb_reads(page: &Path) {
    let Some(python) = python() else { return };
    let script = "
import sys, duckdb
duckdb.execute('SET VARIABLE t3b_page = ' + repr(sys.argv[1]))
for statement in open(sys.argv[2]).read().split(';\\n'):
    if statement.strip():
        duckdb.execute(statement)
tables = ['nights', 'night_runs', 'night_drift', 'night_summary', 'night_quarantine']
print([duckdb.execute(f'select count(distinct run_id) from t3b_{table}').fetchone()[0] for table in tables])
";
    let mut command = Command::new(python);
    let said =
        command.args(["-c", script]).arg(page).arg(repo("deploy/sql/duckdb/nights.sql")).output().unwrap();
    let words = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert_eq!(words.trim(), "[4, 4, 1, 4, 0]");
}

#[test]
fn a_night_whose_tables_are_gone_stays_with_what_was_measured() {
    let fixture = Fixture::new();
    month(&fixture);
    let before = {
        let (bundle, _) = bundle(&fixture);
        done(&fixture, &["dashboard", "out", "--out", "page", "--bundle", &bundle], 0);
        lines(&fixture, "nights.json")
    };
    // As t3b nightly says how a night ended: it gave another alarm than the index alone, and withdrew the tables.
    let state = r#"{"name": "fixture", "date": "2026-01-04", "run_id": "a-4", "n_samples": 40, "n_scored": 200, "n_quarantined": 0,
        "quarantine": {}, "drift": {"n_nights": 3, "alarms": ["ft_entropy_nats"]}, "is_retired": true, "of_a_later_version": 1}"#;
    fs::create_dir_all(fixture.path("out/nights/fixture")).unwrap();
    fs::rename(fixture.path("out/reports/2026-01-04/a-4"), fixture.path("out/nights/fixture/2026-01-04"))
        .unwrap();
    fs::write(fixture.path("out/nights/fixture/2026-01-04/night.json"), state).unwrap();
    done(&fixture, &["discard", "out/_t3b/runs/a-4", "--delete"], 0);
    let (bundle, _) = bundle(&fixture);
    let said = done(&fixture, &["dashboard", "out", "--out", "page", "--bundle", &bundle], 0);
    assert!(said.contains("4 runs") && !said.contains("note:"), "{said}");
    let after = lines(&fixture, "nights.json");
    let kept = [
        "top1",
        "top1_estimated",
        "top1_corrupted",
        "psi_max",
        "n_scored",
        "dataset",
        "primary_method",
        "name",
    ];
    for name in kept {
        assert_eq!(after["a-4"][name], before["a-4"][name], "{name}");
    }
    assert_eq!(after["a-4"]["n_drift_alarms"].as_i64(), Some(1));
    assert!(after["a-4"]["seconds"].is_null());
    assert_eq!(after["a-1"], before["a-1"]);
}

#[test]
fn a_page_needs_its_script_and_says_how_to_get_it() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("out")).unwrap();
    fs::create_dir_all(fixture.path("empty")).unwrap();
    let said = done(&fixture, &["dashboard", "out", "--bundle", "empty"], 78);
    assert!(said.contains("E007") && said.contains("npm ci"), "{said}");
    // A root without runs is a page that says so.
    let (bundle, _) = bundle(&fixture);
    let said = done(&fixture, &["dashboard", "out", "--out", "page", "--bundle", &bundle], 0);
    assert!(said.contains("0 runs"), "{said}");
}

/// What deltalake and DuckDB read from the logs, checked by `tests/support/delta_counts.py`; `None` where they are not there.
fn counts(root: &Path) -> Option<serde_json::Value> {
    let Some(python) = python() else {
        println!("skipped: tests/support/setup.sh has not been run");
        return None;
    };
    let said = Command::new(python).arg(repo("tests/support/delta_counts.py")).arg(root).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Some(serde_json::from_slice(&said.stdout).unwrap())
}

#[test]
fn a_delta_log_holds_every_published_run_once_and_none_that_was_withdrawn() {
    let fixture = Fixture::new();
    // One of them in objects of many partitions, published in two spans.
    let run = |id: &str, date: &str| {
        let args = ["run", "pipeline.toml", "--run-id", id, "--run-date", date, "--set", "output.delta=true"];
        let compact: &[&str] =
            if id == "b" { &["--set", "output.files=compact", "--set", "output.span=2"] } else { &[] };
        done(&fixture, &[&args[..], compact].concat(), 0);
    };
    run("a", "2026-01-01");
    run("b", "2026-01-02");
    // Publishing again, by whichever command, adds nothing.
    let before = fixture.files("out");
    done(&fixture, &["finalize", "out/_t3b/runs/a"], 0);
    run("a", "2026-01-01");
    done(&fixture, &["finalize", "out/_t3b/runs/b"], 0);
    assert!(before == fixture.files("out"), "publishing again changed the root");
    let log = |version: u64| format!("tables/predictions/_delta_log/{version:020}.json");
    assert!(before.contains_key(&log(1)) && !before.contains_key(&log(2)));
    for id in ["a", "b"] {
        done(&fixture, &["verify", &format!("out/_t3b/runs/{id}")], 0);
    }
    let Some(found) = counts(&fixture.path("out")) else { return };
    assert_eq!(found["predictions"], serde_json::json!([1600, 1600, 2]), "{found}");
    assert_eq!(found["runs"], serde_json::json!([2, 2, 2]), "{found}");

    // An entry that was lost before its run was told is written again, behind those of others.
    let entry = fixture.path("out").join(log(1));
    fs::write(&entry, fs::read(fixture.path("out").join(log(0))).unwrap()).unwrap();
    done(&fixture, &["finalize", "out/_t3b/runs/b"], 0);
    assert!(fixture.path("out").join(log(2)).exists());
    fs::write(&entry, &before[&log(1)]).unwrap();
    fs::remove_file(fixture.path("out").join(log(2))).unwrap();

    done(&fixture, &["discard", "out/_t3b/runs/a", "--delete"], 0);
    let found = counts(&fixture.path("out")).unwrap();
    assert_eq!(found["predictions"], serde_json::json!([800, 800, 1]), "{found}");
    run("a", "2026-01-01");
    let found = counts(&fixture.path("out")).unwrap();
    assert_eq!(found["signals"], serde_json::json!([400, 400, 2]), "{found}");
    done(&fixture, &["verify", "out/_t3b/runs/a"], 0);
}

#[test]
fn the_hive_tables_have_every_column() {
    let text = fs::read_to_string(repo("deploy/sql/hive/tables.sql")).unwrap();
    let declared = |table: &str| -> Vec<(String, String)> {
        let start = format!("EXISTS t3b_{table}_files (\n");
        let body = text.split(&start).nth(1).and_then(|rest| rest.split("\n)").next()).unwrap_or_default();
        let columns = body.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(' '));
        columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };
    for (table, columns) in t3b::tables::described() {
        let hive = |kind: &str| match kind {
            "text" => "STRING",
            "int64" => "BIGINT",
            "int32" => "INT",
            "int16" => "SMALLINT",
            "float64" => "DOUBLE",
            "float32" => "FLOAT",
            "bool" => "BOOLEAN",
            _ => "ARRAY<FLOAT>",
        };
        let wanted: Vec<(String, String)> =
            columns.into_iter().map(|(name, kind, _)| (name, hive(&kind).to_owned())).collect();
        assert_eq!(declared(table), wanted, "{table}");
    }
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    for table in ["runs", "attempts"] {
        let folder = fixture.path("out").join(format!("tables/{table}/run_date=2026-01-02/run_id=r"));
        let stored = read(&folder);
        let names: BTreeSet<String> = stored.names().into_iter().map(str::to_owned).collect();
        let declared: BTreeSet<String> = declared(table).into_iter().map(|(name, _)| name).collect();
        assert_eq!(declared, names, "{table}");
    }
}

/// A board that asks for a metric nobody writes shows nothing and says nothing.
#[test]
fn the_grafana_board_of_runs_asks_for_metrics_that_are_written() {
    let metrics = repo("src/watch");
    if !metrics.exists() {
        println!("skipped: this program writes no metrics");
        return;
    }
    let mut code = fs::read_to_string(repo("src/flow/found.rs")).unwrap_or_default();
    for file in fs::read_dir(metrics).unwrap().chain(fs::read_dir(repo("src/store")).unwrap()) {
        code += &fs::read_to_string(file.unwrap().path()).unwrap_or_default();
    }
    let text = fs::read_to_string(repo("deploy/grafana/prometheus.json")).unwrap();
    let names: BTreeSet<&str> = text
        .split(|c: char| !c.is_ascii_lowercase() && c != '_' && !c.is_ascii_digit())
        .filter(|word| word.starts_with("t3b_"))
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name))
        .collect();
    assert!(names.len() > 10);
    for name in names {
        assert!(code.contains(&format!("\"{name}\"")), "{name} is written by nothing");
    }
}

/// The board of nights reads columns that a line of `nights.json` has.
fn board_reads(line: &serde_json::Value) {
    let text = fs::read_to_string(repo("deploy/grafana/infinity.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let columns = panels.iter().flat_map(|panel| panel["targets"][0]["columns"].as_array().unwrap());
    let names: Vec<&str> = columns.map(|column| column["selector"].as_str().unwrap()).collect();
    assert!(names.len() > 15);
    names
        .into_iter()
        .for_each(|name| assert!(line.get(name).is_some(), "{name} is no column of nights.json"));
}
