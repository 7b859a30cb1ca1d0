//! What two models have in common is in memory once, and what is put aside in a file is checked and compared as if it were there.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop a test as its body may")]

use std::{fs, path::Path};

use candle_core::Tensor;
use t3b::model::{
    Checkpoint, ClipConfig, Role,
    layout::{self, Part},
    naming::Naming,
    packed::with_values,
    pair::PairReport,
    random::{self, Seeds},
};
use tempfile::TempDir;

use super::layouts::{ALL, bytes_of, file_of, spec};

fn tiny() -> ClipConfig {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../golden/clip/tiny.json")).unwrap();
    ClipConfig::from_hf_json(&golden["config"].to_string()).unwrap()
}

fn folder_of(weights: &[u8], config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

fn base() -> TempDir {
    let weights = random::safetensors(&tiny(), Seeds { vision: 3, text: 11 }).unwrap();
    folder_of(&weights, &tiny().to_hf_json())
}

/// Experts with the base's text tower: whole ones under two kinds of names, one of which has queries, keys and values in one tensor, and
/// image halves, which have none of their own.
fn experts() -> Vec<TempDir> {
    let (whole, half) = (tiny().to_hf_json(), r#"{"model_type":"clip_vision_model"}"#.to_owned());
    let both = [Naming::HuggingFace, Naming::OpenAi];
    let of = |naming, parts: &[Part], config: &str| {
        let file = file_of(naming, &tiny(), parts);
        folder_of(&bytes_of(file.iter()), config)
    };
    let wholes = both.iter().map(|naming| of(*naming, &ALL, &whole));
    wholes.chain(both.iter().map(|naming| of(*naming, &[Part::Vision], &half))).collect()
}

fn is_blocks_matrix(name: &str) -> bool {
    name.starts_with("vision_model.encoder.layers.") && name.ends_with(".weight") && !name.contains("norm")
}

#[test]
fn what_an_expert_has_in_common_with_its_base_is_in_memory_once() {
    let base = base();
    let pretrained = Checkpoint::load(&spec(base.path(), Role::Pretrained)).unwrap();
    let place = |tensor: &Tensor| with_values(tensor, <[f32]>::as_ptr).unwrap();
    for folder in experts() {
        let expert = Checkpoint::load_over(&spec(folder.path(), Role::Expert), &pretrained).unwrap();
        let report = PairReport::compare(&pretrained, &expert).unwrap();
        assert!(report.text_towers_equal() && report.differing().len() > 20);
        for (name, tensor) in expert.tensors() {
            let is_one = place(tensor) == place(&pretrained.tensors()[name]);
            assert_eq!(is_one, report.identical().contains(name), "{name}");
        }
    }
}

#[test]
fn blocks_put_aside_are_checked_and_compared_as_those_in_memory() {
    let base = base();
    let pretrained = Checkpoint::load(&spec(base.path(), Role::Pretrained)).unwrap();
    let has_text = |model: &Checkpoint| {
        layout::tensors(model.config())
            .iter()
            .any(|spec| spec.part == Part::Text && model.tensors().contains_key(&spec.name))
    };
    for keeps_text in [true, false] {
        let aside = Checkpoint::spill(&spec(base.path(), Role::Pretrained), None, keeps_text).unwrap();
        for folder in experts() {
            let wanted = spec(folder.path(), Role::Expert);
            let expert = Checkpoint::load_over(&wanted, &pretrained).unwrap();
            let spilled = Checkpoint::spill(&wanted, Some(&aside), keeps_text).unwrap();
            assert_eq!((spilled.sha256(), spilled.source()), (expert.sha256(), expert.source()));
            assert!(
                spilled.spilled().is_some() && !spilled.tensors().keys().any(|name| is_blocks_matrix(name))
            );
            assert_eq!((has_text(&spilled), has_text(&aside)), (keeps_text, keeps_text));
            let whole = PairReport::compare(&pretrained, &expert).unwrap();
            assert_eq!(PairReport::compare(&aside, &spilled).unwrap(), whole);
            assert!(whole.differing().iter().any(|name| is_blocks_matrix(name)));
        }
        let same = Checkpoint::spill(&spec(base.path(), Role::Expert), Some(&aside), keeps_text).unwrap();
        assert!(PairReport::compare(&aside, &same).unwrap().differing().is_empty());
        let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/clip/lora");
        let refused = Checkpoint::spill(&spec(&adapter, Role::Expert), Some(&aside), keeps_text);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "W013 adapter: adapter_config.json, found low-rank updates, allowed a whole model where memory.weights = \"spilled\""
        );
    }
}
