//! What other programs save is read as the model they mean: open_clip's own tensors and PEFT's own adapters, from
//! `tests/golden/clip/make_layouts.py`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use t3b::model::{
    Checkpoint, ClipConfig, ModelError, Role, TextBank, ZeroShot,
    checkpoint::{CheckpointSpec, Source},
    convert::{self, Width},
    files::Files,
    layout::{self, Part},
    naming::{Naming, Take},
    normalize::Normalizer,
    pair::PairReport,
    random::{self, Seeds},
    tower::{TextTower, VisionTower},
};

use crate::exact::clip::{LOGITS_RELATIVE, noise};

const SEEDS: Seeds = Seeds { vision: 7, text: 11 };
/// PEFT multiplies and adds in f32 as we do, in another order. Measured 2.4e-7 in weights up to 2.
const FOLDED_ABSOLUTE: f32 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<Vec<u32>>,
    images: usize,
    openai: BTreeMap<String, Model>,
    open_clip: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    config: Value,
    tensors: BTreeMap<String, (Vec<usize>, String)>,
    logits: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../golden/clip/open_clip.json")).unwrap()
}

fn tiny() -> ClipConfig {
    let golden: Value = serde_json::from_str(include_str!("../../golden/clip/tiny.json")).unwrap();
    ClipConfig::from_hf_json(&golden["config"].to_string()).unwrap()
}

/// The random tensors of the tiny model as the file of another name giver.
pub(crate) fn file_of(
    naming: Naming,
    config: &ClipConfig,
    parts: &[Part],
) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut file = BTreeMap::<String, (Vec<usize>, Vec<f32>)>::new();
    for spec in layout::tensors(config).into_iter().filter(|spec| parts.contains(&spec.part)) {
        let (origin, values) = (naming.origin(&spec, config), random::values(&spec, SEEDS));
        let (_, place) = file.entry(origin.name).or_insert_with(|| {
            let elements = origin.shape.iter().product();
            (origin.shape.clone(), vec![f32::NAN; elements])
        });
        match origin.take {
            Take::Whole => place.copy_from_slice(&values),
            Take::Rows { index, .. } => {
                place[index * values.len()..(index + 1) * values.len()].copy_from_slice(&values);
            }
            Take::Transposed => {
                let (rows, columns) = (spec.shape[0], spec.shape[1]);
                for (i, value) in values.iter().enumerate() {
                    place[(i % columns) * rows + i / columns] = *value;
                }
            }
        }
    }
    file
}

pub(crate) fn bytes_of<'a>(file: impl Iterator<Item = (&'a String, &'a (Vec<usize>, Vec<f32>))>) -> Vec<u8> {
    let tensors: Vec<(&String, &Vec<usize>, Vec<u8>)> = file
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

pub(crate) const ALL: [Part; 3] = [Part::Vision, Part::Text, Part::Scale];

pub(crate) fn spec(path: &Path, role: Role) -> CheckpointSpec {
    CheckpointSpec { files: Files::at(path), role, architecture: None, image_px: None, sha256: None }
}

fn logits(checkpoint: &Checkpoint, golden: &Golden) -> Vec<Vec<f32>> {
    let (config, device) = (checkpoint.config(), Device::Cpu);
    let width = golden.ids.iter().map(Vec::len).max().unwrap();
    let ids = Tensor::from_vec(golden.ids.concat(), (golden.ids.len(), width), &device).unwrap();
    let text = TextTower::new(checkpoint.tensors(), config, &device).unwrap();
    let bank = TextBank::new(text.features(&ids).unwrap(), golden.ids.len(), config.projection).unwrap();
    let vision = VisionTower::new(checkpoint.tensors(), config, &device).unwrap();
    let (logit_scale, logit_bias) = (checkpoint.logit_scale(), checkpoint.logit_bias());
    let model = ZeroShot { vision, bank, logit_scale, logit_bias };
    let side = config.image_px;
    let pixels = Normalizer::new().batch(&noise(golden.images * side * side * 3), side, &device).unwrap();
    model.logits(&pixels).unwrap().to_vec2().unwrap()
}

