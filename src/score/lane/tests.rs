//! Batches together and in parts give the rows of batches alone.
#![cfg(test)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::merge::coefficient::T3Rule;
use crate::merge::weights::{Parents, Tensors};
use crate::messages::{Sample, Slot};
use crate::model::checkpoint::CheckpointSpec;
use crate::model::error::CheckpointFault;
use crate::model::files::Files;
use crate::model::pair::PairReport;
use crate::model::prompts::Prompts;
use crate::model::tower::VisionTower;
use crate::model::vocabulary::Vocabulary;
use crate::model::{Checkpoint, Role};
use crate::score::TextSource;
use crate::score::engine::{Engine, Whose};

const BATCH: usize = 11;

/// An engine on a device with memory for passes of `most` images, and for so many passes in all before that.
#[derive(Debug)]
struct Tight {
    inner: Box<dyn Engine>,
    most: usize,
    room_until: AtomicUsize,
    at_once: usize,
}

impl Tight {
    fn pass<T>(&self, room: usize, pass: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
        let n_passes = self.room_until.load(Relaxed);
        self.room_until.store(n_passes.saturating_sub(1), Relaxed);
        if n_passes == 0 && room > self.most {
            return Err(CheckpointFault::Card { what: "out of memory".to_owned(), no_memory: true }.into());
        }
        pass()
    }
}

impl Engine for Tight {
    fn parents(&self) -> &Parents {
        self.inner.parents()
    }

    fn tower(&self, tensors: &Tensors, whose: Whose) -> Result<VisionTower, ModelError> {
        self.inner.tower(tensors, whose)
    }

    fn n_batches_at_once(&self) -> usize {
        self.at_once
    }

    fn images(&self, pixels: &[u8], room: usize) -> Result<Images, ModelError> {
        self.inner.images(pixels, room)
    }

    fn features(&self, tower: &VisionTower, parts: &[&Images], room: usize) -> Result<Tensor, ModelError> {
        let n_images: usize = parts.iter().map(|images| images.n_images()).sum();
        assert!(n_images <= room, "{n_images} images in a pass of {room}");
        self.pass(room, || self.inner.features(tower, parts, room))
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        self.pass(images.n_images(), || self.inner.features_per_sample(lambda, images))
    }
}

fn models() -> ModelPair {
    pair("expert", false)
}

/// Another model as the expert of the generalist; both perhaps with their blocks in files.
fn pair(expert: &str, spills: bool) -> ModelPair {
    let load = |name: &str, role| {
        let files = Files::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny").join(name));
        let spec = CheckpointSpec { files, role, architecture: None, image_px: None, sha256: None };
        if spills { Checkpoint::spill(&spec, None, true) } else { Checkpoint::load(&spec) }.unwrap()
    };
    let (pretrained, expert) = (load("generalist", Role::Pretrained), load(expert, Role::Expert));
    let names = ["red blood cell", "white blood cell", "platelet"].map(str::to_owned);
    let prompts = Prompts::new(&["a photo of a {}.".to_owned()], &names).unwrap();
    let vocabulary = Vocabulary::of(&pretrained).unwrap();
    let tokens = prompts.tokenize(&vocabulary, pretrained.config().context_tokens).unwrap();
    let report = PairReport::compare(&pretrained, &expert).unwrap();
    let preprocess = Preprocess::of_family(pretrained.config());
    ModelPair { pretrained, expert, report, text: TextSource::Prompts(tokens), preprocess }
}

fn lane() -> Lane {
    lane_with(None)
}

fn lane_with(int8: Option<Int8Rule>) -> Lane {
    lane_on(1, int8)
}

fn lane_on(n_threads: usize, int8: Option<Int8Rule>) -> Lane {
    lane_of(models(), n_threads, int8)
}

