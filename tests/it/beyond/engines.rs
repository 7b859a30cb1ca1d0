use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use t3b::error::Exit;

use crate::support::{python, repo};

/// The codes of one kind, ascending.
fn codes(kind: &str) -> Vec<u8> {
    let is_of = |exit: &Exit| match kind {
        "again" => exit.is_mended_by_repeating(),
        "person" => !exit.is_mended_by_repeating() && *exit != Exit::Done,
        other => panic!("no kind of codes is called {other}"),
    };
    Exit::ALL.into_iter().filter(is_of).map(Exit::code).collect()
}

/// A line with its list of codes as the program has them; lines without a mark stay.
fn rendered(line: &str) -> String {
    let Some((text, kind)) = line.split_once("# exit codes: ") else { return line.to_owned() };
    let is_open = |c: char| matches!(c, '[' | '(' | '"');
    let opens = text.rfind(['[', '(']).or_else(|| text.find(is_open)).unwrap();
    let closes = opens + 1 + text[opens + 1..].find([']', ')', '"']).unwrap();
    let between = if text[opens..].starts_with('"') { " " } else { ", " };
    let list: Vec<String> = codes(kind.trim()).iter().map(u8::to_string).collect();
    format!("{}{}{}# exit codes: {kind}", &text[..=opens], list.join(between), &text[closes..])
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// `T3B_BLESS=1` writes the files instead, after a change of the list in `src/error.rs`.
#[test]
fn the_lists_of_exit_codes_in_deploy_are_made_from_the_programs() {
    let mut n_marks = 0;
    for path in files(&repo("deploy")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        n_marks += text.matches("# exit codes: ").count();
        let made: String = text.lines().map(|line| rendered(line) + "\n").collect();
        if text.contains("# exit codes: ") && std::env::var_os("T3B_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        assert!(!text.contains("# exit codes: ") || text == made, "{}: run with T3B_BLESS=1", path.display());
    }
    assert!(n_marks >= 8, "{n_marks} lists are marked");
    assert_eq!(
        rendered("A=\"1 2\" # exit codes: again"),
        "A=\"74 75\" # exit codes: again",
        "a wrong list is seen"
    );
}

#[test]
fn the_documented_exit_codes_are_the_programs() {
    let text = fs::read_to_string(repo("docs/errors.md")).unwrap();
    let rows = text.split("## Codes").next().unwrap().lines().filter_map(|line| line.strip_prefix("| "));
    let documented: Vec<(u8, bool)> = rows
        .filter_map(|row| {
            Some((row.split(" | ").next()?.parse().ok()?, row.contains("run the same command again")))
        })
        .collect();
    let known: Vec<(u8, bool)> =
        Exit::ALL.into_iter().map(|exit| (exit.code(), exit.is_mended_by_repeating())).collect();
    assert_eq!(documented, known);
}

/// Batch looks at the rules in their order and takes the first that fits.
#[test]
fn batch_tries_again_what_can_be_mended_by_it_and_nothing_else() {
    let text = fs::read_to_string(repo("deploy/aws-batch/job-definition.json")).unwrap();
    let rules: Value = serde_json::from_str(&text).unwrap();
    let rules = rules["retryStrategy"]["evaluateOnExit"].as_array().unwrap();
    let fits = |rule: &Value, code: u8, reason: &str| {
        let is = |pattern: &Value, found: &str| {
            pattern.as_str().is_none_or(|pattern| match pattern.strip_suffix('*') {
                Some(start) => found.starts_with(start),
                None => found == pattern,
            })
        };
        is(&rule["onExitCode"], &code.to_string()) && is(&rule["onStatusReason"], reason)
    };
    let action = |code, reason| {
        let rule = rules.iter().find(|rule| fits(rule, code, reason)).unwrap();
        rule["action"].as_str().unwrap().to_owned()
    };
    for exit in Exit::ALL.into_iter().filter(|exit| *exit != Exit::Done) {
        let wanted = if exit.is_mended_by_repeating() { "RETRY" } else { "EXIT" };
        assert_eq!(action(exit.code(), "Essential container in task exited"), wanted, "{exit:?}");
    }
    assert_eq!(action(137, "Host EC2 (instance i-0) terminated."), "RETRY", "a machine that was taken away");
}

#[test]
fn the_files_have_the_forms_that_the_engines_take() {
    let Some(python) = python() else { return };
    let again: Vec<String> = codes("again").iter().map(u8::to_string).collect();
    let said = Command::new(python)
        .args(["tests/support/validate_engines.py", &again.join(","), &format!("{:?}", codes("person"))])
        .current_dir(repo(""))
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&said.stdout));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Whether the Python of the tests has a module.
fn has(python: &Path, module: &str) -> bool {
    let found =
        Command::new(python).args(["-c", &format!("import {module}")]).output().unwrap().status.success();
    if !found {
        eprintln!("skipped: no {module}, run T3B_FULL=1 bash tests/support/setup.sh");
    }
    found
}

/// Full form alone: `T3B_FULL=1 bash tests/support/setup.sh`, then `T3B_FULL=1 cargo test --test it -- ray_cluster --nocapture`.
/// Ray's nodes give up where they do not start within its own time, which a machine that runs other tests cannot promise.
#[test]
fn a_ray_cluster_that_loses_a_worker_a_node_or_the_driver_at_any_phase_writes_the_same_bytes() {
    if std::env::var_os("T3B_FULL").is_none() {
        println!("reduced: no Ray cluster; T3B_FULL=1 starts one");
        return;
    }
    let Some(python) = python().filter(|python| has(python, "ray")) else { return };
    let said = Command::new(python)
        .args(["tests/support/ray_cluster.py", env!("CARGO_BIN_EXE_t3b")])
        .current_dir(repo(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{told} {}", String::from_utf8_lossy(&said.stderr));
    eprintln!("{}", told.trim());
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 15, "five phases by three victims");
    for row in rows {
        let sum: u64 = ["committed", "lost", "found"].map(|state| row[state].as_u64().unwrap()).iter().sum();
        assert_eq!(sum, told["n_partitions"].as_u64().unwrap(), "each partition is answered once: {row}");
        assert_eq!(row["same"], true, "{row}");
        assert!(row["progress"].as_u64().unwrap() > 0, "lines of progress: {row}");
    }
    assert_eq!(
        told["cuda_visible_devices"],
        serde_json::json!(["0", "0", "0", "0"]),
        "four workers share a GPU"
    );
}

/// Full form alone, as root, with Debian's munge, slurmctld, slurmd and slurm-client.
#[test]
fn a_slurm_array_requeues_the_task_that_was_interrupted_and_writes_the_same_bytes() {
    if std::env::var_os("T3B_FULL").is_none() {
        println!("reduced: no Slurm; T3B_FULL=1 starts one");
        return;
    }
    let Some(python) = python() else { return };
    let said = Command::new(python)
        .args(["tests/support/slurm_sandbox.py", env!("CARGO_BIN_EXE_t3b")])
        .current_dir(repo(""))
        .output()
        .unwrap();
    eprint!("slurm: {}", String::from_utf8_lossy(&said.stdout));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
