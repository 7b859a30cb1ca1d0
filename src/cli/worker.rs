//! `t3b worker`: one of any number of processes that finish a run together.

use clap::Args;

use super::SpecArgs;
use super::closing::Manner;
use super::opening::load;
use super::run::run_spec;
use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::job::{Request, Work};
use crate::ledger::{is_worker_name, split_run_uri};

/// `t3b worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Which settings: the same for all workers of a run.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Names the run; by default as `t3b run` does.
    #[arg(long, value_name = "ID", env = "T3B_RUN_ID")]
    pub run_id: Option<String>,
    /// Day of the run in table paths; by default today (UTC), asked once, by the worker that plans it.
    #[arg(long, value_name = "YYYY-MM-DD", env = "T3B_RUN_DATE")]
    pub run_date: Option<String>,
    /// Names this worker in claims, receipts and t3b status; by default a random name.
    #[arg(long, value_name = "NAME", env = "T3B_WORKER", value_parser = worker_name)]
    pub name: Option<String>,
    /// Reads numbers of partitions from standard input, claims none, and answers each with one line of JSON.
    #[arg(long, env = "T3B_STDIN")]
    pub stdin: bool,
    /// Goes on with a run that a machine with other numerics began; each receipt records its own.
    #[arg(long, env = "T3B_ALLOW_OTHER_NUMERICS")]
    pub allow_other_numerics: bool,
    /// Prints one JSON object when the worker has ended, and nothing else.
    #[arg(long, env = "T3B_JSON", conflicts_with = "stdin")]
    pub json: bool,
}

/// Works on a run until it is published, or until there are no more lines.
pub(super) fn work(args: &WorkerArgs) -> Result<Exit, RunError> {
    if split_run_uri(&args.spec.pipeline.to_string_lossy()).is_some() {
        let what =
            "a worker needs the pipeline file: a plan holds hashes of what the run reads, and no places";
        return Err(Problem::new("R009", Exit::Usage, what)
            .hint("t3b worker PIPELINE.toml --output <output root> --run-id <run id>")
            .into());
    }
    let spec = load(&args.spec)?;
    let request = Request {
        run_id: args.run_id.clone(),
        run_date: args.run_date.clone(),
        work: if args.stdin { Work::Asked } else { Work::Claimed },
        worker: args.name.clone(),
        allow_other_numerics: args.allow_other_numerics,
        must_score: true,
        meter: Meter::default(),
    };
    run_spec(spec, &request, Manner { json: args.json, wide: false, profile: false, partitions: args.stdin })
}

fn worker_name(text: &str) -> Result<String, String> {
    let expected = "expected at most 64 of a-z, 0-9, - and _, a letter or a digit first";
    is_worker_name(text).then(|| text.to_owned()).ok_or_else(|| expected.to_owned())
}
