//! Files of figures: CSV, JSON, Markdown, LaTeX, and the formats that other projects read.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use t3b_stats::Metric;

use crate::compare::Best;
use crate::derived::line_lambda;
use crate::facts::SetFacts;
use crate::figures::{Figures, Line};
use crate::rows::Detail;

/// Model x (corruption, severity): top-1 of every cell, as RobustBench's `unaggregated_results.csv`.
#[must_use]
pub fn unaggregated_csv(sets: &[&Figures]) -> String {
    let mut text = String::from("run_id,dataset,model,corruption,severity,top1\n");
    for set in sets {
        let dataset = quoted(set.facts.tags.dataset.as_deref().unwrap_or(""));
        for line in set.lines.iter().filter(|line| line.metric == Metric::Top1) {
            if let (Some(corruption), Some(severity)) = (&line.corruption, line.severity) {
                text += &format!(
                    "{},{dataset},{},{},{severity},{}\n",
                    quoted(&set.facts.run_id),
                    quoted(&line.method),
                    quoted(corruption),
                    line.value
                );
            }
        }
    }
    text
}

pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// All figures as JSON: `sets[].methods.<method>.{clean,mean,corruptions.<c>.{mean,<severity>}}.<metric>`.
#[must_use]
pub fn metrics_json(sets: &[&Figures]) -> Value {
    let set = |set: &&Figures| {
        let mut methods = Map::new();
        for line in &set.lines {
            let method = methods.entry(line.method.clone()).or_insert_with(|| json!({}));
            let place = match (line.corruption.as_deref(), line.severity) {
                (None, _) => vec!["mean".to_owned()],
                (Some("clean"), _) => vec!["clean".to_owned()],
                (Some(corruption), None) => {
                    vec!["corruptions".to_owned(), corruption.to_owned(), "mean".to_owned()]
                }
                (Some(corruption), Some(severity)) => {
                    vec!["corruptions".to_owned(), corruption.to_owned(), severity.to_string()]
                }
            };
            let cell = place.into_iter().fold(method, |at, key| {
                if at.get(&key).is_none() {
                    at[&key] = json!({});
                }
                &mut at[&key]
            });
            cell[line.metric.name()] = json!({
                "value": line.value,
                "low": line.interval.map(|interval| interval.low),
                "high": line.interval.map(|interval| interval.high),
                "n": line.n,
                "n_excluded": line.n_excluded,
            });
        }
        let facts = &set.facts;
        json!({
            "run_id": facts.run_id, "run_date": facts.run_date, "modality": facts.tags.modality,
            "dataset": facts.tags.dataset, "setting": facts.tags.setting, "site": facts.tags.site,
            "classes": facts.classes, "primary": facts.primary, "reference": set.settings.reference,
            "n_samples": facts.n_samples, "methods": methods, "comparisons": comparisons(set),
        })
    };
    json!({ "level": crate::LEVEL, "sets": sets.iter().map(set).collect::<Vec<_>>() })
}

fn comparisons(set: &Figures) -> Value {
    let best = |best: Option<Best>| {
        best.map(|best| {
            let against = best.against.iter().map(|one| {
                json!({ "against": one.against, "difference": one.difference, "p": one.p_value,
                        "p_holm": one.p_adjusted, "n_discordant": one.n_discordant })
            });
            json!({ "best": best.method, "is_significant": best.is_significant(),
                    "against": against.collect::<Vec<_>>(),
                    "smallest_significant": best.detectable.and_then(|d| d.significant),
                    "found_with_power_80": best.detectable.map(|d| d.with_power) })
        })
    };
    let among = contenders(&set.facts);
    json!({ "clean": best(set.best_clean(&among)), "mean": best(set.best_corrupted(&among)) })
}

/// Methods that a table ranks: not the grid, not the bounds that read labels.
#[must_use]
pub fn contenders(facts: &SetFacts) -> Vec<usize> {
    let is_one = |method: &String| line_lambda(method).is_none() && !method.starts_with("oracle_");
    (0..facts.methods.len()).filter(|place| is_one(&facts.methods[*place])).collect()
}

