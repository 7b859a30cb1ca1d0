//! Full form: `T3B_FULL=1 cargo test --test it -- network:: --nocapture`. Skipped where moto is not set up.

use std::process::Stdio;
use std::time::Instant;

use crate::faults::Dice;
use crate::moto::Moto;
use crate::process::is_full;
use crate::proxy::{Dose, Proxy, Toxic};
use crate::support::Fixture;

/// Short enough that a dead store is given up soon, long enough for a healthy one on a busy machine.
const HURRY: [&str; 10] = [
    "--set",
    "store.read_timeout_s=2",
    "--set",
    "store.request_timeout_s=4",
    "--set",
    "store.retry_budget_s=12",
    "--set",
    "store.operation_deadline_s=15",
    "--set",
    "store.max_retries=6",
];

fn resume(moto: &Moto, fixture: &Fixture, prefix: &str, case: &str) {
    let said = Moto::command(fixture, moto.port, prefix, &[]).output().unwrap();
    assert!(said.status.success(), "{case}: {}", String::from_utf8_lossy(&said.stderr));
    assert!(moto.published(prefix) == fixture.published("reference"), "{case}: other bytes");
}

#[test]
fn a_spoiled_network_ends_in_the_same_tables_or_in_74() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.stock(&fixture);
    fixture.run("reference", &[]).unwrap();
    let mut longest_s = 0.0_f64;
    let (mut n_cases, mut n_equal, mut n_hits) = (0, 0, 0);
    for (n, toxic) in Toxic::ALL.into_iter().enumerate() {
        for writes in [false, true] {
            let is_flip = toxic == Toxic::FlipByte;
            if !is_full() && !is_flip && (n + usize::from(writes)) % 4 != 1 {
                continue;
            }
            let case = format!("{toxic:?}, {}", if writes { "writes" } else { "reads" });
            let prefix = format!("toxic-{n}-{writes}");
            moto.mark_probed(&prefix);
            let proxy = Proxy::start(
                moto.port,
                Dose { toxic, writes, percent: if is_full() || is_flip { 20 } else { 5 } },
                n as u64,
            );
            let started = Instant::now();
            let said = Moto::command(&fixture, proxy.port, &prefix, &HURRY).output().unwrap();
            longest_s = longest_s.max(started.elapsed().as_secs_f64());
            let text = String::from_utf8_lossy(&said.stderr);
            match said.status.code() {
                Some(0) => n_equal += 1,
                Some(74) => {}
                // A manifest, a plan or a receipt that is spoiled on its way is refused as what it then is.
                Some(65 | 76 | 78) if toxic == Toxic::FlipByte => {}
                other => panic!("{case}: {other:?} {text}"),
            }
            n_hits += proxy.n_hits();
            n_cases += 1;
            if is_flip && writes {
                // moto takes damaged uploads. What was staged is read back; what was created is refused later, by name.
                let said = Moto::command(&fixture, moto.port, &prefix, &[]).output().unwrap();
                let is_equal = || moto.published(&prefix) == fixture.published("reference");
                let is_refused = matches!(said.status.code(), Some(65 | 76 | 78));
                assert!(is_refused || is_equal(), "{case}: {}", String::from_utf8_lossy(&said.stdout));
                continue;
            }
            resume(&moto, &fixture, &prefix, &case);
        }
    }
    assert!(n_hits > 0);
    eprintln!(
        "toxics: {n_cases}/{n_cases} equal after resume, {n_equal} without one; {n_hits} exchanges spoiled, longest {longest_s:.1} s"
    );
}

#[test]
fn a_store_that_never_answers_ends_in_74() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.stock(&fixture);
    fixture.run("reference", &[]).unwrap();
    for writes in [false, true] {
        let prefix = format!("hole-{writes}");
        moto.mark_probed(&prefix);
        let proxy = Proxy::start(moto.port, Dose { toxic: Toxic::BlackHole, writes, percent: 100 }, 1);
        let started = Instant::now();
        let said = Moto::command(&fixture, proxy.port, &prefix, &HURRY).output().unwrap();
        assert_eq!(said.status.code(), Some(74), "{}", String::from_utf8_lossy(&said.stderr));
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("black hole, writes {writes}: exit 74 after {seconds:.1} s, operation deadline 15 s");
        resume(&moto, &fixture, &prefix, &prefix);
    }
}

#[test]
fn killed_again_and_again_against_a_server_it_ends_with_the_same_bytes() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.stock(&fixture);
    fixture.run("reference", &[]).unwrap();
    let mut dice = Dice::new(50);
    let n_runs = if is_full() { 50 } else { 3 };
    let mut n_kills = 0;
    for run in 0..n_runs {
        let prefix = format!("killed-{run}");
        moto.mark_probed(&prefix);
        for _ in 0..=dice.below(5) {
            // A random operation of the 130 or so is a random time that a seed repeats.
            let side = ["before", "after"][usize::try_from(dice.below(2)).unwrap()];
            let crash_at = format!("{side}:{}", dice.below(130));
            let mut command = Moto::command(&fixture, moto.port, &prefix, &[]);
            let status =
                command.env("T3B_CRASH_AT", crash_at).stdout(Stdio::null()).stderr(Stdio::null()).status();
            n_kills += u64::from(status.unwrap().code().is_none());
        }
        resume(&moto, &fixture, &prefix, &format!("run {run}"));
    }
    eprintln!("SIGKILL against moto: {n_runs}/{n_runs} equal, {n_kills} kills");
}
