//! `t3b discard` beside a worker: refused while somebody works on the run, and harmless where it is done all the same.

use std::fs;
use std::process::{Child, Stdio};

use super::first_day::say;
use crate::process::is_full;
use crate::signal::{is_stopped, send};
use crate::support::{Fixture, run_to};

const URI: &str = "out/_t3b/runs/r";

/// A root that has passed the probe, whose operations would hide the few of the run.
fn fresh(fixture: &Fixture) {
    let _gone = fs::remove_dir_all(fixture.path("out"));
    fs::create_dir_all(fixture.path("out/_t3b/probe")).unwrap();
    fs::write(fixture.path("out/_t3b/probe/passed.json"), "{}").unwrap();
}

/// A run that falls asleep before a store operation.
fn sleeper(fixture: &Fixture, operation: u64) -> Child {
    let mut command = fixture.command(&run_to("out"));
    command.env("T3B_CRASH_AT", format!("before:{operation}:STOP"));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The first operation before which the run sleeps with something committed.
fn asleep_with_a_receipt(fixture: &Fixture) -> (Child, u64) {
    for operation in (20..200).step_by(8) {
        fresh(fixture);
        let mut child = sleeper(fixture, operation);
        assert!(is_stopped(&mut child), "the run ended before anything was committed");
        if !fixture.files("out/_t3b/runs/r/receipts").is_empty() {
            return (child, operation);
        }
        send(&child, "KILL");
        child.wait().unwrap();
    }
    panic!("no operation of the run comes after a receipt");
}

fn woken(child: Child) -> (Option<i32>, String) {
    send(&child, "CONT");
    let said = child.wait_with_output().unwrap();
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

/// N18: a run that somebody works on is not withdrawn by accident, and nothing of it is touched.
#[test]
#[cfg(debug_assertions)]
fn n18_a_run_at_work_is_not_withdrawn_and_the_message_says_how_old_its_last_word_is() {
    let fixture = Fixture::new();
    let (child, _) = asleep_with_a_receipt(&fixture);
    let before = fixture.files("out");
    let (code, text) = say(&fixture, &["discard", URI]);
    assert!(code == 0 && text.contains("would delete") && text.contains("at work"), "{text}");
    let (code, text) = say(&fixture, &["discard", URI, "--delete"]);
    assert_eq!(code, 76, "{text}");
    for word in ["R013", " s old", "of 3 partitions are committed", "--older-than 0s"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(fixture.files("out") == before, "a refused withdrawal has changed something");
    let (code, text) = woken(child);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = say(&fixture, &["verify", URI]);
    assert_eq!(code, 0, "{text}");
    // A published run has nobody at work on it.
    let (code, text) = say(&fixture, &["discard", URI, "--delete"]);
    assert_eq!(code, 0, "{text}");
}

/// N18: a run whose worker said that it ended may go at once.
#[test]
fn n18_an_interrupted_run_is_withdrawn_at_once() {
    let fixture = Fixture::new();
    let run = run_to("out");
    let (code, text) = say(&fixture, &[&run[..], &["--shard", "0/3"]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, text) = say(&fixture, &["discard", URI, "--delete"]);
    assert!(code == 0 && text.contains("not published"), "{text}");
    assert!(fixture.files("out/_t3b/runs").is_empty() && fixture.files("out/tables").is_empty());
}

/// N18: wherever a worker slept while its run was withdrawn, it ends with a message, publishes nothing and leaves nothing; and
/// where the run was begun anew meanwhile, not a byte of that is touched.
#[test]
#[cfg(debug_assertions)]
fn n18_a_worker_of_a_withdrawn_run_ends_with_a_message_and_leaves_nothing() {
    let fixture = Fixture::new();
    let stride = if is_full() { 1 } else { 11 };
    let (mut n_withdrawn, mut n_renewed) = (0, 0);
    for (round, operation) in (10..600).step_by(stride).enumerate() {
        fresh(&fixture);
        let mut child = sleeper(&fixture, operation);
        if !is_stopped(&mut child) {
            break;
        }
        let (code, text) = say(&fixture, &["discard", URI, "--delete", "--older-than", "0s"]);
        if code == 2 {
            // There was no plan yet: nothing is withdrawn.
            let (code, text) = woken(child);
            assert_eq!(code, Some(0), "operation {operation}: {text}");
            continue;
        }
        assert_eq!(code, 0, "operation {operation}: {text}");
        // What is published has ended: the worker that is left only reads and prints.
        let was_published = text.contains("run     r, published");
        let is_renewed = round % 2 == 1;
        if is_renewed {
            let said = fixture.t3b(&run_to("out"));
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            n_renewed += 1;
        }
        // A file that is half written has another name, which no listing has, until it is whole.
        let files = || {
            let mut files = fixture.files("out");
            files.retain(|name, _| !name.contains('#'));
            files
        };
        let before = files();
        let (code, text) = woken(child);
        assert!(
            code == Some(76) || (was_published && code == Some(0)),
            "operation {operation}: {code:?} {text}"
        );
        let is_told = text.contains("R012") && text.contains("withdrawn");
        assert!(is_told || code == Some(0), "operation {operation}: {text}");
        let changed: Vec<String> = {
            let after = files();
            let names = before.keys().chain(after.keys());
            names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
        };
        assert!(changed.is_empty(), "operation {operation}, renewed: {is_renewed}: {changed:?}");
        if is_renewed {
            let (code, text) = say(&fixture, &["verify", URI]);
            assert_eq!(code, 0, "operation {operation}: {text}");
        } else {
            assert!(fixture.files("out/tables").is_empty(), "operation {operation}");
            assert!(fixture.files("out/_t3b/runs").is_empty(), "operation {operation}");
        }
        assert_eq!(fixture.files("out/_t3b/discarded").len(), 1, "a record stays");
        n_withdrawn += 1;
    }
    println!("withdrawn under a worker: {n_withdrawn}, {n_renewed} of them begun anew before it woke");
    assert!(n_withdrawn > 4 && n_renewed > 2);
}

/// A withdrawal that was cut short is finished by the next call, and a run that is begun meanwhile says so.
#[test]
#[cfg(debug_assertions)]
fn n18_a_withdrawal_that_was_cut_short_is_taken_up_again() {
    let fixture = Fixture::new();
    assert!(fixture.t3b(&run_to("out")).status.success());
    let mut n_cut = 0;
    for operation in (8..40).step_by(6) {
        let mut command = fixture.command(&["discard", URI, "--delete"]);
        let said = command.env("T3B_CRASH_AT", format!("before:{operation}")).output().unwrap();
        n_cut += usize::from(!said.status.success());
        if said.status.success() || fixture.files("out/_t3b/discarded").is_empty() {
            continue;
        }
        let (code, text) = say(&fixture, &run_to("out"));
        assert!(code == 76 && text.contains("R012") && text.contains("t3b discard"), "{text}");
        break;
    }
    assert!(n_cut > 0);
    let (code, text) = say(&fixture, &["discard", URI, "--delete", "--older-than", "0s"]);
    assert!(code == 0 || text.contains("R009"), "{text}");
    assert!(fixture.files("out/tables").is_empty() && fixture.files("out/_t3b/runs").is_empty());
    assert!(fixture.t3b(&run_to("out")).status.success());
}
