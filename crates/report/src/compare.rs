//! Whether methods differ: paired, corrected for how many are asked, and what the set could show at all.

use t3b_stats::{
    Detectable, Interval, Metric, detectable, expanded_percentile, holm, mcnemar_exact, paired_p_value,
};

use crate::figures::{Figures, LEVEL};

/// Two methods in one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The one method.
    pub method: String,
    /// The other.
    pub against: String,
    /// `clean`, a corruption (mean over severities), or `None` for the mean over corruptions.
    pub corruption: Option<String>,
    /// Accuracy of the first less that of the second.
    pub difference: f64,
    /// Where the true difference is; `None` for exact tests without resamples.
    pub interval: Option<Interval>,
    /// McNemar's exact test in single cells, the paired bootstrap in means and by group.
    pub p_value: f64,
    /// After Holm's correction over the family.
    pub p_adjusted: f64,
    /// Samples that are right under one method alone; in single cells.
    pub n_discordant: Option<u64>,
}

/// The best method somewhere, and whether it is really better than each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Highest accuracy; the first in pipeline order among equals.
    pub method: String,
    /// Against every other method; one family.
    pub against: Vec<Comparison>,
    /// What the set could show between the best and the runner-up; not known of groups.
    pub detectable: Option<Detectable>,
}

impl Best {
    /// Whether the best beats the runner-up (and so everyone) after correction: the only reason for bold print.
    #[must_use]
    pub fn is_significant(&self) -> bool {
        !self.against.is_empty() && self.against.iter().all(|one| one.p_adjusted <= 1.0 - LEVEL)
    }
}

impl Figures {
    /// The best method without corruption, by McNemar's exact test, or the paired bootstrap by group.
    #[must_use]
    pub fn best_clean(&self, among: &[usize]) -> Option<Best> {
        let clean = self.facts.clean()?;
        let top1 = |method: usize| {
            self.line(&self.facts.methods[method], Some("clean"), Some(0), Metric::Top1)
                .map(|line| line.value)
        };
        let best = first_largest(among, top1)?;
        let n = self.rows.groups[self.facts.group(best, clean)].tally.confusion.n();
        let of = |other: usize| self.paired_in(clean, best, other);
        let found = self.family(best, among, Some("clean"), top1, of)?;
        let fewest = found.iter().filter_map(|one| one.n_discordant).max();
        let runner_up = found.iter().min_by(|a, b| a.difference.total_cmp(&b.difference));
        let n_discordant = runner_up.and_then(|one| one.n_discordant).or(fewest).unwrap_or(0);
        Some(Best {
            method: self.facts.methods[best].clone(),
            against: found,
            detectable: if self.rows.is_grouped { None } else { detectable(n, n_discordant, 1.0 - LEVEL) },
        })
    }

    /// The best method in the mean over corruptions, by the paired bootstrap.
    #[must_use]
    pub fn best_corrupted(&self, among: &[usize]) -> Option<Best> {
        let top1 = |method: usize| {
            self.line(&self.facts.methods[method], None, None, Metric::Top1).map(|line| line.value)
        };
        let best = first_largest(among, top1)?;
        let of_best = self.mean_draws(best, Metric::Top1);
        let of = |other: usize| paired(&of_best, &self.mean_draws(other, Metric::Top1), self.draws.n_units);
        let found = self.family(best, among, None, top1, of)?;
        Some(Best { method: self.facts.methods[best].clone(), against: found, detectable: None })
    }

    /// Every method against `reference`, corruption by corruption (mean over severities); one family over all of it.
    #[must_use]
    pub fn heat(&self, reference: &str) -> Vec<Comparison> {
        let Some(base) = self.facts.method(reference) else { return Vec::new() };
        let mut all = Vec::new();
        for (corruption, cells) in self.facts.corruptions() {
            let of_base = self.corruption_draws(base, &cells, Metric::Top1);
            let value = |method: usize| {
                let line = self.line(&self.facts.methods[method], Some(corruption), None, Metric::Top1);
                line.map(|line| line.value)
            };
            for method in (0..self.facts.methods.len()).filter(|method| *method != base) {
                let (Some(own), Some(reference_value)) = (value(method), value(base)) else { continue };
                let draws = self.corruption_draws(method, &cells, Metric::Top1);
                let (p_value, _, interval) = paired(&draws, &of_base, self.draws.n_units);
                all.push(Comparison {
                    method: self.facts.methods[method].clone(),
                    against: reference.to_owned(),
                    corruption: Some(corruption.to_owned()),
                    difference: own - reference_value,
                    interval,
                    p_value,
                    p_adjusted: 1.0,
                    n_discordant: None,
                });
            }
        }
        adjust(&mut all);
        all
    }

