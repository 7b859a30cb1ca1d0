//! The method on one page: two parents, their divergence, a coefficient, a merge, its prediction.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::predict::predict;
use crate::error::{Exit, Problem};
use crate::flow::{Batch, Reject, Scored, Signal, Stage};
use crate::merge::coefficient::{Guard, T3Rule, batch_mean};
use crate::merge::divergence::{Signals, log_softmax};
use crate::merge::method::Method;
use crate::merge::weights::{Parents, Tensors};
use crate::model::layout::Part;
use crate::model::normalize::Normalizer;
use crate::model::pair::PairReport;
use crate::model::prompts::Tokens;
use crate::model::tower::{TextTower, VisionTower};
use crate::model::{Checkpoint, ClipConfig, ModelError, TextBank, ZeroShot};

/// Two checked checkpoints and the prompts they are asked.
#[derive(Debug)]
pub struct Models {
    /// The generalist.
    pub pretrained: Checkpoint,
    /// The expert, of the same architecture.
    pub expert: Checkpoint,
    /// Where they differ.
    pub report: PairReport,
    /// The class prompts as token ids.
    pub tokens: Tokens,
}

/// How a lane scores.
#[derive(Debug, Clone)]
pub struct LaneRule {
    /// Rows of the output, in order.
    pub methods: Vec<Method>,
    /// Divergence to coefficient.
    pub rule: T3Rule,
    /// The extrapolation guard, when enabled.
    pub guard: Option<Guard>,
    /// Weight on the expert of `wise_ft`.
    pub wise_ft_alpha: f64,
    /// Threads of the lane's own pool.
    pub n_threads: usize,
}

/// One device with everything that lives on it. Methods need `&mut` because the merged model's weights are
/// overwritten per batch.
#[derive(Debug)]
pub struct Lane {
    rule: LaneRule,
    device: Device,
    threads: Arc<rayon::ThreadPool>,
    normalizer: Normalizer,
    config: ClipConfig,
    tokens: Tokens,
    parents: Parents,
    pretrained: ZeroShot,
    expert: ZeroShot,
    wise_ft: Option<ZeroShot>,
    merged: Merged,
}

/// The model whose weights are a merge; `tensors` are its own, `model` reads them.
#[derive(Debug)]
struct Merged {
    tensors: Tensors,
    model: ZeroShot,
    text: Option<TextTower>,
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::new(error.code(), Exit::BadData, error.message()).hint(error.hint())
    }
}

