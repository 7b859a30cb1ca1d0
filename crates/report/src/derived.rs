//! Methods that follow from published rows alone: what the line between the parents could give, and what it costs
//! nothing to try. None of them is the paper's.

use t3b_stats::{Outcome, Tally};

use crate::bits::Bits;
use crate::figures::mean;
use crate::rows::{Detail, Group, Rows};

/// Methods of the grid are called this and the weight on the expert in percent: `line_000` to `line_100`.
pub const LINE: &str = "line_";

/// What decides the derived methods that need a number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Choices {
    /// Weight on the expert that another split chose for `best_static`; without it, samples of even position choose for the
    /// odd ones and the other way round.
    pub best_static: Option<f64>,
}

/// The weight of a method of the grid.
#[must_use]
pub fn line_lambda(method: &str) -> Option<f64> {
    let percent: u32 = method.strip_prefix(LINE)?.parse().ok()?;
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

impl Rows {
    /// Adds the methods that the rows allow:
    ///
    /// - `confidence_switch`: the parent that is surer of its class; the expert among equals;
    /// - `best_static`: the grid's row at the weight that another split chose, or the other half of this one;
    /// - `oracle_line`: right where any weight of the grid is; the true upper bound of every rule for lambda;
    /// - `oracle_dawin`: the grid's row next to `p_ft(y) / (p_pt(y) + p_ft(y))`, DaWin's label oracle.
    ///
    /// The last two read the labels they are judged by: bounds, never methods. On sets that are not held whole, only
    /// `oracle_line` is added.
    pub fn derive(&mut self, choices: Choices) {
        let lines: Vec<(usize, f64)> = self
            .facts
            .methods
            .iter()
            .enumerate()
            .filter_map(|(place, method)| Some((place, line_lambda(method)?)))
            .collect();
        let parents = self.facts.method("pretrained").zip(self.facts.method("expert"));
        if let Some((pt, ft)) = parents.filter(|_| self.is_whole()) {
            self.add_method("confidence_switch", |rows, cell, n| {
                let [a, b] = [pt, ft].map(|method| &rows.groups[rows.facts.group(method, cell)]);
                let sure = |group: &Group| group.outcome(n).map_or(0.0, |row| row.confidence);
                Some(Pick::Row(if sure(a) > sure(b) { pt } else { ft }))
            });
        }
        if lines.is_empty() {
            return;
        }
        let nearest = |lambda: f64| {
            let apart = |line: &&(usize, f64)| (line.1 - lambda).abs();
            lines.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).map(|(place, _)| *place)
        };
        if self.is_whole() {
            let halves = match choices.best_static.and_then(nearest) {
                Some(best) => [best; 2],
                None => [0, 1].map(|parity| self.best_line(&lines, 1 - parity)),
            };
            self.add_method("best_static", |rows, cell, n| {
                let Detail::Whole { samples, .. } = &rows.groups[rows.facts.group(0, cell)].detail else {
                    return None;
                };
                Some(Pick::Row(halves[rows.half_of(samples[n])]))
            });
        }
        self.add_oracle(&lines);
        if let Some((pt, ft)) = parents.filter(|_| self.is_whole() && self.has_probs) {
            self.add_method("oracle_dawin", |rows, cell, n| {
                let p = |method: usize| {
                    rows.groups[rows.facts.group(method, cell)].label_prob(n, rows.facts.classes.len())
                };
                let (a, b) = (p(pt)?, p(ft)?);
                let lambda = if a + b > 0.0 { b / (a + b) } else { 0.5 };
                nearest(lambda).map(Pick::Row)
            });
        }
    }

    /// The method of the grid with the best mean of clean and corrupted accuracy over one half of the samples; the
    /// smallest weight among equals.
    fn best_line(&self, lines: &[(usize, f64)], parity: usize) -> usize {
        let share = |method: usize, cell: usize| {
            let group = &self.groups[self.facts.group(method, cell)];
            let Detail::Whole { samples, outcomes, .. } = &group.detail else { return 0.0 };
            let chosen = samples.iter().zip(outcomes).filter(|(sample, _)| self.half_of(**sample) == parity);
            let (n, right) =
                chosen.fold((0, 0), |(n, right), (_, row)| (n + 1, right + u32::from(row.is_correct())));
            f64::from(right) / f64::from(n.max(1))
        };
        let objective = |method: usize| {
            let corruptions = self.facts.corruptions();
            let by_kind =
                corruptions.iter().map(|(_, cells)| mean(cells.iter().map(|cell| share(method, *cell))));
            let corrupted = (!corruptions.is_empty()).then(|| mean(by_kind));
            let clean = self.facts.clean().map(|cell| share(method, cell));
            mean(clean.into_iter().chain(corrupted))
        };
        let better = |best: (usize, f64), one: (usize, f64)| if one.1 > best.1 { one } else { best };
        lines.iter().map(|(method, _)| (*method, objective(*method))).reduce(better).map_or(0, |best| best.0)
    }

    /// Right where any weight is. As a row: the right line, else the primary method's.
    fn add_oracle(&mut self, lines: &[(usize, f64)]) {
        if self.is_whole() {
            let fallback = self.facts.method(&self.facts.primary).unwrap_or(lines[0].0);
            self.add_method("oracle_line", |rows, cell, n| {
                let is_right = |place: usize| {
                    rows.groups[rows.facts.group(place, cell)].outcome(n).is_some_and(|row| row.is_correct())
                };
                let found = lines.iter().map(|(place, _)| *place).find(|place| is_right(*place));
                Some(Pick::Outcome(found.unwrap_or(fallback)))
            });
            return;
        }
        // Sums alone: which samples are right on some line; the classes of the wrong ones are not known any more.
        let n_classes = self.facts.classes.len();
        let n_cells = self.facts.cells.len();
        for cell in 0..n_cells {
            let mut right = Bits::new(self.facts.n_positions());
            let mut seen = Bits::new(self.facts.n_positions());
            for (place, _) in lines {
                let group = &self.groups[self.facts.group(*place, cell)];
                right = right.or(&group.right);
                seen = seen.or(&group.seen);
            }
            let mut tally = Tally::new(n_classes);
            let wrong = seen.count() - right.count();
            tally.confusion.add(0, 0, right.count());
            tally.confusion.add(0, 1, wrong);
            self.groups.push(Group { tally, present: seen.clone(), seen, right, detail: Detail::Bound });
        }
        self.facts.methods.push("oracle_line".to_owned());
    }

    fn add_method(&mut self, name: &str, pick: impl Fn(&Self, usize, usize) -> Option<Pick>) {
        let mut added = Vec::new();
        for cell in 0..self.facts.cells.len() {
            let n_classes = self.facts.classes.len();
            let base = &self.groups[self.facts.group(0, cell)];
            let Detail::Whole { samples, .. } = &base.detail else { return };
            let mut group = Group {
                tally: Tally::new(n_classes),
                seen: base.seen.clone(),
                present: base.present.clone(),
                right: Bits::new(self.facts.n_positions()),
                detail: Detail::Whole { samples: samples.clone(), outcomes: Vec::new(), probs: Vec::new() },
            };
            for (n, sample) in samples.iter().enumerate() {
                let Some(pick) = pick(self, cell, n) else { return };
                let (Pick::Row(from) | Pick::Outcome(from)) = pick;
                let source = &self.groups[self.facts.group(from, cell)];
                let Some(mut outcome) = source.outcome(n) else { return };
                let probs = source.probs(n, n_classes).filter(|_| matches!(pick, Pick::Row(_)));
                if probs.is_none() {
                    outcome.scores = None;
                }
                group.push(*sample, outcome, probs);
            }
            added.push(group);
        }
        self.groups.extend(added);
        self.facts.methods.push(name.to_owned());
    }
}

