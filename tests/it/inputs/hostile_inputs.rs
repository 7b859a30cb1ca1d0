//! Every bad input of the list in one run beside good ones: its own code, and no row of another sample moves.
//!
//! Full form: `T3B_FULL=1 cargo test --test it -- hostile_inputs:: --nocapture`, with 1,000 good images.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use crate::bad_inputs::{BadInput, MAX_OBJECT_BYTES, bad_inputs};
use crate::process::{is_full, peak_mib};
use crate::support::Fixture;
use crate::tables::{Columns, table};

const BATCH: usize = 8;
const BUDGET_MIB: f64 = 64.0;
/// A deflated data set that inflates to its limit (item 59) is larger than its share of the budget, and runs alone.
const LARGEST_MIB: f64 = 144.0;
const HEADER: &str = "uri,sample_id,sha256,bytes,frame\n";

/// The manifest with every bad input after so many good ones; `None` puts a good one in its place.
fn rows(fixture: &Fixture, bad: &[BadInput], n_good: usize, with_bad: bool) -> String {
    let manifest = fs::read_to_string(fixture.path("archive/manifest.csv")).unwrap();
    let good: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let every = n_good / bad.len();
    let mut bad = bad.iter();
    let mut text = HEADER.to_owned();
    for n in 0..n_good {
        text += &format!("{},g{n},,,\n", good[n % good.len()]);
        if n % every == every - 1
            && let Some(input) = bad.next()
        {
            let [sha256, bytes, frame] =
                input.declared.each_ref().map(|field| field.clone().unwrap_or_default());
            text += &if with_bad {
                format!("bad/{},b{},{sha256},{bytes},{frame}\n", input.name, input.name.replace('.', "_"))
            } else {
                format!("{},b{},,,\n", good[0], input.name.replace('.', "_"))
            };
        }
    }
    text
}

fn run(fixture: &Fixture, out: &str, manifest: &str, max_quarantine: &str) -> Output {
    let set = [
        format!("input.manifest={manifest}"),
        format!("input.max_object_bytes={MAX_OBJECT_BYTES}"),
        format!("run.max_quarantine={max_quarantine}"),
        "decode.burned_in=quarantine".to_owned(),
        format!("memory.budget_mib={BUDGET_MIB}"),
        "corrupt.severities=[4]".to_owned(),
    ];
    let mut args = vec!["run", "pipeline.toml", "--run-id", "r", "--run-date", "2026-01-02", "--output", out];
    for pair in &set {
        args.extend(["--set", pair]);
    }
    fixture.t3b(&args)
}

/// Rows by everything that names them, with what is said of them.
fn facts(root: &Path, name: &str, keys: &[&str], values: &[&str]) -> BTreeMap<Vec<String>, Vec<String>> {
    let t: Columns = table(root, name);
    let columns = |names: &[&str]| names.iter().map(|name| t.text(name)).collect::<Vec<_>>();
    let (keys, values) = (columns(keys), columns(values));
    let row = |columns: &[Vec<String>], n: usize| columns.iter().map(|column| column[n].clone()).collect();
    (0..t.n_rows).map(|n| (row(&keys, n), row(&values, n))).collect()
}

#[test]
fn every_bad_input_costs_its_own_row_and_nothing_else() {
    let fixture = Fixture::new();
    let bad = bad_inputs();
    fs::create_dir(fixture.path("archive/bad")).unwrap();
    for input in &bad {
        if let Some(bytes) = &input.bytes {
            fs::write(fixture.path("archive/bad").join(input.name), bytes).unwrap();
        }
    }
    let n_good = if is_full() { 1_000 } else { 3 * bad.len() };
    for (name, with_bad) in [("good.csv", false), ("bad.csv", true)] {
        fs::write(fixture.path("archive").join(name), rows(&fixture, &bad, n_good, with_bad)).unwrap();
    }
    let reference = run(&fixture, "good", "good.csv", "0.0");
    assert!(reference.status.success(), "{}", String::from_utf8_lossy(&reference.stderr));
    let said = run(&fixture, "bad", "bad.csv", "0.01");
    assert_eq!(said.status.code(), Some(3), "{}", String::from_utf8_lossy(&said.stderr));
    let allowed = run(&fixture, "allowed", "bad.csv", "0.5");
    assert_eq!(allowed.status.code(), Some(0), "{}", String::from_utf8_lossy(&allowed.stderr));

    let bad_root = fixture.path("bad");
    let found = facts(&bad_root, "quarantine", &["sample_id"], &["reason_code"]);
    for input in &bad {
        let id = vec![format!("b{}", input.name.replace('.', "_"))];
        let code = found.get(&id).map_or("ok", |values| values[0].as_str());
        assert_eq!(code, input.code, "item {}: {}", input.item, input.name);
    }
    assert_eq!(
        found.len(),
        bad.iter().filter(|input| input.code != "ok").count(),
        "a good image is quarantined"
    );
    assert_others_kept(&fixture, &bad, n_good);

    let bound = (peak_mib(&reference) + BUDGET_MIB + LARGEST_MIB) * 1.15;
    let (peak, items) = (peak_mib(&said), bad.iter().map(|input| input.item).collect::<BTreeSet<_>>());
    println!(
        "bad inputs: {} files of {} items among {n_good} good: all by their codes, peak {peak} MiB of {bound:.0}",
        bad.len(),
        items.len()
    );
    assert!(peak <= bound, "peak {peak} MiB, allowed {bound}");
}

/// Signals of every good sample, its predictions by methods that see it alone, and whole batches without a bad input.
fn assert_others_kept(fixture: &Fixture, bad: &[BadInput], n_good: usize) {
    let roots = ["good", "bad"].map(|out| fixture.path(out));
    let cell = ["sample_id", "corruption", "severity"];
    let [signals, same_signals] = roots
        .each_ref()
        .map(|root| facts(root, "signals", &cell, &["js_nats", "lambda_sample", "batch", "pos_in_batch"]));
    let by_method = ["sample_id", "corruption", "severity", "method"];
    let [predictions, same_predictions] = roots
        .each_ref()
        .map(|root| facts(root, "predictions", &by_method, &["pred_idx", "pred_prob", "batch"]));
    let is_good = |key: &Vec<String>| key[0].starts_with('g');
    assert_eq!(signals.keys().filter(|key| is_good(key)).count(), n_good * 3);
    for (key, values) in signals.iter().filter(|(key, _)| is_good(key)) {
        assert_eq!(same_signals.get(key), Some(values), "{key:?}");
    }
    let every = n_good / bad.len();
    // Behind each `every` good ones stands a bad one.
    let spoiled: BTreeSet<usize> = (0..bad.len()).map(|n| ((n + 1) * (every + 1) - 1) / BATCH).collect();
    let (mut n_same, mut n_moved) = (0, 0);
    for (key, values) in predictions.iter().filter(|(key, _)| is_good(key)) {
        let is_spoiled = spoiled.contains(&values[2].parse().unwrap());
        let of_batch = key[3] == "t3_b";
        match same_predictions.get(key) == Some(values) {
            true => n_same += 1,
            false if is_spoiled && of_batch => n_moved += 1,
            false => panic!("{key:?}: {values:?} became {:?}", same_predictions.get(key)),
        }
    }
    println!(
        "bad inputs: {n_same} predictions of good samples are the same, {n_moved} in batches that shrank moved"
    );
}
