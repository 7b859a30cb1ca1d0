//! Reduced by default; `T3B_FULL=1 cargo test --test it -- crash:: --nocapture` runs every case and prints figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use t3b::error::Exit;

use crate::faults::{Answer, Dice, Fault, Faults, LIES, Side};
use crate::process::{
    End, PATIENT, is_full, live, objects, probed_store, promised, resume_and_check, root, some_of,
};
use crate::support::{Fixture, runtime};

/// A clean run: its published bytes, and how many store operations it took.
fn reference(fixture: &Fixture) -> (BTreeMap<String, Vec<u8>>, u64) {
    let (store, faults) = (probed_store(), Faults::at(&[]));
    let end = live(fixture, &store, &faults, PATIENT);
    assert!(matches!(end, End::Done(_)), "{end:?}");
    (promised(&store), faults.n_seen())
}

/// Runs with one fault, then resumes and checks. A failed run must say that it can be resumed.
fn one(
    fixture: &Fixture,
    reference: &BTreeMap<String, Vec<u8>>,
    operation: u64,
    fault: Fault,
) -> Arc<InMemory> {
    let store = probed_store();
    let case = format!("{fault:?} at operation {operation}");
    // Only what never answers needs a short deadline.
    let deadline = if fault == Fault::Stall { Duration::from_millis(300) } else { PATIENT };
    match live(fixture, &store, &Faults::at(&[(operation, fault)]), deadline) {
        End::Failed(error) => {
            assert!(matches!(error.exit(), Exit::StoreIo | Exit::Permission), "{case}: {error}");
        }
        End::Died => assert!(matches!(fault, Fault::Die(_)), "{case}"),
        End::Done(_) => {}
    }
    resume_and_check(fixture, &store, reference, 1, &case);
    store
}

#[test]
fn dying_at_any_store_operation_changes_no_byte() {
    let fixture = Fixture::new();
    let (reference, n) = reference(&fixture);
    let mut n_cases = 0;
    for operation in some_of(n, 9) {
        for side in [Side::Before, Side::After] {
            one(&fixture, &reference, operation, Fault::Die(side));
            n_cases += 1;
        }
    }
    eprintln!("crash: {n_cases}/{n_cases} of {} equal, worst redo 1 partition", 2 * n);
}

#[test]
fn an_answer_that_lies_about_what_happened_changes_no_byte() {
    let fixture = Fixture::new();
    let (reference, n) = reference(&fixture);
    let lies = LIES.into_iter().chain([Fault::Truncate]);
    let mut n_cases = 0;
    for operation in some_of(n, 31) {
        for lie in lies.clone() {
            one(&fixture, &reference, operation, lie);
            n_cases += 1;
        }
    }
    eprintln!("ambiguous: {n_cases}/{n_cases} of {} equal", n * lies.count() as u64);
}

#[test]
fn no_right_no_space_and_no_answer_end_in_a_message_and_can_be_resumed() {
    let fixture = Fixture::new();
    let (reference, n) = reference(&fixture);
    let mut n_cases = 0;
    for operation in some_of(n, 23) {
        for fault in
            [Fault::Fail(Side::Before, Answer::Denied), Fault::Fail(Side::Before, Answer::Full), Fault::Stall]
        {
            one(&fixture, &reference, operation, fault);
            n_cases += 1;
        }
    }
    eprintln!("403, full, stalled: {n_cases}/{n_cases} of {} resumed to equal bytes", 3 * n);
}

#[test]
fn two_faults_one_in_the_run_and_one_in_its_resume_change_no_byte() {
    let fixture = Fixture::new();
    let (reference, n) = reference(&fixture);
    let mut dice = Dice::new(7);
    let n_pairs = if is_full() { 300 } else { 6 };
    for _ in 0..n_pairs {
        let mut fault = || {
            let faults = [
                Fault::Die(Side::Before),
                Fault::Die(Side::After),
                Fault::Fail(Side::After, Answer::Failed),
                Fault::Fail(Side::Before, Answer::Exists),
                Fault::Late,
            ];
            (dice.below(n), faults[usize::try_from(dice.below(5)).unwrap()])
        };
        let (first, second) = (fault(), fault());
        let store = probed_store();
        live(&fixture, &store, &Faults::at(&[first]), PATIENT);
        live(&fixture, &store, &Faults::at(&[second]), PATIENT);
        resume_and_check(&fixture, &store, &reference, 2, &format!("{first:?} then {second:?}"));
    }
    eprintln!("pairs: {n_pairs}/{n_pairs} equal");
}

