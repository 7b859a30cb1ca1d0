//! `t3b run` and `t3b demo`: from a pipeline to what its run says at its end.

use std::path::Path;
use std::time::Instant;

use async_channel::Receiver;
use serde_json::json;

use super::closing::{Manner, Spent, notes, tell};
use super::opening::{load, on_runtime, start_logging};
use super::signals::{follow, unless_stopped};
use super::{DemoArgs, RunArgs};
use crate::demo;
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::open::Ended;
use crate::job::{Job, Outcome, Request, Work};
use crate::ledger::{Layout, withdrawn};
use crate::settings::{Sources, Spec};
use crate::store::Root;

pub(super) fn run_pipeline(args: &RunArgs) -> Result<Exit, RunError> {
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

pub(super) fn run_demo(args: &DemoArgs) -> Result<Exit, RunError> {
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
