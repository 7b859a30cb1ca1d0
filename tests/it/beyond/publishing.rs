//! Full form: `T3B_FULL=1 cargo test --test it -- beyond::publishing --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use bytes::Bytes;
use futures::future::{join, join_all};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use t3b::flow::stop::stop;
use t3b::job::{Outcome, Request, Work};
use t3b::ledger::{finalize, verify};
use t3b::store::Root;
use tokio::sync::Barrier;

use crate::faults::{Fault, Faults, Mutant, Side};
use crate::large::{Shape, commit_alike};
use crate::process::{PATIENT, is_full, objects, probed_store, root, run_over, some_of};
use crate::support::{Fixture, end_of, prepare, request, runtime};

type Objects = BTreeMap<String, Vec<u8>>;

/// Ten partitions of a batch each, in four spans.
const SET: [(&str, &str); 6] = [
    ("run.batch_size", "4"),
    ("run.partition_size", "4"),
    ("output.span", "3"),
    ("output.probs", "true"),
    ("output.features", "true"),
    ("worker.claim_age_s", "2"),
];
const N_SPANS: usize = 4;
const FORMS: [&str; 2] = ["partition", "compact"];

fn set(files: &'static str) -> Vec<(&'static str, &'static str)> {
    SET.into_iter().chain([("output.files", files)]).collect()
}

/// Everything that publishing writes with the same bytes whoever does it; the row has a time.
fn is_published(name: &str) -> bool {
    let own = ["/spans/", "/published/"].iter().any(|folder| name.contains(folder));
    own || name.starts_with("tables/")
        && !name.starts_with("tables/runs/")
        && !name.starts_with("tables/attempts/")
}

fn published(store: &Arc<InMemory>) -> Objects {
    let mut all = objects(store, "");
    all.retain(|name, _| is_published(name));
    all
}

/// A run that is committed and not published, and what one publisher makes of it.
struct Committed {
    fixture: Fixture,
    files: &'static str,
    before: Objects,
    reference: Objects,
}

impl Committed {
    fn new(files: &'static str) -> Self {
        let (fixture, store) = (Fixture::new(), probed_store());
        runtime()
            .block_on(run_over(&fixture, store.clone(), &Faults::at(&[]), PATIENT, &set(files)))
            .unwrap();
        let reference = published(&store);
        let is_before = |name: &str| {
            !name.starts_with("tables/") && !is_published(name) && !name.ends_with("completed.json")
        };
        let before = objects(&store, "").into_iter().filter(|(name, _)| is_before(name)).collect();
        Self { fixture, files, before, reference }
    }

    fn store(&self) -> Arc<InMemory> {
        let store = Arc::new(InMemory::new());
        for (name, bytes) in &self.before {
            let (key, payload) = (Key::from(name.as_str()), PutPayload::from(bytes.clone()));
            futures::executor::block_on(store.put(&key, payload)).unwrap();
        }
        store
    }

    fn check(&self, store: &Arc<InMemory>, case: &str) {
        assert!(published(store) == self.reference, "{} {case}: other bytes", self.files);
        assert_eq!(objects(store, "_t3b/runs/r/spans").len(), N_SPANS, "{case}");
        runtime().block_on(verify(&root(store), "r")).unwrap_or_else(|error| panic!("{case}: {error}"));
    }

    /// A worker that finds every partition committed, and is there once so many spans are recorded.
    async fn help(
        &self,
        store: Arc<InMemory>,
        faults: Arc<Faults>,
        name: String,
        joins_after: usize,
        begin: &Barrier,
    ) -> Option<Outcome> {
        let job = prepare(self.fixture.spec(&set(self.files)).unwrap()).await.unwrap();
        // On a busy machine one would be done before the next has loaded its models.
        begin.wait().await;
        while objects(&store, "_t3b/runs/r/spans").len() < joins_after {
            tokio::task::yield_now().await;
        }
        let output = Root::over(faults.over(store), Key::default(), PATIENT);
        let asked = Request { work: Work::Claimed, worker: Some(name), ..request() };
        let (_nobody_asks, never) = stop();
        tokio::select! {
            outcome = job.run_on(output, &asked, never) => Some(outcome.unwrap()),
            () = faults.died() => None,
        }
    }
}

fn over(faults: &Arc<Faults>, store: &Arc<InMemory>) -> Root {
    Root::over(faults.over(store.clone()), Key::default(), PATIENT)
}

