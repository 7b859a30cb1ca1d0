//! The method on one page: two parents, their divergence, a coefficient, a merge, its prediction.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::costs::Costs;
use super::engine::{Images, TowerKind};
use super::inputs::ModelPair;
use super::parents::ParentModels;
use super::predict::predict;
use super::scorer::{Parental, Said, Scorer};
use crate::error::{Exit, Problem};
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
    /// Threads of the lane's own pool.
    pub n_threads: usize,
    /// Whether the pretrained model's features are kept.
    pub features: bool,
}

/// One device with everything that lives on it. Scoring needs `&mut` because the merged model's weights are
/// overwritten per batch.
#[derive(Debug)]
pub struct Lane {
    signal_rule: CoefficientRule,
    temperatures: Temperatures,
    device: Device,
    threads: Arc<rayon::ThreadPool>,
    normalizer: Normalizer,
    models: ParentModels,
    scorers: Vec<Scorer>,
    keeps_features: bool,
    costs: Costs,
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::new(error.code(), Exit::BadData, error.located()).hint(error.hint())
    }
}

impl Lane {
    /// Moves the models to `device` and builds every merge that no sample decides.
    ///
    /// # Errors
    /// When the device refuses the memory or fails.
    pub fn new(models: ModelPair, rule: LaneRule, device: Device) -> Result<Self, Problem> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(rule.n_threads).build();
        let threads =
            threads.map_err(|_| Problem::new("B006", Exit::Bug, "the lane's threads cannot be started"))?;
        let Preprocess { rescale, mean, std, .. } = models.preprocess;
        let normalizer = Normalizer::with(rescale, mean, std);
        let (mut models, named) = ParentModels::new(models, device.clone(), rule.tower)?;
        let is_per_batch =
            |(_, recipe): &(Method, Recipe)| matches!(recipe, Recipe::PerBatch(_) | Recipe::Line(_));
        if rule.methods.iter().any(is_per_batch) {
            models.prepare_merges()?;
        }
        let costs = Costs::of(rule.methods.iter().map(|(method, _)| method.name()));
        let scorer = |(method, recipe)| Scorer::new(method, recipe, &models, &named);
        let scorers = rule.methods.into_iter().map(scorer).collect::<Result<_, _>>()?;
        Ok(Self {
            signal_rule: rule.signal_rule,
            temperatures: rule.temperatures,
            device,
            threads: Arc::new(threads),
            normalizer,
            models,
            scorers,
            keeps_features: rule.features,
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
        let images = self.models.images(&self.normalizer.batch(&pixels, side_px, &self.device)?)?;
        let mut hash = Sha256::new();
        for model in [&self.models.pretrained, &self.models.expert] {
            for logit in self.models.logits(model, &images)?.flatten_all()?.to_vec1::<f32>()? {
                hash.update(logit.to_le_bytes());
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Scores one batch: softmax, divergence, sigmoid, guard, batch mean, merge, in this order (paper).
    ///
    /// A sample with non-finite logits in any model is rejected; one with such logits in a parent has no part
    /// in the mean.
    ///
    /// # Errors
    /// When the device fails.
    pub fn score_batch(&mut self, batch: &Batch) -> Result<Scored, Problem> {
        let (threads, began) = (Arc::clone(&self.threads), SystemTime::now());
        let mut scored = threads.install(|| self.score_within_memory(batch))?;
        scored.scored = (began, SystemTime::now());
        Ok(scored)
    }

    /// In smaller parts until the device has the memory.
    fn score_within_memory(&mut self, batch: &Batch) -> Result<Scored, ModelError> {
        loop {
            match self.score_here(batch) {
                Err(error) if error.is_out_of_memory() && self.models.halve(batch.members.len()) => {}
                scored => return scored,
            }
        }
    }

    fn score_here(&mut self, batch: &Batch) -> Result<Scored, ModelError> {
        let mut scored = Scored {
            slot: batch.slot,
            members: Vec::new(),
            signals: Vec::new(),
            features: None,
            methods: Vec::new(),
            rejects: Vec::new(),
            scored: (UNIX_EPOCH, UNIX_EPOCH),
        };
        if batch.members.is_empty() {
            return Ok(scored);
        }
        let pixels = self.normalizer.batch(&batch.pixels, self.models.config.image_px, &self.device)?;
        let images = self.models.images(&pixels)?;
        let parents = self.costs.time(0, || self.ask_parents(&images))?;
        let models = &mut self.models;
        let ask = |(n, scorer): (usize, &Scorer)| self.costs.time(n + 1, || scorer.score(models, &parents));
        let said: Vec<Said> = self.scorers.iter().enumerate().map(ask).collect::<Result<_, _>>()?;
        let everywhere = |n: usize| parents.finite[n] && said.iter().all(|said| is_finite(&said.log_p[n]));
        let finite: Vec<bool> = (0..batch.members.len()).map(everywhere).collect();
        let signals: Vec<Signal> = (0..batch.members.len()).map(|n| self.signal(&parents, n)).collect();
        scored.rejects = rejects(batch, &finite);
        scored.members = kept(&batch.members, &finite).cloned().collect();
        scored.signals = kept(&signals, &finite).copied().collect();
        scored.features = parents.features.as_ref().map(|all| kept(all, &finite).cloned().collect());
        scored.methods = said.into_iter().map(|said| scores_of(said, &finite)).collect();
        Ok(scored)
    }

    fn ask_parents<'a>(&self, images: &'a [Images]) -> Result<Parental<'a>, ModelError> {
        let ask = |model: &ZeroShot, temperature| {
            let features = self.models.features(model, images)?;
            Ok::<_, ModelError>((rows(&model.logits_of(&features)?, temperature)?, features))
        };
        let (z_pt, features) = ask(&self.models.pretrained, self.temperatures.pretrained)?;
        let (z_ft, _) = ask(&self.models.expert, self.temperatures.expert)?;
        let features = self.keeps_features.then(|| features.to_vec2::<f32>()).transpose()?;
        let pairs = || z_pt.iter().zip(&z_ft);
        let finite = pairs().map(|(pt, ft)| all_finite(pt) && all_finite(ft)).collect();
        let compared =
            pairs().map(|(pt, ft)| Signals::of(&log_softmax(pt, 1.0), &log_softmax(ft, 1.0))).collect();
        Ok(Parental { images, z_pt, z_ft, features, finite, compared })
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
        reason: Reason::ModelNonfinite,
        detail: "a model gave a logit that is not a finite number".to_owned(),
        size_bytes: None,
        format: None,
        declared_px: None,
    };
    broken.map(|(member, _)| reject(member)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;

    use super::*;
    use crate::merge::coefficient::T3Rule;
    use crate::merge::weights::{Parents, Tensors};
    use crate::messages::{Sample, Slot};
    use crate::model::checkpoint::CheckpointSpec;
    use crate::model::files::Files;
    use crate::model::pair::PairReport;
    use crate::model::prompts::Prompts;
    use crate::model::tower::VisionTower;
    use crate::model::vocabulary::Vocabulary;
    use crate::model::{Checkpoint, Role};
    use crate::score::TextSource;
    use crate::score::engine::Engine;

    const BATCH: usize = 11;

    /// An engine on a device with room for the passes of `most` images, and for so many passes in all before that.
    #[derive(Debug)]
    struct Tight {
        inner: Box<dyn Engine>,
        most: usize,
        room_until: Cell<usize>,
    }

    impl Tight {
        fn pass<T>(
            &self,
            images: &Images,
            pass: impl FnOnce() -> Result<T, ModelError>,
        ) -> Result<T, ModelError> {
            let n_passes = self.room_until.get();
            self.room_until.set(n_passes.saturating_sub(1));
            if n_passes == 0 && images.n_images()? > self.most {
                let refused = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
                return Err(candle_core::Error::Msg(refused.to_owned()).into());
            }
            pass()
        }
    }

    impl Engine for Tight {
        fn parents(&self) -> &Parents {
            self.inner.parents()
        }

        fn tower(&self, tensors: &Tensors) -> Result<VisionTower, ModelError> {
            self.inner.tower(tensors)
        }

        fn images(&self, pixels: Tensor) -> Result<Images, ModelError> {
            self.inner.images(pixels)
        }

        fn features(&self, tower: &VisionTower, images: &Images) -> Result<Tensor, ModelError> {
            self.pass(images, || self.inner.features(tower, images))
        }

        fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
            self.pass(images, || self.inner.features_per_sample(lambda, images))
        }
    }

    fn models() -> ModelPair {
        let load = |name: &str, role| {
            let files = Files::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny").join(name));
            let spec = CheckpointSpec { files, role, architecture: None, image_px: None, sha256: None };
            Checkpoint::load(&spec).unwrap()
        };
        let (pretrained, expert) = (load("generalist", Role::Pretrained), load("expert", Role::Expert));
        let names = ["red blood cell", "white blood cell", "platelet"].map(str::to_owned);
        let prompts = Prompts::new(&["a photo of a {}.".to_owned()], &names).unwrap();
        let vocabulary = Vocabulary::of(&pretrained).unwrap();
        let tokens = prompts.tokenize(&vocabulary, pretrained.config().context_tokens).unwrap();
        let report = PairReport::compare(&pretrained, &expert).unwrap();
        let preprocess = Preprocess::of_family(pretrained.config());
        ModelPair { pretrained, expert, report, text: TextSource::Prompts(tokens), preprocess }
    }

    fn lane() -> Lane {
        let t3 = CoefficientRule::T3 { rule: T3Rule::PAPER, guard: None };
        let methods = vec![
            (Method::Pretrained, Recipe::Pretrained),
            (Method::Expert, Recipe::Expert),
            (Method::T3B, Recipe::PerBatch(t3.clone())),
            (Method::T3, Recipe::PerSample(t3.clone())),
        ];
        let (temperatures, tower) = (Temperatures::ONE, TowerKind::Fast);
        let rule = LaneRule { methods, signal_rule: t3, temperatures, tower, n_threads: 1, features: true };
        Lane::new(models(), rule, Device::Cpu).unwrap()
    }

    fn tight(most: usize, room_until: usize) -> Lane {
        let Lane { models, .. } = lane();
        let room_until = Cell::new(room_until);
        Lane { models: models.on(|inner| Box::new(Tight { inner, most, room_until })), ..lane() }
    }

    fn batch(lane: &Lane) -> Batch {
        let sample = |row| Sample { row, manifest_row: row, ..crate::source::testing::sample() };
        let member = |row| Member { sample: Arc::new(sample(row)), cell: 0 };
        let side_px = lane.models.config.image_px;
        let pixels =
            (0..BATCH * side_px * side_px * 3).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 11).to_le_bytes()[0]);
        Batch {
            slot: Slot { batch: 0, cell: 0, first_row: 0, n_planned: BATCH as u32 },
            members: (0..BATCH as u64).map(member).collect(),
            pixels: pixels.collect(),
        }
    }

