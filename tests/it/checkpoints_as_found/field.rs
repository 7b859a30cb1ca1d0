//! Files as the field has them, after public reports: each is read as its authors meant it, or refused by a code that names
//! the key. Names of tests begin with the number of the fault in the list they were made from.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use t3b::model::{
    Checkpoint, ClipConfig, ModelError, Role,
    checkpoint::Source,
    convert::{self, Converted, Width},
    layout::{self, LOGIT_SCALE, Part},
    look::{self, Look},
    naming::Naming,
    pair::PairReport,
    random::{self, Seeds},
};

use crate::bad_checkpoints as bad;
use crate::checkpoints_as_found::layouts::{ALL, bytes_of, file_of, spec};
use crate::support::Fixture;

/// PEFT multiplies and adds in f32, and decomposes in it where it does.
const FOLDED_ABSOLUTE: f32 = 1e-6;
const SEEDS: Seeds = Seeds { vision: 7, text: 11 };

type File = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(name)
}

fn tiny() -> ClipConfig {
    let golden: Value = serde_json::from_str(include_str!("../../golden/clip/tiny.json")).unwrap();
    ClipConfig::from_hf_json(&golden["config"].to_string()).unwrap()
}

fn base() -> Checkpoint {
    let file = random::safetensors(&tiny(), SEEDS).unwrap();
    Checkpoint::from_bytes(Role::Pretrained, tiny(), file, None).unwrap()
}

/// A folder with these weights and files.
fn folder(weights: &File, files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), bytes_of(weights.iter())).unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    folder
}

fn over_base(folder: &Path) -> Result<Checkpoint, ModelError> {
    Checkpoint::load_over(&spec(folder, Role::Expert), &base())
}

fn renamed(file: File, rename: impl Fn(&str) -> String) -> File {
    file.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn same_tensors(left: &Checkpoint, right: &Checkpoint) {
    for (name, tensor) in left.tensors() {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(tensor), values(&right.tensors()[name]), "{name}");
    }
}

fn tiny_json() -> Value {
    serde_json::from_str(&tiny().to_hf_json()).unwrap()
}

#[test]
fn f2_two_parents_that_want_other_pixels_are_refused_and_a_pipeline_decides() {
    let fixture = Fixture::new();
    let squash =
        json!({ "image_processor_type": "SiglipImageProcessor", "size": { "height": 64, "width": 64 } });
    let path = fixture.path("expert").join("preprocessor_config.json");
    let side = fixture_px(&fixture);
    let squash = squash.to_string().replace("64", &side.to_string());
    fs::write(&path, squash).unwrap();
    let error = fixture.run("refused", &[]).unwrap_err().to_string();
    assert!(
        error.contains("W016") && error.contains("resize_mode, pretrained shortest, expert squash"),
        "{error}"
    );
    let by_hand = [
        ("models.preprocess.resize_mode", "squash"),
        ("models.preprocess.mean", "[0.5, 0.5, 0.5]"),
        ("models.preprocess.std", "[0.5, 0.5, 0.5]"),
    ];
    fixture.run("decided", &by_hand).unwrap();
    let other = [("models.preprocess.interpolation", "no such")];
    let error = fixture.run("unknown", &other).unwrap_err().to_string();
    assert!(error.contains("models.preprocess.interpolation"), "{error}");
}

fn fixture_px(fixture: &Fixture) -> usize {
    let config = fs::read_to_string(fixture.path("pretrained").join("config.json")).unwrap();
    ClipConfig::from_hf_json(&config).unwrap().image_px
}

