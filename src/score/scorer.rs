//! One method at work: from what the parents say of a batch to its log-probabilities and what it merged with.

use super::engine::Images;
use super::parents::{Numbers, ParentModels};
use crate::error::Problem;
use crate::merge::coefficient::{Guarded, batch_mean, is_heterogeneous};
use crate::merge::divergence::{Signals, log_softmax};
use crate::merge::ensemble::{mean_of_logits, mean_of_probabilities};
use crate::merge::method::Method;
use crate::merge::recipe::{CoefficientRule, Recipe};
use crate::merge::statistics::Running;
use crate::merge::weights::Parents;
use crate::messages::Coefficients;
use crate::model::{ModelError, ZeroShot};

/// What the parents say of one batch.
#[derive(Debug)]
pub(super) struct Parental<'a> {
    pub(super) images: &'a [Images],
    /// In which numbers a merge made for this batch is computed.
    pub(super) numbers: Numbers,
    /// Logits of the pretrained model, `[B][C]`.
    pub(super) z_pt: Vec<Vec<f32>>,
    /// Logits of the expert, `[B][C]`.
    pub(super) z_ft: Vec<Vec<f32>>,
    /// Unit features of the pretrained model, `[B][projection]`, where the run keeps them.
    pub(super) features: Option<Vec<Vec<f32>>>,
    /// Whether both are finite numbers, `[B]`.
    pub(super) finite: Vec<bool>,
    /// Their comparison, `[B]`.
    pub(super) compared: Vec<Signals>,
}

/// What a method says of one batch.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) method: Method,
    /// What the weights were merged with; `None` where none were.
    pub(super) merged_with: Option<Coefficients>,
    /// Log-probabilities, `[B][C]`.
    pub(super) log_p: Vec<Vec<f64>>,
}

/// A method with what it keeps for the whole run.
#[derive(Debug)]
pub(super) struct Scorer {
    method: Method,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Pretrained,
    Expert,
    MeanProbabilities,
    MeanLogits,
    Static { model: ZeroShot, coefficient: f64 },
    Line(f64),
    PerBatch(CoefficientRule),
    PerSample(CoefficientRule),
}

impl Scorer {
    /// Builds what `recipe` keeps: the weights of a static merge of `named`.
    ///
    /// # Errors
    /// When the parents do not allow the merge, or the device refuses the memory.
    ///
    /// # Panics
    /// For a static merge without tensors by name.
    pub(super) fn new(
        method: Method,
        recipe: Recipe,
        models: &ParentModels,
        named: Option<&Parents>,
    ) -> Result<Self, Problem> {
        let work = match recipe {
            Recipe::Pretrained => Work::Pretrained,
            Recipe::Expert => Work::Expert,
            Recipe::MeanProbabilities => Work::MeanProbabilities,
            Recipe::MeanLogits => Work::MeanLogits,
            Recipe::Static(rule) => {
                let named = named.expect("tensors by name are kept for static merges");
                Work::Static { model: models.static_merge(named, &rule)?, coefficient: rule.coefficient() }
            }
            Recipe::Line(lambda) => Work::Line(lambda),
            Recipe::PerBatch(rule) => Work::PerBatch(rule),
            Recipe::PerSample(rule) => Work::PerSample(rule),
        };
        Ok(Self { method, work })
    }

    /// Whether what it says depends on the parents' logits, and so on the numbers they are computed in.
    pub(super) fn asks_parents(&self) -> bool {
        !matches!(self.work, Work::Static { .. } | Work::Line(_))
    }

    /// Scores one batch.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn score(&self, models: &ParentModels, parents: &Parental<'_>) -> Result<Said, ModelError> {
        let Parental { images, z_pt, z_ft, .. } = parents;
        let pairs = || z_pt.iter().zip(z_ft);
        let (merged_with, log_p) = match &self.work {
            Work::Pretrained => (None, of_logits(z_pt)),
            Work::Expert => (None, of_logits(z_ft)),
            Work::MeanLogits => {
                (None, pairs().map(|(pt, ft)| log_softmax(&mean_of_logits(pt, ft), 1.0)).collect())
            }
            Work::MeanProbabilities => {
                let mean = |(pt, ft): (&Vec<f32>, &Vec<f32>)| {
                    mean_of_probabilities(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0))
                };
                (None, pairs().map(mean).map(|p| p.into_iter().map(f64::ln).collect()).collect())
            }
            Work::Static { model, coefficient } => {
                let constant = vec![Guarded { step: 0, coefficient: *coefficient }; z_pt.len()];
                (parents.summary(&constant, 0.0), of_logits(&models.logits(model, images)?.to_vec2::<f32>()?))
            }
            Work::Line(lambda) => {
                let constant = vec![Guarded { step: 0, coefficient: *lambda }; z_pt.len()];
                let logits = models.merged_logits(*lambda, Numbers::Whole, images)?.to_vec2::<f32>()?;
                (parents.summary(&constant, 0.0), of_logits(&logits))
            }
            Work::PerBatch(rule) => {
                let merged_with = parents.summary(&parents.coefficients(rule), rule.range());
                let log_p = match merged_with {
                    Some(with) => {
                        let logits = models.merged_logits(with.lambda_mean, parents.numbers, images)?;
                        of_logits(&logits.to_vec2::<f32>()?)
                    }
                    None => of_logits(z_pt),
                };
                (merged_with, log_p)
            }
            Work::PerSample(rule) => {
                let all = parents.coefficients(rule);
                // A sample with a broken parent is rejected later; any coefficient keeps the others' rows whole.
                let usable = |lambda: f64| if lambda.is_finite() { lambda } else { 0.0 };
                let lambda: Vec<f64> = all.iter().map(|guarded| usable(guarded.coefficient)).collect();
                let log_p = of_logits(&models.per_sample_logits(&lambda, images)?);
                (parents.summary(&all, rule.range()), log_p)
            }
        };
        Ok(Said { method: self.method, merged_with, log_p })
    }
}

impl Parental<'_> {
    /// The rule's coefficient of every sample, broken ones included.
    fn coefficients(&self, rule: &CoefficientRule) -> Vec<Guarded> {
        (0..self.z_pt.len()).map(|n| rule.of(&self.z_pt[n], &self.z_ft[n], &self.compared[n])).collect()
    }

    /// The coefficients over the samples whose parents are finite; `None` when there are none.
    fn summary(&self, all: &[Guarded], range: f64) -> Option<Coefficients> {
        let finite =
            || all.iter().zip(&self.finite).filter_map(|(guarded, &finite)| finite.then_some(guarded));
        let lambda: Vec<f64> = finite().map(|guarded| guarded.coefficient).collect();
        let moved = |step: i8| {
            u32::try_from(finite().filter(|guarded| guarded.step == step).count()).unwrap_or(u32::MAX)
        };
        let lambda_std = Running::of(&lambda).variance_population()?.sqrt();
        Some(Coefficients {
            n_samples: u32::try_from(lambda.len()).unwrap_or(u32::MAX),
            lambda_mean: batch_mean(&lambda)?,
            lambda_std,
            lambda_min: lambda.iter().copied().reduce(f64::min)?,
            lambda_max: lambda.iter().copied().reduce(f64::max)?,
            guard_plus: moved(1),
            guard_minus: moved(-1),
            is_heterogeneous: is_heterogeneous(lambda_std, range),
        })
    }
}

fn of_logits(z: &[Vec<f32>]) -> Vec<Vec<f64>> {
    z.iter().map(|row| log_softmax(row, 1.0)).collect()
}
