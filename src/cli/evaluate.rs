//! `t3b evaluate`, `t3b tune` and `t3b drift`: from published runs to answers.

use std::path::PathBuf;

use clap::Args;
use t3b_stats::Compared;

use super::closing::peak;
use super::opening::{load, on_runtime, start_logging};
use super::pictures::{add_pictures, albums};
use super::{ConfigArgs, SpecArgs};
use crate::error::{Exit, Problem, RunError};
use crate::job::{self, Job};
use crate::ledger::{Plan, is_published, plans, split_run_uri};
use crate::report::{
    Request, RunAt, best_lambda, best_setting, divergences, drift_of, drift_parquet, evaluate, read,
    t3_settings, write,
};
use crate::settings::Settings;
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
    /// Manifest with a column `group`, such as the patient: rows of one group are resampled together. Once for each manifest.
    #[arg(long, value_name = "FILE|URI", env = "T3B_GROUPS")]
    pub groups: Vec<String>,
    /// With report.images: the pipeline that a run was made of, for pictures of its archive. Once for each pipeline.
    #[arg(long, value_name = "PIPELINE.toml", env = "T3B_IMAGES")]
    pub images: Vec<PathBuf>,
    /// How the stores are spoken to.
    #[command(flatten)]
    pub how: ConfigArgs,
}

/// Opens a run by its URI, which must be published: what stands in tables before that is a part.
pub(super) async fn published_run_at(uri: &str, settings: &Settings) -> Result<RunAt, RunError> {
    let run = run_at(uri, settings).await?;
    if !is_published(&run.root, &run.plan).await? {
        let what = format!("run {} is not published yet", run.plan.run_id);
        return Err(Problem::new("R008", Exit::BadData, what)
            .hint("t3b status says what is missing; the same t3b run goes on with it")
            .into());
    }
    Ok(run)
}

/// Opens a run by its URI and reads its plan.
pub(super) async fn run_at(uri: &str, settings: &Settings) -> Result<RunAt, RunError> {
    RunAt::open(&super::from_here(uri), &settings.store).await
}

pub(super) fn evaluate_runs(args: &EvaluateArgs) -> Result<Exit, RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    on_runtime(&settings, async {
        let started = std::time::Instant::now();
        let mut runs = Vec::new();
        for uri in &args.runs {
            let run = published_run_at(uri, &settings).await?;
            check_reference(&args.reference, &run.plan)?;
            runs.push(run);
        }
        let mut request = Request::default();
        request.settings.n_draws = args.draws;
        request.settings.seed = args.seed;
        request.settings.reference.clone_from(&args.reference);
        if let Some(uri) = &args.static_from {
            request.static_from = Some(published_run_at(uri, &settings).await?);
        }
        if let Some(uri) = &args.calibrate_from {
            request.calibrate_from = Some(published_run_at(uri, &settings).await?);
        }
        for file in &args.groups {
            request.groupings.push(job::grouping(&super::from_here(file), &settings).await?);
        }
        let albums = albums(&args.images, &args.how, &settings).await?;
        let mut found = evaluate(&runs, &request).await?;
        add_pictures(&mut found, &runs, &albums).await?;
        let out = Root::open(&super::from_here(&args.out), true, &settings.store)?;
        write(&out, found.files()?).await?;
        say!("{}", found.words());
        let (n, seconds) = (found.n_rows(), started.elapsed().as_secs_f64());
        let peak = peak();
        let each_us = seconds * 1e6 / n.max(1) as f64;
        say!("\n{n} rows in {seconds:.1} s, {each_us:.2} us a row{peak}; files below {}", args.out);
        Ok(Exit::Done)
    })
}

/// `mce` divides by a method that the run has.
fn check_reference(reference: &str, plan: &Plan) -> Result<(), Problem> {
    let methods = &plan.facts.methods;
    if methods.iter().any(|method| method == reference) {
        return Ok(());
    }
    let (run_id, allowed) = (&plan.run_id, methods.join(", "));
    let what = format!("--reference: found {reference:?}, allowed a method of run {run_id}: {allowed}");
    Err(Problem::new("C001", Exit::Config, what).hint("name one of them"))
}

/// What is picked on one split and believed to be of another is wrong science.
fn check_split(plan: &Plan, asked: Option<&str>) -> Result<(), Problem> {
    let made = plan.spec.get("input.split").and_then(serde_json::Value::as_str);
    if made == asked {
        return Ok(());
    }
    let of = |split: Option<&str>| split.map_or("no split".to_owned(), |split| format!("split {split:?}"));
    let what = format!("run {} was made of {}, asked is {}", plan.run_id, of(made), of(asked));
    Err(Problem::new("R001", Exit::Config, what).hint("leave --run-id out, or name the run of that split"))
}

/// `t3b tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Which settings: those of the run with the grid.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Overrides input.split: the split whose run picks.
    #[arg(long, value_name = "SPLIT", env = "T3B_SPLIT")]
    pub split: Option<String>,
    /// Names the run; by default as `t3b run` does.
    #[arg(long, value_name = "ID", env = "T3B_RUN_ID")]
    pub run_id: Option<String>,
}

