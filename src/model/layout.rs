//! The tensors an architecture consists of, in the Hugging Face `transformers` layout.
//!
//! What transformers has no class for is named in the same spirit: a timm image tower by CLIP's names, a BERT text tower by
//! BERT's own below `text_model.`. Queries, keys and values are separate everywhere.

use super::config::{BertShape, ClipConfig, TextKind, TowerConfig};

/// Name of the temperature: a scalar, stored as a logarithm.
pub const LOGIT_SCALE: &str = "logit_scale";

/// Name of what SigLIP adds to every logit: a scalar.
pub const LOGIT_BIAS: &str = "logit_bias";

/// Name of the position embedding of the image tower.
pub const IMAGE_POSITIONS: &str = "vision_model.embeddings.position_embedding.weight";

/// Name of the image tower's projection, which an image half may lack.
pub const VISUAL_PROJECTION: &str = "visual_projection.weight";

/// Buffers that older `transformers` versions saved; they hold `0, 1, 2, ...` and no weight.
pub const BUFFERS: [&str; 2] = ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"];

/// Which half of the model a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Image tower and its projection.
    Vision,
    /// Text tower and its projection.
    Text,
    /// The temperature and the bias of the logits, which belong to neither.
    Scale,
}

/// What a tensor does; decides how random weights are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorRole {
    /// Matrix or convolution kernel, `[out, in, ...]`.
    Matrix,
    /// Additive vector of a linear layer or a layer norm, or the bias of the logits.
    Bias,
    /// Factor of a layer norm.
    Gain,
    /// Token, position or class embedding, or a learned query.
    Embedding,
    /// The temperature.
    LogScale,
}

/// One tensor of the architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Full name, as in `vision_model.post_layernorm.bias`.
    pub name: String,
    /// Sizes, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The half it belongs to.
    pub part: Part,
    /// What it does.
    pub kind: TensorRole,
}

impl TensorSpec {
    /// Values in the tensor, 1 for a scalar.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Every tensor of `config`, sorted by name, without [`BUFFERS`].
///
/// Reference: `state_dict()` of `transformers.CLIPModel(config)` and `SiglipModel(config)`, where the attention of
/// SigLIP's head is one tensor of queries, keys and values.
#[must_use]
pub fn tensors(config: &ClipConfig) -> Vec<TensorSpec> {
    let mut list = Listing::default();
    list.vision(config);
    match &config.text_kind {
        TextKind::Bert(shape) => list.bert(config, shape),
        TextKind::Clip | TextKind::Siglip => list.text(config),
    }
    list.push(Part::Scale, TensorRole::LogScale, LOGIT_SCALE.to_owned(), &[]);
    if config.logit_bias {
        list.push(Part::Scale, TensorRole::Bias, LOGIT_BIAS.to_owned(), &[]);
    }
    list.0.sort_by(|a, b| a.name.cmp(&b.name));
    list.0
}

/// Whether a tensor of an architecture belongs to the image half, by its name.
pub(crate) fn is_vision(name: &str) -> bool {
    name.starts_with("vision_model.") || name.starts_with("visual_projection.")
}

#[derive(Default)]
struct Listing(Vec<TensorSpec>);

impl Listing {
    fn push(&mut self, part: Part, kind: TensorRole, name: String, shape: &[usize]) {
        self.0.push(TensorSpec { name, shape: shape.to_vec(), part, kind });
    }

    fn vision(&mut self, config: &ClipConfig) {
        let (part, width, patch, kind) =
            (Part::Vision, config.vision.width, config.patch_px, config.vision_kind);
        let embeddings = "vision_model.embeddings";
        if kind.has_class_token() {
            self.push(part, TensorRole::Embedding, format!("{embeddings}.class_embedding"), &[width]);
        }
        let kernel = [width, 3, patch, patch];
        self.push(part, TensorRole::Matrix, format!("{embeddings}.patch_embedding.weight"), &kernel);
        if kind.has_patch_bias() {
            self.push(part, TensorRole::Bias, format!("{embeddings}.patch_embedding.bias"), &[width]);
        }
        let positions = [config.vision_positions(), width];
        self.push(part, TensorRole::Embedding, IMAGE_POSITIONS.to_owned(), &positions);
        if kind.has_pre_norm() {
            // The missing `e` is the name under which the weights were published.
            self.norm(part, "vision_model.pre_layrnorm", width);
        }
        self.blocks(part, "vision_model", &config.vision);
        self.norm(part, "vision_model.post_layernorm", width);
        if kind.pools_by_attention() {
            self.attention_pool(&config.vision);
        } else {
            self.push(part, TensorRole::Matrix, VISUAL_PROJECTION.to_owned(), &[config.projection, width]);
        }
    }

