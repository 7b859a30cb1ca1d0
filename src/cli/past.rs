//! Commands that look back: which runs there are, what one says of itself or of a sample, and withdrawing one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::closing::print_accuracies;
use super::opening::{load, on_runtime, open_run, open_run_at, start_logging};
use super::{RunUriArgs, SpecArgs};
use crate::error::{Exit, Problem, RunError};
use crate::job::{Job, Whose};
use crate::ledger::{
    AtWork, ListedRun, at_work, discard, is_published, planned, runs, split_run_uri, status,
};
use crate::report::{SampleStory, accuracy, reasons, story};
use crate::settings::Settings;
use crate::store::Root;

/// `t3b runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// Lists the runs below an output root, oldest first, complete or not.
    ///
    /// Example: t3b runs list s3://results/nightly
    List(RunsListArgs),
    /// Shows what one run is: what it computed, how far it is, what it left out, and its accuracies.
    ///
    /// Example: t3b runs show s3://results/nightly/_t3b/runs/night-7
    Show(RunsShowArgs),
}

/// `t3b runs list`.
#[derive(Debug, Args)]
pub struct RunsListArgs {
    /// The output root.
    #[arg(value_name = "ROOT", env = "T3B_RUNS_ROOT")]
    pub root: String,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: super::ConfigArgs,
    /// Prints one JSON object a line.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b runs show`.
#[derive(Debug, Args)]
pub struct RunsShowArgs {
    /// A run, or an output root for its newest run.
    #[arg(value_name = "RUN_URI|ROOT", env = "T3B_RUN_URI")]
    pub run: String,
    /// How the store is spoken to.
    #[command(flatten)]
    pub how: super::ConfigArgs,
    /// Every corruption a column, however wide.
    #[arg(long, env = "T3B_WIDE")]
    pub wide: bool,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunUriArgs,
    /// The sample's pseudonym, from the column sample_id.
    #[arg(value_name = "SAMPLE_ID", env = "T3B_SAMPLE_ID")]
    pub sample_id: String,
    /// The pipeline the run was made with: its owner's manifest tells which object of the archive the sample is.
    #[arg(long, value_name = "PIPELINE.toml", env = "T3B_SHOW_PIPELINE")]
    pub pipeline: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long, env = "T3B_JSON")]
    pub json: bool,
}

/// `t3b discard`.
#[derive(Debug, Args)]
pub struct DiscardArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunUriArgs,
    /// Deletes what would otherwise only be counted.
    #[arg(long, env = "T3B_DELETE")]
    pub delete: bool,
    /// Takes an unfinished run for abandoned when nothing of it was written for so long: a number and s, m, h or d. One whose
    /// worker said that it ended may go at once.
    #[arg(long, value_name = "AGE", default_value = "15m", env = "T3B_OLDER_THAN", value_parser = super::runs::age)]
    pub older_than: Duration,
}

pub(super) fn runs_of(command: &RunsCommand) -> Result<Exit, RunError> {
    match command {
        RunsCommand::List(args) => list(args),
        RunsCommand::Show(args) => show_run(args),
    }
}

fn open_settings(how: &super::ConfigArgs) -> Result<Settings, RunError> {
    let settings = Settings::defaults(&how.sources())?;
    start_logging(&settings);
    Ok(settings)
}

fn open_root(root: &str, how: &super::ConfigArgs) -> Result<(Settings, Root), RunError> {
    let settings = open_settings(how)?;
    let output = Root::open(&super::from_here(root), false, &settings.store)?;
    Ok((settings, output))
}

