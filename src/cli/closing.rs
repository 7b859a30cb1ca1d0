//! What a run says of itself: notes before it starts and lines when it has ended, each within 80 columns.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};

use super::fold::folded;
use crate::error::{Exit, RunError};
use crate::flow::meter::Meter;
use crate::flow::progress::rss_mib;
use crate::graph::corrupt::CorruptAt;
use crate::job::{Job, Outcome, PSEUDONYM_KEY};
use crate::ledger::Finalized;
use crate::merge::deviation::Deviation;
use crate::report::{AccuracyTable, accuracy, reasons};
use crate::store::Root;

/// Reasons that are named one by one.
const REASONS: usize = 8;

/// How a run's end is told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// One JSON object instead of lines.
    pub(super) json: bool,
    /// Every corruption a column.
    pub(super) wide: bool,
    /// A line of JSON for each partition, and nothing of the run.
    pub(super) partitions: bool,
    /// What each stage did with its time.
    pub(super) profile: bool,
}

/// What this process did.
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) meter: Meter,
}

/// Says what deserves a word before anything is scored.
pub(super) fn notes(job: &Job) {
    for warning in &job.warnings {
        tell!("warning: {warning}");
    }
    if std::env::var_os(PSEUDONYM_KEY).is_none() && job.has_derived_ids() {
        tell!("note: these ids are of this manifest alone: another gives the same images other ids");
    }
    let inexact = &job.spec.pipeline.corrupt.inexact;
    if !inexact.is_empty() {
        tell!(
            "note: pictures made here stand in for the reference's in {};\n      \
             corrupt.assets.dir gives the reference's (docs/corruptions.md)",
            inexact.join(", ")
        );
    }
    note_small_images(job);
}

/// Side of the images that the suites' stains are sized for, and what the largest covers of a smaller one, in pixels.
const SUITE_SIDE_PX: usize = 224;
const STAIN_AREA_PX: usize = 564;

/// Stains have a size in pixels, the reference's as well as ours: on small images they hide the picture.
fn note_small_images(job: &Job) {
    let corrupt = &job.spec.pipeline.corrupt;
    let side_px = job.models.pretrained.config().image_px;
    let is_stain = |cell: &t3b_corrupt::Cell| {
        matches!(cell.kind(), Some((_, t3b_corrupt::Corruption::StainDeposit { .. })))
    };
    if corrupt.at == CorruptAt::Model && side_px < SUITE_SIDE_PX && corrupt.cells.iter().any(is_stain) {
        let share = (STAIN_AREA_PX * 100 / (side_px * side_px)).min(100);
        tell!(
            "note: stain_deposit is made for images of {SUITE_SIDE_PX} px; at {side_px} px one stain covers\n      \
             up to {share} % of the picture, so its figures tell little. corrupt.at = \"source\" stains\n      \
             images at their own size"
        );
    }
}

/// Tells how a run ended; the code to end with.
pub(super) async fn tell(
    outcome: &Outcome,
    output: &Root,
    output_root: &str,
    spent: &Spent,
    manner: Manner,
) -> Result<Exit, RunError> {
    let (done, state) = match outcome {
        Outcome::ShardDone { .. } if manner.partitions => return Ok(Exit::Done),
        Outcome::Published(done) | Outcome::AlreadyDone(done) if manner.partitions => {
            return Ok(exit_of(done));
        }
        Outcome::ShardDone { n_missing } => {
            if manner.json {
                say!(
                    "{:#}",
                    json!({ "state": "shard_done", "n_missing_partitions": n_missing, "process": process(spent, manner) })
                );
            } else {
                match n_missing {
                    0 => say!("done; another worker has published the run"),
                    _ => say!("shard done; {n_missing} partitions of the run are not committed yet"),
                }
                print_spent(spent, manner);
            }
            return Ok(Exit::Done);
        }
        Outcome::AlreadyDone(done) => (done, "already_complete"),
        Outcome::Published(done) => (done, "published"),
    };
    let why = why_quarantined(output, done).await?;
    let table = accuracy(output, &done.plan).await?;
    if manner.json {
        let exit = exit_code(done);
        let mut answer = json!({
            "state": state, "run_id": done.plan.run_id, "run_date": done.plan.run_date,
            "run_uri": format!("{}/_t3b/runs/{}", output_root.trim_end_matches('/'), done.plan.run_id),
            "n_scored": done.n_scored, "n_quarantined": done.n_quarantined, "quarantine": why,
            "over_quarantine": done.over_quarantine, "n_written": done.n_written,
            "stand_ins": done.plan.facts.stand_ins, "is_labelled": is_labelled(&table),
            "accuracy": by_method(&table), "process": process(spent, manner),
            "exit_code": exit.code(),
        });
        if let Some(int8) = done.diagnostics.int8 {
            answer["int8"] = deviation(&int8);
        }
        say!("{answer:#}");
        return Ok(exit);
    }
    if state == "already_complete" {
        say!("already complete: nothing to do, {} objects written", done.n_written);
    }
    print_finalized(done, output_root, &why);
    print_spent(spent, manner);
    print_accuracies(&table, done.n_scored, manner.wide, &done.plan.facts.stand_ins);
    Ok(exit_of(done))
}

/// Whether any scored sample has a label.
pub(super) fn is_labelled(table: &AccuracyTable) -> bool {
    table.counts.values().any(|counts| counts.n_labelled > 0)
}

/// What accuracies need, where there are none.
pub(super) const UNLABELLED: &str = "labels  none, so no accuracies: a column label_idx or label of the manifest\n        \
                                     gives them (docs/manifest.md); t3b evaluate estimates them without";

