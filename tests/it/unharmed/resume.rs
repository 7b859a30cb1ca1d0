use std::fs;
use std::path::Path;

use t3b::error::Exit;
use t3b::flow::stop::{Phase, stop};
use t3b::job::Outcome;

use crate::support::Fixture;

const ARGS: [&str; 8] =
    ["run", "pipeline.toml", "--output", "out", "--run-id", "r", "--run-date", "2026-01-02"];

fn n_receipts(out: &Path) -> usize {
    fs::read_dir(out.join("_t3b/runs/r/receipts")).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
    })
}

#[test]
fn a_run_killed_after_any_partition_resumes_to_the_same_bytes() {
    let fixture = Fixture::new();
    fixture.run("reference", &[]).unwrap();
    let reference = fixture.published("reference");
    for wanted in 0..3 {
        let out = fixture.path("out");
        let _gone = fs::remove_dir_all(&out);
        let mut child = fixture.command(&ARGS).stdout(std::process::Stdio::null()).spawn().unwrap();
        while n_receipts(&out) < wanted && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = fixture.t3b(&ARGS);
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert!(fixture.published("out") == reference, "killed with {wanted} partitions committed");
    }
}

#[test]
fn losing_any_object_before_the_receipt_costs_one_partition() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let reference = fixture.published("out");
    fs::remove_dir_all(fixture.path("out/tables")).unwrap();
    fs::remove_file(fixture.path("out/_t3b/runs/r/receipts/00001.json")).unwrap();
    assert!(matches!(fixture.run("out", &[]).unwrap(), Outcome::Published(_)));
    assert!(fixture.published("out") == reference);
    let staged = fs::read_dir(fixture.path("out/_t3b/runs/r/stage")).unwrap().count();
    assert_eq!(staged, 3 * 5 + 5, "only partition 1 was scored again");
}

#[test]
fn a_finished_run_is_left_alone() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let stamp = |name: &str| fs::metadata(fixture.path(name)).unwrap().modified().unwrap();
    let row = "out/tables/runs/run_date=2026-01-02/run_id=r/run.parquet";
    let before = (stamp(row), stamp("out/_t3b/runs/r/stage"), stamp("out/_t3b/runs/r/receipts"));
    let Outcome::AlreadyDone(done) = fixture.run("out", &[]).unwrap() else {
        panic!("nothing was left to do")
    };
    assert_eq!(done.n_written, 0);
    assert_eq!(before, (stamp(row), stamp("out/_t3b/runs/r/stage"), stamp("out/_t3b/runs/r/receipts")));
    let said = fixture.t3b(&ARGS);
    assert!(
        String::from_utf8_lossy(&said.stdout).contains("already complete: nothing to do, 0 objects written")
    );
}

#[test]
fn another_spec_under_the_same_run_id_is_refused_by_name() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let error = fixture.run("out", &[("merge.gamma", "0.7")]).unwrap_err();
    assert_eq!((error.problems()[0].code, error.exit()), ("R001", Exit::Config));
    assert!(error.to_string().contains("merge.gamma 0.5 -> 0.7"), "{error}");
    let manifest = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.trim_end()).unwrap();
    assert_eq!(fixture.run("out", &[]).unwrap_err().problems()[0].code, "R002");
}

#[test]
fn shards_publish_together_and_equal_one_worker() {
    let fixture = Fixture::new();
    fixture.run("reference", &[]).unwrap();
    let shard = |k: &str| {
        let done = fixture.t3b(&[&ARGS[..], &["--shard", k]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert!(shard("1/2").contains("2 partitions of the run are not committed yet"));
    assert!(!fixture.path("out/tables/predictions").exists(), "a part of a run is never visible");
    shard("0/2");
    assert!(fixture.published("out") == fixture.published("reference"));
}

#[test]
fn a_stop_before_the_first_partition_commits_nothing_and_can_be_resumed() {
    let fixture = Fixture::new();
    let (handle, asked) = stop();
    handle.ask(Phase::Draining);
    let error = fixture.run_until("out", &[], asked).unwrap_err();
    assert_eq!((error.exit(), n_receipts(&fixture.path("out"))), (Exit::Preempted, 0));
    fixture.run("out", &[]).unwrap();
}

#[test]
fn a_drain_finishes_the_open_partition() {
    let fixture = Fixture::new();
    let (handle, asked) = stop();
    let receipts = fixture.path("out");
    let watcher = std::thread::spawn(move || {
        while n_receipts(&receipts) < 1 {
            std::thread::yield_now();
        }
        handle.ask(Phase::Draining);
        handle
    });
    let ended = fixture.run_until("out", &[("queues.corrupted", "1"), ("fetch.concurrency", "1")], asked);
    let _kept_until_the_end = watcher.join().unwrap();
    if let Err(error) = ended {
        assert_eq!(error.exit(), Exit::Preempted);
        assert!(n_receipts(&fixture.path("out")) >= 1);
    }
    fixture.run("out", &[]).unwrap();
    fixture.run("reference", &[]).unwrap();
    assert!(fixture.published("out") == fixture.published("reference"));
}

#[test]
fn verify_names_what_changed_at_rest() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let verify = || {
        let said = fixture.t3b(&["verify", "out/_t3b/runs/r"]);
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    assert_eq!(verify().0, Some(0));
    let part = "out/tables/signals/run_date=2026-01-02/run_id=r/part-00001.parquet";
    let good = fs::read(fixture.path(part)).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    fs::write(fixture.path(part), &flipped).unwrap();
    let (code, text) = verify();
    assert!(code == Some(65) && text.contains("V002") && text.contains("signals"), "{text}");
    fs::remove_file(fixture.path(part)).unwrap();
    assert!(verify().1.contains("V001"));
    let finalized = fixture.t3b(&["finalize", "out/_t3b/runs/r"]);
    assert!(finalized.status.success());
    assert_eq!(fs::read(fixture.path(part)).unwrap(), good, "finalize restores it");
    fs::write(fixture.path("out/tables/signals/run_date=2026-01-02/run_id=r/part-9.parquet"), b"x").unwrap();
    assert!(verify().1.contains("V003"));
}

#[test]
fn a_run_that_is_not_complete_is_not_published() {
    let fixture = Fixture::new();
    fixture.t3b(&[&ARGS[..], &["--shard", "0/3"]].concat());
    let said = fixture.t3b(&["finalize", "out/_t3b/runs/r"]);
    assert_eq!(said.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&said.stderr).contains("2 of 3 partitions are not committed: 1, 2"));
}

#[test]
fn a_published_object_of_somebody_else_ends_with_76() {
    let fixture = Fixture::new();
    let args = |shard: &'static str| [&ARGS[..], &["--shard", shard]].concat();
    assert_eq!(fixture.t3b(&args("0/2")).status.code(), Some(0));
    let folder = fixture.path("out/tables/signals/run_date=2026-01-02/run_id=r");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("_SUCCESS"), b"somebody else's").unwrap();
    let said = fixture.t3b(&args("1/2"));
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(76) && text.contains("R006"), "{text}");
}
