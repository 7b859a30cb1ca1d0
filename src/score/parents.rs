//! Both parents on the lane's device, and everything that can be made of them: class banks, merges, logits.

use std::cell::Cell;

use candle_core::{Device, Tensor};

use super::engine::{Engine, Images, TowerKind, engine};
use super::inputs::{ModelPair, TextSource};
use crate::error::Problem;
use crate::merge::recipe::StaticRule;
use crate::merge::slerp::slerp_into;
use crate::merge::ties::{ties_into, ties_threshold};
use crate::merge::weights::{Parents, Tensors};
use crate::model::layout::Part;
use crate::model::tower::TextTower;
use crate::model::zeroshot::logits_of_cosines;
use crate::model::{Checkpoint, ClipConfig, ModelError, TextBank, ZeroShot};

/// The parents and what can be made of them.
#[derive(Debug)]
pub(super) struct ParentModels {
    pub(super) pretrained: ZeroShot,
    pub(super) expert: ZeroShot,
    pub(super) config: ClipConfig,
    engine: Box<dyn Engine>,
    device: Device,
    text: TextSource,
    merged: Option<Merged>,
    /// Images that go through a tower at once, as far as the device is known to have memory for them.
    most_images: Cell<usize>,
}

/// The model whose weights are the merge buffer. A buffer keeps its merge until the next one.
#[derive(Debug)]
struct Merged {
    tensors: Tensors,
    model: ZeroShot,
    /// Its text tower, when the parents' differ: then every coefficient has a class bank of its own.
    text: Option<TextTower>,
    lambda: Option<f64>,
}

impl ParentModels {
    /// Moves both parents to `device` and encodes the prompts once per distinct text tower. Returns the parents' tensors by
    /// name too, for the merges that are built once.
    pub(super) fn new(
        models: ModelPair,
        device: Device,
        tower: TowerKind,
    ) -> Result<(Self, Parents), Problem> {
        let is_encoded = matches!(models.text, TextSource::Prompts(_));
        let text_differs = is_encoded && !models.report.text_towers_equal();
        let parts: &[Part] = if text_differs { &[Part::Vision, Part::Text] } else { &[Part::Vision] };
        let (pt, ft, report) = (&models.pretrained, &models.expert, &models.report);
        let named = Parents::new(pt, ft, report.differing(), parts, &device)?;
        let config = pt.config().clone();
        let n_shared = report.shared_vision_blocks(&config);
        let engine = engine(tower, named.clone(), &config, n_shared, &device)?;
        let whole = |tensors: &Tensors, of: &Checkpoint, shared: Option<TextBank>| {
            let vision = engine.tower(tensors)?;
            let bank = match shared {
                Some(bank) => bank,
                None => models.text.bank(|| TextTower::new(tensors, &config, &device), &device)?,
            };
            let (logit_scale, logit_bias) = (of.logit_scale(), of.logit_bias());
            Ok::<_, ModelError>(ZeroShot { vision, bank, logit_scale, logit_bias })
        };
        let pretrained = whole(&engine.parents().pretrained, pt, None)?;
        let shared = (!text_differs).then(|| pretrained.bank.clone());
        let expert = whole(&engine.parents().expert, ft, shared)?;
        let text = models.text;
        let most_images = Cell::new(usize::MAX);
        Ok((Self { pretrained, expert, config, engine, device, text, merged: None, most_images }, named))
    }

    /// Whether every merge has a text tower, and so a class bank, of its own.
    fn text_differs(&self) -> bool {
        self.engine.parents().text_differs()
    }

    /// Makes the merge buffer now, so that memory that is not there is missed before the first batch.
    ///
    /// # Errors
    /// When the device refuses the memory.
    pub(super) fn prepare_merges(&mut self) -> Result<(), ModelError> {
        self.merged = Some(self.new_buffer()?);
        Ok(())
    }

    /// The same models on another engine, made of theirs.
    #[cfg(test)]
    pub(super) fn on(self, make: impl FnOnce(Box<dyn Engine>) -> Box<dyn Engine>) -> Self {
        Self { engine: make(self.engine), ..self }
    }

    fn new_buffer(&self) -> Result<Merged, ModelError> {
        let tensors = self.engine.parents().buffer()?;
        let line = (self.pretrained.logit_scale, self.pretrained.logit_bias);
        let (model, text) = self.over(&tensors, line)?;
        Ok(Merged { tensors, model, text, lambda: None })
    }

    /// The model of some tensors, with what its logits are multiplied by (as a logarithm) and what is added to them.
    fn over(
        &self,
        tensors: &Tensors,
        (logit_scale, logit_bias): (f64, f64),
    ) -> Result<(ZeroShot, Option<TextTower>), ModelError> {
        let vision = self.engine.tower(tensors)?;
        let text = self.text_differs().then(|| TextTower::new(tensors, &self.config, &self.device));
        let text = text.transpose()?;
        let bank = self.bank(text.as_ref())?;
        Ok((ZeroShot { vision, bank, logit_scale, logit_bias }, text))
    }

    /// The shared class bank, or the one of a merged text tower.
    fn bank(&self, text: Option<&TextTower>) -> Result<TextBank, ModelError> {
        let shared = || Ok(self.pretrained.bank.clone());
        text.map_or_else(shared, |text| self.text.bank(|| Ok(text.clone()), &self.device))
    }

    /// Scale, in log space, and bias of a merge's logits, between the parents'; the pretrained model's where they are equal.
    fn line(&self, lambda: f64) -> (f64, f64) {
        let (pretrained, expert) = (&self.pretrained, &self.expert);
        let between =
            |pt: f64, ft: f64| if pt.to_bits() == ft.to_bits() { pt } else { pt + lambda * (ft - pt) };
        (
            between(pretrained.logit_scale, expert.logit_scale),
            between(pretrained.logit_bias, expert.logit_bias),
        )
    }

