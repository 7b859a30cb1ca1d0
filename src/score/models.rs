//! Every model of a lane, on its device: two parents, the merges built once, and the buffer for the rest.

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use crate::error::Problem;
use crate::merge::factored::FactoredVision;
use crate::merge::recipe::StaticRule;
use crate::merge::slerp::slerp_into;
use crate::merge::ties::{ties_into, ties_threshold};
use crate::merge::weights::{Parents, Tensors};
use crate::model::layout::Part;
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
    /// What the classes are as text.
    pub text: TextSource,
}

impl Models {
    /// The generalist's class vectors, on the CPU.
    ///
    /// # Errors
    /// `W010` when they cannot be a class bank.
    pub fn bank(&self) -> Result<TextBank, ModelError> {
        let (tensors, config) = (self.pretrained.tensors(), self.pretrained.config());
        self.text.bank(|| TextTower::new(tensors, config, &Device::Cpu), &Device::Cpu)
    }
}

/// Where the class vectors come from.
#[derive(Debug, Clone)]
pub enum TextSource {
    /// The class prompts as token ids, encoded by every distinct text tower.
    Prompts(Tokens),
    /// Class vectors encoded elsewhere, the same for every model; no text tower is used or merged.
    Features(TextBank),
}

impl TextSource {
    /// Content hash, 64 hex digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        let bytes: Vec<u8> = match self {
            Self::Prompts(tokens) => tokens.ids().iter().flat_map(|id| id.to_le_bytes()).collect(),
            Self::Features(bank) => bank
                .values()
                .expect("a bank that a job holds is on the CPU")
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect(),
        };
        hex::encode(Sha256::digest(bytes))
    }

    /// The class vectors of a model with this text tower.
    fn bank(
        &self,
        tower: impl FnOnce() -> Result<TextTower, ModelError>,
        device: &Device,
    ) -> Result<TextBank, ModelError> {
        match self {
            Self::Prompts(tokens) => TextBank::encode(&tower()?, tokens),
            Self::Features(bank) => bank.on(device),
        }
    }
}

/// The parents and what can be made of them.
#[derive(Debug)]
pub(super) struct ModelSet {
    pub(super) pretrained: ZeroShot,
    pub(super) expert: ZeroShot,
    pub(super) config: ClipConfig,
    device: Device,
    text: TextSource,
    parents: Parents,
    merged: Option<Merged>,
    factored: Option<FactoredVision>,
}

/// The model whose weights are the merge buffer.
#[derive(Debug)]
struct Merged {
    tensors: Tensors,
    model: ZeroShot,
    /// Its text tower, when the parents' differ: then every coefficient has a class bank of its own.
    text: Option<TextTower>,
    lambda: Option<f64>,
}

impl ModelSet {
    /// Moves both parents to `device` and encodes the prompts once per distinct text tower.
    pub(super) fn new(models: Models, device: Device) -> Result<Self, ModelError> {
        let is_encoded = matches!(models.text, TextSource::Prompts(_));
        let text_differs = is_encoded && !models.report.text_towers_equal();
        let parts: &[Part] = if text_differs { &[Part::Vision, Part::Text] } else { &[Part::Vision] };
        let (pt, ft) = (&models.pretrained, &models.expert);
        let parents = Parents::new(pt, ft, models.report.differing(), parts, &device)?;
        let config = pt.config().clone();
        let whole = |tensors: &Tensors, logit_scale, shared: Option<TextBank>| {
            let vision = VisionTower::new(tensors, &config, &device)?;
            let bank = match shared {
                Some(bank) => bank,
                None => models.text.bank(|| TextTower::new(tensors, &config, &device), &device)?,
            };
            Ok::<_, ModelError>(ZeroShot { vision, bank, logit_scale })
        };
        let pretrained = whole(&parents.pretrained, pt.logit_scale(), None)?;
        let shared = (!text_differs).then(|| pretrained.bank.clone());
        let expert = whole(&parents.expert, ft.logit_scale(), shared)?;
        let text = models.text;
        Ok(Self { pretrained, expert, config, device, text, parents, merged: None, factored: None })
    }

    /// Allocates the merge buffer; needed before [`ModelSet::merged`].
    pub(super) fn prepare_merges(&mut self) -> Result<(), ModelError> {
        let tensors = self.parents.buffer()?;
        let (model, text) = self.over(&tensors, self.pretrained.logit_scale)?;
        self.merged = Some(Merged { tensors, model, text, lambda: None });
        Ok(())
    }

    /// Computes the parents' difference; needed before [`ModelSet::per_sample_logits`].
    pub(super) fn prepare_factored(&mut self) -> Result<(), ModelError> {
        let Parents { pretrained, expert, .. } = &self.parents;
        let factored =
            FactoredVision::new(pretrained, expert, self.parents.differing(), &self.config, &self.device)?;
        self.factored = Some(factored);
        if self.parents.text_differs() && self.merged.is_none() {
            self.prepare_merges()?;
        }
        Ok(())
    }

