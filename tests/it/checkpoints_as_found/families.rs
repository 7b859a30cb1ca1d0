//! Every family, layout and way of preparing pictures gives the probabilities of transformers and open_clip, from
//! `tests/golden/models/make_golden.py`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b::model::{
    Checkpoint, ClipConfig, Preprocess, Role, TextBank, ZeroShot,
    checkpoint::CheckpointSpec,
    fast::FastVision,
    files::Files,
    naming::Naming,
    normalize::Normalizer,
    packed::pack,
    prompts::Prompts,
    tower::{TextTower, VisionTower},
    vocabulary::Vocabulary,
};
use t3b_image::Rgb8;
use t3b_image::resize::Resizer;

use crate::checkpoints_as_found::layouts::{ALL, bytes_of, file_of};
use crate::support::{Fixture, N_CELLS};
use crate::tables::table;

/// Agreement that the references' own backends have with each other. Measured here: see the test's output.
const PROBABILITY: f64 = 1e-4;

#[derive(Deserialize)]
pub(crate) struct Goldens {
    sizes: Vec<(u32, u32)>,
    picture_sha256: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    naming: String,
    files: BTreeMap<String, Value>,
    ids: Vec<Vec<u32>>,
    probabilities: Vec<Vec<f64>>,
    #[serde(default)]
    image_px: Option<usize>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    template: String,
    #[serde(default)]
    shapes: BTreeMap<String, Vec<usize>>,
    #[serde(default)]
    logits: Vec<Vec<f32>>,
}

pub(crate) fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../../golden/models/families.json")).unwrap()
}

impl Goldens {
    pub(crate) fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).unwrap()
    }

    /// The pictures of the script, checked against its hashes.
    fn pictures(&self) -> Vec<Rgb8> {
        let mut state = 1_u32;
        let picture = |(&(width, height), sha256): (&(u32, u32), &String)| {
            let mut bytes = Vec::new();
            for at in 0..width * height * 3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (x, y) = (at / 3 % width, at / 3 / width);
                bytes.push((((state >> 24) + 3 * ((5 * x + 3 * y) % 256)) / 4) as u8);
            }
            assert_eq!(&hex::encode(Sha256::digest(&bytes)), sha256);
            Rgb8::new(width, height, bytes).unwrap()
        };
        self.sizes.iter().zip(&self.picture_sha256).map(picture).collect()
    }
}

impl Case {
    fn naming(&self) -> Naming {
        match self.naming.as_str() {
            "hugging_face" => Naming::HuggingFace,
            "openai" => Naming::OpenAi,
            _ => Naming::OpenClip,
        }
    }

    /// The architecture that its files say, before weights are looked at.
    pub(crate) fn config(&self) -> ClipConfig {
        let text = |name: &str| self.files.get(name).map(ToString::to_string);
        match text("open_clip_config.json") {
            Some(open_clip) => {
                ClipConfig::from_open_clip_json(&open_clip, text("config.json").as_deref()).unwrap()
            }
            None => ClipConfig::from_json(&text("config.json").unwrap()).unwrap(),
        }
    }

    /// A folder as its authors would save it, the weights of the random generator in it.
    pub(crate) fn write(&self, folder: &Path) {
        for (name, content) in &self.files {
            let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            fs::write(folder.join(name), text).unwrap();
        }
        let file = file_of(self.naming(), &self.config(), &ALL);
        if !self.shapes.is_empty() {
            let ours: BTreeMap<String, Vec<usize>> =
                file.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
            // A scalar is saved as a list of one by some.
            let theirs = self.shapes.iter().map(|(name, shape)| {
                let shape =
                    if *shape == [1] && name.starts_with("logit_") { Vec::new() } else { shape.clone() };
                (name.clone(), shape)
            });
            assert_eq!(ours, theirs.collect(), "{}", self.name);
        }
        fs::write(folder.join("model.safetensors"), bytes_of(file.iter())).unwrap();
    }

    pub(crate) fn load(&self, folder: &Path) -> Checkpoint {
        let files = Files::at(folder);
        let (role, architecture, image_px) = (Role::Pretrained, None, self.image_px);
        Checkpoint::load(&CheckpointSpec { files, role, architecture, image_px, sha256: None }).unwrap()
    }

