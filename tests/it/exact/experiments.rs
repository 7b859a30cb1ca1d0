use std::fs;
use std::path::Path;
use std::process::Command;

use t3b::merge::method::Method;

use crate::support::{Fixture, N_CELLS, N_IMAGES, repo};
use crate::tables::{Columns, table};

const ALL_BUT_FIRST_PASS: &str = r#"["pretrained","expert","ensemble","ensemble_logits","wise_ft","task_arithmetic","ties","dare","slerp","m3","dawin","entropy_ratio","entropy_ratio_b","t3","t3_b","t3_guard","t3_b_guard"]"#;

fn of_method(table: &Columns, method: &str, column: &str) -> Vec<String> {
    let (methods, values) = (table.text("method"), table.text(column));
    (0..table.n_rows).filter(|&n| methods[n] == method).map(|n| values[n].clone()).collect()
}

#[test]
fn identical_parents_have_no_divergence_and_all_methods_agree() {
    let fixture = Fixture::new();
    fixture.run("out", &[("models.expert", "pretrained"), ("merge.methods", ALL_BUT_FIRST_PASS)]).unwrap();
    let js = table(&fixture.path("out"), "signals").number("js_nats");
    assert_eq!(js.iter().copied().fold(0.0, f64::max), 0.0);
    let predictions = table(&fixture.path("out"), "predictions");
    let reference = of_method(&predictions, "pretrained", "pred_prob");
    for method in ["wise_ft", "ties", "dare", "slerp", "t3", "t3_b", "dawin", "entropy_ratio_b"] {
        for (a, b) in of_method(&predictions, method, "pred_prob").iter().zip(&reference) {
            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            assert!((a - b).abs() < 1e-5, "{method}: {a} and {b}");
        }
    }
}

#[test]
fn at_batch_one_t3_is_t3_b_row_by_row() {
    let fixture = Fixture::new();
    let methods = r#"["t3","t3_b","t3_guard","t3_b_guard","entropy_ratio","entropy_ratio_b"]"#;
    fixture
        .run("out", &[("run.batch_size", "1"), ("merge.methods", methods), ("output.probs", "true")])
        .unwrap();
    let predictions = table(&fixture.path("out"), "predictions");
    for (sample, batch) in [("t3", "t3_b"), ("t3_guard", "t3_b_guard"), ("entropy_ratio", "entropy_ratio_b")]
    {
        for column in ["pred_idx", "pred_prob", "margin", "entropy_nats"] {
            assert_eq!(
                of_method(&predictions, sample, column),
                of_method(&predictions, batch, column),
                "{sample}"
            );
        }
    }
}

