//! The charts of one set.

use t3b_stats::Metric;

use super::svg::{Chart, escape, legend, percent_ticks, points, round_ticks};
use crate::derived::line_lambda;
use crate::figures::Figures;
use crate::signals::CellSignals;

/// Methods that a chart of lines shows, in order of their colours.
fn lines_of(set: &Figures) -> Vec<String> {
    let wanted = [
        "pretrained",
        "expert",
        set.facts.primary.as_str(),
        "constant",
        "wise_ft",
        "best_static",
        "oracle_line",
    ];
    let mut found: Vec<String> = Vec::new();
    for name in wanted {
        if set.facts.method(name).is_some() && !found.iter().any(|have| have == name) {
            found.push(name.to_owned());
        }
    }
    found.truncate(6);
    found
}

fn figure(title: &str, body: &str) -> String {
    format!("<figure><figcaption>{}</figcaption>{body}</figure>", escape(title))
}

/// Accuracy against severity, mean over corruptions, with intervals.
pub(super) fn by_severity(set: &Figures) -> String {
    let corruptions = set.facts.corruptions();
    if corruptions.is_empty() {
        return String::new();
    }
    let at = |method: &str, severity: u8| -> Option<(f64, f64, f64)> {
        if severity == 0 {
            let line = set.line(method, Some("clean"), Some(0), Metric::Top1)?;
            let interval = line.interval?;
            return Some((line.value, interval.low, interval.high));
        }
        let lines: Vec<_> = corruptions
            .iter()
            .filter_map(|(name, _)| set.line(method, Some(name), Some(severity), Metric::Top1))
            .collect();
        if lines.len() < corruptions.len() {
            return None;
        }
        let mean = crate::figures::mean(lines.iter().map(|line| line.value));
        Some((mean, mean, mean))
    };
    let methods = lines_of(set);
    let curve = |method: &String| -> Vec<(f64, f64)> {
        (0..=5_u8)
            .filter_map(|severity| at(method, severity).map(|found| (f64::from(severity), found.0)))
            .collect()
    };
    let all: Vec<f64> = methods.iter().flat_map(curve).map(|(_, y)| y).collect();
    if all.is_empty() {
        return String::new();
    }
    let (low, high) = padded(&all);
    let mut chart = Chart::new("Accuracy by severity", (520.0, 300.0), (-0.2, 5.2), (low, high));
    let ticks: Vec<(f64, String)> =
        (0..=5).map(|s| (f64::from(s), if s == 0 { "clean".to_owned() } else { s.to_string() })).collect();
    chart.axes(&ticks, "severity (mean over corruptions)", &percent_ticks(low, high), "accuracy, %");
    let mut keys = Vec::new();
    for (n, method) in methods.iter().enumerate() {
        let class = format!("c{n}");
        if let Some((_, low, high)) = at(method, 0) {
            chart.whisker(0.04 * n as f64 - 0.1, low.max(chart_low(low, &all)), high, &class);
        }
        chart.line(&curve(method), &class, true);
        keys.push((class, method.clone()));
    }
    let keys: Vec<(&str, &str)> = keys.iter().map(|(class, name)| (class.as_str(), name.as_str())).collect();
    figure("Accuracy by severity; bars at clean are 95 % intervals", &(chart.finish() + &legend(&keys)))
}

fn chart_low(low: f64, all: &[f64]) -> f64 {
    low.max(padded(all).0)
}

fn padded(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    ((low - 0.06).max(0.0), (high + 0.06).min(1.0))
}