    /// Everything that is said of a batch, without when.
    fn said(scored: &Scored) -> String {
        format!("{:?} {:?} {:?} {:?}", scored.members, scored.signals, scored.features, scored.methods)
    }

    /// The coefficient is the whole batch's mean, whether its images went through at once, in parts, or one by one, and wherever in
    /// the batch's passes the memory ran out.
    #[test]
    fn a_device_without_memory_for_a_batch_gives_the_same_rows_in_parts() {
        let mut whole = lane();
        let batch = batch(&whole);
        let expected = said(&whole.score_batch(&batch).unwrap());
        assert!(expected.contains("lambda_mean"));
        for most in [10, 5, 2, 1] {
            for room_until in [0, 1, 2, 3] {
                let mut lane = tight(most, room_until);
                let scored = lane.score_batch(&batch).unwrap();
                assert!(said(&scored) == expected, "parts of {most}, memory for {room_until} passes");
                // The next batch begins with parts.
                assert!(said(&lane.score_batch(&batch).unwrap()) == expected);
            }
        }
    }

    #[test]
    fn a_device_without_memory_for_one_image_is_an_error() {
        let mut lane = tight(0, 0);
        let batch = batch(&lane);
        assert_eq!(lane.score_batch(&batch).unwrap_err().code, "N002");
    }
}