#[test]
fn f3_every_variant_of_lora_is_what_peft_merges() {
    for name in ["pissa", "olora", "dora", "bias", "lora_bias", "saved", "kernel", "mica"] {
        let path = golden("adapters").join(name);
        let expert = over_base(&path).unwrap();
        let merged = fs::read(path.join("merged.safetensors")).unwrap();
        let merged = SafeTensors::deserialize(&merged).unwrap();
        let mut names = merged.names();
        names.sort_unstable();
        assert_eq!(PairReport::compare(&base(), &expert).unwrap().differing(), names, "{name}");
        let mut worst = 0.0_f32;
        for (tensor, view) in merged.tensors() {
            let ours = expert.tensors()[&tensor].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let theirs = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
        }
        println!("{name}: folded weights differ by {worst:e} from PEFT's");
        assert!(worst <= FOLDED_ABSOLUTE, "{name}: {worst:e}");
    }
}

#[test]
fn f3_an_initialisation_that_cannot_be_repeated_is_refused() {
    for name in ["corda", "loftq", "pissa_niter_4", "lora_ga"] {
        let out = adapter_with("pissa", &[("init_lora_weights", name.into())]);
        let error = over_base(out.path()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(r#"W013 adapter: init_lora_weights, found \"{name}\", allowed"#)),
            "{error}"
        );
    }
}

/// A golden adapter with some keys changed.
fn adapter_with(name: &str, keys: &[(&str, Value)]) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let from = golden("adapters").join(name);
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(from.join("adapter_config.json")).unwrap()).unwrap();
    keys.iter().for_each(|(key, value)| config[*key] = value.clone());
    fs::write(out.path().join("adapter_config.json"), config.to_string()).unwrap();
    fs::copy(from.join("adapter_model.safetensors"), out.path().join("adapter_model.safetensors")).unwrap();
    out
}

#[test]
fn f4_an_image_half_whose_configuration_is_not_the_bases_is_refused() {
    let half = file_of(Naming::HuggingFace, &tiny(), &[Part::Vision]);
    let with = |key: &str, value: Value| {
        let mut config = tiny_json()["vision_config"].clone();
        config["model_type"] = "clip_vision_model".into();
        config[key] = value;
        over_base(folder(&half, &[("config.json", config)]).path())
    };
    assert_eq!(with("projection_dim", 512.into()).unwrap().source(), Source::VisionOnly(Naming::HuggingFace));
    for (key, value, message) in [
        ("num_attention_heads", json!(4), "'vision_config.num_attention_heads': image half 4, base 3"),
        ("hidden_act", json!("gelu"), "'vision_config.hidden_act': image half gelu, base quick_gelu"),
        ("layer_norm_eps", json!(1e-6), "'vision_config.layer_norm_eps': image half 1e-6, base 1e-5"),
        ("patch_size", json!(16), "'vision_config.patch_size': image half 16, base 8"),
    ] {
        assert_eq!(with(key, value).unwrap_err().to_string(), format!("W006 {message}"));
    }
}

#[test]
fn f5_two_configurations_that_disagree_are_an_error_with_the_key() {
    let goldens = crate::checkpoints_as_found::families::goldens();
    let case = goldens.case("open_clip_shortest_bicubic");
    let out = tempfile::tempdir().unwrap();
    case.write(out.path());
    let mut config = tiny_json();
    config["vision_config"]["hidden_act"] = "gelu".into();
    config["text_config"]["hidden_act"] = "gelu".into();
    fs::write(out.path().join("config.json"), config.to_string()).unwrap();
    Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap();
    config["vision_config"]["hidden_act"] = "quick_gelu".into();
    fs::write(out.path().join("config.json"), config.to_string()).unwrap();
    let error = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap_err().to_string();
    assert_eq!(error, "W013 vision_config.hidden_act: config.json quick_gelu, open_clip_config.json gelu");
    // The same of pixels.
    config["vision_config"]["hidden_act"] = "gelu".into();
    fs::write(out.path().join("config.json"), config.to_string()).unwrap();
    let half = json!({ "size": { "shortest_edge": 32 }, "crop_size": 32, "image_mean": [0.5, 0.5, 0.5] });
    fs::write(out.path().join("preprocessor_config.json"), half.to_string()).unwrap();
    let error = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap_err().to_string();
    assert!(
        error.starts_with("W013 preprocessing: mean: preprocessor_config.json [0.5, 0.5, 0.5], open_clip"),
        "{error}"
    );
}

