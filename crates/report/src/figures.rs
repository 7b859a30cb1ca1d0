//! Every figure of a set with its interval, cell by cell and in the mean.

use std::io;

use t3b_stats::{
    AdaptiveEce, AscendingAuc, Auc, CalibratedNull, CellErrors, Interval, Metric, OneVsRest, Outcome,
    alexnet_error, balanced_against_alexnet, calibration_interval, corruption_error, expanded_percentile,
    mean_error, one_vs_rest, relative_corruption_error, wilson,
};

use crate::draws::{BASE, Draws, by_confidence};
use crate::facts::SetFacts;
use crate::rows::{Detail, Rows};

/// Of how many draws an interval covers the truth.
pub const LEVEL: f64 = 0.95;

/// How figures are computed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bootstrap resamples.
    pub n_draws: usize,
    /// Seed of the resamples.
    pub seed: u64,
    /// The method that `mce` divides by.
    pub reference: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { n_draws: 1000, seed: 0, reference: "pretrained".to_owned() }
    }
}

/// One row of a summary, but for what names its set.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Method of the figure.
    pub method: String,
    /// `None` in means over corruptions.
    pub corruption: Option<String>,
    /// `None` in means over severities.
    pub severity: Option<u8>,
    /// Which figure.
    pub metric: Metric,
    /// Its value; shares are fractions.
    pub value: f64,
    /// Where the truth is, in 95 of 100 such sets.
    pub interval: Option<Interval>,
    /// Labelled rows behind it; of the cell with the fewest, in means.
    pub n: u64,
    /// Samples without such a row: unlabelled or quarantined.
    pub n_excluded: u64,
}

/// Everything computed of one set.
#[derive(Debug)]
pub struct Figures {
    /// What the set is.
    pub facts: SetFacts,
    /// How it was computed.
    pub settings: Settings,
    /// All lines: methods in order, cells before means.
    pub lines: Vec<Line>,
    /// The rows they are of.
    pub rows: Rows,
    /// Areas by class and group, for tables by class.
    pub areas: Vec<Option<OneVsRest>>,
    pub(crate) draws: Draws,
}

impl Figures {
    /// Computes all figures of a set.
    ///
    /// # Errors
    /// When sorted scores cannot be read back from disk.
    pub fn new(mut rows: Rows, settings: Settings) -> io::Result<Self> {
        let draws = Draws::of(&rows, settings.n_draws, settings.seed);
        let ranked: Vec<RankedFigures> =
            (0..rows.groups.len()).map(|place| ranked(&mut rows, place)).collect::<io::Result<_>>()?;
        let facts = rows.facts.clone();
        let mut lines = Vec::new();
        let mut values = vec![[None; BASE.len()]; rows.groups.len()];
        for method in 0..facts.methods.len() {
            for cell in 0..facts.cells.len() {
                let place = facts.group(method, cell);
                for (k, metric) in BASE.into_iter().enumerate() {
                    let value = cell_value(&rows, place, metric, &ranked[place]);
                    values[place][k] = value;
                    let Some(value) = value else { continue };
                    let interval = cell_interval(&rows, &draws, place, metric, value, &ranked[place]);
                    let n = rows.groups[place].tally.confusion.n();
                    lines.push(Line {
                        method: facts.methods[method].clone(),
                        corruption: Some(facts.cells[cell].0.clone()),
                        severity: Some(facts.cells[cell].1),
                        metric,
                        value,
                        interval: interval.map(|interval| interval.within(metric)),
                        n,
                        n_excluded: facts.n_in(cell) - n,
                    });
                }
            }
            means(&rows, &draws, &settings, method, &values, &mut lines);
        }
        let areas = ranked.into_iter().map(|ranked| ranked.areas).collect();
        Ok(Self { facts, settings, lines, rows, areas, draws })
    }

    /// Lets go of the rows, which no file, table or page asks for any more; the clean rows of MedMNIST's sets stay, whose own
    /// result file holds them. Many sets are so held at once.
    pub fn shrink(&mut self) {
        let (clean, n_cells) = (self.facts.clean(), self.facts.cells.len());
        let is_told = self.facts.medmnist_flag().is_some();
        self.rows.shrink(|place| is_told && clean == Some(place % n_cells));
        self.draws.shrink();
    }

