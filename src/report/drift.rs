//! `t3b drift`: one night against others, from their clean rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use t3b_report::{Drift, Features, Quantity, drift};
use t3b_stats::{Compared, Histogram};

use super::evaluate::RunAt;
use super::features::FeatureSample;
use super::reading::{RunTables, facts, read};
use super::summary::encode;
use crate::error::{Exit, Problem, RunError};

/// What is known of one run for a comparison.
struct Night {
    /// Divergence, coefficient and both entropies on clean images.
    numbers: [Histogram; 4],
    classes: Vec<u64>,
    quarantine: Vec<(String, u64)>,
    n_planned: u64,
    /// Features of some clean images, where the run keeps them.
    features: Option<FeatureSample>,
}

/// Compares `run` with `against` together.
///
/// # Errors
/// Store failures, damaged tables, `E006` runs whose classes or cells cannot be compared.
pub async fn drift_of(run: &RunAt, against: &[RunAt]) -> Result<Vec<Drift>, RunError> {
    let classes = facts(&run.plan)?.classes;
    let mut night = night(run).await?;
    let mut reference: Option<Night> = None;
    for other in against {
        if facts(&other.plan)?.classes != classes {
            let what = format!("runs {} and {} have other classes", run.plan.run_id, other.plan.run_id);
            return Err(Problem::new("E006", Exit::Config, what).into());
        }
        let one = self::night(other).await?;
        reference = Some(match reference {
            None => one,
            Some(all) => all.with(one),
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

async fn night(run: &RunAt) -> Result<Night, RunError> {
    let RunTables { rows, signals, quarantine, class_counts, .. } =
        read(&run.root, &run.plan, None, None).await?;
    let facts = rows.facts();
    let clean = facts.clean().ok_or_else(|| {
        let what = format!("run {} has no clean images", run.plan.run_id);
        Problem::new("E006", Exit::Config, what).hint("set corrupt.include_clean = true")
    })?;
    Ok(Night {
        numbers: signals[clean].histograms.clone(),
        classes: class_counts,
        quarantine,
        n_planned: facts.n_pairs(),
        features: FeatureSample::of(run).await?,
    })
}

impl Night {
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

fn quantities(night: &Night, reference: &Night) -> Vec<Quantity> {
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