/// The accuracies of a run, or what is missing for them.
pub(super) fn print_accuracies(table: &AccuracyTable, n_scored: u64, wide: bool, stand_ins: &[String]) {
    if is_labelled(table) {
        say!("\n{}", folded(table, wide, stand_ins));
    } else if n_scored > 0 {
        say!("{UNLABELLED}");
    }
}

/// Quarantine rows by reason, read where there are any.
pub(super) async fn why_quarantined(
    output: &Root,
    done: &Finalized,
) -> Result<BTreeMap<String, u64>, RunError> {
    if done.n_quarantined == 0 {
        return Ok(BTreeMap::new());
    }
    reasons(output, &done.plan).await
}

/// Lines about a published run.
pub(super) fn print_finalized(done: &Finalized, output_root: &str, why: &BTreeMap<String, u64>) {
    let root = output_root.trim_end_matches('/');
    say!("scored  {} (sample, cell) pairs, {} quarantined", done.n_scored, done.n_quarantined);
    let mut counts: Vec<_> = why.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (reason, n) in counts.iter().take(REASONS) {
        say!("        {n:>9} rows {reason}");
    }
    if counts.len() > REASONS {
        say!("        and {} reasons more, in the quarantine table", counts.len() - REASONS);
    }
    if let Some(int8) = &done.diagnostics.int8 {
        say!(
            "int8    lambda of a batch at most {:.4} from that in f32, mean {:.4};",
            int8.lambda_max,
            int8.lambda_mean().unwrap_or_default()
        );
        let changed = 100.0 * int8.changed_share().unwrap_or_default();
        say!("        another class for {changed:.2} % of the {} predictions compared", int8.n_predictions);
    }
    say!("tables  {root}/tables/");
    say!("        <table>/run_date={}/run_id={}/", done.plan.run_date, done.plan.run_id);
    // A run that scored nothing has its answers in the table of what it left out.
    let table = if done.n_scored == 0 && done.n_quarantined > 0 { "quarantine" } else { "predictions" };
    say!("look    duckdb -c \"from read_parquet(");
    say!("          '{root}/tables/{table}/**/*.parquet',");
    say!("          hive_partitioning = true, union_by_name = true) limit 9\"");
}

/// How far coefficients of parents in 8-bit integers are from those in `f32`, by the names of the `runs` columns.
fn deviation(int8: &Deviation) -> Value {
    json!({
        "js_max_nats": int8.js_max_nats, "js_mean_nats": int8.js_mean_nats(),
        "lambda_max": int8.lambda_max, "lambda_mean": int8.lambda_mean(),
        "changed_share": int8.changed_share(), "n_predictions": int8.n_predictions,
    })
}

/// The most memory of this process behind a comma, where the system tells.
pub(super) fn peak() -> String {
    rss_mib("VmHWM:").map(|peak| format!(", {peak} MiB at its peak")).unwrap_or_default()
}

fn print_spent(spent: &Spent, manner: Manner) {
    let n_pairs = spent.meter.pairs.load(Relaxed);
    let peak = peak();
    if n_pairs == 0 {
        say!("took    {:.1} s{peak}", spent.wall.as_secs_f64());
        return;
    }
    let rate = rate(n_pairs, spent.wall);
    let decimals = if rate < 10.0 { 2 } else { 0 };
    say!(
        "took    {:.1} s, {n_pairs} pairs in this call, {rate:.decimals$} a second{peak}",
        spent.wall.as_secs_f64(),
    );
    let (n_lost, wasted) = spent.meter.open.lost();
    if n_lost > 0 {
        say!("lost    {n_lost} partitions that others committed first, {:.1} s", wasted.as_secs_f64());
    }
    if manner.profile {
        super::profile::print(&spent.meter, spent.wall);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn rate(n_pairs: u64, wall: Duration) -> f64 {
    n_pairs as f64 / wall.as_secs_f64().max(1e-3)
}

fn process(spent: &Spent, manner: Manner) -> Value {
    let n_pairs = spent.meter.pairs.load(Relaxed);
    let (n_lost, wasted) = spent.meter.open.lost();
    json!({
        "wall_s": spent.wall.as_secs_f64(), "n_pairs": n_pairs, "pairs_per_s": rate(n_pairs, spent.wall),
        "rss_peak_mib": rss_mib("VmHWM:"), "n_lost_partitions": n_lost, "wasted_s": wasted.as_secs_f64(),
        "profile": manner.profile.then(|| super::profile::as_json(&spent.meter)),
    })
}

fn by_method(table: &AccuracyTable) -> Value {
    let of = |method: &String| {
        let corruptions = table.corruptions().into_iter();
        let by_corruption: serde_json::Map<String, Value> = corruptions
            .map(|name| (name.to_owned(), json!(table.mean_over_severities(method, name))))
            .collect();
        let answer = json!({
            "clean": table.cell(method, "clean", 0), "mean": table.mean_over_corruptions(method),
            "corruptions": by_corruption,
        });
        (method.clone(), answer)
    };
    Value::Object(table.methods.iter().map(of).collect())
}

fn exit_code(done: &Finalized) -> Exit {
    if done.over_quarantine { Exit::OverQuarantine } else { Exit::Done }
}

/// The code of a published run, with a warning when too much of it is quarantined.
pub(super) fn exit_of(done: &Finalized) -> Exit {
    let exit = exit_code(done);
    if exit == Exit::OverQuarantine {
        let n_pairs = done.n_scored + done.n_quarantined;
        tell!(
            "warning[Q001] {} of {n_pairs} (sample, cell) pairs are quarantined, over run.max_quarantine.\n  \
             hint: see the quarantine table; t3b discard withdraws the run, so that the mended\n  command runs again",
            done.n_quarantined
        );
    }
    exit
}