fn list(args: &RunsListArgs) -> Result<Exit, RunError> {
    let (settings, output) = open_root(&args.root, &args.how)?;
    on_runtime(&settings, async {
        let found = runs(&output).await?;
        if args.json {
            for run in &found {
                say!("{}", serde_json::to_string(run).expect("a run has a JSON text"));
            }
            return Ok(Exit::Done);
        }
        if found.is_empty() {
            say!("no run below this root: {}", output.place());
            return Ok(Exit::Done);
        }
        say!("{:<40} {:<10} {:>9} {:>6} {}", "run_id", "run_date", "samples", "cells", "state");
        for run in &found {
            // A longer id stands on a line of its own, so that the table keeps its width and no id is cut.
            let id = if run.run_id.len() > 40 {
                format!("{}\n{:<40}", run.run_id, "")
            } else {
                format!("{:<40}", run.run_id)
            };
            say!("{id} {:<10} {:>9} {:>6} {}", run.run_date, run.n_samples, run.n_cells, state(run));
        }
        Ok(Exit::Done)
    })
}

fn state(run: &ListedRun) -> String {
    match (run.is_published, run.n_scored) {
        (true, 0) => "empty".to_owned(),
        (true, _) => "published".to_owned(),
        (false, _) => format!("{}/{}", run.n_committed, run.n_partitions),
    }
}

fn show_run(args: &RunsShowArgs) -> Result<Exit, RunError> {
    let (root, run_id) = match split_run_uri(&args.run) {
        Some((root, run_id)) => (root, Some(run_id.to_owned())),
        None => (args.run.as_str(), None),
    };
    let (settings, output) = open_root(root, &args.how)?;
    on_runtime(&settings, async {
        let newest = async || Ok::<_, RunError>(runs(&output).await?.pop().map(|run| run.run_id));
        let run_id = if run_id.is_some() { run_id } else { newest().await? };
        let run_id = run_id.ok_or_else(|| no_such_run(&format!("no run below {}", output.place())))?;
        let plan = planned(&output, &run_id).await?;
        let found = status(&output, &run_id, None).await?;
        let reasons = if found.is_published { reasons(&output, &plan).await? } else { Default::default() };
        let table = if found.is_published { Some(accuracy(&output, &plan).await?) } else { None };
        if args.json {
            let accuracies: Option<Vec<_>> = table.as_ref().map(|table| {
                let of = |((method, corruption, severity), counts): (
                    &(String, String, u8),
                    &crate::report::Accuracy,
                )| {
                    json!({
                        "method": method, "corruption": corruption, "severity": severity,
                        "n_labelled": counts.n_labelled, "n_correct": counts.n_correct,
                    })
                };
                table.counts.iter().map(of).collect()
            });
            let answer = json!({
                "run_id": plan.run_id, "run_date": plan.run_date, "planned_at": plan.planned_at,
                "code_version": plan.code_version, "spec_sha256": plan.spec_sha256, "spec": plan.spec,
                "n_samples": plan.n_samples, "cells": plan.cells, "status": found,
                "quarantine": reasons, "accuracy": accuracies,
            });
            say!("{answer:#}");
            return Ok(Exit::Done);
        }
        say!("run          {}", plan.run_id);
        say!("date         {} (planned {})", plan.run_date, plan.planned_at);
        say!("program      t3b {}", plan.code_version);
        say!("samples      {} in {} cells", plan.n_samples, plan.cells.len());
        say!("committed    {} of {} partitions", found.n_committed, found.n_partitions);
        say!("published    {}", if found.is_published { "yes" } else { "no" });
        say!("scored       {} (sample, cell) pairs", found.n_scored);
        say!("quarantined  {} pairs", found.n_quarantined);
        for (reason, n) in &reasons {
            say!("             {n:>9} rows {reason}");
        }
        for key in ["merge.methods", "merge.primary", "run.batch_size", "labels.names"] {
            if let Some(value) = plan.spec.get(key) {
                say!("{key:<12} {value}");
            }
        }
        for name in &plan.facts.stand_ins {
            say!("stand-in     {name}: pictures made here, not the reference's");
        }
        if let Some(table) = table {
            print_accuracies(&table, found.n_scored, args.wide, &plan.facts.stand_ins);
        }
        Ok(Exit::Done)
    })
}

fn no_such_run(what: &str) -> Problem {
    Problem::new("R009", Exit::Usage, what).hint("t3b runs list ROOT names those that there are")
}

