//! The method on one page: two parents, their divergence, a coefficient, a merge, its prediction.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use candle_core::Tensor;
use sha2::{Digest, Sha256};
use t3b_gpu::Compute;

use super::costs::Costs;
use super::device::Device;
use super::engine::{Images, Kind, TowerKind};
use super::inputs::ModelPair;
use super::int8::{Int8Rule, numbers_of, push_method, push_parents};
use super::parents::{Numbers, ParentModels};
use super::predict::{argmax, predict};
use super::scorer::{Parental, Said, Scorer};
use crate::error::{Exit, Problem};
use crate::merge::deviation::Deviation;
use crate::merge::divergence::{Signals, log_softmax};
use crate::merge::entropy_ratio::Temperatures;
use crate::merge::method::Method;
use crate::merge::recipe::{CoefficientRule, Recipe};
use crate::messages::{Batch, Member, MethodScores, Reason, Reject, Scored, Signal, Stage};
use crate::model::normalize::Normalizer;
use crate::model::{ModelError, Preprocess, ZeroShot};

/// How a lane scores.
#[derive(Debug, Clone)]
pub struct LaneRule {
    /// Rows of the output, in order.
    pub methods: Vec<(Method, Recipe)>,
    /// The rule whose coefficient the signals show.
    pub signal_rule: CoefficientRule,
    /// What each parent's logits are divided by before anything else; 1 unless miscalibration is studied.
    pub temperatures: Temperatures,
    /// Which image tower.
    pub tower: TowerKind,
    /// In which numbers it is computed.
    pub compute: Compute,
    /// Images of a whole batch.
    pub batch_size: usize,
    /// Threads of the lane's own pool.
    pub n_threads: usize,
    /// Whether the pretrained model's features are kept.
    pub features: bool,
    /// Where coefficients, and perhaps merges, come from 8-bit integers.
    pub int8: Option<Int8Rule>,
}

/// One device with everything that lives on it. Several threads may ask it; the merged model's weights, which are overwritten per batch,
/// are lent to one of them at a time.
#[derive(Debug)]
pub struct Lane {
    signal_rule: CoefficientRule,
    temperatures: Temperatures,
    models: ParentModels,
    scorers: Vec<Scorer>,
    keeps_features: bool,
    int8: Option<Int8Rule>,
    costs: Costs,
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::new(error.code(), Exit::BadData, error.located()).hint(error.hint())
    }
}

