//! `model` computes what PyTorch computes: values in tests/golden/clip, made by make_golden.py there.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, de::DeserializeOwned};
use t3b::model::{
    Checkpoint, ClipConfig, Role, TextBank, ZeroShot,
    checkpoint::CheckpointSpec,
    fast::FastVision,
    files::Files,
    layout,
    normalize::Normalizer,
    packed::pack,
    prompts::Prompts,
    random::{self, Seeds},
    tower::{TextTower, VisionTower},
    vocabulary::Vocabulary,
};

/// Allowed difference of a logit, relative to the largest of its model. Measured 6e-7 (tiny) and 1.7e-6 (ViT-B/32).
pub(crate) const LOGITS_RELATIVE: f32 = 2e-5;
/// Allowed difference of a component of a unit vector. Measured 2e-7.
const FEATURES_ABSOLUTE: f32 = 1e-6;
/// Allowed difference of a feature between towers, relative to the largest. Measured 1.6e-6.
const FAST_RELATIVE: f32 = 5e-5;
/// An image in a batch against the same image alone, in logits up to 30: matrix kernels differ by shape, so this is not
/// bitwise. Measured 5e-6.
const BATCH_ABSOLUTE: f32 = 2e-5;

const TINY: &str = include_str!("../../golden/clip/tiny.json");
const TINY_MERGES: &[u8] = include_bytes!("../../golden/clip/tiny_merges.txt");

#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    config: serde_json::Value,
    #[serde(default)]
    seeds: BTreeMap<String, u64>,
    #[serde(default)]
    tensors: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    folder: String,
    #[serde(default)]
    sha256: String,
    template: String,
    names: Vec<String>,
    images: usize,
    logit_scale: f64,
    logits: Vec<Vec<f32>>,
    image_features: Vec<Vec<f32>>,
    text_features: Vec<Vec<f32>>,
}

impl Golden {
    fn config(&self) -> ClipConfig {
        ClipConfig::from_hf_json(&self.config.to_string()).unwrap()
    }

    fn seeds(&self) -> Seeds {
        Seeds { vision: self.seeds["vision"], text: self.seeds["text"] }
    }

    fn model(&self, vocabulary: &Vocabulary) -> ZeroShot {
        let tensors = random::tensors(&self.config(), self.seeds()).unwrap();
        let scale = tensors[layout::LOGIT_SCALE].to_scalar::<f32>().unwrap();
        self.model_of(&tensors, &self.config(), scale.into(), vocabulary)
    }

    fn model_of(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        logit_scale: f64,
        vocabulary: &Vocabulary,
    ) -> ZeroShot {
        let prompts = Prompts::new(std::slice::from_ref(&self.template), &self.names).unwrap();
        let tokens = prompts.tokenize(vocabulary, config.context_tokens).unwrap();
        let text = TextTower::new(tensors, config, &Device::Cpu).unwrap();
        ZeroShot {
            vision: fast(tensors, config),
            bank: TextBank::encode(&text, &tokens).unwrap(),
            logit_scale,
            logit_bias: 0.0,
        }
    }

    fn pixels(&self, config: &ClipConfig) -> Tensor {
        let side = config.image_px;
        Normalizer::new().batch(&noise(self.images * side * side * 3), side, &Device::Cpu).unwrap()
    }

    fn check(&self, model: &ZeroShot, config: &ClipConfig) {
        let pixels = self.pixels(config);
        let features = model.vision.features(&pixels).unwrap();
        let worst = [
            difference(model.bank.features(), &self.text_features),
            difference(&features, &self.image_features),
            difference(&model.logits(&pixels).unwrap(), &self.logits) / largest(&self.logits),
        ];
        println!(
            "worst differences: text {:e}, image {:e}, logits {:e} (relative)",
            worst[0], worst[1], worst[2]
        );
        assert!(worst[0] <= FEATURES_ABSOLUTE, "text features differ by {:e}", worst[0]);
        assert!(worst[1] <= FEATURES_ABSOLUTE, "image features differ by {:e}", worst[1]);
        assert!(worst[2] <= LOGITS_RELATIVE, "logits differ by {:e} of the largest", worst[2]);
        assert!((model.logit_scale - self.logit_scale).abs() < 1e-7);
    }
}

/// The tower that jobs run on a CPU.
fn fast(tensors: &BTreeMap<String, Tensor>, config: &ClipConfig) -> VisionTower {
    let engine = Arc::new(FastVision::new(config));
    VisionTower::fast(&engine, &pack(engine.packing(), tensors).unwrap())
}

fn golden<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

/// The bytes of `images` in make_golden.py.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| byte()).collect()
}

/// Largest difference; the golden rows may hold only the first values of each.
fn difference(found: &Tensor, golden: &[Vec<f32>]) -> f32 {
    let found = found.to_vec2::<f32>().unwrap();
    assert_eq!(found.len(), golden.len());
    let pairs = found.iter().zip(golden).flat_map(|(found, golden)| {
        assert!(!golden.is_empty() && found.len() >= golden.len());
        found.iter().zip(golden)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst })
}

