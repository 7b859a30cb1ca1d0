//! One HTML file that needs nothing else.

mod charts;
mod operations;
mod pictures;
mod signatures;
mod spread;
mod svg;

use t3b_stats::Metric;

use crate::attempts::Attempt;
use crate::figures::Figures;
use crate::files::{bold, cell, columns, detectable_words, shown};
use crate::signals::CellSignals;
use crate::unlabelled::Estimated;
use operations::operations;
use svg::{escape, points};

pub use pictures::Picture;
pub use signatures::{Signature, signatures};

const STYLE: &str = include_str!("style.css");

/// One set as a page shows it.
#[derive(Debug)]
pub struct PageSet<'a> {
    /// Its figures.
    pub figures: &'a Figures,
    /// What the parents say of each other, by cell.
    pub signals: &'a [CellSignals],
    /// Quarantined (sample, cell) pairs by reason.
    pub quarantine: &'a [(String, u64)],
    /// Estimates without labels beside the truth.
    pub estimates: &'a [Estimated],
    /// Surely different answers of the parents: how many, of how many.
    pub sure_disagreements: (u64, u64),
    /// What the processes that worked on the run counted and timed.
    pub attempts: &'a [Attempt],
    /// Examples, where the owner asked for them.
    pub pictures: &'a [Picture],
}

/// The report of all sets.
#[must_use]
pub fn page(sets: &[PageSet<'_>], title: &str) -> String {
    let several = sets.len() > 1;
    let mut links = String::new();
    let mut body = String::new();
    for (n, set) in sets.iter().enumerate() {
        links += &format!("<a href=\"#set{n}\">{}</a> ", escape(&set.figures.facts.title()));
        body += &section(set, n);
    }
    let links = if several { format!("<nav>{links}</nav>") } else { String::new() };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body><header><h1>{title}</h1><p>95 % intervals throughout. Lambda is the weight on the expert. Rows named <code>oracle_*</code> read the labels they are judged by: bounds, not methods. Derived rows (<code>best_static</code>, <code>confidence_switch</code>, <code>line_*</code>) are ours, not the paper's.</p>{links}</header><main>{body}</main></body></html>\n",
        title = escape(title),
    )
}

fn section(set: &PageSet<'_>, n: usize) -> String {
    let figures = set.figures;
    let facts = &figures.facts;
    let reference = ["best_static", "constant", "wise_ft", "pretrained"]
        .into_iter()
        .find(|name| facts.method(name).is_some());
    let charts = [
        charts::by_severity(figures),
        charts::along_the_line(figures),
        charts::by_cell(figures, set.signals, true),
        charts::by_cell(figures, set.signals, false),
        charts::reliability(figures),
    ];
    let heat = reference.map_or(String::new(), |reference| charts::heat(figures, reference));
    format!(
        "<section id=\"set{n}\"><h2>{}</h2><p class=\"small\">run {} of {}, {} samples, {} classes, batches of {}</p>{}{}{}{}<div class=\"charts\">{}</div>{heat}{}{}{}{}</section>",
        escape(&facts.title()),
        escape(&facts.run_id),
        escape(&facts.run_date),
        facts.n_samples,
        facts.classes.len(),
        facts.batch_size,
        cards(set),
        words(set),
        table(figures),
        worth(figures),
        charts.concat(),
        charts::confusion(figures),
        pictures::examples(set.pictures),
        spread::in_batch(figures, set.signals),
        operations(set),
    )
}