    /// Token ids by our own tokenizer where the case has texts, each like the reference's.
    fn bank(&self, checkpoint: &Checkpoint) -> TextBank {
        let (config, device) = (checkpoint.config(), Device::Cpu);
        let tower = TextTower::new(checkpoint.tensors(), config, &device).unwrap();
        if self.names.is_empty() {
            let width = self.ids[0].len();
            let ids = Tensor::from_vec(self.ids.concat(), (self.ids.len(), width), &device).unwrap();
            return TextBank::new(tower.features(&ids).unwrap(), self.ids.len(), config.projection).unwrap();
        }
        let prompts = Prompts::new(std::slice::from_ref(&self.template), &self.names).unwrap();
        let tokens = prompts.tokenize(&Vocabulary::of(checkpoint).unwrap(), config.context_tokens).unwrap();
        for (ours, theirs) in tokens.ids().chunks(tokens.width()).zip(&self.ids) {
            assert!(ours.starts_with(theirs), "{}: {ours:?} for {theirs:?}", self.name);
            assert!(ours[theirs.len()..].iter().all(|id| *id == 0), "{}: {ours:?}", self.name);
        }
        // Texts that do not fit were cut as the reference cuts them, or the ids would differ.
        TextBank::encode(&tower, &tokens).unwrap()
    }

    fn check(&self, pictures: &[Rgb8]) -> f64 {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        let checkpoint = self.load(folder.path());
        let config = checkpoint.config();
        let preprocess = checkpoint.preprocess().cloned().unwrap_or_else(|| Preprocess::of_family(config));
        let (side, mut resizer) = (config.image_px, Resizer::default());
        let pictures = &pictures[..self.probabilities.len()];
        let bytes: Vec<u8> = pictures
            .iter()
            .flat_map(|picture| resizer.frame(picture, &preprocess.framing).into_bytes())
            .collect();
        let normalizer = Normalizer::with(preprocess.rescale, preprocess.mean, preprocess.std);
        let pixels = normalizer.batch(&bytes, side, &Device::Cpu).unwrap();
        let model = |vision| ZeroShot {
            vision,
            bank: self.bank(&checkpoint),
            logit_scale: checkpoint.logit_scale(),
            logit_bias: checkpoint.logit_bias(),
        };
        let plain = VisionTower::new(checkpoint.tensors(), config, &Device::Cpu).unwrap();
        let mut worst = self.difference(&model(plain), &pixels);
        let engine = Arc::new(FastVision::new(config));
        let packed = pack(engine.packing(), checkpoint.tensors()).unwrap();
        // The kernels of unoptimised builds are slow; one picture of real size is enough for a second tower.
        let few = if side < 100 { pictures.len() } else { 1 };
        let fast = model(VisionTower::fast(&engine, &packed));
        worst = worst.max(self.difference(&fast, &pixels.narrow(0, 0, few).unwrap()));
        worst
    }

    fn difference(&self, model: &ZeroShot, pixels: &Tensor) -> f64 {
        let logits = model.logits(pixels).unwrap().to_vec2::<f32>().unwrap();
        for (ours, theirs) in logits.iter().zip(&self.logits) {
            // SigLIP's bias is in the logits, where no softmax would show that it is missing.
            assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-3), "{}: {ours:?}", self.name);
        }
        let rows = logits.iter().zip(&self.probabilities);
        let differences = rows.flat_map(|(logits, theirs)| {
            let most = logits.iter().copied().fold(f32::MIN, f32::max);
            let weights: Vec<f64> = logits.iter().map(|z| f64::from(z - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights
                .into_iter()
                .zip(theirs)
                .map(move |(weight, p)| (weight / sum - p).abs())
                .collect::<Vec<_>>()
        });
        differences.fold(0.0, f64::max)
    }
}

