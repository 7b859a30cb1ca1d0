//! A file that is not good weights gives its one message, before anything is computed.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{fs, path::Path};

use safetensors::Dtype;
use t3b::model::{
    Checkpoint, ClipConfig, ModelError, ModelWarning, Role,
    checkpoint::{CheckpointSpec, MAX_LOGIT_SCALE},
    files::Files,
    layout::LOGIT_SCALE,
    pair::PairReport,
    random::{self, Seeds},
    vocabulary::Vocabulary,
};

use crate::bad_checkpoints as bad;

const SEEDS: Seeds = Seeds { vision: 3, text: 5 };
const MERGES: &[u8] = include_bytes!("../../golden/clip/tiny_merges.txt");
const MATRIX: &str = "visual_projection.weight";

fn config() -> ClipConfig {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../golden/clip/tiny.json")).unwrap();
    ClipConfig::from_hf_json(&golden["config"].to_string()).unwrap()
}

fn good() -> Vec<u8> {
    random::safetensors(&config(), SEEDS).unwrap()
}

fn load(role: Role, file: &[u8]) -> Result<Checkpoint, ModelError> {
    Checkpoint::from_bytes(role, config(), file.to_vec(), None)
}

fn folder_spec(folder: &Path) -> CheckpointSpec {
    CheckpointSpec {
        files: Files::at(folder),
        role: Role::Expert,
        architecture: None,
        image_px: None,
        sha256: None,
    }
}

fn write_folder(folder: &Path) {
    fs::write(folder.join("config.json"), config().to_hf_json()).unwrap();
    fs::write(folder.join("model.safetensors"), good()).unwrap();
    fs::write(folder.join("merges.txt"), MERGES).unwrap();
}

#[test]
fn every_bad_file_has_its_message() {
    let good = good();
    let missing = ["text_projection.weight", "vision_model.embeddings.class_embedding"];
    let cases: [(Vec<u8>, &str); 21] = [
        (bad::empty(&good), "W002 length field is 8 bytes short"),
        (bad::length_field_cut(&good), "W002 length field is 3 bytes short"),
        (bad::header_cut(&good), "W002 header is 7 bytes short"),
        (bad::data_cut(&good), "W002 data section is 12 bytes short"),
        (bad::trailing(&good), "W002 data section has 4 trailing bytes"),
        (
            bad::absurd_header(&good),
            "W003 not a safetensors file: header length 1152921504606846976, allowed 2 to 100000000",
        ),
        (bad::not_json(&good), "W003 not a safetensors file: header is not the JSON of tensors"),
        (bad::pickle(&good), "W003 not a safetensors file: the bytes are a pickle"),
        (
            bad::zip(&good),
            "W003 not a safetensors file: the bytes are a zip archive, as torch.save writes it",
        ),
        (bad::overflowing_shape(&good), "W003 not a safetensors file: the size of a tensor overflows"),
        (
            bad::overlap(&good),
            "W003 not a safetensors file: tensor 'vision_model.post_layernorm.weight' overlaps another or leaves a gap",
        ),
        (bad::duplicate(&good), "W004 tensor 'text_projection.weight' appears twice"),
        (
            bad::without(&good, &missing),
            "W005 expert lacks 2 tensors: text_projection.weight, vision_model.embeddings.class_embedding",
        ),
        (bad::with_extra(&good, "lora\u{1b}[31m"), r"W005 expert has 1 unknown tensor: lora\u{1b}[31m"),
        (
            bad::with_extra(&bad::without(&good, &[MATRIX]), "visual.proj"),
            "W005 expert lacks 1 tensor: visual_projection.weight; has 1 unknown tensor: visual.proj",
        ),
        (
            bad::transposed(&good, MATRIX),
            "W006 'visual_projection.weight': expert [48,16] F32, architecture [16,48] F64, F32, F16 or BF16",
        ),
        (
            bad::retyped(&good, MATRIX, Dtype::I32),
            "W006 'visual_projection.weight': expert [16,48] I32, architecture [16,48] F64, F32, F16 or BF16",
        ),
        (
            bad::non_finite(&good, MATRIX),
            "W007 'visual_projection.weight' has 2 non-finite values, first at 3",
        ),
        (bad::without(&good, &[LOGIT_SCALE]), "W011 logit_scale is missing"),
        (bad::scaled(&good, 100.0), "W011 logit_scale: found 100.0000, allowed at most 10.0000"),
        (bad::scaled(&good, f32::NAN), "W007 'logit_scale' has 1 non-finite value, first at 0"),
    ];
    for (file, message) in cases {
        assert_eq!(load(Role::Expert, &file).unwrap_err().to_string(), message);
    }
}