#[test]
fn f6_one_ulp_in_the_text_tower_does_not_move_ties() {
    let fixture = Fixture::new();
    let methods = [("merge.methods", r#"["ties"]"#), ("merge.primary", "ties"), ("output.probs", "true")];
    fixture.run("before", &methods).unwrap();
    let path = fixture.path("expert").join("model.safetensors");
    let file = fs::read(&path).unwrap();
    fs::write(&path, nudged(&file)).unwrap();
    fixture.run("after", &methods).unwrap();
    let read = |out: &str| crate::tables::table(&fixture.path(out), "predictions").number("pred_prob");
    let (before, after) = (read("before"), read("after"));
    assert_eq!(before.len(), after.len());
    let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("one ulp in the text tower moves ties by {worst:e}");
    assert!(worst < 1e-4, "{worst:e}");
}

/// Every value of the text tower moved to its neighbour.
fn nudged(file: &[u8]) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let moved: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32);
            let step = u32::from(name.starts_with("text_model."));
            let values = view.data().as_chunks::<4>().0.iter();
            let bits = values.flat_map(|bytes| (u32::from_le_bytes(*bytes) ^ step).to_le_bytes());
            (name, view.shape().to_vec(), bits.collect())
        })
        .collect();
    let views = moved.iter().map(|(name, shape, bytes)| {
        (name.as_str(), safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn f7_a_first_pass_of_other_models_or_classes_is_refused() {
    let fixture = Fixture::new();
    fixture.run("first", &[]).unwrap();
    let uri = fixture.path("first/_t3b/runs/r").to_string_lossy().into_owned();
    let second =
        [("merge.methods", r#"["constant"]"#), ("merge.primary", "constant"), ("merge.from", uri.as_str())];
    fixture.run("second", &second).unwrap();
    let refused = |out: &str, key: &str, value: &str, what: &str| {
        let mut keys = second.to_vec();
        keys.push((key, value));
        let error = fixture.run(out, &keys).unwrap_err().to_string();
        assert!(error.contains("C009") && error.contains(what), "{error}");
    };
    refused("texts", "labels.templates", r#"["a smear of a {}."]"#, "another set of class texts");
    refused("pixels", "models.preprocess.interpolation", "bilinear", "another preprocessing");
    let expert = fixture.path("pretrained").to_string_lossy().into_owned();
    refused("models", "models.expert", &expert, "another expert");
    let names = r#"["red blood cell", "white blood cell", "platelet"]"#;
    let mut keys = second.to_vec();
    keys.push(("labels.names", names));
    assert!(fixture.run("classes", &keys).is_err());
}

#[test]
fn f8_any_mix_of_data_types_is_one_pair_and_convert_writes_f32() {
    let good = bytes_of(file_of(Naming::HuggingFace, &tiny(), &ALL).iter());
    let mixed = ["text_projection.weight", "visual_projection.weight", "vision_model.post_layernorm.bias"];
    let mixed = bad::retyped(
        &bad::retyped(&bad::retyped(&good, mixed[0], Dtype::F16), mixed[1], Dtype::BF16),
        mixed[2],
        Dtype::F64,
    );
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("config.json"), tiny().to_hf_json()).unwrap();
    fs::write(out.path().join("model.safetensors"), &mixed).unwrap();
    let expert = over_base(out.path()).unwrap();
    let report = PairReport::compare(&base(), &expert).unwrap();
    // Doubles of f32 values are those values; halves are rounded.
    assert_eq!(report.differing(), ["text_projection.weight", "visual_projection.weight"]);
    let written = tempfile::tempdir().unwrap();
    let read = convert::read(out.path(), &spec(out.path(), Role::Pretrained)).unwrap();
    convert::write(&read, out.path(), Width::F32, written.path()).unwrap();
    let written = Checkpoint::load(&spec(written.path(), Role::Pretrained)).unwrap();
    assert!(layout::tensors(&tiny()).iter().all(|t| written.file_dtype(&t.name) == Some(Dtype::F32)));
    same_tensors(&expert, &written);
}

#[test]
fn f8_a_double_beyond_single_precision_is_told() {
    let good = bytes_of(file_of(Naming::HuggingFace, &tiny(), &ALL).iter());
    let mut wide = bad::retyped(&good, "visual_projection.weight", Dtype::F64);
    // safetensors puts the widest type first.
    let start = 8 + usize::try_from(u64::from_le_bytes(*wide.first_chunk().unwrap())).unwrap();
    wide[start..start + 8].copy_from_slice(&1e300_f64.to_le_bytes());
    let error = Checkpoint::from_bytes(Role::Expert, tiny(), wide, None).unwrap_err().to_string();
    assert!(error.starts_with("W007 'visual_projection.weight' has 1 non-finite value"), "{error}");
}

#[test]
fn f9_halves_without_their_prefix_are_the_half() {
    let vision = [Part::Vision];
    let halves = [
        renamed(file_of(Naming::HuggingFace, &tiny(), &vision), |name| name.replace("vision_model.", "")),
        renamed(file_of(Naming::OpenAi, &tiny(), &vision), |name| name.replace("visual.", "")),
        file_of(Naming::OpenAi, &tiny(), &vision),
    ];
    for half in halves {
        let out = folder(&half, &[]);
        let expert = over_base(out.path()).unwrap();
        assert!(matches!(expert.source(), Source::VisionOnly(_)));
        same_tensors(&base(), &expert);
    }
    let lora = adapter_with("dora", &[("auto_mapping", json!({ "base_model_class": "CLIPVisionModel" }))]);
    let path = lora.path().join("adapter_model.safetensors");
    let file = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let bare = tensors.tensors().into_iter().map(|(name, view)| (name.replace("vision_model.", ""), view));
    fs::write(&path, safetensors::serialize(bare, None).unwrap()).unwrap();
    same_tensors(&over_base(&golden("adapters/dora")).unwrap(), &over_base(lora.path()).unwrap());
}

#[test]
fn f10_wrappers_are_taken_off_the_names() {
    for prefix in
        ["_orig_mod.", "module.", "model.", "clip.", "net.", "module._orig_mod.", "state_dict.model."]
    {
        for naming in [Naming::HuggingFace, Naming::OpenAi] {
            let file = renamed(file_of(naming, &tiny(), &ALL), |name| format!("{prefix}{name}"));
            let out = folder(&file, &[("config.json", tiny_json())]);
            let read = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap();
            same_tensors(&base(), &read);
            let said = read.warnings()[0].to_string();
            assert_eq!(said, format!("W019 pretrained: tensor names, '{prefix}' taken off"));
        }
    }
    // What is beside the model is not hidden by taking the wrapper off.
    let mut file = renamed(file_of(Naming::HuggingFace, &tiny(), &ALL), |name| format!("model.{name}"));
    file.insert("loss.weight".to_owned(), (vec![1], vec![0.0]));
    let out = folder(&file, &[("config.json", tiny_json())]);
    let error = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap_err().to_string();
    assert_eq!(error, "W005 pretrained has 1 unknown tensor: loss.weight");
}

#[test]
fn f11_pickles_of_every_age_and_trainer_are_converted() {
    let micro: ClipConfig =
        ClipConfig::from_hf_json(&fs::read_to_string(golden("pickles/config.json")).unwrap()).unwrap();
    let bytes = random::safetensors(&micro, SEEDS).unwrap();
    let wanted = Checkpoint::from_bytes(Role::Pretrained, micro, bytes, None).unwrap();
    for name in ["legacy.bin", "beside.pth", "net.ckpt"] {
        let path = golden("pickles").join(name);
        let Converted::Whole(read) = convert::read(&path, &spec(&path, Role::Pretrained)).unwrap() else {
            panic!("{name} is a whole model")
        };
        same_tensors(&wanted, &read);
    }
    // A program of TorchScript: the weights are read, no code is run; OpenAI's are halves.
    let path = golden("pickles/torchscript.pt");
    let out = tempfile::tempdir().unwrap();
    let read = convert::read(&path, &spec(&path, Role::Pretrained)).unwrap();
    convert::write(&read, &path, Width::Kept, out.path()).unwrap();
    let written = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap();
    assert_eq!(written.file_dtype("visual_projection.weight"), Some(Dtype::F16));
    let rounded = |v: f32| half::f16::from_f32(v).to_f32();
    for (name, tensor) in wanted.tensors() {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wanted: Vec<f32> = values(tensor).into_iter().map(rounded).collect();
        assert_eq!(values(&written.tensors()[name]), wanted, "{name}");
    }
}

#[test]
fn f11_a_half_in_a_pickle_is_written_as_a_half() {
    let path = golden("pickles/half.pth.tar-5");
    let out = tempfile::tempdir().unwrap();
    let read = convert::read(&path, &spec(&path, Role::Pretrained)).unwrap();
    let Converted::Half(part) = &read else { panic!("an image half") };
    assert_eq!(part.renaming.to_string(), "'state_dict.image_encoder.' taken off");
    convert::write(&read, &path, Width::Kept, out.path()).unwrap();
    // The configuration beside the pickle is of the whole model, and goes along.
    let micro =
        ClipConfig::from_hf_json(&fs::read_to_string(golden("pickles/config.json")).unwrap()).unwrap();
    let base = random::safetensors(&micro, Seeds { vision: 1, text: 11 }).unwrap();
    let base = Checkpoint::from_bytes(Role::Pretrained, micro, base, None).unwrap();
    let expert = Checkpoint::load_over(&spec(out.path(), Role::Expert), &base).unwrap();
    assert_eq!(expert.source(), Source::VisionOnly(Naming::HuggingFace));
    assert!(PairReport::compare(&base, &expert).unwrap().text_towers_equal());
    assert!(matches!(look::at(out.path(), &spec(out.path(), Role::Pretrained)).unwrap(), Look::Half(_)));
}

#[test]
fn f11_a_pickle_of_two_models_or_of_prompts_is_refused_by_name() {
    let refused = |name: &str| {
        let path = golden("pickles").join(name);
        convert::read(&path, &spec(&path, Role::Pretrained)).unwrap_err().to_string()
    };
    assert_eq!(refused("two.pt"), "W005 the file holds several models, below 'ema.', 'teacher.'");
    let error = refused("prompts.pt");
    assert!(error.starts_with("W005 pretrained lacks") && error.contains("unknown tensor: ctx"), "{error}");
    // The folder with the one pickle needs no file name.
    let out = tempfile::tempdir().unwrap();
    fs::copy(golden("pickles/legacy.bin"), out.path().join("pytorch_model.bin")).unwrap();
    fs::copy(golden("pickles/config.json"), out.path().join("config.json")).unwrap();
    assert!(convert::read(out.path(), &spec(out.path(), Role::Pretrained)).is_ok());
}

#[test]
fn f12_scales_are_used_as_the_references_use_them() {
    let with_scale = |shape: Vec<usize>, value: f32| {
        let mut file = file_of(Naming::HuggingFace, &tiny(), &ALL);
        file.insert(LOGIT_SCALE.to_owned(), (shape, vec![value]));
        Checkpoint::from_bytes(Role::Pretrained, tiny(), bytes_of(file.iter()), None)
    };
    same_tensors(&base(), &with_scale(vec![1], base().logit_scale() as f32).unwrap());
    let large = with_scale(Vec::new(), 5.0).unwrap();
    assert_eq!(large.warnings()[0].to_string().split(' ').next(), Some("W017"));
    assert_eq!(with_scale(Vec::new(), 14.28).unwrap_err().code(), "W011");
    // An expert without one takes the generalist's; a generalist needs one.
    let mut file = file_of(Naming::HuggingFace, &tiny(), &ALL);
    file.remove(LOGIT_SCALE);
    let out = folder(&file, &[("config.json", tiny_json())]);
    same_tensors(&base(), &over_base(out.path()).unwrap());
    let error = Checkpoint::load(&spec(out.path(), Role::Pretrained)).unwrap_err();
    assert_eq!(error.to_string(), "W011 logit_scale is missing");
}

#[test]
fn f13_adapters_as_older_peft_saves_them() {
    let path = golden("adapters/pickled");
    let error = over_base(&path).unwrap_err();
    assert_eq!((error.code(), error.hint().contains("t3b models convert")), ("W001", true));
    let out = tempfile::tempdir().unwrap();
    let read = convert::read(&path, &spec(&path, Role::Expert)).unwrap();
    assert!(matches!(read, Converted::Adapter(_)));
    convert::write(&read, &path, Width::Kept, out.path()).unwrap();
    let expert = over_base(out.path()).unwrap();
    same_tensors(&over_base(&golden("adapters/dora")).unwrap(), &expert);
    let Look::Adapter(tensors, keys) = look::at(out.path(), &spec(out.path(), Role::Pretrained)).unwrap()
    else {
        panic!("an adapter")
    };
    assert_eq!(tensors.n_tensors, 6);
    assert!(keys.contains(&("use_dora".to_owned(), "true".to_owned())), "{keys:?}");
    // The adapter's own name in the names of tensors.
    let named = adapter_with("lora_bias", &[]);
    let path = named.path().join("adapter_model.safetensors");
    let file = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let with_name =
        |name: String| name.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default.");
    let renamed = tensors.tensors().into_iter().map(|(name, view)| (with_name(name), view));
    fs::write(&path, safetensors::serialize(renamed, None).unwrap()).unwrap();
    same_tensors(&over_base(&golden("adapters/lora_bias")).unwrap(), &over_base(named.path()).unwrap());
}

#[test]
fn f13_a_missing_file_is_told_with_the_checkpoint_and_what_to_do() {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("model.safetensors"), b"").unwrap();
    let error = Checkpoint::load(&spec(out.path(), Role::Expert)).unwrap_err();
    assert_eq!(
        error.report(),
        "error[W012] cannot read 'config.json': entity not found (in expert). \
         hint: put the model's config.json beside its weights, or set models.arch"
    );
}

#[test]
fn f14_class_vectors_that_were_rounded_are_brought_back_to_length_one() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("bank.safetensors");
    let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
    let write = |dtype: Dtype, scale: f32| {
        let row = |start: usize| (start..start + 64).map(|i: usize| (i as f32 * 0.7).sin());
        let unit = |start: usize| {
            let length = row(start).map(|v| v * v).sum::<f32>().sqrt();
            row(start).map(move |v| scale * v / length)
        };
        let values: Vec<f32> = unit(0).chain(unit(64)).collect();
        let bytes: Vec<u8> = match dtype {
            Dtype::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let view = safetensors::tensor::TensorView::new(dtype, vec![2, 64], &bytes).unwrap();
        fs::write(&path, safetensors::serialize([("text_features", view)], None).unwrap()).unwrap();
        let key = t3b::model::bank_file::BankKey { classes: &names, templates: &[] };
        t3b::model::bank_file::read(&path, key, 64).map(|(bank, _)| bank)
    };
    let bank = write(Dtype::BF16, 1.0).unwrap();
    let values = bank.values().unwrap();
    for row in values.chunks(64) {
        assert!((row.iter().map(|v| v * v).sum::<f32>().sqrt() - 1.0).abs() < 1e-6);
    }
    assert!(write(Dtype::BF16, 0.9).is_err());
    assert!(write(Dtype::F32, 0.99).is_err());
}