#[test]
fn a_sample_alone_in_a_big_batch_rule_keeps_its_prediction() {
    let fixture = Fixture::new();
    let set = |size| [("run.batch_size", size), ("merge.methods", r#"["t3"]"#), ("merge.primary", "t3")];
    fixture.run("one", &set("1")).unwrap();
    fixture.run("eight", &set("8")).unwrap();
    let sorted = |out: &str| {
        let t = table(&fixture.path(out), "predictions");
        let columns = ["sample_id", "corruption", "severity", "pred_prob"].map(|name| t.text(name));
        let mut rows: Vec<[String; 4]> =
            (0..t.n_rows).map(|n| columns.each_ref().map(|c| c[n].clone())).collect();
        rows.sort();
        rows
    };
    for (a, b) in sorted("one").iter().zip(sorted("eight")) {
        assert_eq!(a[..3], b[..3]);
        let (a, b): (f64, f64) = (a[3].parse().unwrap(), b[3].parse().unwrap());
        assert!((a - b).abs() < 1e-5, "factored {b}, materialised {a}");
    }
}

/// Compares `coefficients` with an independent recomputation in Python, and prints how far they are apart.
fn recomputed(first: &Path, all: &Path) {
    let python = repo(".cache/py/bin/python");
    if !python.exists() {
        println!("skipped: tests/support/setup.sh has not been run");
        return;
    }
    let script = repo("tests/support/recompute_coefficients.py");
    let said = Command::new(python).arg(script).args([first, all]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&said.stdout));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn every_method_runs_once_a_first_pass_is_named() {
    let fixture = Fixture::new();
    let names = format!("{:?}", Method::NAMES);
    let error = fixture.run("out", &[("merge.methods", &names)]).unwrap_err();
    assert_eq!(error.problems()[0].code, "C009");
    assert!(error.to_string().contains("first: t3b run"), "{error}");

    fixture.run("first", &[("output.probs", "true")]).unwrap();
    let from = fixture.path("first/_t3b/runs/r").to_string_lossy().into_owned();
    let set = [("merge.methods", names.as_str()), ("merge.from", &from)];
    fixture.run("all", &set).unwrap();
    let predictions = table(&fixture.path("all"), "predictions");
    assert_eq!(predictions.n_rows, N_IMAGES * N_CELLS * Method::NAMES.len());
    recomputed(&fixture.path("first"), &fixture.path("all"));
    let tempered = [set[0], set[1], ("merge.dawin.expert_temperature", "0.9")];
    fixture.run("tempered", &tempered).unwrap();
    fixture.run("bare", &[]).unwrap();
    let bare = fixture.path("bare/_t3b/runs/r").to_string_lossy().into_owned();
    let error = fixture.run("x", &[set[0], ("merge.from", &bare), tempered[2]]).unwrap_err();
    assert!(error.to_string().contains("output.probs = true"), "{error}");
}

#[test]
fn adding_methods_changes_no_row_of_the_others() {
    let fixture = Fixture::new();
    fixture.run("few", &[]).unwrap();
    fixture.run("many", &[("merge.methods", ALL_BUT_FIRST_PASS)]).unwrap();
    let (few, many) =
        (table(&fixture.path("few"), "predictions"), table(&fixture.path("many"), "predictions"));
    for method in ["pretrained", "expert", "wise_ft", "t3_b"] {
        assert_eq!(of_method(&few, method, "pred_prob"), of_method(&many, method, "pred_prob"), "{method}");
    }
}

#[test]
fn mixed_batches_cover_every_pair_once_and_vary_more() {
    let fixture = Fixture::new();
    fixture.run("mixed", &[("run.batches", "mixed"), ("merge.gamma", "4.0")]).unwrap();
    let root = fixture.path("mixed");
    assert_eq!(table(&root, "signals").n_rows, N_IMAGES * N_CELLS);
    let batches = table(&root, "batches");
    assert!(batches.text("corruption").iter().all(|name| name == "mixed"));
    assert_eq!(batches.number("n_scored").iter().sum::<f64>() as usize, N_IMAGES * N_CELLS);
}

#[test]
fn a_sweep_runs_its_axes_and_writes_one_summary() {
    let fixture = Fixture::new();
    let pipeline = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let sweep = pipeline + "\n[sweep.axes]\n\"merge.gamma\" = [0.5, 8.0]\n\"run.batch_size\" = [4, 8]\n";
    fs::write(fixture.path("sweep.toml"), sweep).unwrap();
    let said = fixture.t3b(&["sweep", "sweep.toml"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let csv = fs::read_to_string(fixture.path("out/sweeps/fixture.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4 * 4, "four runs of four methods: {csv}");
    assert!(csv.contains("\nfixture-gamma-0p5-batch_size-4,0.5,4,pretrained,"), "{csv}");
}

#[test]
fn every_experiment_file_is_valid() {
    for entry in fs::read_dir(repo("pipelines/experiments")).unwrap() {
        let path = entry.unwrap().path();
        let sweep = t3b::settings::Sweep::read(&path).unwrap();
        for variation in sweep.variations {
            let sources =
                t3b::settings::Sources { pipeline: path.clone(), config: Vec::new(), set: variation.set };
            t3b::settings::Spec::load(&sources).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
