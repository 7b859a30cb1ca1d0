//! What a run did and what it cost: estimates without labels, quarantine, throughput by stage, cost per method.

use super::PageSet;
use super::svg::{escape, points};
use crate::attempts::{Attempt, method_seconds, stage_totals};
use crate::unlabelled::Estimated;

pub(super) fn operations(set: &PageSet<'_>) -> String {
    let (n_sure, n) = set.sure_disagreements;
    let sure = format!(
        "<p>Both parents sure (0.9 or more) of different classes: {n_sure} of {n} clean samples; their ids are below <code>worklist/</code>.</p>"
    );
    [
        estimates(set.estimates),
        sure,
        quarantine(set.quarantine),
        throughput(set.attempts, set.figures.facts.batch_size),
        stages(set.attempts),
        methods(set.attempts),
    ]
    .concat()
}

/// A table under a heading, with a note; nothing without rows.
pub(super) fn titled(title: &str, heads: &[&str], body: &str, note: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(head))).collect();
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"small\">{note}</p>") };
    format!(
        "<h3>{}</h3><div class=\"wide\"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{note}",
        escape(title)
    )
}

/// A row: its name, then its cells as they are.
pub(super) fn row(name: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(name))
}

fn estimates(all: &[Estimated]) -> String {
    let one = |one: &Estimated| {
        let truth = one.truth.map_or("-".to_owned(), |truth| format!("{:.1}", 100.0 * truth));
        let error = one.truth.map_or("-".to_owned(), |truth| points(one.estimate - truth));
        let metric = one.metric.name().to_owned();
        row(&one.method, &[metric, format!("{:.1}", 100.0 * one.estimate), truth, error])
    };
    titled(
        "Estimates without labels",
        &["method", "figure", "estimate, %", "truth, %", "error, points"],
        &all.iter().map(one).collect::<String>(),
        "From calibrated confidence alone (CBPE). Assumes that among images with calibrated probability p of a class a share p is of it; pictures that look different break this and the estimate does not notice.",
    )
}

fn quarantine(reasons: &[(String, u64)]) -> String {
    let rows: String = reasons.iter().map(|(reason, n)| row(reason, &[n.to_string()])).collect();
    titled("Quarantine", &["reason", "(sample, cell) pairs"], &rows, "")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn throughput(attempts: &[Attempt], batch_size: u32) -> String {
    let one = |(n, attempt): (usize, &Attempt)| {
        let images = (attempt.n_batches * u64::from(batch_size)) as f64;
        let rate = if attempt.seconds > 0.0 { images / attempt.seconds } else { 0.0 };
        let cells = [
            attempt.n_batches.to_string(),
            format!("{:.1}", attempt.seconds),
            format!("{rate:.0}"),
            attempt.rss_peak_mib.to_string(),
        ];
        row(&(n + 1).to_string(), &cells)
    };
    titled(
        "Throughput",
        &["attempt", "batches", "seconds", "images x cells a second, all methods", "peak memory, MiB"],
        &attempts.iter().enumerate().map(one).collect::<String>(),
        "",
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn stages(attempts: &[Attempt]) -> String {
    let one = |stage: &crate::attempts::Stage| {
        let rate = match stage.n_items {
            Some(n) if stage.busy_s > 0.0 => format!("{:.0}", n as f64 / stage.busy_s),
            _ => "-".to_owned(),
        };
        let n = stage.n_items.map_or("-".to_owned(), |n| n.to_string());
        row(&stage.name, &[n, escape(stage.unit), format!("{:.1}", stage.busy_s), rate])
    };
    titled(
        "Throughput by stage",
        &["stage", "items", "of", "busy, s", "items a busy second"],
        &stage_totals(attempts).iter().map(one).collect::<String>(),
        "All attempts together. A stage is busy while it has something in hand and is not kept waiting by the next one; stages work side by side, so these times add up to more than the clock. The slowest is the one to speed up.",
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn methods(attempts: &[Attempt]) -> String {
    let all = method_seconds(attempts);
    let n_batches: u64 = attempts.iter().map(|attempt| attempt.n_batches).sum();
    let Some(parents) = all.first().map(|(_, seconds)| *seconds).filter(|seconds| *seconds > 0.0) else {
        return String::new();
    };
    let one = |(name, seconds): &(String, f64)| {
        let each_ms = 1000.0 * seconds / n_batches.max(1) as f64;
        // Both parents are two passes.
        let passes = 2.0 * seconds / parents;
        row(name, &[format!("{seconds:.1}"), format!("{each_ms:.2}"), format!("{passes:.2}")])
    };
    titled(
        "Cost per method",
        &["method", "seconds", "ms a batch", "in passes of one parent"],
        &all.iter().map(one).collect::<String>(),
        "Beyond the passes of both parents, which every run needs for its signals and which stand in the first row; merging included. A method alone costs its own row and, where a coefficient or an ensemble asks the parents, the first row too.",
    )
}
