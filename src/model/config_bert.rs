//! The sizes of a BERT text tower, which open_clip leaves to `transformers`.

use serde_json::{Map, Value};

use super::{
    config::{BertShape, TowerConfig, refused},
    config_json::{MAX_DIMENSION, MAX_LAYERS, MAX_VOCABULARY, activation_named},
    error::ModelError,
};

/// Parts of the names of models on the hub that have the sizes of `bert-base-uncased`: BiomedCLIP's is the first.
const BASE: [&str; 4] = [
    "BiomedBERT-base-uncased",
    "BiomedNLP-PubMedBERT-base-uncased",
    "bert-base-uncased",
    "Bio_ClinicalBERT-uncased",
];

/// A BERT and how many token ids it has.
pub(super) struct Bert {
    pub(super) tower: TowerConfig,
    pub(super) shape: BertShape,
    pub(super) vocab_size: usize,
}

/// The BERT that `name` means: by the `config.json` beside the weights where it is a BERT's, or by the name.
///
/// # Errors
/// `W013` for a text tower of another kind, a size that is impossible, or a name whose sizes nobody says.
pub(super) fn read(name: &str, config_json: Option<&str>) -> Result<Bert, ModelError> {
    let root = config_json.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let root = match root.filter(|root| !is_clip(root)) {
        Some(root) => root,
        None if BASE.iter().any(|base| name.contains(base)) => Map::new(),
        None => {
            let allowed = "a BERT of base size by a known name, or its config.json beside the weights";
            return Err(refused("text_cfg.hf_model_name", name, allowed));
        }
    };
    must_be(&root, "model_type", "bert")?;
    must_be(&root, "position_embedding_type", "absolute")?;
    let act = root.get("hidden_act").and_then(Value::as_str).unwrap_or("gelu");
    let activation = activation_named(act).ok_or_else(|| refused("hidden_act", act, "gelu"))?;
    let norm_eps = root.get("layer_norm_eps").map_or(Some(1e-12), Value::as_f64);
    let norm_eps = norm_eps.filter(|eps| (1e-15..=1e-2).contains(eps));
    let size = |key: &str, default: usize, most: usize| {
        let found = root.get(key).map_or(Some(default as u64), Value::as_u64);
        let found =
            found.and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=most).contains(size));
        found.ok_or_else(|| {
            refused(&format!("config.json: {key}"), &root[key].to_string(), &format!("1 to {most}"))
        })
    };
    let tower = TowerConfig {
        width: size("hidden_size", 768, MAX_DIMENSION)?,
        mlp_width: size("intermediate_size", 3072, MAX_DIMENSION)?,
        layers: size("num_hidden_layers", 12, MAX_LAYERS)?,
        heads: size("num_attention_heads", 12, MAX_DIMENSION)?,
        activation,
        norm_eps: norm_eps
            .ok_or_else(|| refused("layer_norm_eps", &root["layer_norm_eps"].to_string(), "1e-15 to 0.01"))?,
    };
    if !tower.width.is_multiple_of(tower.heads) {
        let allowed = format!("a divisor of {}", tower.width);
        return Err(refused("config.json: num_attention_heads", &tower.heads.to_string(), &allowed));
    }
    let shape = BertShape {
        positions: size("max_position_embeddings", 512, MAX_DIMENSION)?,
        token_types: size("type_vocab_size", 2, MAX_DIMENSION)?,
        pad_id: root
            .get("pad_token_id")
            .and_then(Value::as_u64)
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0),
        projection_hidden: None,
    };
    Ok(Bert { tower, shape, vocab_size: size("vocab_size", 30_522, MAX_VOCABULARY)? })
}

fn is_clip(root: &Map<String, Value>) -> bool {
    let kind = root.get("model_type").and_then(Value::as_str).unwrap_or_default();
    kind.starts_with("clip") || kind.starts_with("siglip")
}

fn must_be(root: &Map<String, Value>, key: &str, wanted: &str) -> Result<(), ModelError> {
    match root.get(key).filter(|found| !found.is_null()) {
        Some(found) if found.as_str() != Some(wanted) => {
            Err(refused(&format!("config.json: {key}"), &found.to_string(), wanted))
        }
        _ => Ok(()),
    }
}