    /// One line.
    #[must_use]
    pub fn line(
        &self,
        method: &str,
        corruption: Option<&str>,
        severity: Option<u8>,
        metric: Metric,
    ) -> Option<&Line> {
        self.lines.iter().find(|line| {
            line.metric == metric
                && line.severity == severity
                && line.method == method
                && line.corruption.as_deref() == corruption
        })
    }

    /// Replicates of the mean over corruptions of the mean over severities of `metric`.
    pub(crate) fn mean_draws(&self, method: usize, metric: Metric) -> Vec<f64> {
        let corruptions = self.facts.corruptions();
        (0..self.draws.n_draws())
            .map(|draw| {
                mean(corruptions.iter().map(|(_, cells)| self.severity_mean(draw, method, cells, metric)))
            })
            .collect()
    }

    /// Replicates of the mean over the severities of one corruption.
    pub(crate) fn corruption_draws(&self, method: usize, cells: &[usize], metric: Metric) -> Vec<f64> {
        (0..self.draws.n_draws()).map(|draw| self.severity_mean(draw, method, cells, metric)).collect()
    }

    fn severity_mean(&self, draw: usize, method: usize, cells: &[usize], metric: Metric) -> f64 {
        mean(cells.iter().map(|cell| self.draws.one(draw, self.facts.group(method, *cell), metric)))
    }
}

/// Figures of one group that need order.
struct RankedFigures {
    areas: Option<OneVsRest>,
    adaptive: AdaptiveEce,
}

fn ranked(rows: &mut Rows, place: usize) -> io::Result<RankedFigures> {
    let n_classes = rows.facts.classes.len();
    if let Detail::Whole { outcomes, probs, .. } = &rows.groups[place].detail {
        let labels: Vec<u32> = outcomes.iter().map(|row| row.label).collect();
        let areas = (!probs.is_empty()).then(|| one_vs_rest(n_classes, &labels, probs).ok()).flatten();
        let mut adaptive = AdaptiveEce::new(outcomes.len() as u64);
        for row in by_confidence(outcomes) {
            let row: &Outcome = &outcomes[row as usize];
            adaptive.push(f64::from(row.confidence), row.is_correct());
        }
        return Ok(RankedFigures { areas, adaptive });
    }
    let mut adaptive = AdaptiveEce::new(rows.groups[place].tally.confusion.n());
    if matches!(rows.groups[place].detail, Detail::Bound) {
        return Ok(RankedFigures { areas: None, adaptive });
    }
    let Some(ranks) = &mut rows.ranks else { return Ok(RankedFigures { areas: None, adaptive }) };
    let columns = 1 + if rows.has_probs { n_classes } else { 0 };
    ranks.each_tie(place * columns, |tie| {
        (0..tie.n_neg).for_each(|_| adaptive.push(f64::from(tie.score), false));
        (0..tie.n_pos).for_each(|_| adaptive.push(f64::from(tie.score), true));
    })?;
    let mut classes = Vec::new();
    for class in 0..columns - 1 {
        let mut sums = AscendingAuc::default();
        ranks.each_tie(place * columns + 1 + class, |tie| sums.push(tie.n_pos, tie.n_neg))?;
        classes.push(sums.finish());
    }
    Ok(RankedFigures { areas: rows.has_probs.then(|| joined(classes)), adaptive })
}

/// The mean of areas whose covariances are unknown: its standard deviation is at most the mean of theirs, which is
/// what the interval then says.
fn joined(classes: Vec<Option<Auc>>) -> OneVsRest {
    let counted: Vec<Auc> = match classes.len() {
        2 => classes[1].into_iter().collect(),
        _ => classes.iter().flatten().copied().collect(),
    };
    let value = counted.iter().map(|auc| auc.value);
    let std: Option<Vec<f64>> = counted.iter().map(|auc| auc.variance.map(f64::sqrt)).collect();
    let variance = std.filter(|std| !std.is_empty()).map(|std| mean(std.into_iter()).powi(2));
    OneVsRest { value: (!counted.is_empty()).then(|| mean(value)), classes, variance }
}

