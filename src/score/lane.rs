//! The method on one page: two parents, their divergence, a coefficient, a merge, its prediction.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::inputs::Models;
use super::models::ModelSet;
use super::predict::predict;
use super::towers::{Images, TowerKind};
use crate::error::{Exit, Problem};
use crate::merge::coefficient::{Guard, T3Rule, batch_mean};
use crate::merge::divergence::{Signals, log_softmax};
use crate::merge::ensemble::{mean_of_logits, mean_of_probabilities};
use crate::merge::entropy_ratio::Temperatures;
use crate::merge::method::Method;
use crate::merge::recipe::{Recipe, t3};
use crate::messages::{Batch, Member, Reject, Scored, Signal, Stage};
use crate::model::normalize::Normalizer;
use crate::model::{ModelError, ZeroShot};

/// How a lane scores.
#[derive(Debug, Clone)]
pub struct LaneRule {
    /// Rows of the output, in order.
    pub methods: Vec<(Method, Recipe)>,
    /// Divergence to coefficient, for the signals.
    pub rule: T3Rule,
    /// The extrapolation guard of the signals, when enabled.
    pub guard: Option<Guard>,
    /// What each parent's logits are divided by before anything else; 1 unless miscalibration is studied.
    pub temperatures: Temperatures,
    /// Which image tower.
    pub tower: TowerKind,
    /// Threads of the lane's own pool.
    pub n_threads: usize,
}

/// One device with everything that lives on it. Scoring needs `&mut` because the merged model's weights are
/// overwritten per batch.
#[derive(Debug)]
pub struct Lane {
    rule: LaneRule,
    device: Device,
    threads: Arc<rayon::ThreadPool>,
    normalizer: Normalizer,
    models: ModelSet,
}

/// What the parents say of one batch.
struct Parents<'a> {
    images: &'a Images,
    z_pt: Vec<Vec<f32>>,
    z_ft: Vec<Vec<f32>>,
    finite: Vec<bool>,
    compared: Vec<Signals>,
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::new(error.code(), Exit::BadData, error.message()).hint(error.hint())
    }
}

