//! Full form: `T3B_FULL=1 cargo test --test it -- signals:: --nocapture`. The times are printed, not asserted: a run
//! that hangs hangs its test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::faults::Dice;
use crate::process::is_full;
use crate::signal::{is_stopped, send};
use crate::support::Fixture;

const ARGS: [&str; 8] =
    ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--run-date", "2026-01-02"];

fn spawn(fixture: &Fixture, crash_at: &str, more: &[&str]) -> Child {
    let mut command = fixture.command(&[&ARGS[..], more].concat());
    command.env("T3B_CRASH_AT", crash_at).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A root that has passed the probe, whose operations would hide the few of the run.
fn fresh(fixture: &Fixture) {
    let _gone = fs::remove_dir_all(fixture.path("out"));
    fs::create_dir_all(fixture.path("out/_t3b/probe")).unwrap();
    fs::write(fixture.path("out/_t3b/probe/passed.json"), "{}").unwrap();
}

fn resume(fixture: &Fixture, reference: &BTreeMap<String, Vec<u8>>, case: &str) {
    let said = fixture.t3b(&ARGS);
    assert!(said.status.success(), "{case}: {}", String::from_utf8_lossy(&said.stderr));
    assert!(&fixture.published("out") == reference, "{case}: other bytes");
}

/// Store operations of a clean run of the binary.
fn n_operations(fixture: &Fixture) -> u64 {
    let (mut low, mut high) = (0, 1024);
    while low < high {
        let middle = (low + high) / 2;
        fresh(fixture);
        let mut child = spawn(fixture, &format!("before:{middle}"), &[]);
        if child.wait().unwrap().success() { high = middle } else { low = middle + 1 }
    }
    low
}

fn prepared() -> (Fixture, BTreeMap<String, Vec<u8>>, u64) {
    let fixture = Fixture::new();
    fixture.run("reference", &[]).unwrap();
    let (reference, n) = (fixture.published("reference"), n_operations(&fixture));
    (fixture, reference, n)
}

#[test]
fn the_binary_killed_at_any_store_operation_resumes_to_the_same_bytes() {
    let (fixture, reference, n) = prepared();
    let mut n_cases = 0;
    for operation in (0..n).step_by(if is_full() { 1 } else { 29 }) {
        for side in ["before", "after"] {
            fresh(&fixture);
            let mut child = spawn(&fixture, &format!("{side}:{operation}"), &[]);
            assert_eq!(child.wait().unwrap().code(), None, "killed, not ended");
            resume(&fixture, &reference, &format!("{side}:{operation}"));
            n_cases += 1;
        }
    }
    eprintln!("binary, SIGKILL: {n_cases}/{n_cases} of {} equal", 2 * n);
}

#[test]
fn sigterm_at_any_time_ends_with_75_and_is_resumed() {
    let (fixture, reference, n) = prepared();
    let mut dice = Dice::new(3);
    let n_cases = if is_full() { 30 } else { 4 };
    let mut longest_s = 0.0_f64;
    for _ in 0..n_cases {
        // While it scores: once it publishes it has nothing to drain, and ends well.
        let operation = dice.below(n * 2 / 5);
        fresh(&fixture);
        let started = Instant::now();
        let mut child = spawn(&fixture, &format!("after:{operation}:TERM"), &[]);
        assert_eq!(child.wait().unwrap().code(), Some(75), "operation {operation}");
        longest_s = longest_s.max(started.elapsed().as_secs_f64());
        resume(&fixture, &reference, &format!("SIGTERM at {operation}"));
    }
    eprintln!("SIGTERM: {n_cases}/{n_cases} exit 75, equal; longest {longest_s:.2} s of 25 s");
}

#[test]
fn sigterm_while_no_write_is_answered_ends_with_75_by_the_deadline() {
    let (fixture, reference, n) = prepared();
    let mut dice = Dice::new(4);
    let n_cases = if is_full() { 30 } else { 2 };
    let mut longest_s = 0.0_f64;
    for _ in 0..n_cases {
        // Before the last writes, so that one of them hangs.
        let operation = dice.below(n - 10);
        fresh(&fixture);
        let started = Instant::now();
        let crash_at = format!("before:{operation}:HOLD,before:{operation}:TERM");
        let mut child = spawn(&fixture, &crash_at, &["--set", "stop.drain_deadline_s=1"]);
        assert_eq!(child.wait().unwrap().code(), Some(75), "operation {operation}");
        longest_s = longest_s.max(started.elapsed().as_secs_f64());
        resume(&fixture, &reference, &format!("black hole at {operation}"));
    }
    eprintln!(
        "SIGTERM, black-holed PUTs: {n_cases}/{n_cases} exit 75, equal; longest {longest_s:.2} s of 1 s + run"
    );
}

#[test]
fn a_second_signal_does_not_wait() {
    let (fixture, reference, n) = prepared();
    fresh(&fixture);
    let crash_at = format!("before:{0}:HOLD,before:{0}:TERM", n / 2);
    let mut child = spawn(&fixture, &crash_at, &["--set", "stop.drain_deadline_s=86400"]);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("finishing the open partition")));
    send(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(lines.any(|line| line.contains("P001")));
    resume(&fixture, &reference, "second signal");
}

#[test]
fn a_worker_that_slept_through_the_whole_run_changes_nothing() {
    let (fixture, reference, n) = prepared();
    let n_rounds = if is_full() { 20 } else { 3 };
    let mut n_slept = 0;
    for round in 0..n_rounds {
        fresh(&fixture);
        let operation = round * n / n_rounds;
        let mut zombie = spawn(&fixture, &format!("before:{operation}:STOP"), &[]);
        let is_asleep = is_stopped(&mut zombie);
        let other = fixture.t3b(&ARGS);
        assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
        let receipts = || fixture.files("out/_t3b/runs/r/receipts");
        let before = receipts();
        if is_asleep {
            send(&zombie, "CONT");
            n_slept += 1;
        }
        let woken = zombie.wait_with_output().unwrap();
        assert!(woken.status.success(), "operation {operation}: {}", String::from_utf8_lossy(&woken.stderr));
        assert!(receipts() == before && before.len() == 3, "operation {operation}: a receipt has changed");
        assert!(fixture.published("out") == reference, "operation {operation}");
    }
    assert!(n_slept > 0);
    eprintln!(
        "zombies: {n_rounds}/{n_rounds} equal, one receipt each, {n_slept} woke after the other had published"
    );
}