#[test]
fn tensors_under_other_names_are_open_clips_own_and_give_its_logits() {
    let golden = golden();
    for (naming, models) in [(Naming::OpenAi, &golden.openai), (Naming::OpenClip, &golden.open_clip)] {
        for (activation, model) in models {
            let file = file_of(naming, &tiny(), &ALL);
            let hashes: BTreeMap<String, (Vec<usize>, String)> = file
                .iter()
                .map(|(name, (shape, values))| {
                    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    (name.clone(), (shape.clone(), hex::encode(Sha256::digest(bytes))))
                })
                .collect();
            let theirs: BTreeMap<_, _> =
                model.tensors.clone().into_iter().filter(|(name, _)| !naming.is_buffer(name)).collect();
            assert_eq!(hashes, theirs, "{} {activation}", naming.name());

            let folder = tempfile::tempdir().unwrap();
            let config = serde_json::json!({ "model_cfg": model.config });
            fs::write(folder.path().join("open_clip_config.json"), config.to_string()).unwrap();
            fs::write(folder.path().join("open_clip_model.safetensors"), bytes_of(file.iter())).unwrap();
            let checkpoint = Checkpoint::load(&spec(folder.path(), Role::Pretrained)).unwrap();
            assert_eq!(checkpoint.source(), Source::Full(naming));
            let (found, wanted) = (logits(&checkpoint, &golden).concat(), model.logits.concat());
            let largest = wanted.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
            let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
            println!("{} {activation}: logits differ by {worst:e} of the largest", naming.name());
            assert!(worst <= LOGITS_RELATIVE, "{} {activation}: {worst:e}", naming.name());
        }
    }
}

/// One forward pass is enough for all three: the tensors are equal bit for bit.
#[test]
fn three_exports_of_a_vit_b_16_are_one_model() {
    let config = ClipConfig::named("clip-vit-base-patch16").unwrap();
    let hugging_face = random::tensors(&config, SEEDS).unwrap();
    for naming in [Naming::HuggingFace, Naming::OpenAi, Naming::OpenClip] {
        let file = bytes_of(file_of(naming, &config, &ALL).iter());
        let checkpoint = Checkpoint::from_bytes(Role::Pretrained, config.clone(), file, None).unwrap();
        assert_eq!(checkpoint.source(), Source::Full(naming));
        for (name, tensor) in checkpoint.tensors() {
            let bits = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(bits(tensor), bits(&hugging_face[name]), "{} {name}", naming.name());
        }
    }
}

#[test]
fn sharded_weights_are_the_whole_and_an_index_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_of(Naming::HuggingFace, &tiny(), &ALL);
    let (front, back) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let is_front = |name: &String| name.starts_with("text");
    fs::write(folder.path().join("config.json"), tiny().to_hf_json()).unwrap();
    fs::write(folder.path().join(front), bytes_of(file.iter().filter(|(name, _)| is_front(name)))).unwrap();
    fs::write(folder.path().join(back), bytes_of(file.iter().filter(|(name, _)| !is_front(name)))).unwrap();
    let mut map: BTreeMap<&String, &str> =
        file.keys().map(|name| (name, if is_front(name) { front } else { back })).collect();
    let index = folder.path().join("model.safetensors.index.json");
    let load = |map: &BTreeMap<&String, &str>| {
        fs::write(&index, serde_json::json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
        Checkpoint::load(&spec(folder.path(), Role::Expert))
    };
    let whole = load(&map).unwrap();
    let single = Checkpoint::from_bytes(Role::Expert, tiny(), bytes_of(file.iter()), None).unwrap();
    let report = PairReport::compare(&single, &whole).unwrap();
    assert_eq!(report.differing(), [] as [&str; 0]);

    let scale = layout::LOGIT_SCALE.to_owned();
    map.insert(&scale, front);
    let error = load(&map).unwrap_err();
    assert_eq!(
        error.to_string(),
        "W003 index of the weights files: tensor 'logit_scale' is not where it says"
    );
    map.insert(&scale, "../secret.safetensors");
    let error = load(&map).unwrap_err().to_string();
    assert_eq!(
        error,
        "W003 index of the weights files: a file name that leaves the folder, or is not safetensors"
    );
}

