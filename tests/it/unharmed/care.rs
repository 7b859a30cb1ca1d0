use std::fs;
use std::time::Duration;

use t3b::error::Exit;
use t3b::ledger::{status, tidy};

use crate::faults::{Dice, Fault, Faults, Side};
use crate::process::{End, PATIENT, is_full, live, live_with, objects, probed_store, promised, root};
use crate::support::{Fixture, runtime};
use crate::tables::table;

/// Runs a part of the fixture's run `r` with the binary.
fn run_shard(fixture: &Fixture, shard: &str) {
    let run = ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--run-date", "2026-01-02"];
    fixture.t3b(&[&run[..], &["--shard", shard]].concat());
}

#[test]
fn status_counts_what_is_committed_missing_and_quarantined() {
    let fixture = Fixture::new();
    let args = ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--run-date", "2026-01-02"];
    let status = || {
        let said = fixture.t3b(&["status", "out/_t3b/runs/r", "--json"]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    assert_eq!(fixture.t3b(&["status", "out/_t3b/runs/none"]).status.code(), Some(78), "no such root");
    fixture.t3b(&[&args[..], &["--shard", "0/3"]].concat());
    let part = status();
    assert_eq!((part["n_committed"].as_u64(), part["n_partitions"].as_u64()), (Some(1), Some(3)));
    assert_eq!(part["missing"], serde_json::json!([1, 2]));
    assert_eq!((part["is_published"].as_bool(), part["n_scored"].as_u64()), (Some(false), Some(16 * 5)));
    assert_eq!(fixture.t3b(&["status", "out/_t3b/runs/none"]).status.code(), Some(2), "no such run");
    fixture.t3b(&args);
    let whole = status();
    assert_eq!(
        (whole["missing"].clone(), whole["is_published"].as_bool()),
        (serde_json::json!([]), Some(true))
    );
    assert!(whole["rate_per_min"].as_f64().is_some_and(|rate| rate > 0.0), "{whole}");
}

#[test]
fn tidy_deletes_exactly_what_no_receipt_names_and_never_of_an_open_partition() {
    let fixture = Fixture::new();
    let reference = probed_store();
    let clean = Faults::at(&[]);
    live(&fixture, &reference, &clean, PATIENT);
    let n_cases = if is_full() { clean.n_seen() } else { 5 };
    let now = Duration::ZERO;
    for case in 0..n_cases {
        let operation = case * clean.n_seen() / n_cases;
        let store = probed_store();
        live(&fixture, &store, &Faults::at(&[(operation, Fault::Die(Side::After))]), PATIENT);
        let tidied = |delete, age| runtime().block_on(tidy(&root(&store), "r", delete, age));
        if objects(&store, "_t3b/runs/r/plan.json").is_empty() && tidied(false, now).is_err() {
            continue;
        }
        // In the middle of a run: what is staged without a receipt stays, for a worker may yet name it.
        let open = tidied(true, now).unwrap();
        assert_eq!(open.n_deleted, 0, "operation {operation}: {open:?}");
        live(&fixture, &store, &Faults::at(&[]), PATIENT);
        let dry = tidied(false, now).unwrap();
        assert_eq!((dry.n_deleted, dry.n_undecided), (0, 0));
        assert_eq!(tidied(true, Duration::from_secs(3600)).unwrap().n_deleted, 0, "too young");
        let done = tidied(true, now).unwrap();
        assert_eq!(done.n_deleted, dry.orphans.len());
        assert_eq!(objects(&store, "_t3b/runs/r/stage").len(), 15, "operation {operation}");
        assert!(promised(&store) == promised(&reference));
        runtime().block_on(t3b::ledger::verify(&root(&store), "r")).unwrap();
    }
    let seen = runtime().block_on(status(&root(&reference), "r", None)).unwrap();
    assert_eq!((seen.n_committed, seen.n_canaries), (3, 1));
    eprintln!("tidy: {n_cases} crash points, no named object lost, no orphan left");
}

#[test]
fn tidy_finds_what_a_kill_left_half_written_on_a_local_disk() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let whole = fixture.files("out");
    let half = "out/_t3b/runs/r/stage/00001.0123456789abcdef0123456789abcdef.signals.parquet#1";
    fs::write(fixture.path(half), b"half").unwrap();
    let tidy = |more: &[&str]| {
        let said = fixture.t3b(&[&["tidy", "out/_t3b/runs/r"], more].concat());
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(!tidy(&[]).contains("#1"), "younger than a week");
    assert!(tidy(&["--older-than", "0s"]).contains("#1"));
    assert!(fixture.path(half).exists(), "a dry run");
    tidy(&["--older-than", "0s", "--delete"]);
    assert!(fixture.files("out") == whole);
}

#[test]
fn random_slots_are_reproduced_and_a_changed_row_is_named() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let reproduce = || {
        let args = ["reproduce", "pipeline.toml", "--output", "out", "--run-id", "r", "--slots", "10"];
        let said = fixture.t3b(&args);
        let text =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        (said.status.code(), text)
    };
    let (code, text) = reproduce();
    assert!(code == Some(0) && text.contains("5 of 5 slots are equal in every bit"), "{text}");
    // Another seed's signals under the same names, as a silent change would leave them.
    fixture.run("other", &[("run.seed", "9")]).unwrap();
    let part = "tables/signals/run_date=2026-01-02/run_id=r/part-00001.parquet";
    fs::copy(fixture.path("other").join(part), fixture.path("out").join(part)).unwrap();
    let (code, text) = reproduce();
    assert!(code == Some(65) && text.contains("V004") && text.contains("3 of 5"), "{text}");
    assert!(text.contains("slot 2 of signals") && text.contains("slot 3 of signals"), "{text}");
}

fn text_of(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn other_numerics_are_refused_unless_allowed_and_then_recorded() {
    let fixture = Fixture::new();
    run_shard(&fixture, "0/3");
    let plan = fixture.path("out/_t3b/runs/r/plan.json");
    let text = fs::read_to_string(&plan).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let canary = value["canary"].as_str().unwrap();
    assert_eq!(canary.len(), 64);
    let changed =
        crate::unharmed::sealed::resealed(&text, "plan_sha256", |text| text.replace(canary, &"0".repeat(64)));
    let hash = |plan: &str| plan.split("\"plan_sha256\": \"").nth(1).unwrap()[..64].to_owned();
    let receipt = fixture.path("out/_t3b/runs/r/receipts/00000.json");
    let first = fs::read_to_string(&receipt).unwrap();
    let follows = |text: &str| text.replace(&hash(&text_of(&plan)), &hash(&changed));
    fs::write(&receipt, crate::unharmed::sealed::resealed(&first, "receipt_sha256", follows)).unwrap();
    fs::write(&plan, &changed).unwrap();
    let error = fixture.run("out", &[]).unwrap_err();
    assert_eq!((error.problems()[0].code, error.exit()), ("R004", Exit::Config));
    let allowed =
        fixture.t3b(&["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--allow-other-numerics"]);
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    let receipt = fs::read_to_string(fixture.path("out/_t3b/runs/r/receipts/00001.json")).unwrap();
    assert!(receipt.contains(canary));
}

#[test]
fn the_canary_does_not_depend_on_threads() {
    let fixture = Fixture::new();
    let mut canaries = std::collections::BTreeSet::new();
    for threads in ["1", "2", "3"] {
        fixture.run(threads, &[("threads.score", threads)]).unwrap();
        let plan = fs::read(fixture.path(threads).join("_t3b/runs/r/plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_slice(&plan).unwrap();
        canaries.insert(plan["canary"].as_str().unwrap().to_owned());
    }
    assert_eq!(canaries.len(), 1);
}

#[test]
fn a_model_that_answers_nan_fails_the_run_and_publishes_nothing() {
    let fixture = Fixture::new();
    fixture.overwrite_weights("expert", "visual_projection.weight", 3e38);
    let error = fixture.run("out", &[]).unwrap_err();
    assert_eq!((error.problems()[0].code, error.exit()), ("N001", Exit::BadData), "{error}");
    assert!(!fixture.path("out/tables/predictions").exists());
}

#[test]
fn a_stalled_run_ends_and_names_the_stage() {
    let fixture = Fixture::new();
    let clean = Faults::at(&[]);
    live(&fixture, &probed_store(), &clean, PATIENT);
    // The first operations of a run are the manifest's and the plan's; the last ones publish.
    let mut named = std::collections::BTreeSet::new();
    for operation in (5..clean.n_seen() * 2 / 3).step_by(if is_full() { 1 } else { 9 }) {
        let store = probed_store();
        let stall = Faults::at(&[(operation, Fault::Stall)]);
        // The store's own deadline would be sooner in a real run; here only the watchdog can end it.
        let set = [("stop.stall_deadline_s", "1")];
        match live_with(&fixture, &store, &stall, Duration::from_secs(3), &set) {
            End::Failed(error) => {
                assert_eq!(error.exit(), Exit::StoreIo, "{error}");
                if error.problems()[0].code == "P002" {
                    named.insert(
                        error
                            .to_string()
                            .split("stage ")
                            .nth(1)
                            .unwrap()
                            .split(' ')
                            .next()
                            .unwrap()
                            .to_owned(),
                    );
                }
            }
            // Creates are asked again, and an attempts row is not worth waiting for.
            End::Done(_) => {}
            End::Died => unreachable!("nothing here dies"),
        }
    }
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["sink", "source"]);
}

#[test]
fn every_attempt_has_a_row_outside_the_promise() {
    let fixture = Fixture::new();
    run_shard(&fixture, "0/2");
    fixture.run("out", &[]).unwrap();
    fixture.run("out", &[]).unwrap();
    let attempts = table(&fixture.path("out"), "attempts");
    assert_eq!(attempts.n_rows, 2, "a call with nothing to do writes nothing");
    let mut partitions = attempts.number("n_partitions");
    partitions.sort_by(f64::total_cmp);
    assert_eq!(partitions, [1.0, 2.0]);
    assert_eq!(attempts.text("outcome"), ["done", "done"]);
}

#[test]
fn verify_names_every_flip_deletion_and_addition() {
    let fixture = Fixture::new();
    let store = probed_store();
    live(&fixture, &store, &Faults::at(&[]), PATIENT);
    let whole = objects(&store, "tables");
    let names: Vec<String> = whole
        .keys()
        .filter(|name| !name.starts_with("tables/attempts/") && !whole[*name].is_empty())
        .cloned()
        .collect();
    let mut dice = Dice::new(500);
    let n_cases = if is_full() { 500 } else { 60 };
    let (runtime, root) = (runtime(), root(&store));
    for case in 0..n_cases {
        let name = &names[usize::try_from(dice.below(names.len() as u64)).unwrap()];
        let mut bytes = whole[name].clone();
        let place = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        let (code, wrong) = match case % 3 {
            0 => {
                bytes[place] ^= 1 << dice.below(8);
                runtime.block_on(root.write(name, "object", bytes.into())).unwrap();
                ("V002", name.clone())
            }
            1 => {
                runtime.block_on(root.delete(name, "object")).unwrap();
                ("V001", name.clone())
            }
            _ => {
                let extra = format!("{name}.{case}");
                runtime.block_on(root.write(&extra, "object", bytes.into())).unwrap();
                ("V003", extra)
            }
        };
        let error = runtime.block_on(t3b::ledger::verify(&root, "r")).expect_err(&wrong);
        let problem = &error.problems()[0];
        assert_eq!((error.problems().len(), problem.code), (1, code), "{wrong}: {error}");
        assert!(problem.what.contains(&wrong), "{wrong}: {error}");
        if code == "V003" {
            runtime.block_on(root.delete(&wrong, "object")).unwrap();
        } else {
            runtime.block_on(root.write(name, "object", whole[name].clone().into())).unwrap();
        }
    }
    runtime.block_on(t3b::ledger::verify(&root, "r")).unwrap();
    eprintln!("verify: {n_cases}/{n_cases} named");
}