#[test]
fn a_publisher_killed_at_any_store_operation_beside_three_others_changes_no_byte() {
    for files in FORMS {
        let run = Committed::new(files);
        let (store, alone) = (run.store(), Faults::at(&[]));
        runtime().block_on(finalize(&over(&alone, &store), "r")).unwrap();
        run.check(&store, "alone");
        let (n, mut n_cases, mut n_dead) = (alone.n_seen(), 0, 0);
        for operation in some_of(n, 19) {
            for side in [Side::Before, Side::After] {
                let store = run.store();
                let victim = Faults::new(&[(operation, Fault::Die(side))], Mutant::None, Some(operation));
                let helpers: Vec<_> =
                    (1..=3).map(|n| Faults::new(&[], Mutant::None, Some(operation * 7 + n))).collect();
                let runtime = runtime();
                let is_dead = runtime.block_on(async {
                    let victim_root = over(&victim, &store);
                    let dies = async {
                        tokio::select! {
                            done = finalize(&victim_root, "r") => done.map(|_| false).unwrap(),
                            () = victim.died() => true,
                        }
                    };
                    let helped = helpers
                        .iter()
                        .map(async |faults| finalize(&over(faults, &store), "r").await.unwrap());
                    join(dies, join_all(helped)).await.0
                });
                end_of(runtime);
                run.check(&store, &format!("{side:?} operation {operation}"));
                n_dead += usize::from(is_dead);
                n_cases += 1;
            }
        }
        eprintln!("publishing, {files}: {n_cases}/{n_cases} of {} equal, {n_dead} died", 2 * n);
        assert!(n_dead > 0);
    }
}

#[test]
fn what_a_publisher_had_done_when_it_died_is_not_done_again() {
    for files in FORMS {
        let run = Committed::new(files);
        let (store, alone) = (run.store(), Faults::at(&[]));
        runtime().block_on(finalize(&over(&alone, &store), "r")).unwrap();
        let last_record = alone.applied().iter().rposition(|key| key.contains("/spans/")).unwrap();
        let n_before = alone.applied()[..last_record].iter().filter(|key| key.starts_with("tables/")).count();
        // Killed where three of four spans are recorded.
        let third = (0..alone.n_seen()).find(|&operation| {
            let (store, faults) = (run.store(), Faults::at(&[(operation, Fault::Die(Side::Before))]));
            let runtime = runtime();
            runtime.block_on(async {
                let root = over(&faults, &store);
                tokio::select! { _ = finalize(&root, "r") => {}, () = faults.died() => {} }
            });
            end_of(runtime);
            if objects(&store, "_t3b/runs/r/spans").len() < N_SPANS - 1 {
                return false;
            }
            let again = Faults::at(&[]);
            self::runtime().block_on(finalize(&over(&again, &store), "r")).unwrap();
            run.check(&store, "resumed");
            let n_again = again.applied().iter().filter(|key| key.contains("/part-")).count();
            assert!(n_again * 3 < n_before, "{files}: {n_again} objects were made again of {n_before}");
            let (n_seen, n_alone) = (again.n_seen(), alone.n_seen());
            assert!(n_seen * 2 < n_alone, "{files}: {n_seen} operations again of {n_alone}");
            true
        });
        assert!(third.is_some());
    }
}

/// What workers wrote of the tables and records, by key, and how often.
fn writes(faults: &[Arc<Faults>]) -> BTreeMap<String, usize> {
    let mut n_writes = BTreeMap::new();
    for key in faults.iter().flat_map(|faults| faults.applied()).filter(|key| is_published(key)) {
        *n_writes.entry(key).or_default() += 1;
    }
    n_writes
}

#[test]
fn workers_share_the_spans_and_one_that_joins_late_or_dies_changes_no_byte() {
    for files in FORMS {
        let run = Committed::new(files);
        let n_seeds = if is_full() { 20 } else { 2 };
        for seed in 0..n_seeds {
            let store = run.store();
            let faults: Vec<_> = (0..3).map(|n| Faults::new(&[], Mutant::None, Some(seed * 3 + n))).collect();
            let begin = Barrier::new(3);
            let outcomes = runtime().block_on(join_all(faults.iter().enumerate().map(|(n, faults)| {
                let joins_after = if n == 2 { 1 } else { 0 };
                run.help(store.clone(), faults.clone(), format!("worker-{n}"), joins_after, &begin)
            })));
            run.check(&store, "shared");
            let is_closed = |outcome: &&Option<Outcome>| matches!(outcome, Some(Outcome::Published(_)));
            assert_eq!(outcomes.iter().filter(is_closed).count(), 1, "one ends it: {outcomes:?}");
            let by_worker: Vec<usize> =
                faults.iter().map(|one| writes(std::slice::from_ref(one)).len()).collect();
            assert!(by_worker.iter().filter(|&&n| n > 0).count() > 1, "nothing was shared: {by_worker:?}");
            let twice: Vec<_> = writes(&faults).into_iter().filter(|(_, n)| *n > 1).collect();
            assert!(twice.is_empty(), "claims keep others away: {twice:?}");
        }
        // One dies with a claim, at another operation each time.
        let operations: Vec<u64> = if is_full() { (10..130).step_by(5).collect() } else { vec![30, 75] };
        for operation in operations {
            let store = run.store();
            let dies = Faults::new(&[(operation, Fault::Die(Side::After))], Mutant::None, Some(operation));
            let lives = Faults::new(&[], Mutant::None, Some(operation + 1));
            let runtime = runtime();
            let begin = Barrier::new(2);
            runtime.block_on(async {
                let dying = run.help(store.clone(), dies, "dies".to_owned(), 0, &begin);
                join(dying, run.help(store.clone(), lives, "lives".to_owned(), 0, &begin)).await
            });
            end_of(runtime);
            run.check(&store, &format!("death at {operation}"));
        }
    }
}

