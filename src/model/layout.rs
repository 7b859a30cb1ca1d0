//! The tensors an architecture consists of, in the Hugging Face `transformers` layout.

use super::config::{ClipConfig, TowerConfig};

/// Name of the temperature: a scalar, stored as a logarithm.
pub const LOGIT_SCALE: &str = "logit_scale";

/// Buffers that older `transformers` versions saved; they hold `0, 1, 2, ...` and no weight.
pub const BUFFERS: [&str; 2] = ["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"];

/// Which half of the model a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Image tower and its projection.
    Vision,
    /// Text tower and its projection.
    Text,
    /// The temperature, which belongs to neither.
    Scale,
}

/// What a tensor does; decides how random weights are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Matrix or convolution kernel, `[out, in, ...]`.
    Matrix,
    /// Additive vector of a linear layer or a layer norm.
    Bias,
    /// Factor of a layer norm.
    Gain,
    /// Token, position or class embedding.
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
    pub kind: Kind,
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
/// Reference: `transformers.CLIPModel(config).state_dict()`.
#[must_use]
pub fn tensors(config: &ClipConfig) -> Vec<TensorSpec> {
    let mut list = Listing::default();
    list.vision(config);
    list.text(config);
    list.push(Part::Scale, Kind::LogScale, LOGIT_SCALE.to_owned(), &[]);
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
    fn push(&mut self, part: Part, kind: Kind, name: String, shape: &[usize]) {
        self.0.push(TensorSpec { name, shape: shape.to_vec(), part, kind });
    }

    fn vision(&mut self, config: &ClipConfig) {
        let (part, width, patch) = (Part::Vision, config.vision.width, config.patch_px);
        let embeddings = "vision_model.embeddings";
        self.push(part, Kind::Embedding, format!("{embeddings}.class_embedding"), &[width]);
        let kernel = [width, 3, patch, patch];
        self.push(part, Kind::Matrix, format!("{embeddings}.patch_embedding.weight"), &kernel);
        let positions = [config.vision_positions(), width];
        self.push(part, Kind::Embedding, format!("{embeddings}.position_embedding.weight"), &positions);
        // The missing `e` is the name under which the weights were published.
        self.norm(part, "vision_model.pre_layrnorm", width);
        self.blocks(part, "vision_model", &config.vision);
        self.norm(part, "vision_model.post_layernorm", width);
        self.push(part, Kind::Matrix, "visual_projection.weight".to_owned(), &[config.projection, width]);
    }

    fn text(&mut self, config: &ClipConfig) {
        let (part, width) = (Part::Text, config.text.width);
        let embeddings = "text_model.embeddings";
        let tokens = [config.vocab_size, width];
        self.push(part, Kind::Embedding, format!("{embeddings}.token_embedding.weight"), &tokens);
        let positions = [config.context_tokens, width];
        self.push(part, Kind::Embedding, format!("{embeddings}.position_embedding.weight"), &positions);
        self.blocks(part, "text_model", &config.text);
        self.norm(part, "text_model.final_layer_norm", width);
        self.push(part, Kind::Matrix, "text_projection.weight".to_owned(), &[config.projection, width]);
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
        self.push(part, Kind::Gain, format!("{name}.weight"), &[width]);
        self.push(part, Kind::Bias, format!("{name}.bias"), &[width]);
    }

    fn linear(&mut self, part: Part, name: &str, outputs: usize, inputs: usize) {
        self.push(part, Kind::Matrix, format!("{name}.weight"), &[outputs, inputs]);
        self.push(part, Kind::Bias, format!("{name}.bias"), &[outputs]);
    }
}
