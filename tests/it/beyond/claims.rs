//! Full form: `T3B_FULL=1 cargo test --test it -- beyond:: --nocapture`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use t3b::flow::meter::Meter;
use t3b::flow::stop::stop;
use t3b::job::{Request, Work};
use t3b::store::Root;

use crate::faults::{Fault, Faults, Mutant, Side};
use crate::process::{PATIENT, is_full, objects, probed_store, promised, receipts, root, run_over};
use crate::support::{Fixture, end_of, prepare, request, runtime};

/// Partitions of the fixture's archive when one is a batch of four.
const N_PARTITIONS: usize = 10;
/// Small partitions, and claims that are old as soon as they can be.
const SET: [(&str, &str); 4] = [
    ("run.batch_size", "4"),
    ("run.partition_size", "4"),
    ("worker.claim_age_s", "2"),
    ("worker.claim_factor", "1"),
];

/// One worker of a crew.
#[derive(Debug, Clone, Copy, Default)]
struct Worker {
    /// Held back at each read of the archive.
    delay_ms: u64,
    /// Dies at this store operation.
    dies_at: Option<u64>,
    /// Joins once so many partitions are committed.
    joins_after: usize,
}

const QUICK: Worker = Worker { delay_ms: 0, dies_at: None, joins_after: 0 };

/// What became of a crew.
#[derive(Debug, Default)]
struct Told {
    n_lost: u64,
    wasted: Duration,
    n_dead: usize,
    n_published: usize,
}

async fn work(fixture: &Fixture, store: Arc<InMemory>, name: String, worker: Worker, mutant: Mutant) -> Told {
    while receipts(&store).len() < worker.joins_after {
        tokio::task::yield_now().await;
    }
    let dies = worker.dies_at.map(|operation| (operation, Fault::Die(Side::After)));
    let faults = Faults::new(dies.as_slice(), mutant, None);
    let archive = Arc::new(LocalFileSystem::new_with_prefix(fixture.path("archive")).unwrap());
    let held_back = Faults::at(&[]);
    held_back.slow(Duration::from_millis(worker.delay_ms));
    let mut job = prepare(fixture.spec(&SET).unwrap()).await.unwrap();
    job.input = Root::over(held_back.over(archive), Path::default(), PATIENT);
    let output = Root::over(faults.over(store), Path::default(), PATIENT);
    let meter = Meter::default();
    let work = Request { work: Work::Claimed, worker: Some(name), meter: meter.clone(), ..request() };
    let (_nobody_asks, never) = stop();
    let outcome = tokio::select! {
        outcome = job.run_on(output, &work, never) => Some(outcome.unwrap()),
        () = faults.died() => None,
    };
    let (n_lost, wasted) = meter.open.lost();
    let is_published = matches!(outcome, Some(t3b::job::Outcome::Published(_)));
    Told { n_lost, wasted, n_dead: usize::from(outcome.is_none()), n_published: usize::from(is_published) }
}

/// Lets a crew work until all of it have ended, and checks what must hold whatever they did.
fn crew(fixture: &Fixture, reference: &BTreeMap<String, Vec<u8>>, crew: &[Worker], mutant: Mutant) -> Told {
    let store = probed_store();
    let runtime = runtime();
    let told = runtime.block_on(async {
        let works = crew
            .iter()
            .enumerate()
            .map(|(n, worker)| work(fixture, store.clone(), format!("worker-{n}"), *worker, mutant));
        join_all(works).await
    });
    end_of(runtime);
    let told = told.into_iter().fold(Told::default(), |all, one| Told {
        n_lost: all.n_lost + one.n_lost,
        wasted: all.wasted + one.wasted,
        n_dead: all.n_dead + one.n_dead,
        n_published: all.n_published + one.n_published,
    });
    assert!(&promised(&store) == reference, "{crew:?}: other bytes");
    assert_eq!(receipts(&store).len(), N_PARTITIONS, "{crew:?}");
    let n_staged = objects(&store, "_t3b/runs/r/stage").len();
    let n_scored = N_PARTITIONS + usize::try_from(told.n_lost).unwrap();
    let of_the_dead = 5 * 2 * told.n_dead;
    assert!((5 * n_scored..=5 * n_scored + of_the_dead).contains(&n_staged), "{crew:?}: {n_staged} {told:?}");
    self::runtime().block_on(t3b::ledger::verify(&root(&store), "r")).unwrap();
    told
}

fn prepared() -> (Fixture, BTreeMap<String, Vec<u8>>) {
    let (fixture, alone) = (Fixture::new(), probed_store());
    runtime().block_on(run_over(&fixture, alone.clone(), &Faults::at(&[]), PATIENT, &SET)).unwrap();
    let reference = promised(&alone);
    (fixture, reference)
}

#[test]
fn any_number_of_workers_that_come_go_and_die_write_the_same_bytes() {
    let (fixture, reference) = prepared();
    let n_seeds = if is_full() { 20 } else { 2 };
    let (mut n_lost, mut wasted, mut n_dead, mut n_runs) = (0, Duration::ZERO, 0, 0);
    let started = Instant::now();
    for seed in 0..n_seeds {
        // A dead worker dies after another operation in each seed, a late one joins after another commit.
        let dead = Worker { dies_at: Some(12 + 7 * seed), ..QUICK };
        let late = Worker { joins_after: usize::try_from(seed % 9).unwrap(), ..QUICK };
        let slow = Worker { delay_ms: 60, ..QUICK };
        let crews: [&[Worker]; 4] =
            [&[QUICK], &[QUICK, slow], &[QUICK, slow, dead], &[QUICK, QUICK, slow, dead, late]];
        for workers in crews {
            let told = crew(&fixture, &reference, workers, Mutant::None);
            assert_eq!(told.n_published, 1, "one of {workers:?} publishes");
            n_lost += told.n_lost;
            wasted += told.wasted;
            n_dead += told.n_dead;
            n_runs += 1;
        }
    }
    eprintln!(
        "claims: {n_runs} of {n_runs} crews over {n_seeds} seeds equal; {n_dead} workers died, {n_lost} partitions of {} were \
         scored twice ({:.1} s), {:.1} s in all",
        n_runs * N_PARTITIONS,
        wasted.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn claims_that_keep_nobody_out_cost_work_and_no_byte() {
    let (fixture, reference) = prepared();
    let told = crew(&fixture, &reference, &[QUICK, QUICK, QUICK], Mutant::FreeClaims);
    assert!(told.n_lost > 0 && told.wasted > Duration::ZERO, "the control was not noticed: {told:?}");
    let kept = crew(&fixture, &reference, &[QUICK, QUICK, QUICK], Mutant::None);
    eprintln!("claims: {} partitions lost without claims, {} with them", told.n_lost, kept.n_lost);
}
