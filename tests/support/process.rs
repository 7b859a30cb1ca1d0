//! Runs over a faulty store in this process, and what must hold of what they leave behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use t3b::error::RunError;
use t3b::flow::stop::stop;
use t3b::job::Outcome;
use t3b::store::Root;

use crate::faults::Faults;
use crate::support::{Fixture, end_of, prepare, request, runtime};

/// Longer than any healthy operation on any machine.
pub const PATIENT: Duration = Duration::from_secs(120);

/// How an imagined process ended.
#[derive(Debug)]
pub enum End {
    Done(Box<Outcome>),
    Failed(RunError),
    Died,
}

/// Whether the full form of the long tests was asked for: `T3B_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("T3B_FULL").is_some()
}

/// All of `0..n` in the full form, else every `stride`-th.
pub fn some_of(n: u64, stride: usize) -> impl Iterator<Item = u64> {
    (0..n).step_by(if is_full() { 1 } else { stride })
}

/// An empty store that has passed the probe, so that its 360 operations are not part of every case.
pub fn probed_store() -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    let passed = Path::from("_t3b/probe/passed.json");
    futures::executor::block_on(store.put(&passed, PutPayload::from_static(b"{}"))).unwrap();
    store
}

/// One process's life: runs until it is done, fails or dies.
pub fn live(fixture: &Fixture, output: &Arc<InMemory>, faults: &Arc<Faults>, deadline: Duration) -> End {
    live_with(fixture, output, faults, deadline, &[])
}

/// [`live`] with overrides.
pub fn live_with(
    fixture: &Fixture,
    output: &Arc<InMemory>,
    faults: &Arc<Faults>,
    deadline: Duration,
    set: &[(&str, &str)],
) -> End {
    let runtime = runtime();
    let end = runtime.block_on(async {
        let run = run_over(fixture, output.clone(), faults, deadline, set);
        let end = tokio::select! {
            ended = run => ended.map_or_else(End::Failed, |outcome| End::Done(Box::new(outcome))),
            () = faults.died() => End::Died,
        };
        faults.settle().await;
        end
    });
    end_of(runtime);
    end
}

/// A run over faulty stores, to be awaited beside others.
pub async fn run_over(
    fixture: &Fixture,
    output: Arc<InMemory>,
    faults: &Arc<Faults>,
    deadline: Duration,
    set: &[(&str, &str)],
) -> Result<Outcome, RunError> {
    let mut job = prepare(fixture.spec(set)?).await?;
    let archive = LocalFileSystem::new_with_prefix(fixture.path("archive")).unwrap();
    job.input = Root::over(faults.over(Arc::new(archive)), Path::default(), deadline);
    let output = Root::over(faults.over(output), Path::default(), deadline);
    let (_nobody_asks, never) = stop();
    job.run_on(output, &request(), never).await
}

/// A plain root over the store, without faults.
pub fn root(store: &Arc<InMemory>) -> Root {
    Root::over(store.clone(), Path::default(), PATIENT)
}

/// Every object of a store below `folder`.
pub fn objects(store: &Arc<InMemory>, folder: &str) -> BTreeMap<String, Vec<u8>> {
    futures::executor::block_on(async {
        let listed: Vec<_> = store.list(Some(&Path::from(folder))).try_collect().await.unwrap();
        let mut found = BTreeMap::new();
        for meta in listed {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            found.insert(meta.location.to_string(), bytes.to_vec());
        }
        found
    })
}

/// Every object whose bytes are promised.
pub fn promised(store: &Arc<InMemory>) -> BTreeMap<String, Vec<u8>> {
    let mut found = objects(store, "tables");
    found.retain(|name, _| !name.starts_with("tables/runs/") && !name.starts_with("tables/attempts/"));
    found
}

/// Receipts by key.
pub fn receipts(store: &Arc<InMemory>) -> BTreeMap<String, Vec<u8>> {
    objects(store, "_t3b/runs/r/receipts")
}

/// Lives again without faults and checks everything that must hold after any number of deaths: the same bytes, no
/// committed partition done twice, at most one partition redone per death, nothing verify would name.
pub fn resume_and_check(
    fixture: &Fixture,
    store: &Arc<InMemory>,
    reference: &BTreeMap<String, Vec<u8>>,
    n_deaths: usize,
    case: &str,
) {
    let before = receipts(store);
    let visible = !objects(store, "tables/runs").is_empty();
    assert!(!visible || &promised(store) == reference, "{case}: visible before it was whole");
    let end = live(fixture, store, &Faults::at(&[]), PATIENT);
    let End::Done(outcome) = end else { panic!("{case}: resume ended with {end:?}") };
    assert!(!matches!(*outcome, Outcome::ShardDone { .. }), "{case}: {outcome:?}");
    assert!(&promised(store) == reference, "{case}: other bytes");
    let after = receipts(store);
    assert_eq!(after.len(), 3, "{case}");
    assert!(before.iter().all(|(key, bytes)| after[key] == *bytes), "{case}: a receipt has changed");
    let n_staged = objects(store, "_t3b/runs/r/stage").len();
    assert!(n_staged <= 5 * (3 + n_deaths), "{case}: {n_staged} staged objects after {n_deaths} deaths");
    runtime().block_on(t3b::ledger::verify(&root(store), "r")).unwrap();
}

/// The peak of its memory as a run's closing lines say it, in MiB.
pub fn peak_mib(said: &std::process::Output) -> f64 {
    let text = String::from_utf8_lossy(&said.stdout);
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.windows(4).position(|words| words == ["MiB", "at", "its", "peak"]).unwrap();
    words[at - 1].parse().unwrap()
}
