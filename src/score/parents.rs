//! Both parents, and everything that can be made of them: class banks, merges, logits.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use rayon::ThreadPool;

use super::device::Device as LaneDevice;
use super::engine::{Engine, Images, Kind, Whose, engine, one};
use super::inputs::{ModelPair, TextSource};
use crate::error::{Exit, Problem};
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
    /// Both in 8-bit integers, where that is set.
    int8: Option<[ZeroShot; 2]>,
    pub(super) config: ClipConfig,
    engine: Box<dyn Engine>,
    /// Images of a whole batch.
    batch_size: usize,
    text: TextSource,
    /// Lent to one batch at a time.
    merged: Mutex<Option<Merged>>,
    threads: Arc<ThreadPool>,
    /// Images that go through a tower at once: as many as the parents should see, or as the device is known to have memory for.
    most_images: AtomicUsize,
}

/// The model whose weights are the merge buffer. A buffer keeps its merge until the next one.
#[derive(Debug)]
struct Merged {
    tensors: Tensors,
    model: ZeroShot,
    /// The same with its blocks in 8-bit integers, where batches are predicted with that.
    int8: Option<ZeroShot>,
    /// Its text tower, when the parents' differ: then every coefficient has a class bank of its own.
    text: Option<TextTower>,
    /// The bits of the coefficient that it was merged at last, and in which numbers.
    holds: Option<(u64, Numbers)>,
}

impl Merged {
    /// The model in some numbers, and the tensors and the text tower that it is made of.
    ///
    /// # Panics
    /// In integers, where the buffer has none.
    fn parts(&mut self, numbers: Numbers) -> (&mut ZeroShot, &Tensors, Option<&TextTower>) {
        let model = match numbers {
            Numbers::Whole => &mut self.model,
            Numbers::Int8 => self.int8.as_mut().expect("a merge in integers was prepared"),
        };
        (model, &self.tensors, self.text.as_ref())
    }
}

/// In which numbers the blocks of a merge are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// As the engine computes both parents.
    Whole,
    /// In 8-bit integers, as the parents that give coefficients.
    Int8,
}

impl ParentModels {
    /// Readies both parents on `device` and encodes the prompts once per distinct text tower. `kind` is told how many blocks the
    /// parents share. Returns the parents' tensors by name too where `keeps_named`, for the merges that are built once; otherwise they are
    /// freed as the device takes them.
    pub(super) fn new(
        models: ModelPair,
        device: &LaneDevice,
        kind: impl FnOnce(usize) -> Kind,
        keeps_named: bool,
    ) -> Result<(Self, Option<Parents>), Problem> {
        let ModelPair { pretrained: pt, expert: ft, report, text, .. } = models;
        let is_encoded = matches!(text, TextSource::Prompts(_));
        let text_differs = is_encoded && !report.text_towers_equal();
        let parts: &[Part] = if text_differs { &[Part::Vision, Part::Text] } else { &[Part::Vision] };
        let named = Parents::new(&pt, &ft, report.differing(), parts);
        let config = pt.config().clone();
        let encoded = |of: &Checkpoint| text.bank(|| TextTower::new(of.tensors(), &config, &Device::Cpu));
        let bank = encoded(&pt)?;
        let expert_bank = if text_differs { encoded(&ft)? } else { bank.clone() };
        let lines = [&pt, &ft].map(|of| (of.logit_scale(), of.logit_bias()));
        drop((pt, ft));
        let kind = kind(report.shared_vision_blocks(&config));
        let (batch_size, threads) = (kind.batch_size, Arc::clone(&kind.threads));
        let kept = keeps_named.then(|| named.clone());
        let engine = engine(kind, named, &config, device)?;
        let whole = |tensors: &Tensors, whose, bank, (logit_scale, logit_bias)| {
            let vision = engine.tower(tensors, whose)?;
            Ok::<_, ModelError>(ZeroShot { vision, bank, logit_scale, logit_bias })
        };
        let pretrained = whole(&engine.parents().pretrained, Whose::Pretrained, bank, lines[0])?;
        let expert = whole(&engine.parents().expert, Whose::Expert, expert_bank, lines[1])?;
        let most_images = AtomicUsize::new(most_images(&*engine, batch_size));
        let merged = Mutex::default();
        let models = Self {
            pretrained,
            expert,
            int8: None,
            config,
            engine,
            batch_size,
            text,
            merged,
            threads,
            most_images,
        };
        Ok((models, kept))
    }

    /// Whether every merge has a text tower, and so a class bank, of its own.
    fn text_differs(&self) -> bool {
        self.engine.parents().text_differs()
    }