    /// One method against another: without corruption and in the mean over corruptions.
    #[must_use]
    pub fn against(&self, method: &str, other: &str) -> Vec<Comparison> {
        let (Some(a), Some(b)) = (self.facts.method(method), self.facts.method(other)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let value = |name: &str, corruption: Option<&str>, severity| {
            self.line(name, corruption, severity, Metric::Top1).map(|line| line.value)
        };
        if let (Some(clean), Some(x), Some(y)) =
            (self.facts.clean(), value(method, Some("clean"), Some(0)), value(other, Some("clean"), Some(0)))
        {
            found.push(comparison(method, other, Some("clean"), x - y, self.paired_in(clean, a, b)));
        }
        if let (Some(x), Some(y)) = (value(method, None, None), value(other, None, None)) {
            let (of_a, of_b) = (self.mean_draws(a, Metric::Top1), self.mean_draws(b, Metric::Top1));
            found.push(comparison(method, other, None, x - y, paired(&of_a, &of_b, self.draws.n_units)));
        }
        found
    }

    /// Two methods in one cell: McNemar's exact test, and the paired bootstrap's interval. Where rows of a cell are not independent
    /// the exact test would be too sure, and the bootstrap by group tests as well.
    fn paired_in(&self, cell: usize, a: usize, b: usize) -> (f64, Option<u64>, Option<Interval>) {
        let list = |method| self.draws.list(self.facts.group(method, cell), Metric::Top1);
        let (by_group, _, interval) = paired(&list(a), &list(b), self.draws.n_units);
        let (only_a, only_b) = self.rows.discordant(a, b, cell);
        let p_value = if self.rows.is_grouped { by_group } else { mcnemar_exact(only_a, only_b) };
        (p_value, Some(only_a + only_b), interval)
    }

    fn family(
        &self,
        best: usize,
        among: &[usize],
        corruption: Option<&str>,
        value: impl Fn(usize) -> Option<f64>,
        test: impl Fn(usize) -> (f64, Option<u64>, Option<Interval>),
    ) -> Option<Vec<Comparison>> {
        let name = |method: usize| self.facts.methods[method].as_str();
        let others = among.iter().copied().filter(|method| *method != best);
        let one = |other: usize| {
            let difference = value(best)? - value(other)?;
            Some(comparison(name(best), name(other), corruption, difference, test(other)))
        };
        let mut found: Vec<Comparison> = others.map(one).collect::<Option<_>>()?;
        adjust(&mut found);
        Some(found)
    }
}

fn comparison(
    method: &str,
    against: &str,
    corruption: Option<&str>,
    difference: f64,
    (p_value, n_discordant, interval): (f64, Option<u64>, Option<Interval>),
) -> Comparison {
    Comparison {
        method: method.to_owned(),
        against: against.to_owned(),
        corruption: corruption.map(str::to_owned),
        difference,
        interval,
        p_value,
        p_adjusted: p_value,
        n_discordant,
    }
}

fn adjust(family: &mut [Comparison]) {
    let p: Vec<f64> = family.iter().map(|one| one.p_value).collect();
    family.iter_mut().zip(holm(&p)).for_each(|(one, adjusted)| one.p_adjusted = adjusted);
}

fn paired(a: &[f64], b: &[f64], n_units: u64) -> (f64, Option<u64>, Option<Interval>) {
    let mut differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let p_value = paired_p_value(&differences);
    (p_value, None, expanded_percentile(&mut differences, LEVEL, n_units))
}

fn first_largest(among: &[usize], value: impl Fn(usize) -> Option<f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for method in among {
        let found = value(*method)?;
        if best.is_none_or(|(_, most)| found > most) {
            best = Some((*method, found));
        }
    }
    best.map(|(method, _)| method)
}
