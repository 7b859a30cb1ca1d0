//! One function per command: from arguments to printed lines and an exit code.

use std::path::Path;
use std::time::Instant;

use async_channel::Receiver;
use serde_json::json;

use super::closing::{Manner, Spent, exit_of, notes, print_finalized, tell, why_quarantined};
use super::output::Log;
use super::signals::{follow, unless_stopped};
use super::{Cli, Command, DemoArgs, PlanArgs, RunArgs, RunUriArgs, SpecArgs, VerifyArgs};
use crate::demo;
use crate::error::{Exit, Problem, RunError, quoted};
use crate::flow::meter::Meter;
use crate::flow::open::Ended;
use crate::flow::progress::LogFormat;
use crate::job::{Job, Outcome, Pace, Request, Work};
use crate::ledger::{Layout, finalize, nonce, run_of, verify, withdrawn};
use crate::settings::{Effective, Settings, Sources, Spec};
use crate::store::Root;

/// Runs one command to its end.
///
/// # Errors
/// Everything that kept the command from doing what was asked.
pub fn execute(cli: &Cli) -> Result<Exit, RunError> {
    if !matches!(cli.command, Command::DecodeWorker) {
        super::variables::check()?;
    }
    match &cli.command {
        Command::Demo(args) => run_demo(args),
        Command::Run(args) => run_pipeline(args),
        Command::Worker(args) => super::worker::work(args),
        Command::Nightly(args) => super::nightly::nightly(args),
        Command::Plan(args) => print_plan(args),
        Command::Check(args) => check(args),
        Command::Sweep(args) => super::sweep::sweep(args),
        Command::Corrupt(args) => super::corrupt::corrupt(args),
        Command::Manifest(command) => super::manifest::manifest(command),
        Command::Models(command) => super::models::models(command),
        Command::Key(command) => super::key::key(command),
        Command::Finalize(args) => finalize_run(args),
        Command::Verify(args) => verify_run(args),
        Command::Status(args) => super::runs::show_status(args),
        Command::Tidy(args) => super::runs::tidy_run(args),
        Command::Runs(command) => super::past::runs_of(command),
        Command::Show(args) => super::past::show_sample(args),
        Command::Discard(args) => super::past::discard_run(args),
        Command::Reproduce(args) => super::runs::reproduce_run(args),
        Command::Decode(args) => super::decode::decode(args),
        Command::Evaluate(args) => super::evaluate::evaluate_runs(args),
        Command::Tune(args) => super::evaluate::tune_run(args),
        Command::Drift(args) => super::evaluate::drift_run(args),
        Command::Dashboard(args) => super::dashboard::write_page(args),
        Command::Samples(args) => super::samples::print_samples(args),
        Command::Config(command) => super::describe::config(command),
        Command::Schema(args) => super::describe::print_schema(args),
        Command::Completions(args) => super::describe::completions(args),
        Command::Man(args) => super::describe::man(args),
        Command::DecodeWorker => Ok(t3b_decode::worker::serve().map_or(Exit::Bug, |()| Exit::Done)),
    }
}

pub(super) fn load(args: &SpecArgs) -> Result<Spec, RunError> {
    let spec = Spec::load(&args.sources())?;
    start_logging(&spec.settings);
    Ok(spec)
}

/// Crates whose events hold keys and addresses.
const CLIENT: [&str; 5] = ["object_store", "hyper", "reqwest", "rustls", "h2"];

pub(super) fn start_logging(settings: &Settings) {
    use tracing_subscriber::{EnvFilter, fmt};
    // The store's client prints keys in its own events, and keys may identify patients.
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    // The most specific directive wins, so those that name the client's modules are left out first.
    let is_theirs = |directive: &&str| CLIENT.iter().any(|name| directive.trim().starts_with(name));
    let ours: Vec<&str> = asked.split(',').filter(|directive| !is_theirs(directive)).collect();
    let filter = EnvFilter::try_new(ours.join(",")).ok().filter(|_| !asked.is_empty());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    let off = CLIENT.iter().filter_map(|name| format!("{name}=off").parse().ok());
    let filter = off.fold(filter, EnvFilter::add_directive);
    // Its own words about a line that could not be written would panic where the standard error is full.
    let lines =
        fmt().with_env_filter(filter).with_writer(|| Log).with_target(false).log_internal_errors(false);
    // A second command in the same process keeps the first one's logging.
    let _already_set = match settings.log.format {
        LogFormat::Json => lines.json().try_init(),
        _ => lines.with_ansi(false).try_init(),
    };
}

/// The I/O threads.
pub(super) fn runtime(settings: &Settings) -> Result<tokio::runtime::Runtime, Problem> {
    super::system::check_address_space(settings.budget_bytes)?;
    super::system::restrict_files(settings.store.umask);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads.io)
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|_| Problem::new("B006", Exit::Bug, "the I/O threads cannot be started"))?;
    super::system::outlive_file_limits(&runtime);
    Ok(runtime)
}

pub(super) fn on_runtime<T>(
    settings: &Settings,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    let runtime = runtime(settings)?;
    let done = runtime.block_on(work);
    // A stalled read must not hold the process after the verdict.
    runtime.shutdown_background();
    done
}