fn cell_value(rows: &Rows, place: usize, metric: Metric, ranked: &RankedFigures) -> Option<f64> {
    match metric {
        Metric::Auc => ranked.areas.as_ref()?.value,
        Metric::EceAdaptive => ranked.adaptive.value(),
        Metric::Top1 | Metric::Error => rows.groups[place].tally.value(metric),
        _ if matches!(rows.groups[place].detail, Detail::Bound) => None,
        other => rows.groups[place].tally.value(other),
    }
}

fn cell_interval(
    rows: &Rows,
    draws: &Draws,
    place: usize,
    metric: Metric,
    value: f64,
    ranked: &RankedFigures,
) -> Option<Interval> {
    let tally = &rows.groups[place].tally;
    let (n, n_correct) = (tally.confusion.n(), tally.confusion.n_correct());
    let is_single = rows.units.is_none();
    match metric {
        Metric::Top1 if is_single => wilson(n_correct, n, LEVEL),
        Metric::Error if is_single => wilson(n - n_correct, n, LEVEL),
        Metric::Auc if is_single => ranked.areas.as_ref()?.interval(LEVEL),
        Metric::Ece => calibration_interval(
            value,
            &finite(draws.list(place, metric))?,
            tally.totals.bins.null(),
            0.75,
            LEVEL,
        ),
        Metric::EceAdaptive => calibration_interval(
            value,
            &finite(draws.list(place, metric))?,
            ranked.adaptive.null(),
            1.0,
            LEVEL,
        ),
        _ => {
            let smallest = (0..tally.confusion.n_classes()).map(|class| tally.confusion.n_label(class));
            let smallest = smallest.filter(|n| *n > 0).min().unwrap_or(0);
            let is_balanced = matches!(metric, Metric::BalancedAccuracy | Metric::MacroF1);
            let units = if is_balanced { draws.n_units.min(smallest) } else { draws.n_units };
            percentiles(draws.list(place, metric), units)
        }
    }
}

fn finite(list: Vec<f64>) -> Option<Vec<f64>> {
    list.iter().all(|value| value.is_finite()).then_some(list)
}

/// Replicates in which a figure was undefined (a resample without any row of a class, say) are left out if they are
/// few.
fn percentiles(list: Vec<f64>, units: u64) -> Option<Interval> {
    let all = list.len();
    let mut kept: Vec<f64> = list.into_iter().filter(|value| value.is_finite()).collect();
    (kept.len() * 20 >= all * 19).then(|| expanded_percentile(&mut kept, LEVEL, units)).flatten()
}

/// The interval of a mean over cells. Means of calibration errors inherit the bias of their parts.
fn mean_interval(metric: Metric, value: f64, list: Vec<f64>, units: u64) -> Option<Interval> {
    let null = CalibratedNull { mean: 0.0, std: 0.0 };
    let interval = match metric {
        Metric::Ece => calibration_interval(value, &finite(list)?, null, 0.75, LEVEL),
        Metric::EceAdaptive => calibration_interval(value, &finite(list)?, null, 1.0, LEVEL),
        _ => percentiles(list, units),
    };
    interval.map(|interval| interval.within(metric))
}