fn cards(set: &PageSet<'_>) -> String {
    let (figures, facts) = (set.figures, &set.figures.facts);
    let figure = |name: &str, method: &str, corruption: Option<&str>, severity, metric| {
        let line = figures.line(method, corruption, severity, metric)?;
        let interval =
            line.interval.map_or(String::new(), |i| format!("{:.1} to {:.1}", 100.0 * i.low, 100.0 * i.high));
        Some(format!(
            "<div class=\"card\"><span>{}</span><b>{:.1} %</b><small>{interval}</small></div>",
            escape(name),
            100.0 * line.value
        ))
    };
    let primary = facts.primary.as_str();
    let mut all = String::new();
    all += &figure(&format!("{primary}, clean"), primary, Some("clean"), Some(0), Metric::Top1)
        .unwrap_or_default();
    all += &figure(&format!("{primary}, corrupted"), primary, None, None, Metric::Top1).unwrap_or_default();
    all += &figure("calibration error (ECE), clean", primary, Some("clean"), Some(0), Metric::Ece)
        .unwrap_or_default();
    all += &figure("bound: any lambda right, corrupted", "oracle_line", None, None, Metric::Top1)
        .unwrap_or_default();
    let quarantined: u64 = set.quarantine.iter().map(|(_, n)| n).sum();
    all += &format!(
        "<div class=\"card\"><span>quarantined pairs</span><b>{quarantined}</b><small>of {} planned</small></div>",
        facts.n_pairs()
    );
    format!("<div class=\"cards\">{all}</div>")
}

fn words(set: &PageSet<'_>) -> String {
    let found = signatures(set);
    let items: String = found
        .iter()
        .map(|one| format!("<li><b>{}</b> {}</li>", escape(one.name), escape(&one.words)))
        .collect();
    let items = if items.is_empty() { "<li>No failure signature found.</li>".to_owned() } else { items };
    format!("<h3>What stands out</h3><ul class=\"words\">{items}</ul>")
}

fn table(figures: &Figures) -> String {
    let (columns, bold) = (columns(figures), bold(figures));
    let heading: String =
        columns.iter().map(|(name, _, _)| format!("<th scope=\"col\">{name}, %</th>")).collect();
    let mut body = String::new();
    for place in shown(&figures.facts) {
        let method = &figures.facts.methods[place];
        let class = if *method == figures.facts.primary { " class=\"primary\"" } else { "" };
        body += &format!("<tr{class}><th scope=\"row\">{}</th>", escape(method));
        for heading in &columns {
            body += &cell(figures, method, *heading).map_or("<td>-</td>".to_owned(), |(value, interval)| {
                let value = if bold(method, heading.0) { format!("<b>{value}</b>") } else { value };
                format!("<td>{value}<small>{interval}</small></td>")
            });
        }
        body += "</tr>";
    }
    format!(
        "<h3>Methods</h3><div class=\"wide\"><table><thead><tr><th>method</th>{heading}</tr></thead><tbody>{body}</tbody></table></div><p class=\"small\">Clean, balanced accuracy, F1, AUC and ECE are of clean images; corrupted, mean err and mCE are means over corruptions and severities. mCE is relative to {}; mCE (AlexNet) divides balanced errors by MedMNIST-C's AlexNet, which was trained on the suite's own data set. Bold: better than every other method after Holm's correction. {}</p>",
        escape(&figures.settings.reference),
        escape(&detectable_words(figures)),
    )
}

/// What the primary method gains over constants, with the tests.
fn worth(figures: &Figures) -> String {
    let mut body = String::new();
    for other in
        ["constant", "wise_ft", "best_static", "confidence_switch", "entropy_ratio_b", "pretrained", "expert"]
    {
        for one in figures.against(&figures.facts.primary, other) {
            let interval =
                one.interval.map_or(String::new(), |i| format!("{} to {}", points(i.low), points(i.high)));
            body += &format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{interval}</td><td>{:.3}</td></tr>",
                escape(other),
                one.corruption.as_deref().unwrap_or("corrupted"),
                points(one.difference),
                one.p_value
            );
        }
    }
    if body.is_empty() {
        return String::new();
    }
    format!(
        "<h3>What {} is worth</h3><div class=\"wide\"><table><thead><tr><th>against</th><th>images</th><th>difference, points</th><th>95 % interval</th><th>p, uncorrected</th></tr></thead><tbody>{body}</tbody></table></div>",
        escape(&figures.facts.primary)
    )
}