    /// Makes the merge buffer now, so that memory that is not there is missed before the first batch; with `numbers` in integers, for
    /// merges in these too.
    ///
    /// # Errors
    /// When the device refuses the memory; `D003` where the engine has no towers in integers.
    pub(super) fn prepare_merges(&mut self, numbers: Numbers) -> Result<(), Problem> {
        let mut buffer = self.new_buffer()?;
        buffer.int8 = (numbers == Numbers::Int8).then(|| self.in_int8(&buffer.model)).transpose()?;
        self.merged = Mutex::new(Some(buffer));
        Ok(())
    }

    /// Makes both parents in 8-bit integers, which give coefficients from now on.
    ///
    /// # Errors
    /// `D003` where the engine has no such towers.
    pub(super) fn prepare_int8(&mut self) -> Result<(), Problem> {
        self.int8 = Some([self.in_int8(&self.pretrained)?, self.in_int8(&self.expert)?]);
        Ok(())
    }

    /// A model with its blocks in 8-bit integers.
    fn in_int8(&self, model: &ZeroShot) -> Result<ZeroShot, Problem> {
        let vision = self.engine.in_int8(&model.vision)?.ok_or_else(|| {
            let what = "models.coefficient_dtype: int8 is computed by the fast tower on the CPU alone";
            Problem::new("D003", Exit::Config, what).hint("set models.coefficient_dtype = \"f32\"")
        })?;
        Ok(ZeroShot { vision, ..model.clone() })
    }

    /// The parents that coefficients come from, the pretrained model first.
    pub(super) fn advisers(&self) -> [&ZeroShot; 2] {
        self.int8
            .as_ref()
            .map_or([&self.pretrained, &self.expert], |[pretrained, expert]| [pretrained, expert])
    }

    /// The same models on another engine, made of theirs.
    #[cfg(test)]
    pub(super) fn on(self, make: impl FnOnce(Box<dyn Engine>) -> Box<dyn Engine>) -> Self {
        let engine = make(self.engine);
        let most_images = AtomicUsize::new(most_images(&*engine, self.batch_size));
        Self { engine, most_images, ..self }
    }

    fn new_buffer(&self) -> Result<Merged, ModelError> {
        let tensors = self.engine.parents().buffer()?;
        let line = (self.pretrained.logit_scale, self.pretrained.logit_bias);
        let (model, text) = self.over(&tensors, line)?;
        Ok(Merged { tensors, model, int8: None, text, holds: None })
    }

    /// The model of some tensors, with what its logits are multiplied by (as a logarithm) and what is added to them.
    fn over(
        &self,
        tensors: &Tensors,
        (logit_scale, logit_bias): (f64, f64),
    ) -> Result<(ZeroShot, Option<TextTower>), ModelError> {
        let vision = self.engine.tower(tensors, Whose::Merge)?;
        let text = self.text_differs().then(|| TextTower::new(tensors, &self.config, &Device::Cpu));
        let text = text.transpose()?;
        let bank = self.bank(text.as_ref())?;
        Ok((ZeroShot { vision, bank, logit_scale, logit_bias }, text))
    }

