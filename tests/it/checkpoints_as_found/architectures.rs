//! A config.json becomes the architecture transformers would build, or is refused.

use std::collections::BTreeMap;

use candle_core::Device;
use t3b::model::{
    ClipConfig,
    config::NAMES,
    random::{self, Seeds},
    tower::{TextTower, VisionTower},
};

#[test]
fn configurations_that_would_run_as_something_else_are_refused() {
    let refused = |json: &str| ClipConfig::from_hf_json(json).unwrap_err().to_string();
    let cases = [
        ("[]", "config.json, found no object, allowed a JSON object"),
        (r#"{"model_type":"siglip2"}"#, r#"model_type, found \"siglip2\", allowed clip"#),
        (
            r#"{"model_type":"clip_vision_model"}"#,
            "model_type, found the image half alone, allowed clip or siglip; an image half can be the expert of a whole model",
        ),
        (
            r#"{"model_type":"siglip","text_config":{"projection_size":64}}"#,
            "text_config.projection_size, found 64, allowed 768, the image tower's width",
        ),
        (r#"{"text_config":7}"#, "text_config, found 7, allowed an object"),
        (r#"{"projection_dim":0}"#, "projection_dim, found 0, allowed 1 to 32768"),
        (
            r#"{"vision_config":{"patch_size":15}}"#,
            "vision_config.patch_size, found 15, allowed a divisor of 224",
        ),
        (
            r#"{"vision_config":{"num_attention_heads":7}}"#,
            "vision_config.num_attention_heads, found 7, allowed a divisor of 768",
        ),
        (
            r#"{"text_config":{"hidden_act":"relu"}}"#,
            r#"text_config.hidden_act, found \"relu\", allowed quick_gelu, gelu or gelu_pytorch_tanh"#,
        ),
        (
            r#"{"text_config":{"layer_norm_eps":1}}"#,
            "text_config.layer_norm_eps, found 1, allowed 1e-15 to 0.01",
        ),
        (
            r#"{"text_config":{"vocab_size":600}}"#,
            "text_config.eos_token_id, found 49407 (default), allowed 599 (the last id) or 2",
        ),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), format!("W013 model configuration: {message}"));
    }
}

#[test]
fn a_reference_tower_that_candle_does_not_have_is_refused() {
    let exact = r#"{"text_config":{"num_hidden_layers":1},"vision_config":{"hidden_act":"gelu","num_hidden_layers":1}}"#;
    let config = ClipConfig::from_hf_json(exact).unwrap();
    let tensors = random::tensors(&config, Seeds { vision: 1, text: 1 }).unwrap();
    assert_eq!(
        VisionTower::reference(&tensors, &config, &Device::Cpu).unwrap_err().to_string(),
        "W013 model configuration: vision_config.hidden_act, found gelu, allowed quick_gelu, the one the reference tower has"
    );
    let error = TextTower::new(&BTreeMap::new(), &config, &Device::Cpu).unwrap_err();
    assert!(error.to_string().starts_with("W005 model lacks 21 tensors: text_model.embeddings."), "{error}");
}

#[test]
fn known_architectures_survive_config_json() {
    for name in NAMES {
        let config = ClipConfig::named(name).unwrap();
        assert_eq!(ClipConfig::from_hf_json(&config.to_hf_json()).unwrap(), config);
    }
    let legacy = r#"{"projection_dim":768,"text_config":{"hidden_size":512},"text_config_dict":{"hidden_size":768,
        "num_attention_heads":12,"intermediate_size":3072},"vision_config":{"hidden_size":1024,"patch_size":14,
        "num_hidden_layers":24,"num_attention_heads":16,"intermediate_size":4096},"vision_config_dict":null}"#;
    let large = ClipConfig::named("clip-vit-large-patch14").unwrap();
    assert_eq!(ClipConfig::from_hf_json(legacy).unwrap(), large);
}