pub(super) fn tune_run(args: &TuneArgs) -> Result<Exit, RunError> {
    let mut sources = args.spec.clone();
    sources.set.extend(args.split.clone().map(|split| ("input.split".to_owned(), split)));
    let spec = load(&sources)?;
    let settings = spec.settings.clone();
    let output = spec.pipeline.output.root.clone();
    let split = spec.pipeline.input.split.clone();
    on_runtime(&settings, async {
        let run_id = match &args.run_id {
            Some(run_id) => run_id.clone(),
            None => Job::prepare(spec).await?.plan(&job::Request::default())?.run_id,
        };
        let run = published_run_at(&format!("{output}/_t3b/runs/{run_id}"), &settings).await?;
        check_split(&run.plan, split.as_deref())?;
        let mut rows = read(&run.root, &run.plan, None, None).await?.rows;
        rows.derive(t3b_report::Choices::default());
        let unsorted = |_| Problem::new("E003", Exit::StoreIo, "sorted scores cannot be put aside");
        let numbers = t3b_report::Settings { n_draws: 0, ..t3b_report::Settings::default() };
        let figures = t3b_report::Figures::new(rows, numbers).map_err(unsorted)?;
        let picked = best_lambda(&figures).ok_or_else(|| {
            Problem::new("E004", Exit::Config, format!("run {run_id} has no grid"))
                .hint("score it with --set merge.grid=11")
        })?;
        say!("# mean of clean and corrupted top-1 on run {run_id}, by constant lambda:");
        for (lambda, top1) in &picked.curve {
            say!("#   {lambda:.2}  {:.2} %", 100.0 * top1);
        }
        let primary = &figures.facts.primary;
        if let (Some(oracle), Some(own)) = (picked.oracle, picked.primary) {
            let (best, headroom) = (100.0 * picked.top1, 100.0 * (oracle - picked.top1));
            say!(
                "# {primary} {:.2} %, best constant {best:.2} %, any lambda right {:.2} %",
                100.0 * own,
                100.0 * oracle
            );
            say!("# headroom of every rule over the best constant: {headroom:.2} points");
        }
        say!("# keys for the sections that the pipeline file has:");
        say!("[merge.constant]\nlambda = {}", picked.lambda);
        let found = t3_settings(&figures, &divergences(&run.root, &run.plan).await?);
        if let Some(best) = best_setting(&found, &run.plan.facts) {
            let n_alike = found.iter().filter(|one| one.top1 == best.top1).count();
            if n_alike > 1 {
                say!(
                    "\n# {n_alike} of {} settings are alike on this split: it cannot tell them apart",
                    found.len()
                );
            }
            say!("\n# T3_B, estimated from the grid's nearest rows (not exact): {:.2} %", 100.0 * best.top1);
            say!(
                "[merge]\ngamma = {:?}\nlambda_min = {:?}\nlambda_max = {:?}",
                best.gamma,
                best.bounds[0],
                best.bounds[1]
            );
            say!("\n[run]\nbatch_size = {}", best.batch_size);
        }
        Ok(Exit::Done)
    })
}

/// `t3b drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// The run in question: `<root>/_t3b/runs/<run id>`.
    #[arg(value_name = "RUN_URI", env = "T3B_RUN_URI")]
    pub run: String,
    /// Runs to compare with, or an output root: all its published runs of the same pipeline name.
    #[arg(long, value_name = "ROOT|RUN_URI", required = true, num_args = 1.., env = "T3B_AGAINST")]
    pub against: Vec<String>,
    /// Folder or URI for drift.parquet.
    #[arg(long, value_name = "DIR|URI", env = "T3B_DRIFT_OUT")]
    pub out: Option<String>,
    /// How the stores are spoken to.
    #[command(flatten)]
    pub how: ConfigArgs,
}

pub(super) fn drift_run(args: &DriftArgs) -> Result<Exit, RunError> {
    let settings = Settings::defaults(&args.how.sources())?;
    start_logging(&settings);
    on_runtime(&settings, async {
        let run = published_run_at(&args.run, &settings).await?;
        let mut against = Vec::new();
        for uri in &args.against {
            if split_run_uri(uri).is_some() {
                against.push(published_run_at(uri, &settings).await?);
            } else {
                against.extend(runs_below(uri, &run, &settings).await?);
            }
        }
        let found = drift_of(&run, &against).await?;
        let heads = ["PSI", "null p95", "KS", "MMD^2", "p (Holm)", "alarm"];
        let [psi, null, ks, mmd, p, alarm] = heads;
        say!("{:<20}{psi:>9}{null:>12}{ks:>9}{mmd:>9}{p:>10}{alarm:>9}", "quantity");
        for one in &found {
            let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
            let of = |of: fn(&Compared) -> f64| shown(one.shift.bins().map(of));
            let ks = if one.is_category { "-".to_owned() } else { of(|compared| compared.ks.value) };
            say!(
                "{:<20}{:>9}{:>12}{ks:>9}{:>9}{:>10.3}{:>9}",
                one.name,
                of(|compared| compared.psi.value),
                of(|compared| compared.psi.null_p95),
                shown(one.shift.mmd()),
                one.p_adjusted,
                if one.is_alarm { "ALARM" } else { "no" }
            );
        }
        if let Some(out) = &args.out {
            let out = Root::open(&super::from_here(out), true, &settings.store)?;
            write(&out, vec![("drift.parquet".to_owned(), drift_parquet(&run.plan.run_id, &found)?.into())])
                .await?;
        }
        Ok(if found.iter().any(|one| one.is_alarm) { Exit::OverQuarantine } else { Exit::Done })
    })
}

/// The other published runs of one root that have the same pipeline name.
async fn runs_below(uri: &str, run: &RunAt, settings: &Settings) -> Result<Vec<RunAt>, RunError> {
    let root = Root::open(&super::from_here(uri), false, &settings.store)?;
    let mut found = Vec::new();
    for plan in plans(&root).await? {
        let is_other = plan.run_id != run.plan.run_id && plan.facts.name == run.plan.facts.name;
        if is_other && is_published(&root, &plan).await? {
            found.push(RunAt { root: root.clone(), plan });
        }
    }
    Ok(found)
}
