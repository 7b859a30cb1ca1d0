//! Full form: `T3B_FULL=1 cargo test --test it -- contest:: --nocapture`.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use t3b::store::{Created, Root};

use crate::faults::{Dice, Fault, Faults, LIES, Mutant};
use crate::process::{PATIENT, is_full, objects, probed_store, promised, receipts, run_over};
use crate::support::{Fixture, runtime};

/// How a writer settles what a create's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// As the program does: reads back.
    Ours,
    /// Believes every answer.
    NoReadBack,
}

/// What a writer believes of one key.
#[derive(Debug, PartialEq, Eq)]
enum Belief {
    Won,
    Lost,
    Unknown,
}

async fn create(writer: Writer, root: &Root, store: &Arc<dyn ObjectStore>, key: &str, body: Bytes) -> Belief {
    match writer {
        Writer::Ours => match root.create(key, "object", body).await {
            Ok(Created::Ours) => Belief::Won,
            Ok(Created::Exists(_)) => Belief::Lost,
            Err(_) => Belief::Unknown,
        },
        Writer::NoReadBack => {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match store.put_opts(&Path::from(key), PutPayload::from(body), options).await {
                Ok(_) => Belief::Won,
                Err(Error::AlreadyExists { .. }) => Belief::Lost,
                Err(_) => Belief::Unknown,
            }
        }
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// Three writers create four keys over a store that lies now and then. `true` when what they believe is true.
async fn is_honest(seed: u64, writer: Writer, mutant: Mutant) -> bool {
    let mut dice = Dice::new(seed);
    let faults: Vec<(u64, Fault)> =
        (0..6).map(|_| (dice.below(40), LIES[usize::try_from(dice.below(5)).unwrap()])).collect();
    let inner = Arc::new(InMemory::new());
    let faults = Faults::new(&faults, mutant, Some(seed));
    let store = faults.over(inner.clone());
    let root = Root::over(Arc::clone(&store), Path::default(), PATIENT);
    let (root, store) = (&root, &store);
    let beliefs = join_all((0..3_u8).map(async |who| {
        let mut believed = Vec::new();
        for key in KEYS {
            let belief = create(writer, root, store, key, Bytes::from(vec![who])).await;
            let there = inner.get(&Path::from(key)).await.is_ok();
            believed.push((belief, there));
        }
        believed
    }))
    .await;
    faults.settle().await;
    for (n, key) in KEYS.iter().enumerate() {
        let found = inner.get(&Path::from(*key)).await;
        let owner = match found {
            Ok(found) => Some(found.bytes().await.unwrap()[0]),
            Err(_) => None,
        };
        for (who, believed) in (0_u8..).zip(&beliefs) {
            let is_true = match believed[n] {
                (Belief::Won, _) => owner == Some(who),
                (Belief::Lost, there) => there && owner.is_some() && owner != Some(who),
                (Belief::Unknown, _) => true,
            };
            if !is_true {
                return false;
            }
        }
    }
    true
}

/// Seeds of `0..n` in which some writer believes what is not so.
fn n_dishonest(n: u64, writer: Writer, mutant: Mutant) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut n_bad = 0;
        for seed in 0..n {
            n_bad += u64::from(!is_honest(seed, writer, mutant).await);
        }
        n_bad
    })
}

#[test]
fn whoever_believes_to_have_created_an_object_has() {
    let n = if is_full() { 200_000 } else { 3_000 };
    assert_eq!(n_dishonest(n, Writer::Ours, Mutant::None), 0, "of {n} seeds");
    let controls = [
        ("no read-back", Writer::NoReadBack, Mutant::None),
        ("plain PUT", Writer::Ours, Mutant::PlainPut),
        ("exists = success", Writer::NoReadBack, Mutant::ExistsIsSuccess),
    ];
    for (name, writer, mutant) in controls {
        let n_bad = n_dishonest(n, writer, mutant);
        eprintln!("contest: {name} is caught in {n_bad} of {n} seeds");
        assert!(n_bad > 0, "the control {name} was not noticed");
    }
    eprintln!("contest: the program is wrong in 0 of {n} seeds");
}

#[test]
fn the_probe_refuses_a_store_whose_creates_are_not_exclusive() {
    for mutant in [Mutant::PlainPut, Mutant::ExistsIsSuccess] {
        let fixture = Fixture::new();
        let (store, faults) = (Arc::new(InMemory::new()), Faults::new(&[], mutant, None));
        let error = runtime().block_on(run_over(&fixture, store, &faults, PATIENT, &[])).unwrap_err();
        assert_eq!(error.problems()[0].code, "S001", "{mutant:?}: {error}");
    }
}

#[test]
fn two_workers_on_every_partition_write_one_receipt_each_and_the_same_tables() {
    let fixture = Fixture::new();
    let alone = probed_store();
    let none = Faults::at(&[]);
    runtime().block_on(run_over(&fixture, alone.clone(), &none, PATIENT, &[])).unwrap();
    let n_rounds = if is_full() { 20 } else { 3 };
    for seed in 0..n_rounds {
        let store = probed_store();
        let faults = Faults::new(&[], Mutant::None, Some(seed));
        let run = || run_over(&fixture, store.clone(), &faults, PATIENT, &[]);
        let (one, other) = runtime().block_on(async { tokio::join!(run(), run()) });
        one.unwrap();
        other.unwrap();
        assert!(promised(&store) == promised(&alone), "seed {seed}");
        assert_eq!(receipts(&store).len(), 3);
        let applied = faults.applied();
        for key in receipts(&store).keys().chain(objects(&store, "tables/runs").keys()) {
            let n_writes = applied.iter().filter(|written| *written == key).count();
            assert_eq!(n_writes, 1, "seed {seed}: {key} was written {n_writes} times");
        }
    }
    eprintln!("two workers: {n_rounds}/{n_rounds} equal, one receipt each");
}

#[test]
fn of_two_workers_with_different_settings_one_is_refused() {
    let fixture = Fixture::new();
    let store = probed_store();
    let faults = Faults::new(&[], Mutant::None, Some(1));
    let run = |gamma: &'static str| {
        let (store, faults, fixture) = (store.clone(), &faults, &fixture);
        async move { run_over(fixture, store, faults, PATIENT, &[("merge.gamma", gamma)]).await }
    };
    let (one, other) = runtime().block_on(async { tokio::join!(run("0.5"), run("0.7")) });
    let errors: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].problems()[0].code, "R001");
}