fn run_pipeline(args: &RunArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let request = Request {
        run_id: args.run_id.clone(),
        run_date: args.run_date.clone(),
        work: args.shard.map_or(Work::All, |(k, n)| Work::Shard(k, n)),
        worker: None,
        allow_other_numerics: args.allow_other_numerics,
        must_score: true,
        meter: Meter::default(),
    };
    let manner = Manner { json: args.json, wide: args.wide, profile: args.profile, partitions: false };
    run_spec(spec, &request, manner)
}

pub(super) fn run_spec(spec: Spec, request: &Request, manner: Manner) -> Result<Exit, RunError> {
    let (settings, started) = (spec.settings.clone(), Instant::now());
    on_runtime(&settings, async {
        let output_root = spec.pipeline.output.root.clone();
        // Opened before it is printed: a root with credentials in it is refused here.
        let output = Root::open(&output_root, true, &settings.store)?;
        let (_following, stop) = follow(settings.drain_deadline, request.meter.clone());
        let job = unless_stopped(&stop, Job::prepare(spec)).await?;
        notes(&job);
        // Made before it is printed: a date or an id that cannot be used is refused first.
        let run_id = job.plan(request)?.run_id;
        if !manner.json && !manner.partitions {
            say!("run     {}/{}", output_root.trim_end_matches('/'), Layout::new(&run_id).run());
        }
        let ends = manner.partitions.then(|| request.meter.open.follow(1));
        let outcome = telling(job.run(request, stop), ends).await?;
        let spent = Spent { wall: started.elapsed(), meter: request.meter.clone() };
        let told = tell(&outcome, &output, &output_root, &spent, manner).await;
        match (told, &outcome) {
            // What cannot be read may have been withdrawn since it was published.
            (Err(error), Outcome::AlreadyDone(done) | Outcome::Published(done)) => {
                Err(withdrawn(&output, &done.plan).await.map_or(error, RunError::from))
            }
            (told, _) => told,
        }
    })
}

/// The outcome of a run, with a line of JSON for each partition on the way where anybody listens.
async fn telling(
    run: impl Future<Output = Result<Outcome, RunError>>,
    ends: Option<Receiver<Ended>>,
) -> Result<Outcome, RunError> {
    let Some(ends) = ends else { return run.await };
    let mut run = std::pin::pin!(run);
    let line = |ended: Ended| {
        let (state, seconds) = (ended.fate.name(), ended.spent.as_secs_f64());
        say!("{}", json!({ "partition": ended.partition, "state": state, "seconds": seconds }));
    };
    loop {
        tokio::select! {
            biased;
            Ok(ended) = ends.recv() => line(ended),
            outcome = &mut run => {
                while let Ok(ended) = ends.try_recv() {
                    line(ended);
                }
                return outcome;
            }
        }
    }
}

fn print_plan(args: &PlanArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let settings = spec.settings.clone();
    on_runtime(&settings, async {
        let job = Job::prepare(spec).await?;
        let partitions = job.partitions();
        let plan = job.plan(&Request::default())?;
        let sizes: Option<Vec<u64>> = job.manifest.samples.iter().map(|sample| sample.size_bytes).collect();
        let n_bytes = sizes.map(|sizes| sizes.iter().sum::<u64>());
        let (n_samples, n_batches) = (job.manifest.samples.len(), job.n_batches(&partitions));
        let n_pairs = job.manifest.n_pairs();
        let (partition_size, batch_size) = (job.spec.pipeline.partition_size, job.spec.pipeline.batch_size);
        let merge = &job.spec.pipeline.merge;
        let n_methods = merge.methods.len() + merge.grid.len();
        let pace = match job.pace(&plan).await {
            Ok(pace) => Some(pace),
            Err(error) => {
                tell!("note: no batch could be tried: {error}");
                None
            }
        };
        if args.json {
            let cells: Vec<_> =
                plan.cells.iter().map(|(c, s)| json!({ "corruption": c, "severity": s })).collect();
            let plan = json!({
                "run_id": plan.run_id, "spec_sha256": plan.spec_sha256, "n_samples": n_samples,
                "n_partitions": partitions.len(), "n_cells": cells.len(), "n_batches": n_batches,
                "batch_size": batch_size, "input_bytes": n_bytes, "cells": cells,
                "methods": plan.spec.get("merge.methods"), "partition_size": partition_size,
                "pairs_per_s": pace.map(|pace| pace.pairs_per_s),
                "seconds_per_partition": pace.map(|pace| pace.seconds_per_partition),
            });
            say!("{plan:#}");
            return Ok(Exit::Done);
        }
        say!("run id      {}", plan.run_id);
        say!("samples     {n_samples}{}", n_bytes.map(|n| format!(" ({n} bytes)")).unwrap_or_default());
        say!("partitions  {} of at most {}", partitions.len(), partition_size);
        say!("cells       {}", plan.cells.len());
        say!("batches     {n_batches} of at most {}", batch_size);
        say!("rows        {} predictions", n_pairs * n_methods as u64);
        if let Some(pace) = pace {
            print_pace(pace, partitions.len());
        }
        Ok(Exit::Done)
    })
}

