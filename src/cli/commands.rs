//! Which function answers which command.

use super::{Cli, Command};
use super::{
    corrupt, dashboard, decode, describe, evaluate, key, manifest, models, nightly, past, plan, run, runs,
    samples, sweep, variables, worker,
};
use crate::error::{Exit, RunError};

/// Runs one command to its end.
///
/// # Errors
/// Everything that kept the command from doing what was asked.
pub fn execute(cli: &Cli) -> Result<Exit, RunError> {
    if !matches!(cli.command, Command::DecodeWorker) {
        variables::check()?;
    }
    match &cli.command {
        Command::Demo(args) => run::run_demo(args),
        Command::Run(args) => run::run_pipeline(args),
        Command::Worker(args) => worker::work(args),
        Command::Nightly(args) => nightly::nightly(args),
        Command::Plan(args) => plan::print_plan(args),
        Command::Check(args) => plan::check(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::Corrupt(args) => corrupt::corrupt(args),
        Command::Manifest(command) => manifest::manifest(command),
        Command::Models(command) => models::models(command),
        Command::Key(command) => key::key(command),
        Command::Finalize(args) => runs::finalize_run(args),
        Command::Verify(args) => runs::verify_run(args),
        Command::Status(args) => runs::show_status(args),
        Command::Tidy(args) => runs::tidy_run(args),
        Command::Runs(command) => past::runs_of(command),
        Command::Show(args) => past::show_sample(args),
        Command::Discard(args) => past::discard_run(args),
        Command::Reproduce(args) => runs::reproduce_run(args),
        Command::Decode(args) => decode::decode(args),
        Command::Evaluate(args) => evaluate::evaluate_runs(args),
        Command::Tune(args) => evaluate::tune_run(args),
        Command::Drift(args) => evaluate::drift_run(args),
        Command::Dashboard(args) => dashboard::write_page(args),
        Command::Samples(args) => samples::print_samples(args),
        Command::Config(command) => describe::config(command),
        Command::Schema(args) => describe::print_schema(args),
        Command::Completions(args) => describe::completions(args),
        Command::Man(args) => describe::man(args),
        Command::DecodeWorker => Ok(t3b_decode::worker::serve().map_or(Exit::Bug, |()| Exit::Done)),
    }
}