/// Methods that a table shows: contenders, then the bounds.
#[must_use]
pub fn shown(facts: &SetFacts) -> Vec<usize> {
    (0..facts.methods.len()).filter(|place| line_lambda(&facts.methods[*place]).is_none()).collect()
}

/// One JSON per (model, data set), as CLIP_benchmark writes it.
#[must_use]
pub fn clip_benchmark(set: &Figures, method: &str) -> Option<Value> {
    let value = |metric| set.line(method, Some("clean"), Some(0), metric).map(|line| line.value);
    Some(json!({
        "dataset": set.facts.tags.dataset.clone().unwrap_or_else(|| set.facts.run_id.clone()),
        "model": method,
        "pretrained": "t3b",
        "task": "zeroshot_classification",
        "language": "en",
        "metrics": { "acc1": value(Metric::Top1)?, "mean_per_class_recall": value(Metric::BalancedAccuracy)? },
    }))
}

/// MedMNIST's own result file of a clean test set: its name and content. `None` for sets it does not know or runs
/// without probabilities.
#[must_use]
pub fn medmnist_result(set: &Figures, method: &str) -> Option<(String, String)> {
    let flag = set.facts.medmnist_flag()?;
    let (place, clean) = (set.facts.method(method)?, set.facts.clean()?);
    let Detail::Whole { probs, .. } = &set.rows.groups[set.facts.group(place, clean)].detail else {
        return None;
    };
    let value = |metric| set.line(method, Some("clean"), Some(0), metric).map(|line| line.value);
    let (auc, acc) = (value(Metric::Auc)?, value(Metric::Top1)?);
    let mut text = String::new();
    for (n, row) in probs.chunks_exact(set.facts.classes.len()).enumerate() {
        let row: Vec<String> = row.iter().map(f32::to_string).collect();
        let _ = writeln!(text, "{n},{}", row.join(","));
    }
    Some((format!("{flag}_224_test_[AUC]{auc:.3}_[ACC]{acc:.3}@{method}.csv"), text))
}

/// The columns of the tables people read: heading, corruption and severity of the line, metric, whether it is percent.
const TABLE: [(&str, bool, Metric); 9] = [
    ("clean", true, Metric::Top1),
    ("corrupted", false, Metric::Top1),
    ("bal. acc.", true, Metric::BalancedAccuracy),
    ("F1", true, Metric::MacroF1),
    ("AUC", true, Metric::Auc),
    ("ECE", true, Metric::Ece),
    ("mean err", false, Metric::MeanErr),
    ("mCE", false, Metric::Mce),
    ("mCE (AlexNet)", false, Metric::MceMedmnistc),
];

/// The line of a column.
fn column<'a>(
    set: &'a Figures,
    method: &str,
    (_, is_clean, metric): (&str, bool, Metric),
) -> Option<&'a Line> {
    if is_clean {
        set.line(method, Some("clean"), Some(0), metric)
    } else {
        set.line(method, None, None, metric)
    }
}

/// Columns of which some method has a figure.
pub(crate) fn columns(set: &Figures) -> Vec<(&'static str, bool, Metric)> {
    let has = |heading: &(&str, bool, Metric)| {
        set.facts.methods.iter().any(|method| column(set, method, *heading).is_some())
    };
    TABLE.iter().copied().filter(has).collect()
}

/// A cell of a table: value and interval in percent.
pub(crate) fn cell(set: &Figures, method: &str, heading: (&str, bool, Metric)) -> Option<(String, String)> {
    let line = column(set, method, heading)?;
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    let interval =
        line.interval.map(|interval| format!("{}-{}", percent(interval.low), percent(interval.high)));
    Some((percent(line.value), interval.unwrap_or_default()))
}

/// Whether a method is printed bold in a column: it is the best and beats every other after Holm's correction.
pub(crate) fn bold(set: &Figures) -> impl Fn(&str, &str) -> bool {
    let among = contenders(&set.facts);
    let winner = |best: Option<Best>| best.filter(Best::is_significant).map(|best| best.method);
    let (clean, corrupted) = (winner(set.best_clean(&among)), winner(set.best_corrupted(&among)));
    move |method: &str, heading: &str| match heading {
        "clean" => clean.as_deref() == Some(method),
        "corrupted" => corrupted.as_deref() == Some(method),
        _ => false,
    }
}