impl Lane {
    /// Moves the models to `device` and builds every merge that no sample decides.
    ///
    /// # Errors
    /// When the device refuses the memory or fails.
    pub fn new(models: Models, rule: LaneRule, device: Device) -> Result<Self, Problem> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(rule.n_threads).build();
        let threads =
            threads.map_err(|_| Problem::new("B006", Exit::Bug, "the lane's threads cannot be started"))?;
        let recipes: Vec<&Recipe> = rule.methods.iter().map(|(_, recipe)| recipe).collect();
        let models = ModelSet::new(models, device.clone(), rule.tower, &recipes)?;
        Ok(Self { rule, device, threads: Arc::new(threads), normalizer: Normalizer::new(), models })
    }

    /// Hash of both parents' logits of two fixed images: equal on two machines means that their numerics are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn canary(&mut self) -> Result<String, Problem> {
        let threads = Arc::clone(&self.threads);
        Ok(threads.install(|| self.canary_here())?)
    }

    fn canary_here(&mut self) -> Result<String, ModelError> {
        let side_px = self.models.config.image_px;
        // Any pixels will do, as long as they are never changed: all 256 values, in no simple order.
        let pixels: Vec<u8> = (0..2 * side_px * side_px * 3)
            .map(|n| (n.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0])
            .collect();
        let images = self.models.images(self.normalizer.batch(&pixels, side_px, &self.device)?)?;
        let mut hash = Sha256::new();
        for model in [&self.models.pretrained, &self.models.expert] {
            for logit in self.models.logits(model, &images)?.flatten_all()?.to_vec1::<f32>()? {
                hash.update(logit.to_le_bytes());
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Scores one batch: softmax, divergence, sigmoid, guard, batch mean, merge, in this order (method.md 3).
    ///
    /// A sample with non-finite logits in any model is rejected; one with such logits in a parent has no part
    /// in the mean.
    ///
    /// # Errors
    /// When the device fails.
    pub fn score_batch(&mut self, batch: &Batch) -> Result<Scored, Problem> {
        let threads = Arc::clone(&self.threads);
        Ok(threads.install(|| self.score_here(batch))?)
    }

    fn score_here(&mut self, batch: &Batch) -> Result<Scored, ModelError> {
        let mut scored = Scored {
            slot: batch.slot,
            members: Vec::new(),
            signals: Vec::new(),
            predictions: Vec::new(),
            lambda_batch: None,
            rejects: Vec::new(),
        };
        if batch.members.is_empty() {
            return Ok(scored);
        }
        let pixels = self.normalizer.batch(&batch.pixels, self.models.config.image_px, &self.device)?;
        let images = self.models.images(pixels)?;
        let parents = self.ask_parents(&images)?;
        let signals: Vec<Signal> = (0..batch.members.len()).map(|n| self.signal(&parents, n)).collect();
        let coefficients: Vec<f64> =
            kept(&signals, &parents.finite).map(|signal| signal.lambda_sample).collect();
        scored.lambda_batch = batch_mean(&coefficients);

        let mut said = Vec::with_capacity(self.rule.methods.len());
        for place in 0..self.rule.methods.len() {
            said.push((self.rule.methods[place].0, self.log_probabilities(place, &parents)?));
        }
        let everywhere =
            |n: &usize| parents.finite[*n] && said.iter().all(|(_, log_p)| is_finite(&log_p[*n]));
        let finite: Vec<bool> = (0..batch.members.len()).map(|n| everywhere(&n)).collect();
        scored.rejects = rejects(batch, &finite);
        scored.members = kept(&batch.members, &finite).cloned().collect();
        scored.signals = kept(&signals, &finite).copied().collect();
        let predictions = |(method, log_p): (Method, Vec<Vec<f64>>)| {
            (method, kept(&log_p, &finite).map(|row| predict(row)).collect())
        };
        scored.predictions = said.into_iter().map(predictions).collect();
        Ok(scored)
    }

    fn ask_parents<'a>(&self, images: &'a Images) -> Result<Parents<'a>, ModelError> {
        let ask = |model: &ZeroShot, temperature| rows(&self.models.logits(model, images)?, temperature);
        let z_pt = ask(&self.models.pretrained, self.rule.temperatures.generalist)?;
        let z_ft = ask(&self.models.expert, self.rule.temperatures.expert)?;
        let pairs = || z_pt.iter().zip(&z_ft);
        let finite = pairs().map(|(pt, ft)| all_finite(pt) && all_finite(ft)).collect();
        let compared =
            pairs().map(|(pt, ft)| Signals::of(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0))).collect();
        Ok(Parents { images, z_pt, z_ft, finite, compared })
    }

    fn signal(&self, parents: &Parents<'_>, n: usize) -> Signal {
        let compared = &parents.compared[n];
        let guarded = t3(&self.rule.rule, self.rule.guard.as_ref(), compared);
        Signal {
            js_nats: compared.js_nats,
            lambda_sample: guarded.coefficient,
            guard: guarded.step,
            pt_entropy_nats: compared.entropy_generalist_nats,
            ft_entropy_nats: compared.entropy_expert_nats,
            agree: argmax(&parents.z_pt[n]) == argmax(&parents.z_ft[n]),
        }
    }

    /// Log-probabilities of the method at `place`, one row per sample of the batch.
    fn log_probabilities(
        &mut self,
        place: usize,
        parents: &Parents<'_>,
    ) -> Result<Vec<Vec<f64>>, ModelError> {
        let Parents { images, z_pt, z_ft, .. } = parents;
        let of_logits = |z: &[Vec<f32>]| z.iter().map(|row| log_softmax(row, 1.0)).collect();
        let pairs = || z_pt.iter().zip(z_ft);
        Ok(match &self.rule.methods[place].1 {
            Recipe::Pretrained => of_logits(z_pt),
            Recipe::Expert => of_logits(z_ft),
            Recipe::MeanLogits => pairs().map(|(pt, ft)| log_softmax(&mean_of_logits(pt, ft), 1.0)).collect(),
            Recipe::MeanProbabilities => pairs()
                .map(|(pt, ft)| mean_of_probabilities(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0)))
                .map(|p| p.into_iter().map(f64::ln).collect())
                .collect(),
            Recipe::Static(_) => {
                let model = self.models.statics[place].as_ref().expect("built with the lane");
                of_logits(&rows(&self.models.logits(model, images)?, 1.0)?)
            }
            Recipe::PerBatch(rule) => {
                let all = (0..z_pt.len()).map(|n| rule.of(&z_pt[n], &z_ft[n], &parents.compared[n]));
                let all: Vec<f64> = all.collect();
                let finite: Vec<f64> = kept(&all, &parents.finite).copied().collect();
                match batch_mean(&finite) {
                    Some(lambda) => of_logits(&rows(&self.models.merged_logits(lambda, images)?, 1.0)?),
                    None => of_logits(z_pt),
                }
            }
            Recipe::PerSample(rule) => {
                let all = (0..z_pt.len()).map(|n| rule.of(&z_pt[n], &z_ft[n], &parents.compared[n]));
                // A sample with a broken parent is rejected below; any coefficient keeps the others' rows whole.
                let all: Vec<f64> = all.map(|lambda| if lambda.is_finite() { lambda } else { 0.0 }).collect();
                of_logits(&self.models.per_sample_logits(&all, images)?)
            }
        })
    }
}

/// `[B, C]` to one list per sample, divided by `temperature`.
fn rows(logits: &Tensor, temperature: f64) -> Result<Vec<Vec<f32>>, ModelError> {
    let mut rows = logits.to_vec2::<f32>()?;
    if temperature.to_bits() != 1.0_f64.to_bits() {
        #[expect(clippy::cast_possible_truncation, reason = "logits are single precision")]
        rows.iter_mut().flatten().for_each(|z| *z = (f64::from(*z) / temperature) as f32);
    }
    Ok(rows)
}

fn argmax(logits: &[f32]) -> usize {
    let first_largest = |best: usize, n: usize| if logits[n] > logits[best] { n } else { best };
    (1..logits.len()).fold(0, first_largest)
}

fn all_finite(logits: &[f32]) -> bool {
    logits.iter().all(|z| z.is_finite())
}

/// A probability may vanish (`-inf`); only NaN is broken.
fn is_finite(log_p: &[f64]) -> bool {
    log_p.iter().all(|l| !l.is_nan())
}

fn kept<'a, T>(items: &'a [T], keep: &'a [bool]) -> impl Iterator<Item = &'a T> {
    items.iter().zip(keep).filter_map(|(item, &keep)| keep.then_some(item))
}

fn rejects(batch: &Batch, finite: &[bool]) -> Vec<Reject> {
    let broken = batch.members.iter().zip(finite).filter(|(_, finite)| !**finite);
    let reject = |member: &Member| Reject {
        sample: Arc::clone(&member.sample),
        cell: Some(member.cell),
        stage: Stage::Score,
        reason: crate::messages::Reason::ModelNonfinite,
        detail: "a model gave a logit that is not a finite number".to_owned(),
        size_bytes: None,
        format: None,
        declared_px: None,
    };
    broken.map(|(member, _)| reject(member)).collect()
}
