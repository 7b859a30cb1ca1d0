//! `t3b plan` and `t3b check`: what a run would be, before it is one.

use serde_json::json;

use super::closing::notes;
use super::opening::{load, on_runtime};
use super::{PlanArgs, SpecArgs};
use crate::error::{Exit, RunError};
use crate::job::{Job, Pace, Request};
use crate::ledger::nonce;
use crate::settings::Effective;
use crate::store::Root;

pub(super) fn print_plan(args: &PlanArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let settings = spec.settings.clone();
    on_runtime(&settings, async {
        let job = Job::prepare(spec).await?;
        let partitions = job.partitions();
        let plan = job.plan(&Request::default())?;
        let n_bytes = job.manifest.n_bytes;
        let (n_samples, n_batches) = (job.manifest.n_samples, job.n_batches(partitions));
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
                "n_partitions": partitions.n(), "n_cells": cells.len(), "n_batches": n_batches,
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
        say!("partitions  {} of at most {}", partitions.n(), partition_size);
        say!("cells       {}", plan.cells.len());
        say!("batches     {n_batches} of at most {}", batch_size);
        say!("rows        {} predictions", n_pairs * n_methods as u64);
        if let Some(pace) = pace {
            print_pace(pace, partitions.n());
        }
        Ok(Exit::Done)
    })
}

/// A partition that takes longer than this loses much to an interrupt.
const LONG_PARTITION_S: f64 = 600.0;

fn print_pace(pace: Pace, n_partitions: u32) {
    say!("pace        about {:.0} (sample, cell) pairs a second on this machine", pace.pairs_per_s);
    say!("partition   about {:.0} s", pace.seconds_per_partition);
    say!("in all      about {:.0} s", pace.seconds_per_partition * f64::from(n_partitions));
    if pace.seconds_per_partition > LONG_PARTITION_S {
        tell!(
            "warning: a partition takes over {:.0} minutes, and an interrupt loses the open one;\n  \
             hint: set run.partition_size smaller, or to \"auto\"",
            LONG_PARTITION_S / 60.0
        );
    }
}

pub(super) fn check(args: &SpecArgs) -> Result<Exit, RunError> {
    let spec = load(args)?;
    let settings = spec.settings.clone();
    on_runtime(&settings, async {
        let output = Root::open(&spec.pipeline.output.root, true, &settings.store)?;
        let job = Job::prepare(spec).await?;
        output.probe_writing(&nonce()?).await?;
        notes(&job);
        let looked = match job.partitions().get(0) {
            Some(first) => Some(job.look(&first, false, true).await?),
            None => None,
        };
        print_keys("pipeline", &job.spec.pipeline_keys);
        print_keys("config", &job.spec.config_keys);
        say!("samples      {}", job.manifest.n_samples);
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
