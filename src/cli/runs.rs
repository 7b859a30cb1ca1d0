//! Commands about runs that exist: where one stands, what it left behind, whether it can be repeated.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::closing::{exit_of, print_finalized, why_quarantined};
use super::opening::{load, on_runtime, open_run};
use super::{ReproduceArgs, RunUriArgs, StatusArgs, TidyArgs, VerifyArgs};
use crate::error::{Exit, Problem, RunError, quoted};
use crate::job::{Job, Request};
use crate::ledger::{Layout, Status, finalize, status, tidy, verify};
use crate::store::{Root, leftovers, local_path};

/// Where a run stands.
pub(super) fn show_status(args: &StatusArgs) -> Result<Exit, RunError> {
    let (settings, output, _, run_id) = open_run(&args.run, false)?;
    on_runtime(&settings, async {
        let found = status(&output, &run_id, Some(settings.claims)).await?;
        if args.json {
            say!("{}", serde_json::to_string_pretty(&found).expect("numbers have a JSON text"));
        } else {
            print_status(&found);
        }
        Ok(Exit::Done)
    })
}

fn print_status(found: &Status) {
    say!("run          {}", found.run_id);
    say!("committed    {} of {} partitions", found.n_committed, found.n_partitions);
    if !found.missing.is_empty() {
        let shown: Vec<String> = found.missing.iter().take(10).map(u32::to_string).collect();
        let more = if found.missing.len() > shown.len() { ", ..." } else { "" };
        say!("missing      {}{more}", shown.join(", "));
    }
    if !found.foreign.is_empty() {
        say!(
            "foreign      {} objects among the receipts, not counted: {}",
            found.foreign.len(),
            found.foreign[0]
        );
    }
    say!("scored       {} (sample, cell) pairs", found.n_scored);
    say!("quarantined  {} pairs", found.n_quarantined);
    if found.n_canaries > 1 {
        say!("numerics     {} classes worked on this run", found.n_canaries);
    }
    if let Some(rate) = found.rate_per_min {
        say!("rate         {rate:.2} partitions a minute");
    }
    if let Some(eta_s) = found.eta_s.filter(|_| !found.missing.is_empty()) {
        say!("eta          {eta_s:.0} s at that rate");
    }
    for worker in &found.workers {
        let rate = worker.rate_per_min.map(|rate| format!(", {rate:.2} a minute")).unwrap_or_default();
        let (n_open, silent_s) = (worker.open.len(), worker.silent_s);
        say!(
            "worker       {}: {} committed{rate}, {n_open} open, last seen {silent_s:.0} s ago",
            worker.worker,
            worker.n_committed
        );
    }
    for late in &found.stragglers {
        say!("late         partition {} of {}, claimed {:.0} s ago", late.partition, late.worker, late.age_s);
    }
    if found.n_reissued > 0 {
        say!("reissued     {} claims were passed over", found.n_reissued);
    }
    say!("published    {}", if found.is_published { "yes" } else { "no" });
}

/// Lists, and with `--delete` deletes, staged objects that no receipt names.
pub(super) fn tidy_run(args: &TidyArgs) -> Result<Exit, RunError> {
    let (settings, output, root, run_id) = open_run(&args.run, args.delete)?;
    tidy_half_written(&root, &run_id, args)?;
    on_runtime(&settings, async {
        let found = tidy(&output, &run_id, args.delete, args.older_than).await?;
        for (name, size) in &found.orphans {
            say!("{size:>12} {name}");
        }
        let n_bytes: u64 = found.orphans.iter().map(|(_, size)| size).sum();
        let done = if args.delete { "deleted" } else { "would delete, with --delete:" };
        say!("{done} {} objects, {n_bytes} bytes", found.orphans.len());
        say!(
            "kept {} younger objects and {} of partitions without a receipt",
            found.n_young,
            found.n_undecided
        );
        Ok(Exit::Done)
    })
}

/// On a local root: files that a kill left half-written.
fn tidy_half_written(root: &str, run_id: &str, args: &TidyArgs) -> Result<(), RunError> {
    let root = super::from_here(root);
    let Some(local) = local_path(&root) else { return Ok(()) };
    let layout = Layout::new(run_id);
    let ours = ["_t3b", "tables"].map(|folder| Path::new(local).join(folder));
    let is_ours = |path: &Path| {
        let key = path.strip_prefix(local).ok().and_then(Path::to_str);
        key.is_some_and(|key| layout.is_own(key))
    };
    for leftover in ours.iter().flat_map(|folder| leftovers(folder, args.older_than, &is_ours)) {
        say!("{:>12} {}", leftover.bytes, leftover.path.display());
        if args.delete {
            let failed = |_| Problem::new("S007", Exit::StoreIo, "a half-written file could not be deleted");
            std::fs::remove_file(&leftover.path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Scores random slots again and compares bits.
pub(super) fn reproduce_run(args: &ReproduceArgs) -> Result<Exit, RunError> {
    let spec = load(&args.spec)?;
    let settings = spec.settings.clone();
    let request = Request { run_id: args.run_id.clone(), ..Request::default() };
    on_runtime(&settings, async {
        let output = Root::open(&spec.pipeline.output.root, false, &settings.store)?;
        let found = Job::prepare(spec).await?.reproduce(&output, &request, args.slots).await?;
        if !found.same_canary {
            tell!("warning[R004] this machine's numerics are not those of the run; last bits may differ");
        }
        let slots: Vec<String> = found.slots.iter().map(u64::to_string).collect();
        say!("slots {}", slots.join(", "));
        let differing: std::collections::BTreeSet<u64> =
            found.differing.iter().map(|&(slot, _)| slot).collect();
        say!("{} of {} slots are equal in every bit", slots.len() - differing.len(), slots.len());
        let problems = found.differing.iter().map(|(slot, table)| {
            Problem::new("V004", Exit::BadData, format!("slot {slot} of {table} is not reproduced"))
                .hint("t3b verify tells damage at rest from other numerics")
        });
        let problems: Vec<Problem> = problems.collect();
        if problems.is_empty() { Ok(Exit::Done) } else { Err(RunError::all(problems)) }
    })
}

/// `90s`, `12h`, `7d`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and s, m, h or d, for example 7d".to_owned();
    let split = text.len().saturating_sub(1);
    let (number, unit) = (text.get(..split).ok_or_else(expected)?, text.get(split..).ok_or_else(expected)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

pub(super) fn finalize_run(args: &RunUriArgs) -> Result<Exit, RunError> {
    let (settings, output, root, run_id) = open_run(args, true)?;
    on_runtime(&settings, async {
        let done = finalize(&output, &run_id).await?;
        say!("published {} objects", done.n_written);
        let why = why_quarantined(&output, &done).await?;
        print_finalized(&done, &root, &why);
        Ok(exit_of(&done))
    })
}

pub(super) fn verify_run(args: &VerifyArgs) -> Result<Exit, RunError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        assert!(age("7").is_err() && age("d").is_err() && age("").is_err() && age("é").is_err());
    }
}