/// Accuracy along the line between the parents, clean and corrupted, with what an oracle would reach.
pub(super) fn along_the_line(set: &Figures) -> String {
    let mut lines: Vec<(f64, &String)> =
        set.facts.methods.iter().filter_map(|method| Some((line_lambda(method)?, method))).collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    if lines.is_empty() {
        return String::new();
    }
    let curve = |corruption: Option<&str>, severity| -> Vec<(f64, f64)> {
        let value =
            |method: &str| set.line(method, corruption, severity, Metric::Top1).map(|line| line.value);
        lines.iter().filter_map(|(lambda, method)| Some((*lambda, value(method)?))).collect()
    };
    let (clean, corrupted) = (curve(Some("clean"), Some(0)), curve(None, None));
    let level = |name: &str, corruption: Option<&str>, severity| {
        set.line(name, corruption, severity, Metric::Top1).map(|line| line.value)
    };
    let oracle = [level("oracle_line", Some("clean"), Some(0)), level("oracle_line", None, None)];
    let primary = [level(&set.facts.primary, Some("clean"), Some(0)), level(&set.facts.primary, None, None)];
    let all: Vec<f64> = clean
        .iter()
        .chain(&corrupted)
        .map(|(_, y)| *y)
        .chain(oracle.iter().chain(&primary).flatten().copied())
        .collect();
    let (low, high) = padded(&all);
    let mut chart = Chart::new("Accuracy against lambda", (520.0, 300.0), (-0.02, 1.02), (low, high));
    let ticks: Vec<(f64, String)> =
        (0..=5).map(|n| (f64::from(n) / 5.0, format!("{:.1}", f64::from(n) / 5.0))).collect();
    chart.axes(&ticks, "lambda: weight on the expert", &percent_ticks(low, high), "accuracy, %");
    for (n, (curve, class)) in [(clean, "c1"), (corrupted, "c2")].into_iter().enumerate() {
        chart.line(&curve, class, true);
        if let Some(level) = oracle[n] {
            chart.line(&[(0.0, level), (1.0, level)], &format!("{class} dash"), false);
        }
        if let Some(level) = primary[n] {
            chart.line(&[(0.0, level), (1.0, level)], &format!("{class} dots"), false);
        }
    }
    let primary = format!("{}, clean", set.facts.primary);
    let keys = [
        ("c1", "fixed lambda, clean"),
        ("c1 dash", "oracle_line, clean"),
        ("c1 dots", primary.as_str()),
        ("c2", "fixed lambda, corrupted"),
        ("c2 dash", "oracle_line, corrupted"),
    ];
    figure(
        "Accuracy against lambda: the curve of one constant, and any lambda right (oracle)",
        &(chart.finish() + &legend(&keys)),
    )
}

/// Lambda or divergence by cell: mean and 5th to 95th percentile.
pub(super) fn by_cell(set: &Figures, signals: &[CellSignals], is_lambda: bool) -> String {
    if signals.is_empty() {
        return String::new();
    }
    let of = |cell: &CellSignals| match is_lambda {
        true => (cell.lambda_mean, cell.lambda_range),
        false => (cell.js_mean_nats, cell.js_range_nats),
    };
    let found: Vec<_> = signals.iter().map(of).collect();
    let low = found.iter().map(|(_, range)| range[0]).fold(f64::INFINITY, f64::min);
    let high = found.iter().map(|(_, range)| range[1]).fold(0.0, f64::max);
    let pad = ((high - low) * 0.1).max(0.002);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    let n = found.len();
    let name = if is_lambda { "lambda of samples" } else { "Jensen-Shannon divergence, nats" };
    let mut chart = Chart::new(name, (520.0, 260.0), (-0.7, n as f64 - 0.3), (low, high));
    let mut x_ticks: Vec<(f64, String)> = Vec::new();
    let mut list = String::new();
    for (k, (corruption, cells)) in set.facts.corruptions().iter().enumerate() {
        let middle = cells.iter().map(|cell| *cell as f64).sum::<f64>() / cells.len() as f64;
        x_ticks.push((middle, (k + 1).to_string()));
        list += &format!("{}{} {}", if k > 0 { ", " } else { "" }, k + 1, escape(corruption));
    }
    if let Some(clean) = set.facts.clean() {
        x_ticks.push((clean as f64, "clean".to_owned()));
    }
    chart.axes(&x_ticks, "corruption, severities 1 to 5 from left to right", &round_ticks(low, high), name);
    for (cell, (mean, range)) in found.iter().enumerate() {
        let x = cell as f64;
        chart.bar((x - 0.3, x + 0.3), (range[0], range[1]), "range");
        chart.bar((x - 0.3, x + 0.3), (mean - (high - low) * 0.006, mean + (high - low) * 0.006), "mean");
    }
    let words = format!("<p class=\"small\">Bars: 5th to 95th percentile; line: mean. {list}.</p>");
    figure(&format!("{name}, by corruption and severity"), &(chart.finish() + &words))
}