#[test]
fn dying_while_the_store_is_probed_leaves_a_root_that_can_be_used() {
    let fixture = Fixture::new();
    let (reference, _) = reference(&fixture);
    let store = Arc::new(InMemory::new());
    let faults = Faults::at(&[]);
    live(&fixture, &store, &faults, PATIENT);
    let n = faults.n_seen();
    for operation in (0..n).step_by(if is_full() { 17 } else { 131 }) {
        let store = Arc::new(InMemory::new());
        live(&fixture, &store, &Faults::at(&[(operation, Fault::Die(Side::After))]), PATIENT);
        resume_and_check(&fixture, &store, &reference, 1, &format!("operation {operation} with the probe"));
    }
}

#[test]
fn the_run_becomes_visible_last() {
    let fixture = Fixture::new();
    let (store, faults) = (probed_store(), Faults::at(&[]));
    live(&fixture, &store, &faults, PATIENT);
    let applied = faults.applied();
    let place = |what: &str| applied.iter().rposition(|key| key.starts_with(what)).unwrap();
    let row = applied.iter().position(|key| key.starts_with("tables/runs/")).unwrap();
    assert_eq!(row, applied.len() - 1, "{applied:?}");
    let last_receipt = place("_t3b/runs/r/receipts/");
    let first_part = applied.iter().position(|key| key.starts_with("tables/predictions/")).unwrap();
    assert!(last_receipt < first_part, "published before every receipt");
}

#[test]
fn a_run_made_visible_before_every_receipt_would_be_noticed() {
    // The control: what the checks above would say if finalize did not wait.
    let fixture = Fixture::new();
    let (reference, _) = reference(&fixture);
    let store = probed_store();
    live(&fixture, &store, &Faults::at(&[]), PATIENT);
    let (root, runtime) = (root(&store), runtime());
    let mut gone: Vec<String> = objects(&store, "tables").into_keys().collect();
    gone.extend(objects(&store, "_t3b/runs/r/published").into_keys());
    gone.push("_t3b/runs/r/completed.json".to_owned());
    gone.push("_t3b/runs/r/receipts/00002.json".to_owned());
    for key in gone {
        runtime.block_on(root.delete(&key, "object")).unwrap();
    }
    let refused = runtime.block_on(t3b::ledger::finalize(&root, "r")).unwrap_err();
    assert_eq!(refused.problems()[0].code, "R008");
    let read = |key: &str| {
        let bytes = runtime.block_on(root.read(key, "object", 1 << 20)).unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let write = |key: &str, text: String| runtime.block_on(root.write(key, "object", text.into())).unwrap();
    let hash = |plan: &str| plan.split("\"plan_sha256\": \"").nth(1).unwrap()[..64].to_owned();
    let plan = read("_t3b/runs/r/plan.json");
    // Every seal is made again, as one would who wants less to be published.
    let hasty = crate::unharmed::sealed::resealed(&plan, "plan_sha256", |text| {
        text.replace("\"n_partitions\": 3", "\"n_partitions\": 2")
            .replace("\"n_samples\": 40", "\"n_samples\": 32")
    });
    for key in ["_t3b/runs/r/receipts/00000.json", "_t3b/runs/r/receipts/00001.json"] {
        let change = |text: &str| text.replace(&hash(&plan), &hash(&hasty));
        write(key, crate::unharmed::sealed::resealed(&read(key), "receipt_sha256", change));
    }
    write("_t3b/runs/r/plan.json", hasty);
    runtime.block_on(t3b::ledger::finalize(&root, "r")).unwrap();
    assert!(promised(&store) != reference, "the control was not noticed");
}