    /// A merge of `named` with weights of its own. Rules that have no single coefficient keep the pretrained scale.
    pub(super) fn static_merge(&self, named: &Parents, rule: &StaticRule) -> Result<ZeroShot, Problem> {
        let tensors = named.buffer()?;
        let mut line = (self.pretrained.logit_scale, self.pretrained.logit_bias);
        match rule {
            // Where the parents' weights are equal, every merge of them is the parent.
            StaticRule::Ties { .. } if named.differing().is_empty() => {}
            StaticRule::Lerp(lambda) => {
                named.lerp(*lambda, &tensors)?;
                line = self.line(*lambda);
            }
            StaticRule::Ties { keep, scale } => {
                let threshold = named.with_values(|pairs| ties_threshold(pairs, *keep))?;
                let threshold = threshold.map_err(|error| super::unusable("ties", &error))?;
                named.merge(&tensors, &|_, pt, ft, out| ties_into(pt, ft, threshold, *scale, out))?;
            }
            StaticRule::Dare(dare) => {
                named.merge(&tensors, &|name, pt, ft, out| dare.merge_into(name, pt, ft, out))?;
            }
            StaticRule::Slerp(position) => {
                named.merge(&tensors, &|_, pt, ft, out| slerp_into(pt, ft, *position, out))?;
            }
        }
        Ok(self.over(&tensors, line)?.0)
    }

    /// The images of a batch, ready for every model: in one part, or in as many as the device's memory makes needful.
    pub(super) fn images(&self, pixels: &Tensor) -> Result<Vec<Images>, ModelError> {
        let (n_images, most) = (pixels.dim(0)?, self.most_images.get());
        let starts = (0..n_images).step_by(most.min(n_images.max(1)));
        let part = |start| self.engine.images(pixels.narrow(0, start, most.min(n_images - start))?);
        starts.map(part).collect()
    }

    /// After the device had no memory for a batch of `n_images`: parts of half the size from now on. Whether that is less; one
    /// image is the least. What a batch is merged with is its own, whatever the parts. Said once.
    pub(super) fn halve(&self, n_images: usize) -> bool {
        let before = self.most_images.get();
        let tried = before.min(n_images);
        if tried <= 1 {
            return false;
        }
        self.most_images.set(tried.div_ceil(2));
        if before == usize::MAX {
            let n_at_once = tried.div_ceil(2);
            let what = "the device has no memory for a whole batch at once: its images go through the models in parts, \
                        and coefficients stay those of the whole batch";
            tracing::warn!(n_images, n_at_once, "{what}");
        }
        true
    }

    /// Logits of one of the lane's models, `[B, C]`.
    pub(super) fn logits(&self, model: &ZeroShot, images: &[Images]) -> Result<Tensor, ModelError> {
        model.logits_of(&self.features(model, images)?)
    }

    /// Unit features of one of the lane's models, `[B, projection]`.
    pub(super) fn features(&self, model: &ZeroShot, images: &[Images]) -> Result<Tensor, ModelError> {
        one(images
            .iter()
            .map(|images| self.engine.features(&model.vision, images))
            .collect::<Result<_, _>>()?)
    }

    /// Logits of the model merged at `lambda`, `[B, C]`.
    pub(super) fn merged_logits(&mut self, lambda: f64, images: &[Images]) -> Result<Tensor, ModelError> {
        self.with_merge_at(lambda, |parents, model| parents.logits(model, images))
    }

    /// Lends `look` the model merged at `lambda`.
    fn with_merge_at<T>(
        &mut self,
        lambda: f64,
        look: impl FnOnce(&Self, &ZeroShot) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let mut merged = match self.merged.take() {
            Some(merged) => merged,
            None => self.new_buffer()?,
        };
        if merged.lambda.map(f64::to_bits) != Some(lambda.to_bits()) {
            self.engine.parents().lerp(lambda, &merged.tensors)?;
            merged.model.bank = self.bank(merged.text.as_ref())?;
            (merged.model.logit_scale, merged.model.logit_bias) = self.line(lambda);
            merged.lambda = Some(lambda);
        }
        let seen = look(self, &merged.model);
        self.merged = Some(merged);
        seen
    }

    /// Logits of every sample under its own merge, `[B][C]`.
    ///
    /// With one text tower all samples share a class bank; with two, each coefficient has its own.
    pub(super) fn per_sample_logits(
        &mut self,
        lambda: &[f64],
        images: &[Images],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut rest = lambda;
        let mut parts = Vec::with_capacity(images.len());
        for images in images {
            let (own, behind) = rest.split_at(images.n_images()?);
            parts.push(self.engine.features_per_sample(own, images)?);
            rest = behind;
        }
        let features = one(parts)?;
        let mut logits = Vec::with_capacity(lambda.len());
        for (row, &lambda) in lambda.iter().enumerate() {
            let bank = if self.text_differs() {
                self.with_merge_at(lambda, |_, model| Ok(model.bank.clone()))?
            } else {
                self.pretrained.bank.clone()
            };
            let cosines = features.narrow(0, row, 1)?.matmul(&bank.features().t()?)?;
            let (logit_scale, logit_bias) = self.line(lambda);
            let row = logits_of_cosines(&cosines, logit_scale, logit_bias)?;
            logits.push(row.squeeze(0)?.to_vec1::<f32>()?);
        }
        Ok(logits)
    }
}

/// The rows of all parts in their order.
fn one(mut parts: Vec<Tensor>) -> Result<Tensor, ModelError> {
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Ok(Tensor::cat(&parts, 0)?),
    }
}