/// What the set could show, in a sentence.
#[must_use]
pub fn detectable_words(set: &Figures) -> String {
    let n = set.facts.clean().map_or(0, |clean| set.rows.groups[clean].tally.confusion.n());
    let Some(best) = set.best_clean(&contenders(&set.facts)) else {
        return format!("{n} labelled clean samples; nothing to compare.");
    };
    if set.rows.is_grouped {
        let n_groups = set.draws.n_units;
        return format!(
            "{n} labelled clean samples, resampled by group: {n_groups} groups and lone samples."
        );
    }
    let Some(found) = best.detectable else { return format!("{n} labelled clean samples.") };
    let smallest = match found.significant {
        Some(share) => format!(
            "a difference below {:.1} points is not significant here whichever way it falls",
            100.0 * share
        ),
        None => "so few samples are right under one of the two alone that no difference could be significant"
            .to_owned(),
    };
    format!(
        "{n} labelled clean samples: between {} and the runner-up {smallest}; a true difference of {:.1} points would be found four times in five.",
        best.method,
        100.0 * found.with_power
    )
}

/// Tables in Markdown.
#[must_use]
pub fn tables_md(sets: &[&Figures]) -> String {
    let mut text = String::from(
        "Per cent, 95 % intervals in brackets. Bold: better than every other method after Holm's correction (McNemar's exact\n\
         test on clean images, paired bootstrap in means). Rows named `oracle_*` read the labels: bounds, not methods.\n",
    );
    for set in sets {
        let (columns, bold) = (columns(set), bold(set));
        let headings: Vec<&str> = columns.iter().map(|(name, _, _)| *name).collect();
        text += &format!(
            "\n## {}\n\n| method | {} |\n|---|{}\n",
            set.facts.title(),
            headings.join(" | "),
            "---|".repeat(columns.len())
        );
        for method in shown(&set.facts).into_iter().map(|place| &set.facts.methods[place]) {
            let cells = columns.iter().map(|heading| match cell(set, method, *heading) {
                Some((value, interval)) => {
                    let value = if bold(method, heading.0) { format!("**{value}**") } else { value };
                    if interval.is_empty() { value } else { format!("{value} [{interval}]") }
                }
                None => "-".to_owned(),
            });
            text += &format!("| {method} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
        text += &format!("\n{}\n", detectable_words(set));
    }
    text
}

/// The same tables for a paper.
#[must_use]
pub fn tables_tex(sets: &[&Figures]) -> String {
    let mut text = String::from(
        "% Needs \\usepackage{booktabs}. Per cent, 95 % intervals below; bold after Holm's correction.\n",
    );
    for set in sets {
        let (columns, bold) = (columns(set), bold(set));
        let headings: Vec<String> = columns.iter().map(|(name, _, _)| escaped(name)).collect();
        text += &format!(
            "\\begin{{tabular}}{{l{}}}\n\\toprule\n\\multicolumn{{{}}}{{l}}{{{}}} \\\\\n\\midrule\nmethod & {} \\\\\n\\midrule\n",
            "r".repeat(columns.len()),
            columns.len() + 1,
            escaped(&set.facts.title()),
            headings.join(" & "),
        );
        for method in shown(&set.facts).into_iter().map(|place| &set.facts.methods[place]) {
            let cells = columns.iter().map(|heading| match cell(set, method, *heading) {
                Some((value, interval)) => {
                    let value = if bold(method, heading.0) { format!("\\textbf{{{value}}}") } else { value };
                    if interval.is_empty() { value } else { format!("{value} {{\\scriptsize [{interval}]}}") }
                }
                None => "--".to_owned(),
            });
            text += &format!("{} & {} \\\\\n", escaped(method), cells.collect::<Vec<_>>().join(" & "));
        }
        text += "\\bottomrule\n\\end{tabular}\n\n";
    }
    text
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |all, c| match c {
        '_' | '%' | '&' | '#' | '$' | '{' | '}' => all + "\\" + &c.to_string(),
        c => all + &c.to_string(),
    })
}
