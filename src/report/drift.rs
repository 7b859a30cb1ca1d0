//! `t3b drift`: one night against others, from their clean rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use serde::{Deserialize, Serialize};
use t3b_report::{Drift, Features, Quantity, drift};
use t3b_stats::{Compared, Histogram};

use super::features::{FeatureSample, StoredFeatures};
use super::reading::{RunTables, read};
use super::run_at::RunAt;
use super::summary::encode;
use crate::error::{Exit, Problem, RunError};

/// More cells than any grid has.
const MAX_CELLS: usize = 1 << 16;
/// Images of a stored profile whose features are kept.
const STORED_FEATURES: usize = 256;

/// What is known of one run for a comparison: small enough to be kept when its tables are gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    class_names: Vec<String>,
    /// Divergence, coefficient and both entropies on clean images.
    numbers: [Histogram; 4],
    classes: Vec<u64>,
    quarantine: Vec<(String, u64)>,
    n_planned: u64,
    /// Features of some clean images, where the run keeps them.
    features: Option<FeatureSample>,
}

/// A profile as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredProfile {
    class_names: Vec<String>,
    n_cells: usize,
    /// Cells that have rows, and how many.
    numbers: [Vec<(usize, u64)>; 4],
    classes: Vec<u64>,
    quarantine: Vec<(String, u64)>,
    n_planned: u64,
    features: Option<Vec<StoredFeatures>>,
}

/// Compares `run` with `against` together.
///
/// # Errors
/// Store failures, damaged tables, `E006` runs whose classes or cells cannot be compared.
pub async fn drift_of(run: &RunAt, against: &[RunAt]) -> Result<Vec<Drift>, RunError> {
    let night = Profile::of(run).await?;
    let mut others = Vec::new();
    for other in against {
        others.push(Profile::of(other).await?);
    }
    Ok(drift_between(night, others)?)
}

/// Compares one profile with others together.
///
/// # Errors
/// `E006` profiles of other classes, or none to compare with.
pub fn drift_between(mut night: Profile, against: Vec<Profile>) -> Result<Vec<Drift>, Problem> {
    let mut reference: Option<Profile> = None;
    for other in against {
        if !other.is_comparable(&night) {
            return Err(Problem::new("E006", Exit::Config, "the runs have other classes"));
        }
        reference = Some(match reference {
            None => other,
            Some(all) => all.with(other),
        });
    }
    let mut reference = reference.ok_or_else(|| {
        Problem::new("E006", Exit::Usage, "no run to compare with")
            .hint("--against needs at least one other run")
    })?;
    let rows = night.features.take().zip(reference.features.take());
    let rows = rows.map(|(night, reference)| (night.into_rows(), reference.into_rows()));
    let features = rows.as_ref().map(|(night, reference)| Features { reference, night });
    Ok(drift(&quantities(&night, &reference), features, 0))
}

impl Profile {
    /// The profile of a published run.
    ///
    /// # Errors
    /// Store failures, damaged tables, `E006` a run without clean images.
    pub async fn of(run: &RunAt) -> Result<Self, RunError> {
        let RunTables { rows, signals, quarantine, class_counts, .. } =
            read(&run.root, &run.plan, None, None).await?;
        let facts = rows.facts();
        let clean = facts.clean().ok_or_else(|| {
            let what = format!("run {} has no clean images", run.plan.run_id);
            Problem::new("E006", Exit::Config, what).hint("set corrupt.include_clean = true")
        })?;
        Ok(Self {
            class_names: facts.classes.clone(),
            numbers: signals[clean].histograms.clone(),
            classes: class_counts,
            quarantine,
            n_planned: facts.n_pairs(),
            features: FeatureSample::of(run).await?,
        })
    }

    /// Whether both are of the same classes.
    #[must_use]
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.class_names == other.class_names
    }

    /// As it is stored; the same profile gives the same bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let filled = |histogram: &Histogram| {
            histogram.counts().iter().copied().enumerate().filter(|(_, n)| *n > 0).collect::<Vec<_>>()
        };
        let stored = StoredProfile {
            class_names: self.class_names.clone(),
            n_cells: self.numbers[0].counts().len(),
            numbers: self.numbers.each_ref().map(filled),
            classes: self.classes.clone(),
            quarantine: self.quarantine.clone(),
            n_planned: self.n_planned,
            features: self.features.as_ref().map(|features| features.stored(STORED_FEATURES)),
        };
        serde_json::to_vec(&stored).expect("counts have a JSON text")
    }

    /// As [`Profile::to_json`] wrote it; `None` for anything else.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        let stored: StoredProfile = serde_json::from_slice(bytes).ok()?;
        let n_cells = stored.n_cells;
        if n_cells > MAX_CELLS || stored.numbers.iter().flatten().any(|(cell, _)| *cell >= n_cells) {
            return None;
        }
        let whole = |filled: &Vec<(usize, u64)>| {
            let mut counts = vec![0; n_cells];
            filled.iter().for_each(|(cell, n)| counts[*cell] = *n);
            Histogram::ordered(counts)
        };
        let features = match stored.features {
            Some(rows) => Some(FeatureSample::from_stored(&rows)?),
            None => None,
        };
        Some(Self {
            numbers: stored.numbers.each_ref().map(whole),
            class_names: stored.class_names,
            classes: stored.classes,
            quarantine: stored.quarantine,
            n_planned: stored.n_planned,
            features,
        })
    }

    fn with(mut self, other: Self) -> Self {
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(all, more)| all.merge(more));
        self.classes.iter_mut().zip(&other.classes).for_each(|(all, more)| *all += more);
        for (reason, n) in &other.quarantine {
            match self.quarantine.iter_mut().find(|(name, _)| name == reason) {
                Some((_, all)) => *all += n,
                None => self.quarantine.push((reason.clone(), *n)),
            }
        }
        self.n_planned += other.n_planned;
        self.features = self.features.zip(other.features).map(|(all, more)| all.with(more));
        self
    }

    /// Pairs by reason, those that were scored last.
    fn reasons(&self, names: &BTreeSet<String>) -> Histogram {
        let of =
            |name: &String| self.quarantine.iter().find(|(found, _)| found == name).map_or(0, |(_, n)| *n);
        let mut counts: Vec<u64> = names.iter().map(of).collect();
        counts.push(self.n_planned - counts.iter().sum::<u64>().min(self.n_planned));
        Histogram::of(counts)
    }
}

