//! `t3b evaluate`: from published runs to a report.

use std::path::PathBuf;

use clap::Args;

use super::commands::{on_runtime, start_logging};
use crate::error::{Exit, Problem, RunError};
use crate::ledger::{Layout, read_plan, split_run_uri};
use crate::report::{Request, RunAt, evaluate, write};
use crate::settings::{Settings, Sources};
use crate::store::Root;

/// `t3b evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// One or many runs: `<root>/_t3b/runs/<run id>`.
    #[arg(value_name = "RUN_URI", env = "T3B_RUN_URI", required = true, num_args = 1..)]
    pub runs: Vec<String>,
    /// Folder or URI for the files.
    #[arg(long, value_name = "DIR|URI", default_value = "report", env = "T3B_REPORT_OUT")]
    pub out: String,
    /// The method that mce divides by.
    #[arg(long, value_name = "METHOD", default_value = "pretrained", env = "T3B_REFERENCE")]
    pub reference: String,
    /// Bootstrap resamples.
    #[arg(long, value_name = "N", default_value_t = 1000, env = "T3B_DRAWS")]
    pub draws: usize,
    /// Seed of the resamples.
    #[arg(long, value_name = "SEED", default_value_t = 0, env = "T3B_DRAWS_SEED")]
    pub seed: u64,
    /// A run of another split with a grid: its best lambda becomes the row best_static.
    #[arg(long, value_name = "RUN_URI", env = "T3B_STATIC_FROM")]
    pub static_from: Option<String>,
    /// A labelled run whose clean images calibrate estimates without labels.
    #[arg(long, value_name = "RUN_URI", env = "T3B_CALIBRATE_FROM")]
    pub calibrate_from: Option<String>,
    /// How it is carried out.
    #[arg(long, value_name = "FILE", env = "T3B_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Opens a run by its URI and reads its plan.
pub(super) async fn run_at(uri: &str, settings: &Settings) -> Result<RunAt, RunError> {
    let (root, run_id) = split_run_uri(uri).ok_or_else(|| {
        Problem::new("R009", Exit::Usage, "run URI: allowed <output root>/_t3b/runs/<run id>")
            .hint("t3b run prints it on its first line")
    })?;
    let root = Root::open(&super::from_here(root), false, &settings.store)?;
    let plan = read_plan(&root, &Layout::new(run_id))
        .await?
        .ok_or_else(|| Problem::new("R009", Exit::Usage, format!("run {run_id} has not been planned")))?;
    Ok(RunAt { root, plan })
}

pub(super) fn evaluate_runs(args: &EvaluateArgs) -> Result<Exit, RunError> {
    let settings = Settings::defaults(&Sources { config: args.config.clone(), ..Sources::default() })?;
    start_logging(&settings);
    on_runtime(&settings, async {
        let started = std::time::Instant::now();
        let mut runs = Vec::new();
        for uri in &args.runs {
            runs.push(run_at(uri, &settings).await?);
        }
        let mut request = Request::default();
        request.settings.n_draws = args.draws;
        request.settings.seed = args.seed;
        request.settings.reference.clone_from(&args.reference);
        if let Some(uri) = &args.static_from {
            request.static_from = Some(run_at(uri, &settings).await?);
        }
        if let Some(uri) = &args.calibrate_from {
            request.calibrate_from = Some(run_at(uri, &settings).await?);
        }
        let found = evaluate(&runs, &request).await?;
        let out = Root::open(&super::from_here(&args.out), true, &settings.store)?;
        write(&out, found.files()?).await?;
        print!("{}", found.words());
        let (n, seconds) = (found.n_rows(), started.elapsed().as_secs_f64());
        println!(
            "\n{n} rows in {seconds:.1} s, {:.2} us a row; files below {}",
            seconds * 1e6 / n.max(1) as f64,
            args.out
        );
        Ok(Exit::Done)
    })
}
