//! The summary: one row a figure, the small table that dashboards read.

use t3b_stats::Metric;

use crate::figures::Figures;
use crate::files::quoted;
use crate::signals::CellSignals;
use crate::unlabelled::Estimated;

/// The columns of a summary.
pub const SUMMARY_COLUMNS: [&str; 15] = [
    "run_id",
    "run_date",
    "modality",
    "dataset",
    "setting",
    "site",
    "method",
    "corruption",
    "severity",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "n_excluded",
];

/// What stands in the column `method` of figures that are of the two parents together.
pub const PARENTS: &str = "parents";

/// One row, but for what names its set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryLine<'a> {
    /// Method of the figure, or [`PARENTS`].
    pub method: &'a str,
    /// `None` in means over corruptions.
    pub corruption: Option<&'a str>,
    /// `None` in means over severities.
    pub severity: Option<u8>,
    /// Which figure.
    pub metric: &'static str,
    /// Its value; shares are fractions.
    pub value: f64,
    /// Ends of the 95 % interval; of what the parents say, the 5th and 95th percentile of the samples.
    pub ends: Option<(f64, f64)>,
    /// Rows behind it.
    pub n: u64,
    /// Samples of the cell without such a row.
    pub n_excluded: u64,
}

/// One set of a summary.
#[derive(Debug, Clone, Copy)]
pub struct SummarySet<'a> {
    /// Figures of labelled rows.
    pub figures: &'a Figures,
    /// Estimates without labels; those of the primary method are lines.
    pub estimates: &'a [Estimated],
    /// What the parents say of each other, by cell.
    pub signals: &'a [CellSignals],
}

impl<'a> SummarySet<'a> {
    /// All lines: figures of labels, estimates without them, then the parents' signals cell by cell.
    #[must_use]
    pub fn lines(&self) -> Vec<SummaryLine<'a>> {
        let measured = self.figures.lines.iter().map(|line| SummaryLine {
            method: &line.method,
            corruption: line.corruption.as_deref(),
            severity: line.severity,
            metric: line.metric.name(),
            value: line.value,
            ends: line.interval.map(|interval| (interval.low, interval.high)),
            n: line.n,
            n_excluded: line.n_excluded,
        });
        let mut lines: Vec<_> = measured.collect();
        lines.extend(self.estimated());
        lines.extend(self.parents());
        lines
    }

    fn estimated(&self) -> Vec<SummaryLine<'a>> {
        let facts = &self.figures.facts;
        let n_clean = facts.clean().map_or(0, |cell| facts.n_in(cell));
        let line = |one: &'a Estimated| {
            Some(SummaryLine {
                method: &one.method,
                corruption: Some("clean"),
                severity: Some(0),
                metric: match one.metric {
                    Metric::Top1 => "top1_estimated",
                    Metric::MacroF1 => "macro_f1_estimated",
                    Metric::Auc => "auc_estimated",
                    _ => return None,
                },
                value: one.estimate,
                ends: one.interval.map(|interval| (interval.low, interval.high)),
                n: one.n,
                n_excluded: n_clean.saturating_sub(one.n),
            })
        };
        self.estimates.iter().filter(|one| one.method == facts.primary).filter_map(line).collect()
    }

    fn parents(&self) -> Vec<SummaryLine<'a>> {
        let facts = &self.figures.facts;
        let of_cell = |(place, (cell, signals)): (usize, (&'a (String, u8), &CellSignals))| {
            let line = |metric, value, ends: Option<[f64; 2]>| SummaryLine {
                method: PARENTS,
                corruption: Some(&cell.0),
                severity: Some(cell.1),
                metric,
                value,
                ends: ends.map(|[low, high]| (low, high)),
                n: signals.n,
                n_excluded: facts.n_in(place).saturating_sub(signals.n),
            };
            [
                line("js_nats", signals.js_mean_nats, Some(signals.js_range_nats)),
                line("lambda_sample", signals.lambda_mean, Some(signals.lambda_range)),
                line("agree", signals.agree, None),
            ]
        };
        let scored = facts.cells.iter().zip(self.signals).enumerate();
        scored.filter(|(_, (_, signals))| signals.n > 0).flat_map(of_cell).collect()
    }
}

/// The summary of all sets as CSV; empty fields are nulls.
#[must_use]
pub fn summary_csv(sets: &[SummarySet<'_>]) -> String {
    let mut text = SUMMARY_COLUMNS.join(",") + "\n";
    for set in sets {
        let facts = &set.figures.facts;
        let tags = &facts.tags;
        let named =
            [Some(&facts.run_id), Some(&facts.run_date), tags.modality.as_ref(), tags.dataset.as_ref()];
        let named = named.into_iter().chain([tags.setting.as_ref(), tags.site.as_ref()]);
        let head: Vec<String> = named.map(|field| quoted(field.map_or("", String::as_str))).collect();
        for line in set.lines() {
            let end = |end: Option<f64>| end.map_or(String::new(), |end| end.to_string());
            let tail = [
                quoted(line.method),
                quoted(line.corruption.unwrap_or("")),
                line.severity.map_or(String::new(), |severity| severity.to_string()),
                line.metric.to_owned(),
                line.value.to_string(),
                end(line.ends.map(|ends| ends.0)),
                end(line.ends.map(|ends| ends.1)),
                line.n.to_string(),
                line.n_excluded.to_string(),
            ];
            text += &format!("{},{}\n", head.join(","), tail.join(","));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{SetFacts, Tags};
    use crate::figures::Settings;
    use crate::rows::Rows;
    use crate::signals::{SignalRow, Signals};
    use crate::unlabelled::Confidence;

    /// A night without labels still has lines: its estimate with an interval, and what the parents say.
    #[test]
    fn a_night_without_labels_has_lines() {
        let facts = SetFacts {
            run_id: "r".into(),
            run_date: "2026-01-02".into(),
            tags: Tags::default(),
            classes: vec!["a".into(), "b".into()],
            methods: vec!["t3_b".into()],
            primary: "t3_b".into(),
            cells: vec![("clean".into(), 0)],
            n_samples: 5,
            groups: Vec::new(),
            suite: None,
            batch_size: 8,
        };
        let figures = Figures::new(Rows::new(facts, false, None), Settings::default()).expect("no rows");
        let (mut confidence, mut signals) = (Confidence::default(), Signals::new(2));
        for p in [0.9, 0.8, 0.7, 0.6] {
            confidence.add(p);
            signals.add(&SignalRow {
                batch: 0,
                js_nats: 0.1,
                lambda: p,
                pt_entropy_nats: 0.2,
                ft_entropy_nats: 0.2,
                agree: true,
            });
        }
        let (estimates, signals) = ([confidence.estimate("t3_b").expect("rows")], [signals.finish()]);
        let lines = SummarySet { figures: &figures, estimates: &estimates, signals: &signals }.lines();
        let names: Vec<_> = lines.iter().map(|line| (line.method, line.metric, line.n)).collect();
        let parents = ["js_nats", "lambda_sample", "agree"].map(|metric| (PARENTS, metric, 4));
        assert_eq!(names, [&[("t3_b", "top1_estimated", 4)][..], &parents].concat());
        assert_eq!(lines[0].n_excluded, 1);
        // sqrt(0.9 * 0.1 + 0.8 * 0.2 + 0.7 * 0.3 + 0.6 * 0.4) / 4 = 0.209165; cut at 1.
        let (low, high) = lines[0].ends.expect("an interval");
        assert!((lines[0].value - 0.75).abs() < 1e-12 && (low - 0.340_044).abs() < 1e-6 && high == 1.0);
    }
}