fn quantities(night: &Profile, reference: &Profile) -> Vec<Quantity> {
    let names = ["js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats"];
    let mut all: Vec<Quantity> = names
        .into_iter()
        .zip(night.numbers.iter().zip(&reference.numbers))
        .map(|(name, (night, reference))| Quantity {
            name: name.to_owned(),
            reference: reference.clone(),
            night: night.clone(),
            is_category: false,
        })
        .collect();
    all.push(Quantity {
        name: "predicted_class".to_owned(),
        reference: Histogram::of(reference.classes.clone()),
        night: Histogram::of(night.classes.clone()),
        is_category: true,
    });
    let reasons: BTreeSet<String> =
        night.quarantine.iter().chain(&reference.quarantine).map(|(name, _)| name.clone()).collect();
    all.push(Quantity {
        name: "quarantine_reason".to_owned(),
        reference: reference.reasons(&reasons),
        night: night.reasons(&reasons),
        is_category: true,
    });
    all
}

/// The rows as Parquet: `drift.parquet`.
///
/// # Errors
/// `B005` when the encoder fails.
pub fn drift_parquet(run_id: &str, found: &[Drift]) -> Result<Vec<u8>, Problem> {
    let number = |of: &dyn Fn(&Drift) -> Option<f64>| -> ArrayRef {
        Arc::new(found.iter().map(of).collect::<Float64Array>())
    };
    let of_bins = |of: fn(&Compared) -> f64| number(&|one| one.shift.bins().map(of));
    let ks = |one: &Drift| one.shift.bins().filter(|_| !one.is_category).map(|compared| compared.ks.value);
    let count = |side: usize| -> ArrayRef {
        Arc::new(found.iter().map(|one| i64::try_from(one.shift.n()[side]).ok()).collect::<Int64Array>())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("run_id", Arc::new(StringArray::from(vec![run_id; found.len()]))),
        ("quantity", Arc::new(found.iter().map(|one| Some(one.name.as_str())).collect::<StringArray>())),
        ("psi", of_bins(|compared| compared.psi.value)),
        ("psi_null_p95", of_bins(|compared| compared.psi.null_p95)),
        ("ks", number(&ks)),
        ("js_nats", of_bins(|compared| compared.js_nats.value)),
        ("p_value", number(&|one| Some(one.shift.p_value()))),
        ("p_adjusted", number(&|one| Some(one.p_adjusted))),
        ("n", count(0)),
        ("n_reference", count(1)),
        ("mmd2", number(&|one| one.shift.mmd())),
        ("is_alarm", Arc::new(found.iter().map(|one| Some(one.is_alarm)).collect::<BooleanArray>())),
    ];
    let is_of_some = |name: &str| ["psi", "psi_null_p95", "ks", "js_nats", "mmd2"].contains(&name);
    let field =
        |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), is_of_some(name));
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    encode(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        let counts = [[0, 3, 1], [0, 0, 0], [9, 9, 9], [1, 0, 0]];
        let rows = vec![(1, 7, hex::encode([1.5_f32, -2.0].map(f32::to_le_bytes).concat()))];
        let mut profile = Profile {
            class_names: vec!["a".into(), "b".into()],
            numbers: counts.map(|counts| Histogram::ordered(counts.into())),
            classes: vec![1, 3],
            quarantine: vec![("empty_object".into(), 2)],
            n_planned: 6,
            features: FeatureSample::from_stored(&rows),
        };
        assert!(profile.features.is_some());
        let bytes = profile.to_json();
        assert_eq!(Profile::from_json(&bytes), Some(profile.clone()));
        let beyond = String::from_utf8(bytes).unwrap().replace("\"n_cells\":3", "\"n_cells\":2");
        assert_eq!(Profile::from_json(beyond.as_bytes()), None);
        profile.features = None;
        assert_eq!(Profile::from_json(&profile.to_json()), Some(profile));
    }
}