/// The lines of one method that average over cells.
fn means(
    rows: &Rows,
    draws: &Draws,
    settings: &Settings,
    method: usize,
    values: &[[Option<f64>; BASE.len()]],
    lines: &mut Vec<Line>,
) {
    let facts = &rows.facts;
    let corruptions = facts.corruptions();
    // Labelled rows of the cell that has fewest, and left out ones of the cell that has most.
    let fewest = |cells: &mut dyn Iterator<Item = usize>| {
        let n = |cell| rows.groups[facts.group(method, cell)].tally.confusion.n();
        let counts = cells.map(|cell| (n(cell), facts.n_in(cell) - n(cell)));
        counts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, facts.n_samples))
    };
    let mut push = |corruption: Option<&str>, metric: Metric, value: f64, list: Vec<f64>, n: (u64, u64)| {
        lines.push(Line {
            method: facts.methods[method].clone(),
            corruption: corruption.map(str::to_owned),
            severity: None,
            metric,
            value,
            interval: mean_interval(metric, value, list, draws.n_units),
            n: n.0,
            n_excluded: n.1,
        });
    };
    let of = |cell: usize, k: usize| values[facts.group(method, cell)][k];
    let drawn = |draw: usize, cell: usize, metric| draws.one(draw, facts.group(method, cell), metric);
    for (k, metric) in BASE.into_iter().enumerate() {
        let mut by_corruption = Vec::new();
        for (name, cells) in &corruptions {
            let Some(value) = cells.iter().map(|cell| of(*cell, k)).collect::<Option<Vec<f64>>>() else {
                continue;
            };
            let value = mean(value.into_iter());
            by_corruption.push(value);
            let list =
                (0..draws.n_draws()).map(|draw| mean(cells.iter().map(|cell| drawn(draw, *cell, metric))));
            push(Some(name), metric, value, list.collect(), fewest(&mut cells.iter().copied()));
        }
        if by_corruption.len() == corruptions.len() && !corruptions.is_empty() {
            let over = |draw: usize| {
                mean(
                    corruptions
                        .iter()
                        .map(|(_, cells)| mean(cells.iter().map(|cell| drawn(draw, *cell, metric)))),
                )
            };
            let n = fewest(&mut corruptions.iter().flat_map(|(_, cells)| cells.iter().copied()));
            push(None, metric, mean(by_corruption.into_iter()), (0..draws.n_draws()).map(over).collect(), n);
        }
    }
    let n = fewest(&mut corruptions.iter().flat_map(|(_, cells)| cells.iter().copied()));
    for metric in [
        Metric::MeanErr,
        Metric::Mce,
        Metric::MceMedmnistc,
        Metric::RelativeMceMedmnistc,
        Metric::MceClip,
        Metric::RelativeMce,
    ] {
        let figure =
            |read: &dyn Fn(usize, Metric) -> Option<f64>| over_cells(facts, settings, method, metric, read);
        let place = |metric: Metric| BASE.iter().position(|base| *base == metric);
        let value = figure(&|group, metric| values[group][place(metric)?]);
        let Some(value) = value else { continue };
        let list = (0..draws.n_draws())
            .map(|draw| figure(&|group, metric| Some(draws.one(draw, group, metric))).unwrap_or(f64::NAN))
            .collect();
        push(None, metric, value, list, n);
    }
}

/// A figure of several cells, from a reader of single ones.
fn over_cells(
    facts: &SetFacts,
    settings: &Settings,
    method: usize,
    metric: Metric,
    read: &dyn Fn(usize, Metric) -> Option<f64>,
) -> Option<f64> {
    let errors = |method: usize, of: Metric| -> Option<CellErrors> {
        let read = |cell: usize| {
            let value = read(facts.group(method, cell), of)?;
            Some(if of == Metric::BalancedAccuracy { 1.0 - value } else { value })
        };
        let corruption = |(name, cells): (&str, Vec<usize>)| {
            Some((name.to_owned(), cells.into_iter().map(read).collect::<Option<Vec<f64>>>()?))
        };
        let corruptions = facts.corruptions().into_iter().map(corruption).collect::<Option<Vec<_>>>()?;
        (!corruptions.is_empty()).then(|| CellErrors { clean: facts.clean().and_then(read), corruptions })
    };
    let against = |name: &str| facts.method(name).and_then(|reference| errors(reference, Metric::Error));
    match metric {
        Metric::MeanErr => mean_error(&errors(method, Metric::Error)?),
        Metric::Mce => corruption_error(&errors(method, Metric::Error)?, &against(&settings.reference)?)
            .map(|found| found.value),
        Metric::MceClip => corruption_error(&errors(method, Metric::Error)?, &against("pretrained")?)
            .map(|found| found.value),
        Metric::RelativeMce => {
            let reference = against(&settings.reference)?;
            relative_corruption_error(&errors(method, Metric::Error)?, &reference).map(|found| found.value)
        }
        Metric::MceMedmnistc | Metric::RelativeMceMedmnistc => {
            let suite = alexnet_error(facts.suite.as_deref()?)?;
            let (plain, relative) =
                balanced_against_alexnet(&errors(method, Metric::BalancedAccuracy)?, suite)?;
            Some(if metric == Metric::MceMedmnistc { plain.value } else { relative.value })
        }
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of cells")]
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_u64), |(sum, n), value| (sum + value, n + 1));
    sum / n as f64
}