fn largest(rows: &[Vec<f32>]) -> f32 {
    rows.iter().flatten().fold(0.0, |most, value| value.abs().max(most))
}

fn tiny() -> (Golden, ClipConfig, ZeroShot) {
    let golden: Golden = golden(TINY);
    let config = golden.config();
    let model = golden.model(&Vocabulary::from_merges(TINY_MERGES, config.vocab_size).unwrap());
    (golden, config, model)
}

#[test]
fn random_weights_are_those_of_the_generator_in_python() {
    #[derive(Deserialize)]
    struct First {
        first_values: BTreeMap<String, Vec<f32>>,
    }
    let (tiny, config, _) = tiny();
    let first: First = golden(include_str!("../../golden/clip/random.json"));
    for spec in layout::tensors(&config) {
        let Some(wanted) = first.first_values.get(&spec.name) else { continue };
        assert_eq!(random::values(&spec, tiny.seeds())[..wanted.len()], wanted[..], "{}", spec.name);
    }
}

#[test]
fn the_layout_is_that_of_transformers() {
    let (golden, config, _) = tiny();
    let ours: BTreeMap<String, Vec<usize>> =
        layout::tensors(&config).into_iter().map(|spec| (spec.name, spec.shape)).collect();
    assert_eq!(ours, golden.tensors);
}

#[test]
fn logits_of_a_tiny_model_are_those_of_pytorch() {
    let (golden, config, model) = tiny();
    golden.check(&model, &config);
}

#[test]
fn logits_of_vit_b_32_are_those_of_pytorch() {
    let golden: Golden = golden(include_str!("../../golden/clip/vit_b_32.json"));
    assert_eq!(golden.config(), ClipConfig::named("openai/clip-vit-base-patch32").unwrap());
    golden.check(&golden.model(&Vocabulary::openai()), &golden.config());
}

#[test]
fn image_features_of_vit_b_16_are_those_of_pytorch() {
    #[derive(Deserialize)]
    struct Features {
        config: serde_json::Value,
        images: usize,
        image_features: Vec<Vec<f32>>,
    }
    let golden: Features = golden(include_str!("../../golden/clip/vit_b_16.json"));
    let config = ClipConfig::from_hf_json(&golden.config.to_string()).unwrap();
    assert_eq!(config, ClipConfig::named("clip-vit-base-patch16").unwrap());
    let tensors = random::tensors(&config, Seeds { vision: 7, text: 11 }).unwrap();
    let side = config.image_px;
    let pixels =
        Normalizer::new().batch(&noise(golden.images * side * side * 3), side, &Device::Cpu).unwrap();
    let features = fast(&tensors, &config).features(&pixels).unwrap();
    let worst = difference(&features, &golden.image_features) / largest(&golden.image_features);
    println!("image features differ by {worst:e} of the largest");
    assert!(worst <= LOGITS_RELATIVE, "{worst:e}");
}

/// The three towers of one architecture; batches of 1 to 64 give every row the same bits in the fast one.
#[test]
fn the_fast_tower_is_the_reference_tower_and_no_batch_leaks_into_a_row() {
    let (golden, tiny, _) = tiny();
    let small = |name| ClipConfig { vocab_size: 520, ..ClipConfig::named(name).unwrap() };
    for config in [tiny, small("clip-vit-base-patch32"), small("clip-vit-base-patch16")] {
        let tensors = random::tensors(&config, golden.seeds()).unwrap();
        let reference = VisionTower::reference(&tensors, &config, &Device::Cpu).unwrap();
        let plain = VisionTower::new(&tensors, &config, &Device::Cpu).unwrap();
        let (fast, side) = (fast(&tensors, &config), config.image_px);
        let n_images = if side < 100 { 64 } else { 3 };
        let pixels = Normalizer::new().batch(&noise(n_images * side * side * 3), side, &Device::Cpu).unwrap();
        let wanted = reference.features(&pixels).unwrap().to_vec2().unwrap();
        let found = fast.features(&pixels).unwrap();
        let worst = difference(&found, &wanted) / largest(&wanted);
        let plainly = difference(&plain.features(&pixels).unwrap(), &wanted) / largest(&wanted);
        println!("{side} px: fast {worst:e}, plain {plainly:e} of the largest feature");
        assert!(worst <= FAST_RELATIVE && plainly <= FAST_RELATIVE, "{worst:e} {plainly:e}");
        let rows = found.to_vec2::<f32>().unwrap();
        for size in (1..=n_images).filter(|size| side < 100 || *size < 3) {
            let start = n_images - size;
            let batch = pixels.narrow(0, start, size).unwrap();
            assert_eq!(
                fast.features(&batch).unwrap().to_vec2::<f32>().unwrap(),
                rows[start..],
                "batch of {size}"
            );
        }
    }
}