#[test]
fn claims_on_spans_that_keep_nobody_out_cost_work_and_no_byte() {
    let run = Committed::new("partition");
    let store = run.store();
    let faults: Vec<_> = (0..3).map(|n| Faults::new(&[], Mutant::FreeClaims, Some(n))).collect();
    // All of one name, so that they begin at the same span.
    let begin = Barrier::new(3);
    let n_operations = |faults: &[Arc<Faults>]| faults.iter().map(|faults| faults.n_seen()).sum::<u64>();
    runtime().block_on(join_all(
        faults.iter().map(|faults| run.help(store.clone(), faults.clone(), "same".to_owned(), 0, &begin)),
    ));
    run.check(&store, "free claims");
    let kept: Vec<_> = (0..3).map(|n| Faults::new(&[], Mutant::None, Some(n))).collect();
    let store = run.store();
    runtime().block_on(join_all(
        kept.iter().map(|faults| run.help(store.clone(), faults.clone(), "same".to_owned(), 0, &begin)),
    ));
    let (free, kept) = (n_operations(&faults), n_operations(&kept));
    eprintln!("publishing: {free} operations of three workers without claims, {kept} with them");
    assert!(free > kept, "the control was not noticed");
}

/// Rows of a published table: columns by name, dictionaries resolved.
fn rows(folder: &Path) -> BTreeMap<String, ArrayRef> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    files.sort();
    let mut columns: BTreeMap<String, Vec<ArrayRef>> = BTreeMap::new();
    for file in files {
        let found = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(fs::read(file).unwrap())).unwrap();
        for batch in found.build().unwrap() {
            let batch = batch.unwrap();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let plain = match field.data_type() {
                    DataType::Dictionary(_, value) => cast(column, value).unwrap(),
                    _ => column.clone(),
                };
                columns.entry(field.name().clone()).or_default().push(plain);
            }
        }
    }
    let whole = |parts: Vec<ArrayRef>| {
        concat(&parts.iter().map(|part| part as &dyn Array).collect::<Vec<_>>()).unwrap()
    };
    columns.into_iter().map(|(name, parts)| (name, whole(parts))).collect()
}

