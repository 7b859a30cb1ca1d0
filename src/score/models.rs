//! Every model of a lane, on its device: two parents, the merges built once, and the buffer for the rest.

use candle_core::{Device, Tensor};

use super::inputs::{Models, TextSource};
use super::towers::{Images, TowerKind, Towers};
use crate::error::Problem;
use crate::merge::factored::FactoredVision;
use crate::merge::recipe::{Recipe, StaticRule};
use crate::merge::slerp::slerp_into;
use crate::merge::ties::{ties_into, ties_threshold};
use crate::merge::weights::{Parents, Tensors};
use crate::model::layout::Part;
use crate::model::tower::TextTower;
use crate::model::{ClipConfig, ModelError, TextBank, ZeroShot};

/// The parents and what can be made of them.
#[derive(Debug)]
pub(super) struct ModelSet {
    pub(super) pretrained: ZeroShot,
    pub(super) expert: ZeroShot,
    /// The merge of each static recipe, in the order of the recipes.
    pub(super) statics: Vec<Option<ZeroShot>>,
    pub(super) config: ClipConfig,
    device: Device,
    text: TextSource,
    towers: Towers,
    /// Image blocks at the front that are the same in both parents, and so in every merge of them.
    n_shared: usize,
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
    /// Moves both parents to `device`, encodes the prompts once per distinct text tower, and builds what `recipes` need:
    /// static merges, the merge buffer, the factored tower.
    pub(super) fn new(
        models: Models,
        device: Device,
        tower: TowerKind,
        recipes: &[&Recipe],
    ) -> Result<Self, Problem> {
        let is_encoded = matches!(models.text, TextSource::Prompts(_));
        let text_differs = is_encoded && !models.report.text_towers_equal();
        let parts: &[Part] = if text_differs { &[Part::Vision, Part::Text] } else { &[Part::Vision] };
        let (pt, ft, report) = (&models.pretrained, &models.expert, &models.report);
        let named = Parents::new(pt, ft, report.differing(), parts, &device)?;
        let config = pt.config().clone();
        let towers = Towers::new(tower, &config, &device);
        let parents = match &towers {
            Towers::Fast(engine) => named.packed(engine.plan())?,
            _ => named.clone(),
        };
        let whole = |tensors: &Tensors, logit_scale, shared: Option<TextBank>| {
            let vision = towers.vision(tensors, &config, &device)?;
            let bank = match shared {
                Some(bank) => bank,
                None => models.text.bank(|| TextTower::new(tensors, &config, &device), &device)?,
            };
            Ok::<_, ModelError>(ZeroShot { vision, bank, logit_scale })
        };
        let pretrained = whole(&parents.pretrained, pt.logit_scale(), None)?;
        let shared = (!text_differs).then(|| pretrained.bank.clone());
        let expert = whole(&parents.expert, ft.logit_scale(), shared)?;
        let n_shared = report.shared_vision_blocks(&config);
        let (statics, text) = (Vec::new(), models.text);
        let mut set = Self {
            pretrained,
            expert,
            statics,
            config,
            device,
            text,
            towers,
            n_shared,
            parents,
            merged: None,
            factored: None,
        };
        set.prepare(&named, recipes)?;
        Ok(set)
    }

    fn prepare(&mut self, named: &Parents, recipes: &[&Recipe]) -> Result<(), Problem> {
        let per_sample = recipes.iter().any(|recipe| matches!(recipe, Recipe::PerSample(_)));
        let per_batch = recipes.iter().any(|recipe| matches!(recipe, Recipe::PerBatch(_)));
        // With two text towers every sample's merge has a class bank of its own, which the buffer encodes.
        if per_batch || (per_sample && named.text_differs()) {
            let tensors = self.parents.buffer()?;
            let (model, text) = self.over(&tensors, self.pretrained.logit_scale)?;
            self.merged = Some(Merged { tensors, model, text, lambda: None });
        }
        if per_sample && !self.towers.merge_while_reading() {
            let Parents { pretrained, expert, .. } = named;
            let factored =
                FactoredVision::new(pretrained, expert, named.differing(), &self.config, &self.device)?;
            self.factored = Some(factored);
        }
        let build = |recipe: &&Recipe| match recipe {
            Recipe::Static(rule) => self.static_merge(named, rule).map(Some),
            _ => Ok(None),
        };
        self.statics = recipes.iter().map(build).collect::<Result<_, Problem>>()?;
        Ok(())
    }

    fn over(&self, tensors: &Tensors, logit_scale: f64) -> Result<(ZeroShot, Option<TextTower>), ModelError> {
        let vision = self.towers.vision(tensors, &self.config, &self.device)?;
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
    fn static_merge(&self, named: &Parents, rule: &StaticRule) -> Result<ZeroShot, Problem> {
        let tensors = named.buffer()?;
        let mut logit_scale = self.pretrained.logit_scale;
        match rule {
            // Where the parents' weights are equal, every merge of them is the parent.
            StaticRule::Ties { .. } if named.differing().is_empty() => {}
            StaticRule::Lerp(lambda) => {
                named.lerp(*lambda, &tensors)?;
                logit_scale = self.logit_scale(*lambda);
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
        Ok(self.over(&tensors, logit_scale)?.0)
    }

    /// The images of a batch, ready for every model.
    pub(super) fn images(&self, pixels: Tensor) -> Result<Images, ModelError> {
        let prefix = self.towers.prefix(&self.parents, self.n_shared, &pixels)?;
        Ok(Images { pixels, prefix })
    }

    /// Logits of one of the lane's models, `[B, C]`.
    pub(super) fn logits(&self, model: &ZeroShot, images: &Images) -> Result<Tensor, ModelError> {
        match images.prefix.as_ref().map(|prefix| model.vision.features_from(prefix)).transpose()?.flatten() {
            Some(features) => model.logits_of(&features),
            None => model.logits(&images.pixels),
        }
    }

    /// Logits of the model merged at `lambda`, `[B, C]`. The buffer keeps its merge until the next one.
    pub(super) fn merged_logits(&mut self, lambda: f64, images: &Images) -> Result<Tensor, ModelError> {
        let logit_scale = self.logit_scale(lambda);
        self.merge_at(lambda)?;
        let merged = self.merged.as_mut().expect("merges were prepared with the lane");
        merged.model.logit_scale = logit_scale;
        let merged = self.merged.as_ref().expect("merges were prepared with the lane");
        self.logits(&merged.model, images)
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
        images: &Images,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let features = match &self.factored {
            Some(factored) => factored.features(&images.pixels, lambda)?,
            None => self.towers.merged_per_sample(&self.parents, lambda, images)?,
        };
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