/// A partition that takes longer than this loses much to an interrupt.
const LONG_PARTITION_S: f64 = 600.0;

#[expect(clippy::cast_precision_loss, reason = "partitions are far below 2^53")]
fn print_pace(pace: Pace, n_partitions: usize) {
    say!("pace        about {:.0} (sample, cell) pairs a second on this machine", pace.pairs_per_s);
    say!("partition   about {:.0} s", pace.seconds_per_partition);
    say!("in all      about {:.0} s", pace.seconds_per_partition * n_partitions as f64);
    if pace.seconds_per_partition > LONG_PARTITION_S {
        tell!(
            "warning: a partition takes over {:.0} minutes, and an interrupt loses the open one;\n  \
             hint: set run.partition_size smaller, or to \"auto\"",
            LONG_PARTITION_S / 60.0
        );
    }
}

fn check(args: &SpecArgs) -> Result<Exit, RunError> {
    let spec = load(args)?;
    let settings = spec.settings.clone();
    on_runtime(&settings, async {
        let output = Root::open(&spec.pipeline.output.root, true, &settings.store)?;
        let job = Job::prepare(spec).await?;
        output.probe(&nonce()?).await?;
        notes(&job);
        let looked = match job.partitions().first() {
            Some(first) => Some(job.look(first, true).await?),
            None => None,
        };
        print_keys("pipeline", &job.spec.pipeline_keys);
        print_keys("config", &job.spec.config_keys);
        say!("samples      {}", job.manifest.samples.len());
        if let Some(looked) = looked {
            say!("objects      {} of {} that were looked for are there", looked.n_found, looked.n_asked);
        }
        say!("pretrained   {}", job.models.pretrained.sha256());
        say!("expert       {}", job.models.expert.sha256());
        say!("preprocess   {}", job.models.preprocess.line());
        say!("fingerprint  {}", job.fingerprint());
        say!("ok");
        Ok(Exit::Done)
    })
}

pub(super) fn print_keys(kind: &str, keys: &[Effective]) {
    say!("# {kind}");
    for key in keys {
        say!("{:<28} = {:<40} # {}", key.key, key.value.to_string().trim(), key.origin);
    }
    say!();
}

pub(super) fn open_run(
    args: &RunUriArgs,
    writes: bool,
) -> Result<(Settings, Root, String, String), RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    let (root, run_id) = run_of(&args.run)?;
    let place = super::from_here(root);
    // What is only looked at is opened so that nothing can be written; a root that is not there is not made.
    let mut output = Root::open(&place, false, &settings.store)?;
    if writes {
        output = Root::open(&place, true, &settings.store)?;
    }
    Ok((settings, output, root.to_owned(), run_id.to_owned()))
}

fn finalize_run(args: &RunUriArgs) -> Result<Exit, RunError> {
    let (settings, output, root, run_id) = open_run(args, true)?;
    on_runtime(&settings, async {
        let done = finalize(&output, &run_id).await?;
        say!("published {} objects", done.n_written);
        let why = why_quarantined(&output, &done).await?;
        print_finalized(&done, &root, &why);
        Ok(exit_of(&done))
    })
}

fn verify_run(args: &VerifyArgs) -> Result<Exit, RunError> {
    let (settings, output, _, run_id) = open_run(&args.run, false)?;
    on_runtime(&settings, async {
        let found = verify(&output, &run_id).await?;
        if let Some(expected) =
            args.expect.as_ref().filter(|text| !text.trim().eq_ignore_ascii_case(&found.run_sha256))
        {
            let what =
                format!("the run's hash is {}, expected {}", found.run_sha256, quoted(expected.trim()));
            return Err(Problem::new("V005", Exit::BadData, what)
                .hint("plan, receipts and tables agree with each other, but are not those that were verified before")
                .into());
        }
        if args.json {
            say!(
                "{:#}",
                json!({ "run_id": run_id, "run_sha256": found.run_sha256, "n_objects": found.n_objects, "n_rows": found.n_rows })
            );
            return Ok(Exit::Done);
        }
        say!("ok: {} objects and {} rows are as their receipts say", found.n_objects, found.n_rows);
        say!("hash    {}", found.run_sha256);
        Ok(Exit::Done)
    })
}

fn run_demo(args: &DemoArgs) -> Result<Exit, RunError> {
    let unwritable = |_| {
        let what = format!("--out: the demo folder {} cannot be written", args.out.display());
        Problem::new("C007", Exit::Permission, what).hint("choose another --out")
    };
    let pipeline = demo::prepare(&args.out).map_err(unwritable)?;
    say!("archive {}", args.out.join("archive").display());
    let spec = Spec::load(&Sources { pipeline, ..Sources::default() })?;
    start_logging(&spec.settings);
    let exit = run_spec(spec, &Request::default(), Manner::default())?;
    print_next(&args.out);
    Ok(exit)
}

fn print_next(out: &Path) {
    say!("next    edit {} and run: t3b run {0}", out.join("demo.toml").display());
}
