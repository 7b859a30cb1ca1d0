//! `t3b sweep`: many runs from one file, and one table that compares them.

use std::fmt::Write;

use super::SpecArgs;
use super::commands::{on_runtime, start_logging};
use super::signals::{follow, unless_stopped};
use crate::error::{Exit, Problem, RunError};
use crate::job::{Job, Outcome, Request};
use crate::ledger::Finalized;
use crate::report::{AccuracyTable, accuracy};
use crate::settings::{Spec, Sweep, Variation};
use crate::store::Root;

const COLUMNS: &str = "run_id,method,accuracy_clean,accuracy_corrupted,lambda_mean,lambda_var_within,\
heterogeneous_share,guarded_share,js_max_nats,r_js_correct,r_entropy_gap_correct,pt_overconfidence,ft_overconfidence";

/// Runs every variation in turn, resuming what is there, and writes `<output.root>/sweeps/<name>.csv`.
pub(super) fn sweep(args: &SpecArgs) -> Result<Exit, RunError> {
    let sources = args.sources();
    let sweep = Sweep::read(&sources.pipeline)?;
    let mut csv = format!("{COLUMNS}\n");
    let mut last = None;
    for variation in &sweep.variations {
        let mut sources = sources.clone();
        sources.set.extend(variation.set.iter().cloned());
        let spec = Spec::load(&sources)?;
        start_logging(&spec.settings);
        let (settings, root) = (spec.settings.clone(), spec.pipeline.output.root.clone());
        let run_id = run_id(&sweep.name, variation);
        let (done, table, output) = on_runtime(&settings, one(spec, run_id.clone()))?;
        say!("{run_id}\n{table}");
        append(&mut csv, &run_id, &done, &table);
        last = Some((settings, output, root));
    }
    let Some((settings, output, root)) = last else { return Ok(Exit::Done) };
    let key = format!("sweeps/{}.csv", sweep.name);
    on_runtime(&settings, async {
        output
            .write(&key, "sweep summary", csv.clone().into())
            .await
            .map_err(|error| Problem::from(error).into())
    })?;
    say!("{csv}\nsummary {}/{key}", root.trim_end_matches('/'));
    Ok(Exit::Done)
}

async fn one(spec: Spec, run_id: String) -> Result<(Finalized, AccuracyTable, Root), RunError> {
    let output = Root::open(&spec.pipeline.output.root, true, &spec.settings.store)?;
    let deadline = spec.settings.drain_deadline;
    let (_following, stop) = follow(deadline);
    let job = unless_stopped(&stop, Job::prepare(spec)).await?;
    let outcome = job.run(&Request { run_id: Some(run_id), ..Request::default() }, stop).await;
    let (Outcome::AlreadyDone(done) | Outcome::Published(done)) = outcome? else {
        unreachable!("a run without shards ends published")
    };
    let table = accuracy(&output, &done.plan).await?;
    Ok((done, table, output))
}

/// Readable while it fits a run id; beyond that the label is cut and kept apart by its hash.
fn run_id(name: &str, variation: &Variation) -> String {
    let whole =
        if variation.label.is_empty() { name.to_owned() } else { format!("{name}-{}", variation.label) };
    if whole.len() <= 64 {
        return whole;
    }
    use sha2::{Digest, Sha256};
    let hash = hex::encode(Sha256::digest(&whole));
    format!("{}-{}", &whole[..51], &hash[..12])
}

fn append(csv: &mut String, run_id: &str, done: &Finalized, table: &AccuracyTable) {
    let found = &done.diagnostics;
    let js_max = (found.n_signals > 0).then_some(found.js_max_nats);
    for method in &table.methods {
        let numbers = [
            table.cell(method, "clean", 0),
            table.mean_over_corruptions(method),
            found.lambda_mean(),
            found.lambda_var_within(),
            found.heterogeneous_share(),
            found.guarded_share(),
            js_max,
            found.js_correct.pearson_r(),
            found.entropy_gap_correct.pearson_r(),
            found.pt_confidence.mean_difference(),
            found.ft_confidence.mean_difference(),
        ];
        let numbers = numbers.map(|number| number.map(|n| format!("{n:.6}")).unwrap_or_default());
        // Writing to a text cannot fail.
        let _written = writeln!(csv, "{run_id},{method},{}", numbers.join(","));
    }
}