impl Lane {
    /// Readies the models on `device`, which was [picked](super::Devices::pick) for them, and builds every merge that no sample
    /// decides.
    ///
    /// # Errors
    /// When the device refuses the memory or fails.
    pub fn new(models: ModelPair, rule: LaneRule, device: &Device) -> Result<Self, Problem> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(rule.n_threads).build();
        let threads =
            threads.map_err(|_| Problem::new("B006", Exit::Bug, "the lane's threads cannot be started"))?;
        let threads = Arc::new(threads);
        let Preprocess { rescale, mean, std, .. } = models.preprocess;
        let normalizer = Normalizer::with(rescale, mean, std);
        let LaneRule { tower, compute, batch_size, .. } = rule;
        let kind = |n_shared| Kind { tower, compute, normalizer, n_shared, batch_size, threads };
        let is_static = |(_, recipe): &(Method, Recipe)| matches!(recipe, Recipe::Static(_));
        let keeps_named = rule.methods.iter().any(is_static);
        let (mut models, named) = ParentModels::new(models, device, kind, keeps_named)?;
        let is_per_batch =
            |(_, recipe): &(Method, Recipe)| matches!(recipe, Recipe::PerBatch(_) | Recipe::Line(_));
        if rule.int8.is_some() {
            models.prepare_int8()?;
        }
        if rule.methods.iter().any(is_per_batch) {
            models.prepare_merges(numbers_of(rule.int8))?;
        }
        let costs = Costs::of(rule.methods.iter().map(|(method, _)| method.name()));
        let scorer = |(method, recipe)| Scorer::new(method, recipe, &models, named.as_ref());
        let scorers = rule.methods.into_iter().map(scorer).collect::<Result<_, _>>()?;
        Ok(Self {
            signal_rule: rule.signal_rule,
            temperatures: rule.temperatures,
            models,
            scorers,
            keeps_features: rule.features,
            int8: rule.int8,
            costs,
        })
    }

    /// Where the time of scoring goes, now and later.
    #[must_use]
    pub fn costs(&self) -> Costs {
        self.costs.clone()
    }

    /// Hash of both parents' logits of two fixed images: equal on two machines means that their numerics are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn canary(&self) -> Result<String, Problem> {
        Ok(self.within_memory(Self::canary_here)?)
    }

    fn canary_here(&self) -> Result<String, ModelError> {
        let side_px = self.models.config.image_px;
        // Any pixels will do, as long as they are never changed: all 256 values, in no simple order.
        let pixels: Vec<u8> = (0..2 * side_px * side_px * 3)
            .map(|n| (n.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0])
            .collect();
        let images = self.models.images(&pixels)?;
        let mut hash = Sha256::new();
        // Those in integers too, where there are some.
        let parents = [&self.models.pretrained, &self.models.expert];
        let others = self.models.advisers().into_iter().filter(|_| self.int8.is_some());
        for model in parents.into_iter().chain(others) {
            let features = self.models.parent_features(model, &images)?;
            for logit in self.models.logits_of(model, &features)?.flatten_all()?.to_vec1::<f32>()? {
                hash.update(logit.to_le_bytes());
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Batches that [`score`](Self::score) is best given at once.
    #[must_use]
    pub fn n_batches_at_once(&self) -> usize {
        self.models.n_batches_at_once()
    }

    /// Threads that are best asking it, each for batches of its own.
    #[must_use]
    pub fn n_batches_abreast(&self) -> usize {
        self.models.n_batches_abreast()
    }

    /// Scores batches, each by itself: softmax, divergence, sigmoid, guard, batch mean, merge, in this order (paper). Only the
    /// parents, whose weights no batch changes, see the images of all of them together.
    ///
    /// A sample with non-finite logits in any model is rejected; one with such logits in a parent has no part
    /// in the mean.
    ///
    /// # Errors
    /// When the device fails.
    pub fn score(&self, batches: &[Batch]) -> Result<Vec<Scored>, Problem> {
        let began = SystemTime::now();
        let mut scored = self.within_memory(|lane| lane.score_here(batches))?;
        let times = (began, SystemTime::now());
        scored.iter_mut().for_each(|scored| scored.scored = times);
        self.int8.map_or(Ok(()), |int8| scored.iter().try_for_each(|scored| int8.check(scored)))?;
        Ok(scored)
    }

    /// In smaller passes until the device has the memory.
    fn within_memory<T>(&self, work: impl Fn(&Self) -> Result<T, ModelError>) -> Result<T, ModelError> {
        loop {
            match work(self) {
                Err(error) if error.is_out_of_memory() && self.models.halve() => {}
                done => return done,
            }
        }
    }

    fn score_here(&self, batches: &[Batch]) -> Result<Vec<Scored>, ModelError> {
        let mut images = Vec::new();
        let mut ends = Vec::new();
        for batch in batches {
            images.extend(self.models.images(&batch.pixels)?);
            ends.push(images.len());
        }
        let mut said = self.costs.time(0, || self.ask(self.models.advisers(), &images))?.into_iter();
        let (mut rest, mut begin) = (&images[..], 0);
        let mut scored = Vec::with_capacity(batches.len());
        for (batch, end) in batches.iter().zip(ends) {
            let (own, behind) = rest.split_at(end - begin);
            (rest, begin) = (behind, end);
            let said = said.by_ref().take(batch.members.len());
            let parents = self.compare(own, numbers_of(self.int8), said);
            scored.push(self.score_one(batch, &parents)?);
        }
        Ok(scored)
    }

    /// What remains for one batch when the parents have spoken.
    fn score_one(&self, batch: &Batch, parents: &Parental<'_>) -> Result<Scored, ModelError> {
        let mut scored = Scored {
            slot: batch.slot,
            members: Vec::new(),
            signals: Vec::new(),
            features: None,
            methods: Vec::new(),
            rejects: Vec::new(),
            deviation: None,
            scored: (UNIX_EPOCH, UNIX_EPOCH),
        };
        if batch.members.is_empty() {
            return Ok(scored);
        }
        let models = &self.models;
        let ask = |(n, scorer): (usize, &Scorer)| {
            let said = self.costs.time(n + 1, || scorer.score(models, parents));
            self.costs.passed();
            said
        };
        let said: Vec<Said> = self.scorers.iter().enumerate().map(ask).collect::<Result<_, _>>()?;
        scored.deviation = self.deviation(batch, parents, &said)?;
        let everywhere = |n: usize| parents.finite[n] && said.iter().all(|said| is_finite(&said.log_p[n]));
        let finite: Vec<bool> = (0..batch.members.len()).map(everywhere).collect();
        let signals: Vec<Signal> = (0..batch.members.len()).map(|n| self.signal(parents, n)).collect();
        scored.rejects = rejects(batch, &finite);
        scored.members = kept(&batch.members, &finite).cloned().collect();
        scored.signals = kept(&signals, &finite).copied().collect();
        scored.features = parents.features.as_ref().map(|all| kept(all, &finite).cloned().collect());
        scored.methods = said.into_iter().map(|said| scores_of(said, &finite)).collect();
        Ok(scored)
    }

    /// Both parents on all images, a sample's part of it for each in their order.
    fn ask(&self, [pretrained, expert]: [&ZeroShot; 2], images: &[Images]) -> Result<Vec<Heard>, ModelError> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let ask = |model: &ZeroShot, temperature| {
            let features = self.models.parent_features(model, images)?;
            self.costs.passed();
            Ok::<_, ModelError>((rows(&self.models.logits_of(model, &features)?, temperature)?, features))
        };
        let (z_pt, features) = ask(pretrained, self.temperatures.pretrained)?;
        let (z_ft, _) = ask(expert, self.temperatures.expert)?;
        let features = self.keeps_features.then(|| features.to_vec2::<f32>()).transpose()?;
        let mut features = features.map(Vec::into_iter);
        let heard = |(z_pt, z_ft)| {
            let feature = features.as_mut().and_then(Iterator::next);
            Heard { z_pt, z_ft, feature }
        };
        Ok(z_pt.into_iter().zip(z_ft).map(heard).collect())
    }

    /// The parents of one batch beside each other.
    fn compare<'a>(
        &self,
        images: &'a [Images],
        numbers: Numbers,
        heard: impl Iterator<Item = Heard>,
    ) -> Parental<'a> {
        let (mut z_pt, mut z_ft, mut features) = (Vec::new(), Vec::new(), Vec::new());
        for Heard { z_pt: pt, z_ft: ft, feature } in heard {
            z_pt.push(pt);
            z_ft.push(ft);
            features.extend(feature);
        }
        let pairs = || z_pt.iter().zip(&z_ft);
        let finite = pairs().map(|(pt, ft)| all_finite(pt) && all_finite(ft)).collect();
        let compared =
            pairs().map(|(pt, ft)| Signals::of(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0))).collect();
        let features = self.keeps_features.then_some(features);
        Parental { images, numbers, z_pt, z_ft, features, finite, compared }
    }

    /// How far what was `said` of a batch is from what is said with parents and merges in `f32`, where that is to be measured. Its time
    /// counts as the parents'.
    fn deviation(
        &self,
        batch: &Batch,
        parents: &Parental<'_>,
        said: &[Said],
    ) -> Result<Option<Deviation>, ModelError> {
        if !self.int8.is_some_and(|int8| int8.measures(&batch.slot)) {
            return Ok(None);
        }
        let costs = self.costs.clone();
        costs.time(0, || {
            let heard = self.ask([&self.models.pretrained, &self.models.expert], parents.images)?;
            let exact = self.compare(parents.images, Numbers::Whole, heard.into_iter());
            let mut found = Deviation::default();
            push_parents(&mut found, parents, &exact);
            for (scorer, said) in self.scorers.iter().zip(said).filter(|(scorer, _)| scorer.asks_parents()) {
                push_method(&mut found, said, &scorer.score(&self.models, &exact)?);
            }
            Ok(Some(found))
        })
    }

    fn signal(&self, parents: &Parental<'_>, n: usize) -> Signal {
        let (z_pt, z_ft, compared) = (&parents.z_pt[n], &parents.z_ft[n], &parents.compared[n]);
        Signal {
            js_nats: compared.js_nats,
            lambda_sample: self.signal_rule.of(z_pt, z_ft, compared).coefficient,
            pt_entropy_nats: compared.pt_entropy_nats,
            ft_entropy_nats: compared.ft_entropy_nats,
            agree: argmax(z_pt) == argmax(z_ft),
        }
    }
}

/// What the parents say of one sample.
struct Heard {
    z_pt: Vec<f32>,
    z_ft: Vec<f32>,
    /// The pretrained model's unit feature, where the run keeps it.
    feature: Option<Vec<f32>>,
}

fn scores_of(said: Said, finite: &[bool]) -> MethodScores {
    let predictions = kept(&said.log_p, finite).map(|row| predict(row)).collect();
    MethodScores { method: said.method, merged_with: said.merged_with, predictions }
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
        reason: Reason::ModelNonfinite,
        detail: "a model gave a logit that is not a finite number".to_owned(),
        size_bytes: None,
        format: None,
        declared_px: None,
    };
    broken.map(|(member, _)| reject(member)).collect()
}

#[cfg(test)]
mod tests;