    /// The shared class bank, or the one of a merged text tower.
    fn bank(&self, text: Option<&TextTower>) -> Result<TextBank, ModelError> {
        let shared = || Ok(self.pretrained.bank.clone());
        text.map_or_else(shared, |text| self.text.bank(|| Ok(text.clone())))
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

    /// Batches that both parents should see at once.
    pub(super) fn n_batches_at_once(&self) -> usize {
        self.engine.n_batches_at_once()
    }

    /// Batches that are best scored side by side.
    pub(super) fn n_batches_abreast(&self) -> usize {
        self.engine.n_batches_abreast()
    }

    /// The images of a batch, ready for every model: in one part, or in as many as the device's memory makes needful.
    pub(super) fn images(&self, pixels: &[u8]) -> Result<Vec<Images>, ModelError> {
        let room = self.batch_size.min(self.most_images.load(Relaxed));
        let image_bytes = 3 * self.config.image_px.pow(2);
        pixels.chunks(image_bytes * room).map(|pixels| self.engine.images(pixels, room)).collect()
    }

    /// After the device had no memory for as many images as go through at once: half of them from now on. Whether that is less;
    /// one image is the least. What a batch is merged with is its own, whatever the parts. Said once.
    pub(super) fn halve(&self) -> bool {
        let n_images = self.most_images.load(Relaxed);
        if n_images <= 1 {
            return false;
        }
        let n_at_once = n_images.div_ceil(2);
        self.most_images.store(n_at_once, Relaxed);
        if n_images == most_images(&*self.engine, self.batch_size) {
            let what = "the device has no memory for so many images at once: they go through the models in parts, and \
                        coefficients stay those of whole batches";
            tracing::warn!(n_images, n_at_once, "{what}");
        }
        true
    }

    /// Unit features of a parent, `[B, projection]`, of the images of as many batches as it should see at once, or fewer.
    pub(super) fn parent_features(&self, parent: &ZeroShot, images: &[Images]) -> Result<Tensor, ModelError> {
        self.features(parent, images, self.most_images.load(Relaxed))
    }

    /// Logits of one of the lane's models, `[B, C]`, of one batch.
    pub(super) fn logits(&self, model: &ZeroShot, images: &[Images]) -> Result<Tensor, ModelError> {
        self.logits_of(model, &self.features(model, images, self.batch_size)?)
    }

    /// Logits `[B, C]` of unit features of one of the lane's models.
    pub(super) fn logits_of(&self, model: &ZeroShot, features: &Tensor) -> Result<Tensor, ModelError> {
        self.threads.install(|| model.logits_of(features))
    }

    /// Passes of `room` images, or of as many as there is memory for.
    fn features(&self, model: &ZeroShot, images: &[Images], room: usize) -> Result<Tensor, ModelError> {
        let room = room.min(self.most_images.load(Relaxed));
        let passes = passes(images, room);
        one(passes.into_iter().map(|parts| self.engine.features(&model.vision, &parts, room)))
    }

    /// Logits of the model merged at `lambda`, `[B, C]`.
    pub(super) fn merged_logits(
        &self,
        lambda: f64,
        numbers: Numbers,
        images: &[Images],
    ) -> Result<Tensor, ModelError> {
        self.with_merge_at(lambda, numbers, |model| self.logits(model, images))
    }

    /// Lends `look` the model merged at `lambda`, when no other batch has the buffer any more.
    ///
    /// # Panics
    /// In integers, where nothing was [prepared](Self::prepare_merges) for that.
    fn with_merge_at<T>(
        &self,
        lambda: f64,
        numbers: Numbers,
        look: impl FnOnce(&ZeroShot) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        // A buffer whose merge was not finished does not say that it holds one.
        let mut lent = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        let merged = match &mut *lent {
            Some(merged) => merged,
            none => none.insert(self.new_buffer()?),
        };
        if merged.holds != Some((lambda.to_bits(), numbers)) {
            merged.holds = None;
            self.threads.install(|| self.merge_into(merged, lambda, numbers))?;
            merged.holds = Some((lambda.to_bits(), numbers));
        }
        look(merged.parts(numbers).0)
    }

    /// Overwrites a buffer by the merge at `lambda`.
    fn merge_into(&self, merged: &mut Merged, lambda: f64, numbers: Numbers) -> Result<(), ModelError> {
        let (model, tensors, text) = merged.parts(numbers);
        match numbers {
            Numbers::Whole => self.engine.merge(lambda, tensors, &model.vision)?,
            Numbers::Int8 => {
                let towers = self.advisers().map(|adviser| &adviser.vision);
                self.engine.merge_int8(lambda, towers, tensors, &mut model.vision)?;
            }
        }
        model.bank = self.bank(text)?;
        (model.logit_scale, model.logit_bias) = self.line(lambda);
        Ok(())
    }

    /// Logits of every sample under its own merge, `[B][C]`.
    ///
    /// With one text tower all samples share a class bank; with two, each coefficient has its own.
    pub(super) fn per_sample_logits(
        &self,
        lambda: &[f64],
        images: &[Images],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut rest = lambda;
        let features = one(images.iter().map(|images| {
            let (own, behind) = rest.split_at(images.n_images());
            rest = behind;
            self.engine.features_per_sample(own, images)
        }))?;
        let mut logits = Vec::with_capacity(lambda.len());
        for (row, &lambda) in lambda.iter().enumerate() {
            let bank = if self.text_differs() {
                self.with_merge_at(lambda, Numbers::Whole, |model| Ok(model.bank.clone()))?
            } else {
                self.pretrained.bank.clone()
            };
            let (logit_scale, logit_bias) = self.line(lambda);
            let row = features.narrow(0, row, 1)?;
            let row =
                self.threads.install(|| logits_of_cosines(&bank.cosines(&row)?, logit_scale, logit_bias))?;
            logits.push(row.squeeze(0)?.to_vec1::<f32>()?);
        }
        Ok(logits)
    }
}

/// Images that the parents should see at once, where there is memory for them.
fn most_images(engine: &dyn Engine, batch_size: usize) -> usize {
    engine.n_batches_at_once().saturating_mul(batch_size)
}

/// Neighbours that go through a tower together: as many as there is room for, and always one.
fn passes(images: &[Images], room: usize) -> Vec<Vec<&Images>> {
    let mut passes: Vec<Vec<&Images>> = Vec::new();
    let mut n_images = usize::MAX;
    for next in images {
        n_images = n_images.saturating_add(next.n_images());
        match passes.last_mut() {
            Some(pass) if n_images <= room => pass.push(next),
            _ => {
                n_images = next.n_images();
                passes.push(vec![next]);
            }
        }
    }
    passes
}
