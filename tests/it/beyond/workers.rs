use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::Fixture;

const ARGS: [&str; 12] = [
    "worker",
    "pipeline.toml",
    "--output",
    "out",
    "--run-id",
    "r",
    "--run-date",
    "2026-01-02",
    "--set",
    "run.partition_size=8",
    "--set",
    "worker.claim_age_s=2",
];

fn prepared() -> Fixture {
    let fixture = Fixture::new();
    fixture.run("reference", &[("run.partition_size", "8")]).unwrap();
    fs::create_dir_all(fixture.path("out/_t3b/probe")).unwrap();
    fs::write(fixture.path("out/_t3b/probe/passed.json"), "{}").unwrap();
    fixture
}

fn start(fixture: &Fixture, name: &str, crash_at: Option<&str>) -> Child {
    let mut command = fixture.command(&[&ARGS[..], &["--name", name]].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(point) = crash_at {
        command.env("T3B_CRASH_AT", point);
    }
    command.spawn().unwrap()
}

/// Ends a worker by the signal at the first of its store operations behind a claim, in steps.
fn ended_with_a_claim(fixture: &Fixture, name: &str, signal: &str) -> Output {
    for operation in (20..).step_by(3) {
        let said =
            start(fixture, name, Some(&format!("after:{operation}:{signal}"))).wait_with_output().unwrap();
        let claims = fs::read_dir(fixture.path("out/_t3b/runs/r/claims"));
        if claims.is_ok_and(|mut claims| claims.next().is_some()) {
            return said;
        }
        assert!(!said.status.success(), "no operation {operation}");
    }
    unreachable!("a run has an end")
}

fn status(fixture: &Fixture, set: &str) -> Value {
    let uri = fixture.path("out/_t3b/runs/r").to_string_lossy().into_owned();
    let said = fixture.t3b(&["status", &uri, "--json", "--set", set]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn three_processes_of_which_one_is_killed_finish_the_run_and_status_names_them() {
    let fixture = prepared();
    // Killed with a claim and without a receipt for it.
    let killed = ended_with_a_claim(&fixture, "killed", "KILL");
    assert_eq!(killed.status.code(), None, "{}", String::from_utf8_lossy(&killed.stderr));
    let seen = status(&fixture, "worker.claim_age_s=1");
    let worker = &seen["workers"][0];
    assert_eq!(worker["worker"], "killed");
    assert!(!worker["open"].as_array().unwrap().is_empty(), "{seen:#}");
    let others = [start(&fixture, "a", None), start(&fixture, "b", None)];
    for other in others {
        let said = other.wait_with_output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert!(fixture.published("out") == fixture.published("reference"));
    let seen = status(&fixture, "worker.claim_age_s=1");
    assert_eq!((&seen["n_committed"], seen["stragglers"].as_array().unwrap().len()), (&5.into(), 0));
    assert!(seen["n_reissued"].as_u64().unwrap() > 0, "{seen:#}");
    let by_worker: u64 =
        seen["workers"].as_array().unwrap().iter().map(|one| one["n_committed"].as_u64().unwrap()).sum();
    assert_eq!(by_worker, 5, "{seen:#}");
}

/// Two workers commit in step: between their receipts lies a moment, and between the plan and the receipts all their work.
#[test]
fn a_rate_is_that_of_the_work_and_not_of_the_moment_between_two_receipts() {
    let fixture = prepared();
    for other in [start(&fixture, "a", None), start(&fixture, "b", None)] {
        assert!(other.wait_with_output().unwrap().status.success());
    }
    let run = fixture.path("out/_t3b/runs/r");
    let planned = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let date = |file: PathBuf, at: SystemTime| fs::File::open(file).unwrap().set_modified(at).unwrap();
    date(run.join("plan.json"), planned);
    fs::remove_dir_all(run.join("claims")).unwrap();
    for n in 0..5 {
        let at = planned + Duration::from_millis(60_000 + 10 * n);
        date(run.join(format!("receipts/{n:05}.json")), at);
    }
    fs::remove_file(run.join("receipts/00004.json")).unwrap();
    let seen = status(&fixture, "worker.claim_age_s=1");
    let number = |name: &str| seen[name].as_f64().unwrap();
    assert!((number("rate_per_min") - 4.0).abs() < 0.01, "four in a minute: {seen:#}");
    assert!((number("eta_s") - 15.0).abs() < 0.1, "{seen:#}");
    let rates: f64 =
        seen["workers"].as_array().unwrap().iter().filter_map(|one| one["rate_per_min"].as_f64()).sum();
    assert!((rates - 4.0).abs() < 0.01, "the workers' rates are the run's: {seen:#}");
}

#[test]
fn a_worker_that_is_asked_to_stop_says_what_is_at_stake_and_leaves_nothing_to_wait_for() {
    let fixture = prepared();
    let drained = ended_with_a_claim(&fixture, "drained", "TERM");
    let told = String::from_utf8_lossy(&drained.stderr);
    assert_eq!(drained.status.code(), Some(75), "{told}");
    assert!(told.contains("at_stake_s"), "{told}");
    let seen = status(&fixture, "worker.claim_age_s=600");
    let open: usize =
        seen["workers"].as_array().unwrap().iter().map(|one| one["open"].as_array().unwrap().len()).sum();
    assert_eq!(open, 0, "what was claimed is committed or released: {seen:#}");
    let said = start(&fixture, "next", None).wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(fixture.published("out") == fixture.published("reference"));
}

#[test]
fn numbers_on_standard_input_are_answered_line_by_line() {
    let fixture = prepared();
    let mut command = fixture.command(&[&ARGS[..], &["--stdin"]].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut asks = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answer = || serde_json::from_str::<Value>(&answers.next().unwrap().unwrap()).unwrap();
    for (number, state) in
        [(3, "committed"), (0, "committed"), (3, "found"), (1, "committed"), (4, "committed")]
    {
        writeln!(asks, "{number}").unwrap();
        let told = answer();
        assert_eq!((&told["partition"], &told["state"]), (&number.into(), &state.into()));
        assert!(told["seconds"].as_f64().is_some(), "{told}");
    }
    writeln!(asks, "2").unwrap();
    drop(asks);
    assert_eq!(answer()["partition"], 2);
    assert!(answers.next().is_none(), "nothing else stands on the output");
    assert!(child.wait().unwrap().success());
    assert!(fixture.published("out") == fixture.published("reference"), "the last one publishes");
    assert!(
        !fixture.path("out/_t3b/runs/r/claims/00000.0.json").exists(),
        "an engine's numbers are not claimed"
    );
}

#[test]
fn a_line_that_is_no_partition_ends_the_worker_with_usage() {
    let fixture = prepared();
    for line in ["5\n", "x\n", "-1\n", "99999999999999999999999999999999999999\n"] {
        let mut command = fixture.command(&[&ARGS[..], &["--stdin"]].concat());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let said = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.code() == Some(2) && told.contains("error[C032]"), "{line:?}: {told}");
    }
    let uri = fixture.path("out/_t3b/runs/r").to_string_lossy().into_owned();
    let said = fixture.t3b(&["worker", &uri]);
    assert!(said.status.code() == Some(2), "a worker needs a pipeline");
}