#[test]
fn compact_objects_hold_the_rows_of_the_parts_and_every_command_reads_them() {
    let fixture = Fixture::new();
    for files in FORMS {
        fixture.run(files, &set(files)).unwrap();
    }
    let folder = |files: &str, table: &str| {
        fixture.path(&format!("{files}/tables/{table}/run_date=2026-01-02/run_id=r"))
    };
    for table in ["predictions", "signals", "batches", "coefficients", "quarantine"] {
        let [parts, joined] = FORMS.map(|files| rows(&folder(files, table)));
        assert!(parts == joined, "{table}: other rows");
        let n_files = |files| {
            let entries = fs::read_dir(folder(files, table)).unwrap();
            entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some()).count()
        };
        assert_eq!((n_files("partition"), n_files("compact")), (10, N_SPANS), "{table}");
    }
    for files in FORMS {
        let uri = format!("{files}/_t3b/runs/r");
        let said = |args: &[&str]| {
            let said = fixture.t3b(args);
            assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
            said.stdout
        };
        said(&["verify", &uri]);
        said(&["finalize", &uri]);
        said(&["evaluate", &uri, "--out", &format!("report-{files}"), "--draws", "100"]);
        let output = format!("output.root={}", fixture.path(files).display());
        let mut args = vec!["reproduce", "pipeline.toml", "--run-id", "r", "--slots", "4", "--set", &output];
        let pairs: Vec<String> = set(files).iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.iter().for_each(|pair| args.extend(["--set", pair.as_str()]));
        said(&args);
    }
    let summaries =
        FORMS.map(|files| fixture.files(&format!("report-{files}")).remove("summary.parquet").unwrap());
    assert!(summaries[0] == summaries[1], "an evaluation is of rows");
    // A damaged or missing object is named, and restored from what was staged.
    let part = fs::read_dir(folder("compact", "signals")).unwrap().map(|entry| entry.unwrap().path());
    let part = part.filter(|path| path.extension().is_some()).max().unwrap();
    let (good, record) = (fs::read(&part).unwrap(), fixture.path("compact/_t3b/runs/r/spans/00001.json"));
    let code = |args: &[&str]| fixture.t3b(args).status.code();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&part, bad).unwrap();
    assert_eq!(code(&["verify", "compact/_t3b/runs/r"]), Some(65));
    fs::remove_file(&part).unwrap();
    assert_eq!(code(&["verify", "compact/_t3b/runs/r"]), Some(65));
    assert_eq!(code(&["finalize", "compact/_t3b/runs/r"]), Some(0));
    assert_eq!(fs::read(&part).unwrap(), good);
    let sealed = fs::read_to_string(&record).unwrap();
    fs::write(&record, sealed.replacen("\"n_scored\": ", "\"n_scored\": 1", 1)).unwrap();
    assert_eq!(code(&["verify", "compact/_t3b/runs/r"]), Some(65));
    assert_eq!(code(&["evaluate", "compact/_t3b/runs/r", "--out", "none"]), Some(65));
    fs::remove_file(&record).unwrap();
    assert_eq!(code(&["finalize", "compact/_t3b/runs/r"]), Some(0));
    assert_eq!(fs::read_to_string(&record).unwrap(), sealed);
    assert_eq!(code(&["verify", "compact/_t3b/runs/r"]), Some(0));
}

const SMALL: Shape = Shape { n_methods: 2, n_corruptions: 0, n_classes: 2, n_batches: 1, n_partitions: 0 };

fn alike(folder: &Path, n_partitions: u32, files: &str) {
    commit_alike(folder, Shape { n_partitions, ..SMALL }, |facts| facts.compact = files == "compact");
}

/// MiB that publishing reached, as the kernel saw it.
fn peak_mib(folder: &Path) -> f64 {
    let script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); \
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)";
    let said = Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_t3b"), "finalize"])
        .arg(folder.join("_t3b/runs/large"))
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap()
}

#[test]
fn many_receipts_are_published_in_the_memory_of_few() {
    let (few, many) = if is_full() { (10_000, 100_000) } else { (600, 3_000) };
    for files in FORMS {
        let dir = tempfile::tempdir().unwrap();
        let peak = |n_partitions: u32| {
            let folder = dir.path().join(n_partitions.to_string());
            alike(&folder, n_partitions, files);
            let peak = peak_mib(&folder);
            fs::remove_dir_all(folder).unwrap();
            peak
        };
        let peaks = [few, many].map(peak);
        eprintln!("publishing, {files}: {:.1} MiB of {few} receipts, {:.1} of {many}", peaks[0], peaks[1]);
        // What is listed stays, 16 bytes a receipt; joining leaves holes in the heap that fill up over the first dozen spans.
        let holes = if files == "compact" { 80.0 } else { 6.0 };
        assert!(peaks[1] < peaks[0] + holes, "{files}: {peaks:?} MiB");
    }
}

#[test]
fn requests_of_publishing_are_those_of_the_parts_and_a_few_a_span() {
    let n = if is_full() { 100_000 } else { 1_000 };
    for (files, per_partition) in [("partition", 16), ("compact", 6)] {
        let dir = tempfile::tempdir().unwrap();
        alike(dir.path(), n, files);
        let store = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
        let faults = Faults::at(&[]);
        let root = Root::over(faults.over(store), Key::default(), Duration::from_secs(600));
        let done = runtime().block_on(finalize(&root, "large")).unwrap();
        let (n_spans, n_seen) = (u64::from(n).div_ceil(256), faults.n_seen());
        eprintln!(
            "publishing, {files}: {n_seen} operations for {n} receipts in {n_spans} spans, {:.2} a receipt; {} objects",
            n_seen as f64 / f64::from(n),
            done.n_written
        );
        let bound = u64::from(n) * per_partition + 16 * n_spans + 60;
        assert!(n_seen <= bound, "{files}: {n_seen} operations, allowed {bound}");
        let listed: BTreeSet<String> = faults.applied().into_iter().collect();
        assert_eq!(listed.len(), done.n_written, "each object is written once");
        let n_parts = listed.iter().filter(|key| key.contains("/part-")).count() as u64;
        assert_eq!(n_parts, 5 * if files == "compact" { n_spans } else { u64::from(n) });
    }
}