impl Lane {
    /// Moves the models to `device` and encodes the prompts once per distinct text tower.
    ///
    /// # Errors
    /// When the device refuses the memory or fails.
    pub fn new(models: Models, rule: LaneRule, device: Device) -> Result<Self, Problem> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(rule.n_threads).build();
        let threads = threads.map_err(|_| Problem::new("B006", Exit::Bug, "the lane's threads cannot be started"))?;
        let text_differs = !models.report.text_towers_equal();
        let parts: &[Part] = if text_differs { &[Part::Vision, Part::Text] } else { &[Part::Vision] };
        let (pt, ft) = (&models.pretrained, &models.expert);
        let parents = Parents::new(pt, ft, models.report.differing(), parts, &device)?;
        let config = pt.config().clone();
        let whole = |tensors: &Tensors, logit_scale, bank: Option<&TextBank>| {
            let vision = VisionTower::new(tensors, &config, &device)?;
            let text = TextTower::new(tensors, &config, &device)?;
            let bank = bank.cloned().map_or_else(|| TextBank::encode(&text, &models.tokens), Ok)?;
            Ok::<_, ModelError>((ZeroShot { vision, bank, logit_scale }, text))
        };
        let (pretrained, _) = whole(&parents.pretrained, pt.logit_scale(), None)?;
        let shared = (!text_differs).then(|| pretrained.bank.clone());
        let (expert, _) = whole(&parents.expert, ft.logit_scale(), shared.as_ref())?;
        let tensors = parents.buffer()?;
        let (model, text) = whole(&tensors, pt.logit_scale(), Some(&pretrained.bank))?;
        let merged = Merged { tensors, model, text: text_differs.then_some(text) };
        let mut lane = Self {
            rule,
            threads: Arc::new(threads),
            normalizer: Normalizer::new(),
            tokens: models.tokens,
            config: pt.config().clone(),
            device,
            parents,
            pretrained,
            expert,
            wise_ft: None,
            merged,
        };
        if lane.rule.methods.contains(&Method::WiseFt) {
            lane.wise_ft = Some(lane.static_merge(lane.rule.wise_ft_alpha)?);
        }
        Ok(lane)
    }

    /// A merge at one coefficient with weights of its own, built once per run.
    fn static_merge(&self, lambda: f64) -> Result<ZeroShot, ModelError> {
        let tensors = self.parents.buffer()?;
        self.parents.lerp(lambda, &tensors)?;
        let vision = VisionTower::new(&tensors, &self.config, &self.device)?;
        let text = self.merged.text.as_ref().map(|_| TextTower::new(&tensors, &self.config, &self.device));
        let bank = self.bank(text.transpose()?.as_ref())?;
        Ok(ZeroShot { vision, bank, logit_scale: self.logit_scale(lambda) })
    }

    /// The class bank of a merged model: the shared one, or its own text tower's.
    fn bank(&self, text: Option<&TextTower>) -> Result<TextBank, ModelError> {
        let encode = |text| TextBank::encode(text, &self.tokens);
        text.map_or_else(|| Ok(self.pretrained.bank.clone()), encode)
    }

    /// In log space, between the parents' scales; the pretrained model's where they are equal.
    fn logit_scale(&self, lambda: f64) -> f64 {
        let (pt, ft) = (self.pretrained.logit_scale, self.expert.logit_scale);
        if pt.to_bits() == ft.to_bits() { pt } else { pt + lambda * (ft - pt) }
    }

    /// Merges at `lambda` into the lane's buffer and asks the merged model.
    fn merged_logits(&mut self, lambda: f64, pixels: &Tensor) -> Result<Vec<Vec<f32>>, ModelError> {
        self.parents.lerp(lambda, &self.merged.tensors)?;
        self.merged.model.logit_scale = self.logit_scale(lambda);
        if self.merged.text.is_some() {
            self.merged.model.bank = self.bank(self.merged.text.as_ref())?;
        }
        rows(&self.merged.model.logits(pixels)?)
    }

    /// Scores one batch: softmax, divergence, sigmoid, guard, batch mean, merge, in this order (method.md 3).
    ///
    /// A sample with non-finite logits in any model is rejected and has no part in the mean.
    ///
    /// # Errors
    /// When the device fails.
    pub fn score_batch(&mut self, batch: Batch) -> Result<Scored, Problem> {
        let threads = Arc::clone(&self.threads);
        Ok(threads.install(|| self.score_here(&batch))?)
    }

    fn score_here(&mut self, batch: &Batch) -> Result<Scored, ModelError> {
        let mut scored = Scored {
            slot: batch.slot,
            samples: Vec::new(),
            signals: Vec::new(),
            predictions: Vec::new(),
            lambda_batch: None,
            rejects: Vec::new(),
        };
        if batch.samples.is_empty() {
            return Ok(scored);
        }
        let pixels = self.normalizer.batch(&batch.pixels, self.config.image_px, &self.device)?;
        let (z_pt, z_ft) = (rows(&self.pretrained.logits(&pixels)?)?, rows(&self.expert.logits(&pixels)?)?);
        let finite: Vec<bool> = z_pt.iter().zip(&z_ft).map(|(pt, ft)| is_finite(pt) && is_finite(ft)).collect();
        let signals: Vec<Signal> = z_pt.iter().zip(&z_ft).map(|(pt, ft)| self.signal(pt, ft)).collect();
        let coefficients: Vec<f64> = kept(&signals, &finite).map(|signal| signal.lambda_sample).collect();
        scored.lambda_batch = batch_mean(&coefficients);

        let mut logits = Vec::with_capacity(self.rule.methods.len());
        for method in self.rule.methods.clone() {
            let z = match (method, scored.lambda_batch) {
                (Method::Pretrained, _) | (_, None) => z_pt.clone(),
                (Method::Expert, _) => z_ft.clone(),
                (Method::WiseFt, _) => match &self.wise_ft {
                    Some(model) => rows(&model.logits(&pixels)?)?,
                    None => unreachable!("built with the lane"),
                },
                (_, Some(lambda)) => self.merged_logits(lambda, &pixels)?,
            };
            logits.push((method, z));
        }
        let finite: Vec<bool> = (0..finite.len())
            .map(|n| finite[n] && logits.iter().all(|(_, z)| is_finite(&z[n])))
            .collect();
        scored.rejects = rejects(batch, &finite);
        scored.samples = kept(&batch.samples, &finite).cloned().collect();
        scored.signals = kept(&signals, &finite).copied().collect();
        scored.predictions = logits
            .into_iter()
            .map(|(method, z)| (method, kept(&z, &finite).map(|row| predict(&log_softmax(row, 1.0))).collect()))
            .collect();
        Ok(scored)
    }

    fn signal(&self, z_pt: &[f32], z_ft: &[f32]) -> Signal {
        let (log_pt, log_ft) = (log_softmax(z_pt, 1.0), log_softmax(z_ft, 1.0));
        let signals = Signals::of(&log_pt, &log_ft);
        let lambda = self.rule.rule.coefficient(signals.js_nats);
        let guarded = self.rule.guard.map(|guard| guard.apply(lambda, &signals));
        Signal {
            js_nats: signals.js_nats,
            lambda_sample: guarded.map_or(lambda, |guarded| guarded.coefficient),
            guard: guarded.map_or(0, |guarded| guarded.step),
            pt_entropy_nats: signals.entropy_generalist_nats,
            ft_entropy_nats: signals.entropy_expert_nats,
            agree: predict(&log_pt).pred_idx == predict(&log_ft).pred_idx,
        }
    }
}

/// `[B, C]` to one list per sample.
fn rows(logits: &Tensor) -> Result<Vec<Vec<f32>>, ModelError> {
    Ok(logits.to_vec2::<f32>()?)
}

fn is_finite(logits: &[f32]) -> bool {
    logits.iter().all(|z| z.is_finite())
}

fn kept<'a, T>(items: &'a [T], keep: &'a [bool]) -> impl Iterator<Item = &'a T> {
    items.iter().zip(keep).filter_map(|(item, &keep)| keep.then_some(item))
}

fn rejects(batch: &Batch, finite: &[bool]) -> Vec<Reject> {
    let broken = batch.samples.iter().zip(finite).filter(|(_, finite)| !**finite);
    let reject = |sample| Reject {
        sample,
        cell: Some(batch.slot.cell),
        stage: Stage::Score,
        reason: "model_nonfinite",
        detail: "a model gave a logit that is not a finite number".to_owned(),
        size_bytes: None,
        format: None,
        declared_px: None,
    };
    broken.map(|(sample, _)| reject(Arc::clone(sample))).collect()
}
