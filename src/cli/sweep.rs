//! `t3b sweep`: many runs from one file, and one table that compares them.

use serde_json::{Map, Value, json};

use super::SweepArgs;
use super::closing::{UNLABELLED, is_labelled, notes};
use super::fold::folded;
use super::opening::{on_runtime, start_logging};
use super::signals::{follow, unless_stopped};
use crate::error::{Exit, Problem, RunError};
use crate::job::{Job, Outcome, Request};
use crate::ledger::{Finalized, is_run_id};
use crate::report::{Accuracy, AccuracyTable, accuracy, coefficient_means};
use crate::settings::{Spec, Sweep, Variation};
use crate::store::Root;

/// One row of the summary: names and values, in the order of its columns.
type Row = Vec<(String, Value)>;

/// One run of a sweep, read back.
struct Ran {
    run_id: String,
    done: Finalized,
    table: AccuracyTable,
    coefficients: std::collections::BTreeMap<String, f64>,
    output: Root,
}

/// Runs every variation in turn, resuming what is there, and writes `<output.root>/sweeps/<name>.csv`.
pub(super) fn sweep(args: &SweepArgs) -> Result<Exit, RunError> {
    let sources = args.spec.sources();
    let sweep = Sweep::read(&sources.pipeline)?;
    if sweep.variations.iter().all(|variation| variation.set.is_empty()) {
        tell!("note: the file has no [sweep.axes], so this is a sweep of one run");
    }
    let mut specs = Vec::new();
    for variation in &sweep.variations {
        let mut sources = sources.clone();
        sources.set.extend(variation.set.iter().cloned());
        // All of them before the first is scored: a mistyped value of the last axis costs no night.
        let spec = Spec::load(&sources);
        if spec.is_err() && !variation.label.is_empty() {
            tell!(
                "note: settings of the combination {} of [sweep.axes], which are set as by --set:",
                variation.label
            );
        }
        specs.push((variation, spec?));
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut last = None;
    for (variation, spec) in specs {
        start_logging(&spec.settings);
        let (settings, root) = (spec.settings.clone(), spec.pipeline.output.root.clone());
        let ran = on_runtime(&settings, one(spec, run_id(&sweep.name, variation)))?;
        if !args.json {
            if is_labelled(&ran.table) || ran.done.n_scored == 0 {
                say!("{}\n{}\n", ran.run_id, folded(&ran.table, args.wide, &ran.done.plan.facts.stand_ins));
            } else {
                say!("{}\n{UNLABELLED}\n", ran.run_id);
            }
        }
        rows.extend(rows_of(&ran, variation));
        last = Some((settings, ran.output, root));
    }
    let Some((settings, output, root)) = last else { return Ok(Exit::Done) };
    let key = format!("sweeps/{}.csv", sweep.name);
    let csv = csv(&rows)?;
    on_runtime(&settings, async {
        let written = output.write(&key, "sweep summary", csv.into()).await;
        written.map_err(|error| Problem::from(error).into())
    })?;
    let summary = format!("{}/{key}", root.trim_end_matches('/'));
    if args.json {
        let rows: Vec<Map<String, Value>> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
        say!("{:#}", json!({ "summary": summary, "rows": rows }));
    } else {
        say!("summary {summary}");
    }
    Ok(Exit::Done)
}

async fn one(spec: Spec, run_id: String) -> Result<Ran, RunError> {
    let output = Root::open(&spec.pipeline.output.root, true, &spec.settings.store)?;
    let request = Request { run_id: Some(run_id.clone()), must_score: true, ..Request::default() };
    let (_following, stop) = follow(spec.settings.drain_deadline, request.meter.clone());
    let job = unless_stopped(&stop, Job::prepare(spec)).await?;
    notes(&job);
    let (Outcome::AlreadyDone(done) | Outcome::Published(done)) = job.run(&request, stop).await? else {
        unreachable!("a run without shards ends published")
    };
    let table = accuracy(&output, &done.plan).await?;
    let coefficients = coefficient_means(&output, &done.plan).await?;
    Ok(Ran { run_id, done, table, coefficients, output })
}

/// Readable while it fits a run id; beyond that the label is cut and kept apart by its hash.
fn run_id(name: &str, variation: &Variation) -> String {
    let whole =
        if variation.label.is_empty() { name.to_owned() } else { format!("{name}-{}", variation.label) };
    if is_run_id(&whole) {
        return whole;
    }
    use sha2::{Digest, Sha256};
    let hash = hex::encode(Sha256::digest(&whole));
    format!("{}-{}", &whole[..whole.len().min(51)], &hash[..12])
}

/// One row for each method: the axes, the accuracies with their standard errors, the method's own coefficient; what the run says
/// of its primary method stands in that method's row alone.
fn rows_of(ran: &Ran, variation: &Variation) -> Vec<Row> {
    let (done, table) = (&ran.done, &ran.table);
    let found = &done.diagnostics;
    let row = |method: &String| {
        let mut row = Row::new();
        let mut set = |name: &str, value: Value| row.push((name.to_owned(), value));
        set("run_id", ran.run_id.clone().into());
        for (key, value) in &variation.set {
            set(key, value.trim_matches('"').into());
        }
        set("method", method.clone().into());
        let clean = counts(table, method, "clean");
        set("n", clean.or_else(|| first_corruption(table, method)).map(|counts| counts.n_labelled).into());
        set("accuracy_clean", clean.and_then(|counts| counts.share()).into());
        set("stderr_clean", clean.and_then(stderr).into());
        set("accuracy_corrupted", table.mean_over_corruptions(method).into());
        for name in table.corruptions() {
            set(&format!("accuracy_{name}"), table.mean_over_severities(method, name).into());
        }
        set("coefficient_mean", ran.coefficients.get(method).copied().into());
        let is_primary = *method == done.plan.facts.primary_method;
        let of_primary = |value: Option<f64>| value.filter(|_| is_primary).into();
        set("coefficient_var_within", of_primary(found.lambda_var_within()));
        set("heterogeneous_share", of_primary(found.heterogeneous_share()));
        set("guarded_share", of_primary(found.guarded_share()));
        set("r_js_correct", of_primary(found.js_correct.pearson_r()));
        set("r_entropy_gap_correct", of_primary(found.entropy_gap_correct.pearson_r()));
        // Of the parents alone, so the same whatever the method.
        set("js_max_nats", (found.n_signals > 0).then_some(found.js_max_nats).into());
        set("pt_overconfidence", found.pt_confidence.mean_difference().into());
        set("ft_overconfidence", found.ft_confidence.mean_difference().into());
        row
    };
    table.methods.iter().map(row).collect()
}

fn counts(table: &AccuracyTable, method: &str, corruption: &str) -> Option<Accuracy> {
    let severity = u8::from(corruption != "clean");
    table.counts.get(&(method.to_owned(), corruption.to_owned(), severity)).copied()
}

/// A sweep without clean images has the same samples in every cell.
fn first_corruption(table: &AccuracyTable, method: &str) -> Option<Accuracy> {
    let (corruption, severity) = table.cells.first()?;
    table.counts.get(&(method.to_owned(), corruption.clone(), *severity)).copied()
}

/// Standard error of a share: binomial, of independent samples.
fn stderr(counts: Accuracy) -> Option<f64> {
    let share = counts.share()?;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let n = counts.n_labelled as f64;
    Some((share * (1.0 - share) / n).sqrt())
}

/// Every column that any row has, in the order in which they first appear.
fn csv(rows: &[Row]) -> Result<Vec<u8>, Problem> {
    let mut columns: Vec<&String> = Vec::new();
    for row in rows {
        let mut at = 0;
        for (name, _) in row {
            match columns.iter().position(|known| *known == name) {
                Some(place) => at = place + 1,
                None => {
                    columns.insert(at, name);
                    at += 1;
                }
            }
        }
    }
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.6}", number.as_f64().unwrap_or_default())
        }
        Some(other) => other.to_string(),
    };
    let failed = |_| Problem::new("B005", Exit::Bug, "the sweep's table cannot be written");
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns).map_err(failed)?;
    for row in rows {
        writer
            .write_record(
                columns
                    .iter()
                    .map(|name| shown(row.iter().find(|(known, _)| known == *name).map(|(_, value)| value))),
            )
            .map_err(failed)?;
    }
    writer.into_inner().map_err(|_| Problem::new("B005", Exit::Bug, "the sweep's table cannot be written"))
}