pub(super) fn show_sample(args: &ShowArgs) -> Result<Exit, RunError> {
    let RunUriArgs { run, how } = &args.run;
    let spec = args.pipeline.clone().map(|pipeline| {
        load(&SpecArgs { pipeline, config: how.config.clone(), set: how.set.clone(), output: None })
    });
    let spec = spec.transpose()?;
    // With a pipeline, --set may name its keys too.
    let settings = match &spec {
        Some(spec) => spec.settings.clone(),
        None => open_settings(how)?,
    };
    let (output, _, run_id) = open_run_at(run, &settings, false)?;
    on_runtime(&settings, async {
        let plan = planned(&output, &run_id).await?;
        if !is_published(&output, &plan).await? {
            return Err(Problem::new("R008", Exit::BadData, "the run is not published yet").into());
        }
        let story = story(&output, &plan, &args.sample_id).await?;
        let whose = match spec {
            Some(spec) => Some(Job::prepare(spec).await?.whose(&plan, &args.sample_id).await?),
            None => None,
        };
        if args.json {
            say!("{:#}", json!({ "run_id": plan.run_id, "sample": story, "whose": whose }));
        } else {
            print_story(&story, whose.as_ref());
        }
        Ok(Exit::Done)
    })
}

fn print_story(story: &SampleStory, whose: Option<&Whose>) {
    say!("sample  {}", story.sample_id);
    say!("label   {}", story.label.as_deref().unwrap_or("none"));
    if let Some(whose) = whose {
        let within = whose.within.map(|at| format!(", {at} within it")).unwrap_or_default();
        say!("object  {}{within} (manifest row {}, from 0)", whose.key, whose.manifest_row);
    }
    for refusal in &story.refusals {
        let cell = match (&refusal.corruption, refusal.severity) {
            (Some(corruption), Some(severity)) => format!("{corruption}/{severity}"),
            _ => "every cell".to_owned(),
        };
        say!("quarantined in {cell}: {} ({})", refusal.reason_code, refusal.detail);
    }
    if !story.answers.is_empty() {
        say!("{:<26} {:<18} {:<22} {:>6}", "cell", "method", "predicted", "prob");
    }
    for answer in &story.answers {
        let cell = format!("{}/{}", answer.corruption, answer.severity);
        let mark = match answer.correct {
            Some(true) => " ok",
            Some(false) => " no",
            None => "",
        };
        say!("{cell:<26} {:<18} {:<22} {:>6.3}{mark}", answer.method, answer.pred, answer.pred_prob);
    }
}

fn working(run_id: &str, found: AtWork) -> Problem {
    let what = format!(
        "run {run_id} seems to be at work: its newest object is {} s old, {} of {} partitions are committed, and no worker \
         has said since that it ended",
        found.age.as_secs(),
        found.n_committed,
        found.n_partitions
    );
    Problem::new("R013", Exit::Fenced, what).hint(
        "stop that process, and then withdraw the run; if it died, --older-than 0s withdraws the run at once, and a worker \
         that is there after all ends with R012",
    )
}

/// Counts, and with `--delete` deletes, everything of a run.
pub(super) fn discard_run(args: &DiscardArgs) -> Result<Exit, RunError> {
    let (settings, output, root, run_id) = open_run(&args.run, args.delete)?;
    on_runtime(&settings, async {
        if let Some(found) = at_work(&output, &run_id, args.older_than).await? {
            let problem = working(&run_id, found);
            if args.delete {
                return Err(problem.into());
            }
            tell!("note: {}", problem.what);
        }
        let found = discard(&output, &run_id, args.delete).await?;
        let n_bytes: u64 = found.objects.iter().map(|(_, size)| size).sum();
        say!("run     {run_id}, {}published", if found.was_published { "" } else { "not " });
        match &found.record {
            Some(record) => {
                say!("deleted {} objects, {n_bytes} bytes", found.objects.len());
                say!("record  {}/{record}", root.trim_end_matches('/'));
            }
            None => say!("would delete, with --delete: {} objects, {n_bytes} bytes", found.objects.len()),
        }
        Ok(Exit::Done)
    })
}