#[test]
fn an_expert_of_the_image_half_alone_keeps_the_base_text_half() {
    let config = tiny();
    let base = random::safetensors(&config, Seeds { vision: 3, text: 5 }).unwrap();
    let base = Checkpoint::from_bytes(Role::Pretrained, config.clone(), base, None).unwrap();
    for naming in [Naming::HuggingFace, Naming::OpenAi] {
        let folder = tempfile::tempdir().unwrap();
        let file = file_of(naming, &config, &[Part::Vision]);
        fs::write(folder.path().join("model.safetensors"), bytes_of(file.iter())).unwrap();
        fs::write(folder.path().join("config.json"), r#"{"model_type":"clip_vision_model"}"#).unwrap();
        let expert = Checkpoint::load_over(&spec(folder.path(), Role::Expert), &base).unwrap();
        assert_eq!(expert.source(), Source::VisionOnly(naming));
        let report = PairReport::compare(&base, &expert).unwrap();
        assert!(report.text_towers_equal() && !report.logit_scales_differ());
        let n_vision = layout::tensors(&config).iter().filter(|spec| spec.part == Part::Vision).count();
        assert_eq!(report.differing().len(), n_vision);
        // Without a base the same file is not a model.
        let error = Checkpoint::load(&spec(folder.path(), Role::Expert)).unwrap_err();
        assert_eq!(error.code(), "W013");
    }
    // A text half with a hole is no vision-only file.
    let mut file = file_of(Naming::HuggingFace, &config, &ALL);
    file.remove("text_model.final_layer_norm.bias");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), bytes_of(file.iter())).unwrap();
    let error = Checkpoint::load_over(&spec(folder.path(), Role::Expert), &base).unwrap_err().to_string();
    assert_eq!(error, "W005 expert lacks 1 tensor: text_model.final_layer_norm.bias");
}

