//! Bootstrap replicates of every figure of every (method, cell), on resamples shared by all of them.

use std::thread;

use t3b_stats::{AdaptiveEce, Metric, Outcome, Ranked, Resamples, Totals};

use crate::rows::{Detail, Group, Rows};

/// The figures of one cell, in the order of a summary.
pub(crate) const BASE: [Metric; 10] = [
    Metric::Top1,
    Metric::Error,
    Metric::BalancedAccuracy,
    Metric::MacroF1,
    Metric::Auc,
    Metric::KappaQuadratic,
    Metric::Ece,
    Metric::EceAdaptive,
    Metric::Brier,
    Metric::Nll,
];

/// Replicates by group, metric and draw; NaN where a draw has no such figure.
#[derive(Debug)]
pub(crate) struct Draws {
    n_groups: usize,
    /// Which figures are held, in their order.
    metrics: &'static [Metric],
    values: Vec<Vec<f64>>,
    /// Units that were drawn.
    pub(crate) n_units: u64,
}

/// What resampling one group needs, prepared once.
struct Prepared<'a> {
    group: &'a Group,
    ranked: Option<Ranked>,
    /// Rows in ascending order of confidence, wrong before right.
    by_confidence: Vec<u32>,
}

impl Draws {
    /// Draws `n_draws` times from `rows`.
    pub(crate) fn of(rows: &Rows, n_draws: usize, seed: u64) -> Self {
        let n_units = match (&rows.units, rows.is_whole()) {
            (_, false) => rows.n_blocks,
            (Some(units), true) => units.iter().max().map_or(0, |last| *last as usize + 1),
            (None, true) => usize::try_from(rows.facts.n_samples).unwrap_or(usize::MAX),
        };
        let prepared: Vec<Prepared<'_>> = rows.groups.iter().map(|group| prepare(rows, group)).collect();
        let resamples = Resamples::new(seed, n_units, n_draws);
        let n_threads = thread::available_parallelism().map_or(1, usize::from).min(n_draws.max(1));
        let mut values = Vec::with_capacity(n_draws);
        let share = n_draws.div_ceil(n_threads).max(1);
        thread::scope(|scope| {
            let (rows, prepared, resamples) = (&*rows, &prepared, &resamples);
            let work = move |first: usize| {
                let draws = first..(first + share).min(n_draws);
                draws.map(|draw| one_draw(rows, prepared, &resamples.weights(draw))).collect::<Vec<_>>()
            };
            let threads: Vec<_> =
                (0..n_draws).step_by(share).map(|first| scope.spawn(move || work(first))).collect();
            for thread in threads {
                match thread.join() {
                    Ok(drawn) => values.extend(drawn),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        Self { n_groups: rows.groups.len(), metrics: &BASE, values, n_units: n_units as u64 }
    }

    /// All replicates of one figure.
    pub(crate) fn list(&self, group: usize, metric: Metric) -> Vec<f64> {
        let Some(place) = self.place(group, metric) else { return Vec::new() };
        self.values.iter().map(|draw| draw[place]).collect()
    }

    pub(crate) fn n_draws(&self) -> usize {
        self.values.len()
    }

    /// One figure of one draw.
    pub(crate) fn one(&self, draw: usize, group: usize, metric: Metric) -> f64 {
        self.place(group, metric).map_or(f64::NAN, |place| self.values[draw][place])
    }

    fn place(&self, group: usize, metric: Metric) -> Option<usize> {
        debug_assert!(group < self.n_groups);
        let place = self.metrics.iter().position(|held| *held == metric)?;
        Some(group * self.metrics.len() + place)
    }

    /// Keeps the replicates of accuracy alone: what methods are compared by once every interval is known.
    pub(crate) fn shrink(&mut self) {
        let place = BASE.iter().position(|base| *base == Metric::Top1).unwrap_or_default();
        for draw in &mut self.values {
            *draw = draw.chunks_exact(self.metrics.len()).map(|figures| figures[place]).collect();
        }
        self.metrics = &[Metric::Top1];
    }
}

fn prepare<'a>(rows: &Rows, group: &'a Group) -> Prepared<'a> {
    let Detail::Whole { outcomes, probs, .. } = &group.detail else {
        return Prepared { group, ranked: None, by_confidence: Vec::new() };
    };
    let labels: Vec<u32> = outcomes.iter().map(|row| row.label).collect();
    let ranked =
        (!probs.is_empty()).then(|| Ranked::new(rows.facts.classes.len(), &labels, probs).ok()).flatten();
    Prepared { group, ranked, by_confidence: by_confidence(outcomes) }
}

pub(crate) fn by_confidence(outcomes: &[Outcome]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(outcomes.len()).unwrap_or(u32::MAX)).collect();
    let row = |n: u32| outcomes[n as usize];
    order.sort_unstable_by(|a, b| {
        let (a, b) = (row(*a), row(*b));
        a.confidence.total_cmp(&b.confidence).then(a.is_correct().cmp(&b.is_correct()))
    });
    order
}

fn one_draw(rows: &Rows, prepared: &[Prepared<'_>], weights: &[u32]) -> Vec<f64> {
    let mut values = Vec::with_capacity(prepared.len() * BASE.len());
    for group in prepared {
        let drawn = match &group.group.detail {
            Detail::Blocks(blocks) => {
                let mut totals = Totals::new(rows.facts.classes.len());
                let drawn = blocks.iter().zip(weights).filter(|(_, weight)| **weight > 0);
                drawn.for_each(|(block, weight)| totals.merge(block, u64::from(*weight)));
                (totals, None, None)
            }
            Detail::Bound | Detail::Told => {
                values.extend([f64::NAN; BASE.len()]);
                continue;
            }
            Detail::Whole { samples, outcomes, .. } => {
                let of = |sample: &u32| match &rows.units {
                    Some(units) => weights[units[*sample as usize] as usize],
                    None => weights[*sample as usize],
                };
                let weights: Vec<u32> = samples.iter().map(of).collect();
                let mut totals = Totals::new(rows.facts.classes.len());
                outcomes.iter().zip(&weights).for_each(|(row, weight)| totals.add(row, u64::from(*weight)));
                let mut adaptive = AdaptiveEce::new(weights.iter().map(|weight| u64::from(*weight)).sum());
                for row in &group.by_confidence {
                    let outcome = &outcomes[*row as usize];
                    for _ in 0..weights[*row as usize] {
                        adaptive.push(f64::from(outcome.confidence), outcome.is_correct());
                    }
                }
                (totals, adaptive.value(), group.ranked.as_ref().and_then(|ranked| ranked.value(&weights)))
            }
        };
        let (totals, adaptive, auc) = drawn;
        values.extend(BASE.map(|metric| match metric {
            Metric::Auc => auc.unwrap_or(f64::NAN),
            Metric::EceAdaptive => adaptive.unwrap_or(f64::NAN),
            other => totals.value(other).unwrap_or(f64::NAN),
        }));
    }
    values
}