    fn attention_pool(&mut self, tower: &TowerConfig) {
        let (part, head) = (Part::Vision, "vision_model.head");
        self.push(part, TensorRole::Embedding, format!("{head}.probe"), &[1, 1, tower.width]);
        for projection in ["k_proj", "out_proj", "q_proj", "v_proj"] {
            self.linear(part, &format!("{head}.attention.{projection}"), tower.width, tower.width);
        }
        self.norm(part, &format!("{head}.layernorm"), tower.width);
        self.linear(part, &format!("{head}.mlp.fc1"), tower.mlp_width, tower.width);
        self.linear(part, &format!("{head}.mlp.fc2"), tower.width, tower.mlp_width);
    }

    fn text(&mut self, config: &ClipConfig) {
        let (part, width) = (Part::Text, config.text.width);
        let embeddings = "text_model.embeddings";
        let tokens = [config.vocab_size, width];
        self.push(part, TensorRole::Embedding, format!("{embeddings}.token_embedding.weight"), &tokens);
        let positions = [config.context_tokens, width];
        self.push(part, TensorRole::Embedding, format!("{embeddings}.position_embedding.weight"), &positions);
        self.blocks(part, "text_model", &config.text);
        self.norm(part, "text_model.final_layer_norm", width);
        if config.text_kind == TextKind::Siglip {
            self.linear(part, "text_model.head", config.projection, width);
        } else {
            self.push(
                part,
                TensorRole::Matrix,
                "text_projection.weight".to_owned(),
                &[config.projection, width],
            );
        }
    }

    fn bert(&mut self, config: &ClipConfig, shape: &BertShape) {
        let (part, width) = (Part::Text, config.text.width);
        let embeddings = "text_model.embeddings";
        for (table, rows) in [
            ("word_embeddings", config.vocab_size),
            ("position_embeddings", shape.positions),
            ("token_type_embeddings", shape.token_types),
        ] {
            self.push(part, TensorRole::Embedding, format!("{embeddings}.{table}.weight"), &[rows, width]);
        }
        self.norm(part, &format!("{embeddings}.LayerNorm"), width);
        for index in 0..config.text.layers {
            let block = format!("text_model.encoder.layer.{index}");
            for module in ["self.key", "self.query", "self.value", "output.dense"] {
                self.linear(part, &format!("{block}.attention.{module}"), width, width);
            }
            self.norm(part, &format!("{block}.attention.output.LayerNorm"), width);
            self.linear(part, &format!("{block}.intermediate.dense"), config.text.mlp_width, width);
            self.linear(part, &format!("{block}.output.dense"), width, config.text.mlp_width);
            self.norm(part, &format!("{block}.output.LayerNorm"), width);
        }
        match shape.projection_hidden {
            None => {
                let projection = [config.projection, width];
                self.push(part, TensorRole::Matrix, "text_projection.weight".to_owned(), &projection);
            }
            Some(hidden) => {
                self.push(part, TensorRole::Matrix, "text_projection.0.weight".to_owned(), &[hidden, width]);
                let out = [config.projection, hidden];
                self.push(part, TensorRole::Matrix, "text_projection.2.weight".to_owned(), &out);
            }
        }
    }

    fn blocks(&mut self, part: Part, model: &str, tower: &TowerConfig) {
        for index in 0..tower.layers {
            let block = format!("{model}.encoder.layers.{index}");
            self.norm(part, &format!("{block}.layer_norm1"), tower.width);
            self.norm(part, &format!("{block}.layer_norm2"), tower.width);
            for projection in ["k_proj", "out_proj", "q_proj", "v_proj"] {
                self.linear(part, &format!("{block}.self_attn.{projection}"), tower.width, tower.width);
            }
            self.linear(part, &format!("{block}.mlp.fc1"), tower.mlp_width, tower.width);
            self.linear(part, &format!("{block}.mlp.fc2"), tower.width, tower.mlp_width);
        }
    }

    fn norm(&mut self, part: Part, name: &str, width: usize) {
        self.push(part, TensorRole::Gain, format!("{name}.weight"), &[width]);
        self.push(part, TensorRole::Bias, format!("{name}.bias"), &[width]);
    }

    fn linear(&mut self, part: Part, name: &str, outputs: usize, inputs: usize) {
        self.push(part, TensorRole::Matrix, format!("{name}.weight"), &[outputs, inputs]);
        self.push(part, TensorRole::Bias, format!("{name}.bias"), &[outputs]);
    }
}