/// Confidence against accuracy on clean images.
pub(super) fn reliability(set: &Figures) -> String {
    let Some(clean) = set.facts.clean() else { return String::new() };
    let mut chart = Chart::new("Reliability", (320.0, 300.0), (0.0, 1.0), (0.0, 1.0));
    let ticks: Vec<(f64, String)> = (0..=5).map(|n| (f64::from(n) / 5.0, (20 * n).to_string())).collect();
    chart.axes(&ticks, "confidence, %", &ticks, "accuracy, %");
    chart.line(&[(0.0, 0.0), (1.0, 1.0)], "grid", false);
    let mut keys = Vec::new();
    let methods: Vec<String> =
        lines_of(set).into_iter().filter(|name| name != "oracle_line").take(3).collect();
    for (n, method) in methods.iter().enumerate() {
        let Some(place) = set.facts.method(method) else { continue };
        let bins = set.rows.groups[set.facts.group(place, clean)].tally.totals.bins.reliability();
        let curve: Vec<(f64, f64)> =
            bins.into_iter().flatten().map(|bin| (bin.confidence, bin.accuracy)).collect();
        chart.line(&curve, &format!("c{n}"), true);
        let ece = set
            .line(method, Some("clean"), Some(0), Metric::Ece)
            .map_or(String::new(), |line| format!(", ECE {:.1} %", 100.0 * line.value));
        keys.push((format!("c{n}"), format!("{method}{ece}")));
    }
    let keys: Vec<(&str, &str)> = keys.iter().map(|(class, name)| (class.as_str(), name.as_str())).collect();
    figure("Reliability on clean images, 15 equal bins", &(chart.finish() + &legend(&keys)))
}

/// Labels against predictions of the primary method on clean images.
pub(super) fn confusion(set: &Figures) -> String {
    let (Some(clean), Some(place)) = (set.facts.clean(), set.facts.method(&set.facts.primary)) else {
        return String::new();
    };
    let counts = &set.rows.groups[set.facts.group(place, clean)].tally.confusion;
    let classes = &set.facts.classes;
    let heading: String = (0..classes.len())
        .map(|class| format!("<th scope=\"col\" title=\"{}\">{class}</th>", escape(&classes[class])))
        .collect();
    let mut body = String::new();
    for (label, name) in classes.iter().enumerate() {
        body += &format!("<tr><th scope=\"row\">{label} {}</th>", escape(name));
        for pred in 0..classes.len() {
            let (n, all) = (counts.count(label, pred), counts.n_label(label).max(1));
            let share = n as f64 / all as f64;
            body += &format!("<td class=\"heat\" style=\"--s:{:.0}%\">{n}</td>", 75.0 * share);
        }
        let scores = counts.class(label);
        let shown =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.0}", 100.0 * value));
        body += &format!(
            "<td>{}</td><td>{}</td><td>{}</td></tr>",
            shown(scores.precision),
            shown(scores.recall),
            shown(scores.f1)
        );
    }
    let table = format!(
        "<div class=\"wide\"><table class=\"confusion\"><thead><tr><th>label \\ predicted</th>{heading}<th>precision %</th><th>recall %</th><th>F1 %</th></tr></thead><tbody>{body}</tbody></table></div>"
    );
    figure(
        &format!("Confusion of {} on clean images: counts, shaded by share of the label", set.facts.primary),
        &table,
    )
}

/// Method x corruption: difference to a reference in points, significant ones marked.
pub(super) fn heat(set: &Figures, reference: &str) -> String {
    let found = set.heat(reference);
    if found.is_empty() {
        return String::new();
    }
    let corruptions = set.facts.corruptions();
    let heading: String = corruptions
        .iter()
        .map(|(name, _)| format!("<th scope=\"col\">{}</th>", escape(name).replace('_', "_<wbr>")))
        .collect();
    let mut body = String::new();
    for place in crate::files::shown(&set.facts) {
        let method = &set.facts.methods[place];
        if method == reference {
            continue;
        }
        body += &format!("<tr><th scope=\"row\">{}</th>", escape(method));
        for (corruption, _) in &corruptions {
            let one = found
                .iter()
                .find(|one| one.method == *method && one.corruption.as_deref() == Some(corruption));
            body += &one.map_or("<td>-</td>".to_owned(), |one| {
                let class = if one.difference >= 0.0 { "up" } else { "down" };
                let strength = (one.difference.abs() * 600.0).min(70.0);
                let mark = if one.p_adjusted <= 0.05 { "<b>*</b>" } else { "" };
                format!(
                    "<td class=\"{class}\" style=\"--s:{strength:.0}%\">{}{mark}</td>",
                    points(one.difference)
                )
            });
        }
        body += "</tr>";
    }
    let table = format!(
        "<div class=\"wide\"><table class=\"heatmap\"><thead><tr><th>method</th>{heading}</tr></thead><tbody>{body}</tbody></table></div>"
    );
    figure(
        &format!(
            "Accuracy less that of {reference}, points, mean over severities; * significant after Holm over the whole map"
        ),
        &table,
    )
}
