//! What each method adds to a batch: seconds with [pretrained, expert, t3_b] and one more, over without it.
//!
//! `cargo bench --bench methods`; the limit for static merges and ensembles is 1.35, one more forward in three.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use object_store::path::Path as Key;
use t3b::merge::coefficient::{Guard, T3Rule};
use t3b::merge::dare::Dare;
use t3b::merge::entropy_ratio::Temperatures;
use t3b::merge::method::Method;
use t3b::merge::recipe::{CoefficientRule, Recipe, StaticRule};
use t3b::messages::{Batch, Member, Sample, Slot};
use t3b::model::checkpoint::CheckpointSpec;
use t3b::model::files::Files;
use t3b::model::pair::PairReport;
use t3b::model::prompts::Prompts;
use t3b::model::vocabulary::Vocabulary;
use t3b::model::{Checkpoint, Preprocess, Role};
use t3b::score::{Device, Lane, LaneRule, ModelPair, TextSource, TowerKind};

const BATCH: usize = 32;
const ROUNDS: usize = 31;

fn models() -> ModelPair {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    let load = |name: &str, role| {
        let spec = CheckpointSpec {
            files: Files::at(&root.join(name)),
            role,
            architecture: None,
            image_px: None,
            sha256: None,
        };
        Checkpoint::load(&spec).expect("the shipped pair")
    };
    let (pretrained, expert) = (load("generalist", Role::Pretrained), load("expert", Role::Expert));
    let names = ["red blood cell", "white blood cell", "platelet", "plasma background"].map(str::to_owned);
    let prompts = Prompts::new(&["a photo of a {}.".to_owned()], &names).expect("prompts");
    let vocabulary = Vocabulary::of(&pretrained).expect("a vocabulary");
    let tokens = prompts.tokenize(&vocabulary, pretrained.config().context_tokens).expect("tokens");
    let report = PairReport::compare(&pretrained, &expert).expect("one architecture");
    let preprocess = Preprocess::of_family(pretrained.config());
    ModelPair { pretrained, expert, report, text: TextSource::Prompts(tokens), preprocess }
}

fn t3(guard: Option<Guard>) -> CoefficientRule {
    CoefficientRule::T3 { rule: T3Rule::PAPER, guard }
}

fn lane(extra: Option<(Method, Recipe)>) -> Lane {
    let mut methods = vec![
        (Method::Pretrained, Recipe::Pretrained),
        (Method::Expert, Recipe::Expert),
        (Method::T3B, Recipe::PerBatch(t3(None))),
    ];
    methods.extend(extra);
    let rule = LaneRule {
        features: false,
        int8: None,
        methods,
        signal_rule: CoefficientRule::T3 { rule: T3Rule::PAPER, guard: None },
        temperatures: Temperatures::ONE,
        tower: TowerKind::Fast,
        compute: t3b_gpu::Compute::F32,
        batch_size: BATCH,
        n_threads: 2,
    };
    Lane::new(models(), rule, &Device::Cpu).expect("a lane")
}

fn batch() -> Batch {
    let sample = |row| Sample {
        row,
        manifest_row: row,
        id: "s".into(),
        key: Key::from("k"),
        label_idx: None,
        sha256: None,
        size_bytes: None,
        location: t3b::messages::Location::Whole,
        frame: None,
        slice: None,
        declared: None,
    };
    let member = |row| Member { sample: Arc::new(sample(row)), cell: 0 };
    let mut state = 12345_u32;
    let mut pixel = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Batch {
        slot: Slot { batch: 0, cell: 0, first_row: 0, n_planned: BATCH as u32 },
        members: (0..BATCH as u64).map(member).collect(),
        pixels: (0..BATCH * 32 * 32 * 3).map(|_| pixel()).collect(),
    }
}

fn seconds(lane: &mut Lane, batch: &Batch) -> f64 {
    let started = Instant::now();
    lane.score(std::slice::from_ref(batch)).expect("a score");
    started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let one = Temperatures::ONE;
    let dare = Dare { drop_probability: 0.5, scale: 0.3, seed: 0 };
    let extras = [
        (Method::Ensemble, Recipe::MeanProbabilities),
        (Method::EnsembleLogits, Recipe::MeanLogits),
        (Method::WiseFt, Recipe::Static(StaticRule::Lerp(0.5))),
        (Method::TaskArithmetic, Recipe::Static(StaticRule::Lerp(0.3))),
        (Method::Ties, Recipe::Static(StaticRule::Ties { keep: 0.2, scale: 0.3 })),
        (Method::Dare, Recipe::Static(StaticRule::Dare(dare))),
        (Method::Slerp, Recipe::Static(StaticRule::Slerp(0.5))),
        (Method::EntropyRatioB, Recipe::PerBatch(CoefficientRule::EntropyRatio(one))),
        (Method::T3BGuard, Recipe::PerBatch(t3(Some(Guard::CHOICE)))),
        (Method::T3, Recipe::PerSample(t3(None))),
        (Method::Dawin, Recipe::PerSample(CoefficientRule::EntropyRatio(one))),
    ];
    let batch = batch();
    println!("{:<18} {:>10} {:>10} {:>8}", "method", "with ms", "without ms", "ratio");
    for extra in extras {
        let name = extra.0.name();
        let (mut with, mut without) = (lane(Some(extra)), lane(None));
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            times.0.push(seconds(&mut with, &batch));
            times.1.push(seconds(&mut without, &batch));
        }
        let ratios = times.0.iter().zip(&times.1).map(|(with, without)| with / without).collect();
        let (with, without) = (median(times.0) * 1e3, median(times.1) * 1e3);
        println!("{name:<18} {with:>10.2} {without:>10.2} {:>8.3}", median(ratios));
    }
}