#[test]
fn logits_of_checkpoint_folders_are_those_of_pytorch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in root.join("tests/golden/clip").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !(name.starts_with("folder_") && name.ends_with(".json")) {
            continue;
        }
        println!("{name}");
        let golden: Golden = golden(&std::fs::read_to_string(&path).unwrap());
        let checkpoint = Checkpoint::load(&CheckpointSpec {
            files: Files::at(&root.join(&golden.folder)),
            role: Role::Pretrained,
            architecture: None,
            image_px: None,
            sha256: None,
        })
        .unwrap();
        assert_eq!(
            checkpoint.sha256(),
            golden.sha256,
            "run make_golden.py --dir again for {}",
            golden.folder
        );
        let vocabulary = Vocabulary::of(&checkpoint).unwrap();
        let config = checkpoint.config();
        golden.check(
            &golden.model_of(checkpoint.tensors(), config, checkpoint.logit_scale(), &vocabulary),
            config,
        );
    }
}

#[test]
fn a_batch_of_one_has_the_logits_of_the_image_in_a_batch() {
    let (golden, config, model) = tiny();
    let pixels = golden.pixels(&config);
    let together = model.logits(&pixels).unwrap();
    let mut worst = 0.0_f32;
    for image in 0..golden.images {
        let alone = model.logits(&pixels.narrow(0, image, 1).unwrap()).unwrap();
        worst = worst.max(difference(&alone, &together.narrow(0, image, 1).unwrap().to_vec2().unwrap()));
    }
    println!("worst difference {worst:e}");
    assert!(worst <= BATCH_ABSOLUTE, "{worst:e}");
}

#[test]
fn a_tower_sees_weights_that_are_overwritten_in_place() {
    let (golden, config, _) = tiny();
    let first = random::tensors(&config, golden.seeds()).unwrap();
    let second = random::tensors(&config, Seeds { vision: 1, text: 2 }).unwrap();
    let storage: BTreeMap<String, Var> =
        first.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect();
    let shared = storage.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let ids = Tensor::new(&[[598_u32, 5, 77, 599, 0]], &Device::Cpu).unwrap();
    let pixels = golden.pixels(&config);

    let vision = VisionTower::new(&shared, &config, &Device::Cpu).unwrap();
    let text = TextTower::new(&shared, &config, &Device::Cpu).unwrap();
    for weights in [&first, &second] {
        storage.iter().for_each(|(name, var)| var.set(&weights[name]).unwrap());
        let fresh = VisionTower::new(weights, &config, &Device::Cpu).unwrap().features(&pixels).unwrap();
        assert_eq!(difference(&vision.features(&pixels).unwrap(), &fresh.to_vec2().unwrap()), 0.0);
        let fresh = TextTower::new(weights, &config, &Device::Cpu).unwrap().features(&ids).unwrap();
        assert_eq!(difference(&text.features(&ids).unwrap(), &fresh.to_vec2().unwrap()), 0.0);
    }
}

#[test]
fn several_templates_are_averaged_as_unit_vectors() {
    let (golden, config, _) = tiny();
    let tensors = random::tensors(&config, golden.seeds()).unwrap();
    let tower = TextTower::new(&tensors, &config, &Device::Cpu).unwrap();
    let vocabulary = Vocabulary::from_merges(TINY_MERGES, config.vocab_size).unwrap();
    let bank = |templates: &[&str]| {
        let templates: Vec<String> = templates.iter().map(|t| (*t).to_owned()).collect();
        let tokens = Prompts::new(&templates, &golden.names).unwrap().tokenize(&vocabulary, 24).unwrap();
        TextBank::encode(&tower, &tokens).unwrap().features().to_vec2::<f32>().unwrap()
    };
    let (one, two, both) = (bank(&["a {}"]), bank(&["my {}"]), bank(&["a {}", "my {}"]));
    for ((one, two), both) in one.iter().zip(&two).zip(&both) {
        let sum: Vec<f32> = one.iter().zip(two).map(|(a, b)| a + b).collect();
        let length = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!(sum.iter().zip(both).all(|(sum, both)| (sum / length - both).abs() < 1e-6));
    }
}

#[test]
fn padding_changes_no_text_feature() {
    let (golden, config, model) = tiny();
    let tensors = random::tensors(&config, golden.seeds()).unwrap();
    let tower = TextTower::new(&tensors, &config, &Device::Cpu).unwrap();
    let vocabulary = Vocabulary::from_merges(TINY_MERGES, config.vocab_size).unwrap();
    for (class, name) in golden.names.iter().enumerate() {
        let mut ids =
            vocabulary.encode(&golden.template.replace("{}", name), config.context_tokens).unwrap().ids;
        ids.resize(config.context_tokens, 0);
        let padded = tower.features(&Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap()).unwrap();
        let bank = model.bank.features().narrow(0, class, 1).unwrap();
        assert!(difference(&padded, &bank.to_vec2().unwrap()) < FEATURES_ABSOLUTE);
    }
}