    fn over(&self, tensors: &Tensors, logit_scale: f64) -> Result<(ZeroShot, Option<TextTower>), ModelError> {
        let vision = VisionTower::new(tensors, &self.config, &self.device)?;
        let text = self.parents.text_differs().then(|| TextTower::new(tensors, &self.config, &self.device));
        let text = text.transpose()?;
        let bank = self.bank(text.as_ref())?;
        Ok((ZeroShot { vision, bank, logit_scale }, text))
    }

    /// The shared class bank, or the one of a merged text tower.
    fn bank(&self, text: Option<&TextTower>) -> Result<TextBank, ModelError> {
        let shared = || Ok(self.pretrained.bank.clone());
        text.map_or_else(shared, |text| self.text.bank(|| Ok(text.clone()), &self.device))
    }

    /// In log space, between the parents' scales; the pretrained model's where they are equal.
    pub(super) fn logit_scale(&self, lambda: f64) -> f64 {
        let (pt, ft) = (self.pretrained.logit_scale, self.expert.logit_scale);
        if pt.to_bits() == ft.to_bits() { pt } else { pt + lambda * (ft - pt) }
    }

    /// A merge with weights of its own. Rules that have no single coefficient keep the pretrained scale.
    pub(super) fn static_merge(&self, rule: &StaticRule) -> Result<ZeroShot, Problem> {
        let tensors = self.parents.buffer()?;
        let mut logit_scale = self.pretrained.logit_scale;
        match rule {
            // Where the parents' weights are equal, every merge of them is the parent.
            StaticRule::Ties { .. } if self.parents.differing().is_empty() => {}
            StaticRule::Lerp(lambda) => {
                self.parents.lerp(*lambda, &tensors)?;
                logit_scale = self.logit_scale(*lambda);
            }
            StaticRule::Ties { keep, scale } => {
                let threshold = self.parents.with_values(|pairs| ties_threshold(pairs, *keep))?;
                let threshold = threshold.map_err(|error| super::unusable("ties", &error))?;
                self.parents.merge(&tensors, &|_, pt, ft, out| ties_into(pt, ft, threshold, *scale, out))?;
            }
            StaticRule::Dare(dare) => {
                self.parents.merge(&tensors, &|name, pt, ft, out| dare.merge_into(name, pt, ft, out))?;
            }
            StaticRule::Slerp(position) => {
                self.parents.merge(&tensors, &|_, pt, ft, out| slerp_into(pt, ft, *position, out))?;
            }
        }
        Ok(self.over(&tensors, logit_scale)?.0)
    }

    /// Logits of the model merged at `lambda`, `[B, C]`. The buffer keeps its merge until the next one.
    pub(super) fn merged_logits(&mut self, lambda: f64, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let logit_scale = self.logit_scale(lambda);
        self.merge_at(lambda)?;
        let merged = self.merged.as_mut().expect("merges were prepared with the lane");
        merged.model.logit_scale = logit_scale;
        merged.model.logits(pixels)
    }

    fn merge_at(&mut self, lambda: f64) -> Result<(), ModelError> {
        let merged = self.merged.as_ref().expect("merges were prepared with the lane");
        if merged.lambda.map(f64::to_bits) == Some(lambda.to_bits()) {
            return Ok(());
        }
        self.parents.lerp(lambda, &merged.tensors)?;
        let bank = merged.text.as_ref().map(|text| self.bank(Some(text))).transpose()?;
        let merged = self.merged.as_mut().expect("merges were prepared with the lane");
        merged.lambda = Some(lambda);
        if let Some(bank) = bank {
            merged.model.bank = bank;
        }
        Ok(())
    }

    /// Logits of every sample under its own merge, `[B][C]`.
    ///
    /// With one text tower all samples share a class bank; with two, each coefficient has its own.
    pub(super) fn per_sample_logits(
        &mut self,
        lambda: &[f64],
        pixels: &Tensor,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let factored = self.factored.as_ref().expect("the factored tower was prepared with the lane");
        let features = factored.features(pixels, lambda)?;
        let mut logits = Vec::with_capacity(lambda.len());
        for (row, &lambda) in lambda.iter().enumerate() {
            let bank = if self.parents.text_differs() {
                self.merge_at(lambda)?;
                self.merged.as_ref().expect("prepared with the factored tower").model.bank.features()
            } else {
                self.pretrained.bank.features()
            };
            let cosines = features.narrow(0, row, 1)?.matmul(&bank.t()?)?;
            logits.push((cosines * self.logit_scale(lambda).exp())?.squeeze(0)?.to_vec1::<f32>()?);
        }
        Ok(logits)
    }
}