#[test]
fn a_folded_adapter_is_what_peft_merges() {
    let config = tiny();
    let base = random::safetensors(&config, SEEDS).unwrap();
    let base = Checkpoint::from_bytes(Role::Pretrained, config, base, None).unwrap();
    for name in ["lora", "lora_patterns"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip").join(name);
        let expert = Checkpoint::load_over(&spec(&folder, Role::Expert), &base).unwrap();
        let merged = fs::read(folder.join("merged.safetensors")).unwrap();
        let merged = SafeTensors::deserialize(&merged).unwrap();
        assert_eq!(expert.source(), Source::Adapter { n_layers: merged.len() });
        let report = PairReport::compare(&base, &expert).unwrap();
        let mut names = merged.names();
        names.sort_unstable();
        assert_eq!(report.differing(), names);
        let mut worst = 0.0_f32;
        for (name, view) in merged.tensors() {
            let ours = expert.tensors()[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let theirs = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
        }
        println!("{name}: folded weights differ by {worst:e} from PEFT's");
        assert!(worst <= FOLDED_ABSOLUTE, "{name}: {worst:e}");
    }
}

#[test]
fn an_adapter_that_would_be_folded_wrongly_is_refused() {
    let config = tiny();
    let base = random::safetensors(&config, SEEDS).unwrap();
    let base = Checkpoint::from_bytes(Role::Pretrained, config, base, None).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip/lora");
    let text = fs::read_to_string(golden.join("adapter_config.json")).unwrap();
    let with = |key: &str, value: Value| {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config[key] = value;
        fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let weights = "adapter_model.safetensors";
        fs::copy(golden.join(weights), folder.path().join(weights)).unwrap();
        let refused = |result: Result<Checkpoint, ModelError>| result.unwrap_err().to_string();
        refused(Checkpoint::load_over(&spec(folder.path(), Role::Expert), &base))
    };
    let cases = [
        ("use_bdlora", Value::from(true), "use_bdlora, found true, allowed false"),
        ("kasa_config", serde_json::json!({ "rank": 2 }), r#"kasa_config, found {\"rank\":2}, allowed null"#),
        ("peft_type", Value::from("IA3"), r#"peft_type, found \"IA3\", allowed LORA"#),
        ("lora_alpha", Value::Null, "lora_alpha, found no number, allowed a positive number"),
        (
            "r",
            Value::from(8),
            "vision_model.encoder.layers.0.self_attn.k_proj, found [4, 48] and [48, 4], allowed [8,48] and [48,8]",
        ),
        (
            "rank_pattern",
            serde_json::json!({ "layers.[01].q_proj": 2 }),
            "rank_pattern, found layers.[01].q_proj, allowed the ends of module names",
        ),
    ];
    for (key, value, message) in cases {
        assert_eq!(with(key, value), format!("W013 adapter: {message}"));
    }
    let error = Checkpoint::load(&spec(&golden, Role::Pretrained)).unwrap_err();
    assert!(
        error.to_string().starts_with("W013 adapter: adapter_config.json, found low-rank updates"),
        "{error}"
    );
}

#[test]
fn an_architecture_of_another_family_is_named() {
    let refused = |model: Value| {
        let config = serde_json::json!({ "model_cfg": model });
        ClipConfig::from_json(&config.to_string()).unwrap_err().to_string()
    };
    let with = |key: &str, value: Value| {
        let mut model = golden().openai["gelu"].config.clone();
        let (section, key) = key.split_once('.').unwrap();
        model[section][key] = value;
        refused(model)
    };
    let cases = [
        (
            with("vision_cfg.timm_model_name", "convnext_base".into()),
            r#"vision_cfg.timm_model_name, found \"convnext_base\", allowed vit_SIZE_patchN_PX with a class token, or vit_SIZE_patchN_siglip_PX"#,
        ),
        (
            with("vision_cfg.layers", serde_json::json!([3, 4, 6, 3])),
            r#"vision_cfg.layers, found \"stages of a ResNet\", allowed a number: no ResNet image towers"#,
        ),
        (with("text_cfg.embed_cls", true.into()), "text_cfg.embed_cls, found true, allowed no such key"),
        (with("vision_cfg.patch_size", 7.into()), "vision_cfg.patch_size, found 7, allowed a divisor of 32"),
    ];
    for (found, message) in cases {
        assert_eq!(found, format!("W013 model configuration: {message}"));
    }
}

#[test]
fn a_trainers_pickle_is_converted_without_a_change_of_value() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip/micro/epoch_3.pt");
    let error = Checkpoint::load(&spec(&source, Role::Pretrained)).unwrap_err();
    assert!(
        error.report().starts_with("error[W001]") && error.hint().contains("t3b models convert"),
        "{error}"
    );

    let out = tempfile::tempdir().unwrap();
    let read = convert::read(&source, &spec(&source, Role::Pretrained)).unwrap();
    convert::write(&read, &source, Width::Kept, out.path()).unwrap();
    let written = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap();
    for tensor in layout::tensors(written.config()) {
        assert_eq!(written.file_dtype(&tensor.name), Some(Dtype::F16), "{}", tensor.name);
        let found = written.tensors()[&tensor.name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let halves = random::values(&tensor, SEEDS).into_iter().map(|v| half::f16::from_f32(v).to_f32());
        assert_eq!(found, halves.collect::<Vec<_>>(), "{}", tensor.name);
    }
}

#[test]
fn a_pickle_that_is_a_trap_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // A tuple in a tuple in a tuple, half a million deep: dropping it by recursion needs a stack.
    let nest = [b"\x80\x02)".as_slice(), &vec![0x85; 500_000], b"."].concat();
    let too_long = [b"\x80\x02)".as_slice(), &vec![0x85; 2_000_000], b"."].concat();
    let code = b"cos\nsystem\n(S'touch pwned'\ntR.".to_vec();
    for (name, program) in [("nest", nest), ("too_long", too_long), ("code", code), ("empty", b"}.".to_vec())]
    {
        let path = folder.path().join(format!("{name}.pt"));
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", stored).unwrap();
        zip.write_all(&program).unwrap();
        zip.finish().unwrap();
        let error = convert::read(&path, &spec(&path, Role::Pretrained)).unwrap_err().to_string();
        assert!(
            error.starts_with("W003 not a safetensors file: no tensors found in the pickle"),
            "{name}: {error}"
        );
    }
    assert!(!Path::new("pwned").exists());
}