#[test]
fn one_flipped_bit_is_not_the_pinned_file() {
    let good = good();
    let sha256 = load(Role::Expert, &good).unwrap().sha256().to_owned();
    let pinned = |file: &[u8]| {
        Checkpoint::from_bytes(Role::Expert, config(), file.to_vec(), Some(&sha256.to_uppercase()))
            .map(|_| ())
    };
    pinned(&good).unwrap();
    let error = pinned(&bad::flipped_bit(&good)).unwrap_err();
    assert_eq!(error.code(), "W008");
    assert!(error.message().starts_with("sha256 is ") && error.message().ends_with(&sha256.to_uppercase()));
}

#[test]
fn a_report_names_the_checkpoint_and_says_what_to_do() {
    let error = load(Role::Expert, &bad::data_cut(&good())).unwrap_err();
    assert_eq!(
        error.report(),
        "error[W002] data section is 12 bytes short (in expert). hint: copy the file again and compare its sha256"
    );
    let without = bad::without(&good(), &[MATRIX]);
    assert!(load(Role::Expert, &without).unwrap_err().hint().contains("config.json"));
}

#[test]
fn half_precision_is_widened_without_a_change() {
    let good = good();
    for (dtype, round) in [
        (Dtype::F16, (|v| half::f16::from_f32(v).to_f32()) as fn(f32) -> f32),
        (Dtype::BF16, |v| half::bf16::from_f32(v).to_f32()),
    ] {
        let checkpoint = load(Role::Expert, &bad::retyped(&good, MATRIX, dtype)).unwrap();
        let values = |checkpoint: &Checkpoint| {
            checkpoint.tensors()[MATRIX].flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let wanted: Vec<f32> = values(&load(Role::Expert, &good).unwrap()).into_iter().map(round).collect();
        assert_eq!(values(&checkpoint), wanted);
        assert_eq!(checkpoint.file_dtype(MATRIX), Some(dtype));
    }
}

#[test]
fn a_folder_holds_weights_architecture_and_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path());
    let checkpoint = Checkpoint::load(&folder_spec(folder.path())).unwrap();
    assert_eq!(checkpoint.config(), &config());
    assert_eq!(Vocabulary::of(&checkpoint).unwrap().size(), 600);
    assert!(
        (checkpoint.logit_scale() - 100_f64.ln()).abs() < 1e-6 && checkpoint.logit_scale() < MAX_LOGIT_SCALE
    );
    let by_file = Checkpoint::load(&folder_spec(&folder.path().join("model.safetensors"))).unwrap();
    assert_eq!(by_file.sha256(), checkpoint.sha256());

    fs::remove_file(folder.path().join("merges.txt")).unwrap();
    let checkpoint = Checkpoint::load(&folder_spec(folder.path())).unwrap();
    assert_eq!(
        Vocabulary::of(&checkpoint).unwrap_err().to_string(),
        "W014 vocabulary: found 600 ids and no tokenizer, allowed merges.txt, tokenizer.json or vocab.txt beside the weights, or OpenAI's 49408 ids"
    );
}