fn lane_of(models: ModelPair, n_threads: usize, int8: Option<Int8Rule>) -> Lane {
    let t3 = CoefficientRule::T3 { rule: T3Rule::PAPER, guard: None };
    let methods = vec![
        (Method::Pretrained, Recipe::Pretrained),
        (Method::Expert, Recipe::Expert),
        (Method::T3B, Recipe::PerBatch(t3.clone())),
        (Method::T3, Recipe::PerSample(t3.clone())),
    ];
    let rule = LaneRule {
        methods,
        signal_rule: t3,
        temperatures: Temperatures::ONE,
        tower: TowerKind::Fast,
        compute: Compute::F32,
        batch_size: BATCH,
        n_threads,
        features: true,
        int8,
    };
    Lane::new(models, rule, &Device::Cpu).unwrap()
}

fn tight(most: usize, room_until: usize, at_once: usize) -> Lane {
    let Lane { models, .. } = lane();
    let room_until = AtomicUsize::new(room_until);
    Lane { models: models.on(|inner| Box::new(Tight { inner, most, room_until, at_once })), ..lane() }
}

/// Some samples, all different from those of another number.
fn batch(lane: &Lane, number: u64, n_samples: usize) -> Batch {
    let sample = |row| Sample { row, manifest_row: row, ..crate::source::testing::sample() };
    let member = |row| Member { sample: Arc::new(sample(row)), cell: 0 };
    let side_px = lane.models.config.image_px;
    let byte =
        |n: usize| ((n as u64 + 7 * number).wrapping_mul(0x9e37_79b1 + 2 * number) >> 11).to_le_bytes()[0];
    Batch {
        slot: Slot { batch: number, cell: 0, first_row: 0, n_planned: BATCH as u32 },
        members: (0..n_samples as u64).map(member).collect(),
        pixels: (0..n_samples * side_px * side_px * 3).map(byte).collect(),
    }
}

/// Everything that is said of batches, without when.
fn said(scored: &[Scored]) -> String {
    let of = |scored: &Scored| {
        let Scored { slot, members, signals, features, methods, .. } = scored;
        format!("{slot:?} {members:?} {signals:?} {features:?} {methods:?}")
    };
    scored.iter().map(of).collect()
}

/// The coefficient is the whole batch's mean, whether its images went through at once, in parts, or one by one, and wherever in
/// the batch's passes the memory ran out.
#[test]
fn a_device_without_memory_for_a_batch_gives_the_same_rows_in_parts() {
    let whole = lane();
    let batch = [batch(&whole, 0, BATCH)];
    let expected = said(&whole.score(&batch).unwrap());
    assert!(expected.contains("lambda_mean"));
    for most in [10, 5, 2, 1] {
        for room_until in [0, 1, 2, 3] {
            let lane = tight(most, room_until, 1);
            let scored = lane.score(&batch).unwrap();
            assert!(said(&scored) == expected, "parts of {most}, memory for {room_until} passes");
            // The next batch begins with parts.
            assert!(said(&lane.score(&batch).unwrap()) == expected);
        }
    }
}

/// Short and empty ones among them, and a device without memory for all of them or for one.
#[test]
fn batches_scored_together_give_the_rows_of_batches_scored_alone() {
    let alone = lane();
    let sizes = [BATCH, 3, 0, BATCH, 1];
    let batches: Vec<Batch> =
        sizes.iter().zip(0..).map(|(n_samples, number)| batch(&alone, number, *n_samples)).collect();
    let one_by_one: Vec<Scored> =
        batches.iter().flat_map(|one| alone.score(std::slice::from_ref(one)).unwrap()).collect();
    let coefficients = |n: usize| one_by_one[n].methods[2].merged_with.as_ref().unwrap().lambda_mean;
    assert!(coefficients(0).to_bits() != coefficients(3).to_bits(), "batches that say different things");
    for at_once in [1, 2, 5, 23] {
        for (most, room_until) in [(usize::MAX, 0), (26, 0), (BATCH, 1), (4, 2), (1, 0)] {
            let together = tight(most, room_until, at_once).score(&batches).unwrap();
            assert!(said(&together) == said(&one_by_one), "{at_once} at once, memory for {most}");
        }
    }
    assert!(alone.score(&[]).unwrap().is_empty());
}

