//! The architecture: the sizes that decide which tensors a model has.

use candle_transformers::models::clip::{
    text_model::Activation as CandleActivation, vision_model::ClipVisionConfig,
};

use super::error::{Fault, ModelError};

/// Names that [`ClipConfig::named`] knows.
pub const NAMES: [&str; 4] = [
    "clip-vit-base-patch32",
    "clip-vit-base-patch16",
    "clip-vit-large-patch14",
    "clip-vit-large-patch14-336",
];

/// Epsilon of every layer norm, as candle's CLIP has it built in.
pub const LAYER_NORM_EPS: f64 = 1e-5;

/// The nonlinearity between the two linear layers of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's.
    QuickGelu,
    /// `x * Phi(x)`, in many open_clip models.
    Gelu,
}

impl Activation {
    /// Its name in a Hugging Face configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quick_gelu",
            Self::Gelu => "gelu",
        }
    }
}

/// Sizes of one transformer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TowerConfig {
    /// Residual width, a multiple of `heads`.
    pub width: usize,
    /// Width between the two linear layers of a block.
    pub mlp_width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Between the two linear layers.
    pub activation: Activation,
}

/// A CLIP architecture whose sizes are possible; every field is at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipConfig {
    /// Image transformer.
    pub vision: TowerConfig,
    /// Text transformer.
    pub text: TowerConfig,
    /// Side of the square input image in pixels, a multiple of `patch_px`.
    pub image_px: usize,
    /// Side of a square patch in pixels.
    pub patch_px: usize,
    /// Longest prompt in tokens, start and end included.
    pub context_tokens: usize,
    /// Token ids are `0..vocab_size`; the last is end-of-text, the last but one start-of-text.
    pub vocab_size: usize,
    /// Width of the space that both towers project into.
    pub projection: usize,
}

impl ClipConfig {
    /// The architecture of OpenAI's model of that name, with or without the prefix `openai/`.
    ///
    /// # Errors
    /// `W013` for a name not in [`NAMES`].
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let base = Self {
            vision: TowerConfig::quick_gelu(768, 12, 12),
            text: TowerConfig::quick_gelu(512, 12, 8),
            image_px: 224,
            patch_px: 32,
            context_tokens: 77,
            vocab_size: 49_408,
            projection: 512,
        };
        let large = Self {
            vision: TowerConfig::quick_gelu(1024, 24, 16),
            text: TowerConfig::quick_gelu(768, 12, 12),
            patch_px: 14,
            projection: 768,
            ..base.clone()
        };
        match name.strip_prefix("openai/").unwrap_or(name) {
            "clip-vit-base-patch32" => Ok(base),
            "clip-vit-base-patch16" => Ok(Self { patch_px: 16, ..base }),
            "clip-vit-large-patch14" => Ok(large),
            "clip-vit-large-patch14-336" => Ok(Self { image_px: 336, ..large }),
            other => Err(refused("name", other, &NAMES.join(", "))),
        }
    }

    /// Position embeddings of the image tower: patches plus the class token.
    #[must_use]
    pub fn vision_positions(&self) -> usize {
        (self.image_px / self.patch_px).pow(2) + 1
    }

    /// The image tower in candle's words.
    ///
    /// # Errors
    /// `W013` for an activation that candle's CLIP does not have.
    pub(crate) fn candle_vision(&self) -> Result<ClipVisionConfig, ModelError> {
        Ok(ClipVisionConfig {
            embed_dim: self.vision.width,
            activation: self.vision.candle_activation("vision_config.hidden_act")?,
            intermediate_size: self.vision.mlp_width,
            num_hidden_layers: self.vision.layers,
            num_attention_heads: self.vision.heads,
            projection_dim: self.projection,
            num_channels: 3,
            image_size: self.image_px,
            patch_size: self.patch_px,
        })
    }
}

impl TowerConfig {
    /// A tower as OpenAI builds it: the inner width is four times the residual width.
    #[must_use]
    pub fn quick_gelu(width: usize, layers: usize, heads: usize) -> Self {
        Self { width, mlp_width: 4 * width, layers, heads, activation: Activation::QuickGelu }
    }

    fn candle_activation(&self, key: &str) -> Result<CandleActivation, ModelError> {
        match self.activation {
            Activation::QuickGelu => Ok(CandleActivation::QuickGelu),
            Activation::Gelu => Err(refused(key, "gelu", "quick_gelu, the one the reference tower has")),
        }
    }
}

pub(super) fn refused(key: &str, found: &str, allowed: &str) -> ModelError {
    Fault::Config { key: key.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }.into()
}