/// Whose row a derived method takes.
enum Pick {
    /// With its probabilities.
    Row(usize),
    /// Its class alone, for bounds whose probabilities mean nothing.
    Outcome(usize),
}

impl Group {
    /// The `n`-th row of the cell; rows of all methods stand in one order.
    fn outcome(&self, n: usize) -> Option<Outcome> {
        match &self.detail {
            Detail::Whole { outcomes, .. } => outcomes.get(n).copied(),
            _ => None,
        }
    }

    fn probs(&self, n: usize, n_classes: usize) -> Option<&[f32]> {
        match &self.detail {
            Detail::Whole { probs, .. } => probs.get(n * n_classes..(n + 1) * n_classes),
            _ => None,
        }
    }

    fn label_prob(&self, n: usize, n_classes: usize) -> Option<f64> {
        let label = self.outcome(n)?.label as usize;
        self.probs(n, n_classes).map(|probs| f64::from(probs[label]))
    }

    fn push(&mut self, sample: u32, outcome: Outcome, row: Option<&[f32]>) {
        self.tally.add(&outcome, 1);
        if outcome.is_correct() {
            self.right.set(u64::from(sample));
        }
        if let Detail::Whole { outcomes, probs, .. } = &mut self.detail {
            outcomes.push(outcome);
            probs.extend(row.into_iter().flatten());
        }
    }
}