/// Merges in integers and in `f32` share a buffer. What is said of a batch does not depend on which of them was there before, and so not on
/// whether the batch itself or one before it was measured.
#[test]
fn a_merge_in_integers_keeps_nothing_of_the_merge_before_it() {
    let lane = |n_batches| lane_with(Some(Int8Rule { bound: 1.0, merges: true, n_batches }));
    let (always, never) = (lane(1), lane(u32::MAX));
    for number in [1, 2, 3, 2] {
        let batch = [batch(&always, number, BATCH)];
        let passes = [&always, &never].map(|lane| lane.costs().n_passes());
        let (measured, not) = (always.score(&batch).unwrap(), never.score(&batch).unwrap());
        // Two parents and four methods; where that is measured, two parents again.
        let passed = [always.costs().n_passes() - passes[0], never.costs().n_passes() - passes[1]];
        assert_eq!(passed, [8, 6]);
        assert!(measured[0].deviation.is_some() && not[0].deviation.is_none());
        assert!(said(&measured) == said(&not), "batch {number}");
        let alone = lane(u32::MAX);
        assert!(said(&alone.score(&batch).unwrap()) == said(&not), "batch {number} in a new lane");
    }
}

/// Coefficients, rows, and how far integers are off. Two equal parents share all blocks but the last, which are then computed once.
#[test]
fn blocks_in_files_give_the_rows_of_blocks_in_memory() {
    for expert in ["expert", "generalist"] {
        let int8 = Some(Int8Rule { bound: 1.0, merges: true, n_batches: 2 });
        let [held, spilled] = [false, true].map(|spills| lane_of(pair(expert, spills), 2, int8));
        assert_eq!(held.canary().unwrap(), spilled.canary().unwrap());
        for (number, n_samples) in [(0, BATCH), (1, 3), (2, BATCH), (3, BATCH), (4, 1)] {
            let batch = [batch(&held, number, n_samples)];
            let (held, spilled) = (held.score(&batch).unwrap(), spilled.score(&batch).unwrap());
            assert_eq!(held[0].deviation.is_some(), number % 2 == 0);
            assert_eq!(
                format!("{:?}", held[0].deviation),
                format!("{:?}", spilled[0].deviation),
                "{expert} {number}"
            );
            assert!(said(&held) == said(&spilled), "{expert}, batch {number}");
        }
    }
}

/// Their sets of images follow each other in the pool, and one waits for the other's merge.
#[test]
fn threads_that_ask_at_the_same_time_hear_what_each_would_hear_alone() {
    for int8 in [None, Some(Int8Rule { bound: 1.0, merges: true, n_batches: 2 })] {
        let alone = lane_with(int8);
        let sizes = [BATCH, 1, 4, BATCH, 7, 2, BATCH, 9];
        let batches: Vec<Batch> =
            sizes.into_iter().zip(0..).map(|(n_samples, number)| batch(&alone, number, n_samples)).collect();
        let ask = |lane: &Lane, one: &Batch| said(&lane.score(std::slice::from_ref(one)).unwrap());
        let expected: Vec<String> = batches.iter().map(|one| ask(&alone, one)).collect();
        for n_threads in 1..=3 {
            let lane = lane_on(n_threads, int8);
            assert_eq!(lane.n_batches_abreast(), n_threads.min(2));
            let heard: Vec<String> = std::thread::scope(|scope| {
                let asked: Vec<_> = batches.iter().map(|one| scope.spawn(|| ask(&lane, one))).collect();
                asked.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(heard == expected, "{n_threads} threads");
        }
    }
}

#[test]
fn a_device_without_memory_for_one_image_is_an_error() {
    let lane = tight(0, 0, 1);
    let batch = batch(&lane, 0, BATCH);
    assert_eq!(lane.score(&[batch]).unwrap_err().code, "N002");
}