fn check_all(prefix: &str, n_cases: usize) {
    let goldens = goldens();
    let pictures = goldens.pictures();
    let cases: Vec<&Case> = goldens.cases.iter().filter(|case| case.name.starts_with(prefix)).collect();
    assert_eq!(cases.len(), n_cases);
    let found: Vec<(&str, f64)> =
        cases.iter().map(|case| (case.name.as_str(), case.check(&pictures))).collect();
    for (name, worst) in &found {
        println!("{name}: probabilities differ by {worst:.1e}");
    }
    let bad: Vec<_> = found.iter().filter(|(_, worst)| *worst > PROBABILITY || worst.is_nan()).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn an_image_processor_of_hugging_face_is_honoured_in_every_key() {
    // Fifteen ways of preparing pictures and three sizes of positions.
    check_all("hugging_face_", 18);
}

#[test]
fn a_preprocess_cfg_of_open_clip_is_honoured_in_every_mode() {
    check_all("open_clip_s", 9);
    check_all("open_clip_longest", 4);
}

#[test]
fn position_embeddings_are_resized_as_open_clip_does_it() {
    check_all("open_clip_at", 3);
}

#[test]
fn a_biomed_clip_of_timm_and_bert_is_open_clips() {
    check_all("biomed_clip_", 2);
}

#[test]
fn siglip_and_siglip_2_are_those_of_transformers() {
    check_all("siglip", 4);
}

#[test]
fn a_key_that_is_not_carried_is_refused_by_its_name() {
    let goldens = goldens();
    let case = goldens.case("hugging_face_shortest");
    let with = |name: &str, key: &str, value: Value| {
        let folder = tempfile::tempdir().unwrap();
        case.write(folder.path());
        let mut file = case.files["preprocessor_config.json"].clone();
        file[key] = value;
        fs::write(folder.path().join(name), file.to_string()).unwrap();
        let files = Files::at(folder.path());
        let spec = CheckpointSpec {
            files,
            role: Role::Pretrained,
            architecture: None,
            image_px: None,
            sha256: None,
        };
        Checkpoint::load(&spec).unwrap_err().to_string()
    };
    let cases = [
        ("do_pad", true.into(), "do_pad, found true, allowed no such key"),
        ("image_processor_type", "BlipImageProcessor".into(), "image_processor_type, found"),
        ("do_center_crop", false.into(), "do_center_crop, found false, allowed true, or a size"),
        ("crop_size", 24.into(), "crop_size, found 24, allowed 32, the model's image size"),
        ("resample", 9.into(), "resample, found 9, allowed 0 to 5"),
        (
            "image_std",
            serde_json::json!([0.5, 0, 0.5]),
            "image_std, found [0.5,0,0.5], allowed three positive",
        ),
        ("size", serde_json::json!({ "longest_edge": 32 }), "size, found"),
        ("size", serde_json::json!({ "height": 32, "width": 40 }), "size, found 32 x 40, allowed a square"),
    ];
    for (key, value, message) in cases {
        let found = with("preprocessor_config.json", key, value);
        assert!(found.starts_with(&format!("W015 preprocessing: {message}")), "{key}: {found}");
    }
}

/// Both parents as folders of a case, the expert's image tower moved a little, and the archive cut to a few pictures.
fn pair_of(case: &Case, n_pictures: usize) -> Fixture {
    let fixture = Fixture::new();
    for name in ["pretrained", "expert"] {
        let folder = fixture.path(name);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        case.write(&folder);
    }
    let mut file = file_of(case.naming(), &case.config(), &ALL);
    for (name, (_, values)) in &mut file {
        if name.starts_with("vis") && !name.contains("norm") {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(i, value)| *value *= 1.0 + 0.3 * (i as f32 * 0.37).sin());
        }
    }
    fs::write(fixture.path("expert/model.safetensors"), bytes_of(file.iter())).unwrap();
    let manifest = fixture.path("archive/manifest.csv");
    let text = fs::read_to_string(&manifest).unwrap();
    let few: Vec<&str> = text.lines().take(n_pictures + 1).collect();
    fs::write(&manifest, few.join("\n") + "\n").unwrap();
    fixture
}

/// At one coefficient T3_B is a fixed average, and its merge the one that is built once, to the last bit.
fn a_fixed_coefficient_is_wise_ft(name: &str, n_pictures: usize) {
    let goldens = goldens();
    let fixture = pair_of(goldens.case(name), n_pictures);
    let set = [
        ("merge.methods", r#"["pretrained", "expert", "wise_ft", "t3_b", "t3"]"#),
        ("merge.lambda_min", "0.5"),
        ("merge.lambda_max", "0.5"),
        ("output.probs", "true"),
    ];
    fixture.run("out", &set).unwrap();
    let predictions = table(&fixture.path("out"), "predictions");
    let (methods, found) = (predictions.text("method"), predictions.number("pred_prob"));
    let of = |name: &str| -> Vec<u64> {
        let rows = methods.iter().zip(&found).filter(|(method, _)| *method == name);
        rows.map(|(_, p)| p.to_bits()).collect()
    };
    assert_eq!(of("wise_ft").len(), n_pictures * N_CELLS);
    assert_eq!(of("t3_b"), of("wise_ft"));
    assert_eq!(of("t3"), of("wise_ft"));
    assert_ne!(of("pretrained"), of("expert"));
    assert_ne!(of("wise_ft"), of("expert"));
}

#[test]
fn a_siglip_pair_is_merged_end_to_end() {
    a_fixed_coefficient_is_wise_ft("siglip", 6);
}

#[test]
fn a_biomed_clip_pair_is_merged_end_to_end() {
    a_fixed_coefficient_is_wise_ft("biomed_clip_mlp", 1);
}