#[test]
fn files_that_cannot_be_weights_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let failing = |spec: &CheckpointSpec| Checkpoint::load(spec).unwrap_err().to_string();
    let refused = "W001 pickle-based checkpoints are refused; convert to safetensors on a trusted machine";
    assert_eq!(failing(&folder_spec(&folder.path().join("absent.PT"))), refused);

    fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02.").unwrap();
    assert_eq!(failing(&folder_spec(folder.path())), refused);
    fs::remove_file(folder.path().join("pytorch_model.bin")).unwrap();
    assert_eq!(failing(&folder_spec(folder.path())), "W012 cannot read 'config.json': entity not found");

    write_folder(folder.path());
    let weights = folder.path().join("model.safetensors");
    let long = 200_000_000;
    fs::File::options().write(true).open(&weights).unwrap().set_len(long).unwrap();
    let message = failing(&folder_spec(folder.path()));
    assert!(
        message.starts_with("W002 'model.safetensors' has 200000000 bytes, allowed at most "),
        "{message}"
    );
    fs::remove_file(&weights).unwrap();
    fs::create_dir(&weights).unwrap();
    assert_eq!(
        failing(&folder_spec(folder.path())),
        "W012 cannot read 'model.safetensors': invalid input parameter"
    );
}

#[test]
fn a_pair_tells_what_it_shares() {
    let pretrained = load(Role::Pretrained, &good()).unwrap();
    let same = PairReport::compare(&pretrained, &load(Role::Expert, &good()).unwrap()).unwrap();
    assert_eq!(same.warnings(), [ModelWarning::SameFile]);
    assert_eq!(
        same.warnings()[0].to_string(),
        "W009 pretrained and expert are the same file: JS = 0, λ constant"
    );
    assert!(same.differing().is_empty() && same.text_towers_equal());

    let other_vision = random::safetensors(&config(), Seeds { vision: 4, ..SEEDS }).unwrap();
    let report = PairReport::compare(&pretrained, &load(Role::Expert, &other_vision).unwrap()).unwrap();
    assert!(report.warnings().is_empty() && report.text_towers_equal() && !report.logit_scales_differ());
    assert!(report.differing().iter().all(|name| name.starts_with("vis")));
    assert_eq!(report.differing().len() + report.identical().len(), pretrained.tensors().len());

    let other_text = random::safetensors(&config(), Seeds { text: 6, ..SEEDS }).unwrap();
    let report = PairReport::compare(&pretrained, &load(Role::Expert, &other_text).unwrap()).unwrap();
    assert!(!report.text_towers_equal() && report.differing().iter().all(|name| name.starts_with("text")));

    let other_scale = load(Role::Expert, &bad::scaled(&bad::flipped_bit(&good()), 4.0)).unwrap();
    let report = PairReport::compare(&pretrained, &other_scale).unwrap();
    assert_eq!(report.differing(), [LOGIT_SCALE, MATRIX]);
    assert!(report.logit_scales_differ());
}

#[test]
fn a_pair_that_does_not_fit_lists_every_disagreement() {
    let pretrained = load(Role::Pretrained, &good()).unwrap();
    // Types may differ from tensor to tensor and between the two: all values are f32 by now.
    let mixed =
        bad::retyped(&bad::retyped(&good(), MATRIX, Dtype::F16), "text_projection.weight", Dtype::F64);
    let report = PairReport::compare(&pretrained, &load(Role::Expert, &mixed).unwrap()).unwrap();
    assert_eq!(report.differing(), [MATRIX]);
    let mut heads = config();
    heads.vision.heads = 4;
    let expert = Checkpoint::from_bytes(Role::Expert, heads, good(), None).unwrap();
    assert_eq!(
        PairReport::compare(&pretrained, &expert).unwrap_err().to_string(),
        "W006 'vision_config.num_attention_heads': pretrained 3, expert 4"
    );
    let mut deeper = config();
    deeper.vision.layers = 4;
    let file = random::safetensors(&deeper, SEEDS).unwrap();
    let expert = Checkpoint::from_bytes(Role::Expert, deeper, file, None).unwrap();
    let message = PairReport::compare(&pretrained, &expert).unwrap_err().to_string();
    assert!(
        message.starts_with("W005 expert has 16 unknown tensors: vision_model.encoder.layers.3."),
        "{message}"
    );
    assert!(message.ends_with("… and 8 more"), "{message}");
}
