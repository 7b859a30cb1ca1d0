//! Failure signatures in words.

use t3b_stats::{Metric, permuted_classes};

use super::PageSet;
use crate::compare::Best;
use crate::files::{contenders, detectable_words};

/// Something a reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// A few words.
    pub name: &'static str,
    /// What was found, with its numbers.
    pub words: String,
}

/// Everything that stands out in a set.
#[must_use]
pub fn signatures(set: &PageSet<'_>) -> Vec<Signature> {
    let mut found = Vec::new();
    let mut say = |name, words| found.push(Signature { name, words });
    if let Some(words) = permuted(set) {
        say("Class names look permuted.", words);
    }
    if let Some(words) = overfit(set) {
        say("The expert looks overfit.", words);
    }
    if let Some(words) = heterogeneous(set) {
        say("Batches are heterogeneous.", words);
    }
    if let Some(words) = overconfident(set) {
        say("Overconfident and wrong.", words);
    }
    if let Some(words) = constant(set) {
        say("The coefficient is nearly constant.", words);
    }
    if let Some(words) = too_few(set) {
        say("Too few images to tell.", words);
    }
    found
}

fn permuted(set: &PageSet<'_>) -> Option<String> {
    let facts = &set.figures.facts;
    let clean = facts.clean()?;
    let expert = facts.method("expert").or_else(|| facts.method(&facts.primary))?;
    let best = permuted_classes(&set.figures.rows.groups[facts.group(expert, clean)].tally.confusion)?;
    let moved = best.iter().enumerate().filter(|(class, other)| class != *other);
    let pairs: Vec<String> = moved
        .map(|(class, other)| {
            format!("label {class} ({}) is mostly called {}", facts.classes[class], facts.classes[*other])
        })
        .collect();
    Some(format!(
        "Naming the predictions otherwise would make many more right: {}. Check labels.names against the label ids.",
        pairs.join("; ")
    ))
}

fn overfit(set: &PageSet<'_>) -> Option<String> {
    let top1 = |method: &str, corruption: Option<&str>, severity| {
        set.figures.line(method, corruption, severity, Metric::Top1).map(|line| line.value)
    };
    let clean = top1("expert", Some("clean"), Some(0))? - top1("pretrained", Some("clean"), Some(0))?;
    let corrupted = top1("expert", None, None)? - top1("pretrained", None, None)?;
    (clean > 0.02 && corrupted < 0.0).then(|| {
        format!(
            "It gains {:.1} points on clean images and loses {:.1} on corrupted ones against the generalist.",
            100.0 * clean,
            -100.0 * corrupted
        )
    })
}

fn heterogeneous(set: &PageSet<'_>) -> Option<String> {
    let std = crate::figures::mean(set.signals.iter().map(|cell| cell.lambda_std));
    let within = crate::figures::mean(set.signals.iter().map(|cell| cell.lambda_std_within));
    (within > 0.05).then(|| {
        format!("Lambda varies by {within:.3} (standard deviation) inside batches, {std:.3} in all: a batch's mean coefficient suits few of its samples.")
    })
}

fn overconfident(set: &PageSet<'_>) -> Option<String> {
    let facts = &set.figures.facts;
    let (clean, place) = (facts.clean()?, facts.method(&facts.primary)?);
    let bins = set.figures.rows.groups[facts.group(place, clean)].tally.totals.bins.reliability();
    let last = bins.last().copied().flatten()?;
    (last.n >= 20 && last.confidence - last.accuracy > 0.1).then(|| {
        format!(
            "Of {} clean images that {} is over 93 % sure of, {:.0} % are wrong.",
            last.n,
            facts.primary,
            100.0 * (1.0 - last.accuracy)
        )
    })
}

fn constant(set: &PageSet<'_>) -> Option<String> {
    let low = set.signals.iter().map(|cell| cell.lambda_range[0]).fold(f64::INFINITY, f64::min);
    let high = set.signals.iter().map(|cell| cell.lambda_range[1]).fold(0.0, f64::max);
    (!set.signals.is_empty() && high - low < 0.1).then(|| {
        format!("90 % of all lambdas lie between {low:.3} and {high:.3}; compare with the constant control before crediting the rule.")
    })
}

fn too_few(set: &PageSet<'_>) -> Option<String> {
    let best = set.figures.best_clean(&contenders(&set.figures.facts))?;
    (!Best::is_significant(&best)).then(|| {
        format!(
            "On clean images the best ({}) does not beat every other after correction. {}",
            best.method,
            detectable_words(set.figures)
        )
    })
}
