//! The architecture: the sizes that decide which tensors a model has.

use candle_transformers::models::clip::{
    text_model::Activation as CandleActivation, vision_model::ClipVisionConfig,
};

use super::error::{CheckpointFault, ModelError};

/// Names that [`ClipConfig::named`] knows.
pub const NAMES: [&str; 4] = [
    "clip-vit-base-patch32",
    "clip-vit-base-patch16",
    "clip-vit-large-patch14",
    "clip-vit-large-patch14-336",
];

/// Epsilon of CLIP's layer norms, the one candle's CLIP has built in.
pub const LAYER_NORM_EPS: f64 = 1e-5;

/// The nonlinearity between the two linear layers of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's.
    QuickGelu,
    /// `x * Phi(x)`, in many open_clip models.
    Gelu,
    /// `x * Phi(x)` with the tanh approximation of `Phi`, SigLIP's.
    GeluTanh,
}

impl Activation {
    /// Its name in a Hugging Face configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quick_gelu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
        }
    }
}

/// Sizes of one transformer.
#[derive(Debug, Clone, PartialEq)]
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
    /// Epsilon of the layer norms, added to the variance.
    pub norm_eps: f64,
}

/// What an image tower has beside its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisionKind {
    /// CLIP's: a class token, a norm before the first block; the class token is projected.
    Clip,
    /// timm's ViT (BiomedCLIP): a class token, patches with a bias, no norm before the first block; the class token is
    /// projected.
    Timm,
    /// SigLIP's: no class token, patches with a bias, no norm before the first block; a learned query attends to all
    /// patches, and what it mixes is the feature.
    Siglip,
}

impl VisionKind {
    /// Whether a class token stands before the patches.
    #[must_use]
    pub fn has_class_token(self) -> bool {
        self != Self::Siglip
    }

    /// Whether the patch convolution has a bias.
    #[must_use]
    pub fn has_patch_bias(self) -> bool {
        self != Self::Clip
    }

    /// Whether a layer norm stands before the first block.
    #[must_use]
    pub fn has_pre_norm(self) -> bool {
        self == Self::Clip
    }

    /// Whether the feature is pooled by attention, and not projected.
    #[must_use]
    pub fn pools_by_attention(self) -> bool {
        self == Self::Siglip
    }
}

/// What a text tower is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextKind {
    /// CLIP's: causal, pooled at end-of-text, projected without a bias.
    Clip,
    /// SigLIP's: every token sees every other, padding too; pooled at the last place, projected with a bias.
    Siglip,
    /// BERT (BiomedCLIP's PubMedBERT), pooled at its first token and projected.
    Bert(BertShape),
}

/// What BERT has beside its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BertShape {
    /// Rows of the position embedding, at least the context.
    pub positions: usize,
    /// Rows of the token type embedding; texts are of type 0.
    pub token_types: usize,
    /// The token that attention does not see.
    pub pad_id: u32,
    /// Width between the two layers of the projection; `None` is a projection of one layer.
    pub projection_hidden: Option<usize>,
}

/// A CLIP architecture whose sizes are possible; every field is at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Image transformer.
    pub vision: TowerConfig,
    /// Text transformer.
    pub text: TowerConfig,
    /// What the image tower has beside its blocks.
    pub vision_kind: VisionKind,
    /// What the text tower is.
    pub text_kind: TextKind,
    /// Side of the square input image in pixels, a multiple of `patch_px`.
    pub image_px: usize,
    /// Side of a square patch in pixels.
    pub patch_px: usize,
    /// Longest prompt in tokens, start and end included.
    pub context_tokens: usize,
    /// Token ids are `0..vocab_size`; in CLIP the last is end-of-text, the last but one start-of-text.
    pub vocab_size: usize,
    /// Width of the space that both towers project into.
    pub projection: usize,
    /// Whether a `logit_bias` stands beside the `logit_scale`, as in SigLIP.
    pub logit_bias: bool,
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
            vision_kind: VisionKind::Clip,
            text_kind: TextKind::Clip,
            image_px: 224,
            patch_px: 32,
            context_tokens: 77,
            vocab_size: 49_408,
            projection: 512,
            logit_bias: false,
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

    /// Position embeddings of the image tower: patches, plus the class token where there is one.
    #[must_use]
    pub fn vision_positions(&self) -> usize {
        (self.image_px / self.patch_px).pow(2) + usize::from(self.vision_kind.has_class_token())
    }

    /// The family in a word: `CLIP`, `SigLIP`, or the two towers where they are of different families.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match (self.vision_kind, &self.text_kind) {
            (VisionKind::Clip, TextKind::Clip) => "CLIP",
            (VisionKind::Siglip, TextKind::Siglip) => "SigLIP",
            (VisionKind::Timm, TextKind::Bert(_)) => "BiomedCLIP: timm ViT and BERT",
            (VisionKind::Timm, _) => "timm ViT and a text transformer",
            (VisionKind::Siglip, _) => "SigLIP image tower and another text tower",
            (VisionKind::Clip, _) => "CLIP image tower and another text tower",
        }
    }

    /// Key by key, as configurations are compared and told.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let vision = [
            "vision_config.hidden_size",
            "vision_config.intermediate_size",
            "vision_config.num_hidden_layers",
            "vision_config.num_attention_heads",
            "vision_config.hidden_act",
            "vision_config.layer_norm_eps",
        ];
        let text = [
            "text_config.hidden_size",
            "text_config.intermediate_size",
            "text_config.num_hidden_layers",
            "text_config.num_attention_heads",
            "text_config.hidden_act",
            "text_config.layer_norm_eps",
        ];
        let mut told = vec![
            ("vision_config.image_size", self.image_px.to_string()),
            ("vision_config.patch_size", self.patch_px.to_string()),
            ("vision_config.model_type", format!("{:?}", self.vision_kind)),
        ];
        told.extend(vision.into_iter().zip(self.vision.told()));
        told.extend([
            ("text_config.max_position_embeddings", self.context_tokens.to_string()),
            ("text_config.vocab_size", self.vocab_size.to_string()),
            ("text_config.model_type", format!("{:?}", self.text_kind)),
        ]);
        told.extend(text.into_iter().zip(self.text.told()));
        told.push(("projection_dim", self.projection.to_string()));
        told.push(("logit_bias", self.logit_bias.to_string()));
        told
    }

    /// The first key in which two architectures differ, with both values.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let different =
            self.told().into_iter().zip(other.told()).find(|((_, left), (_, right))| left != right);
        different.map(|((key, left), (_, right))| (key, left, right))
    }

    /// The image tower in candle's words.
    ///
    /// # Errors
    /// `W013` for a tower that candle's CLIP is not: another family, activation or epsilon.
    pub(crate) fn candle_vision(&self) -> Result<ClipVisionConfig, ModelError> {
        if self.vision_kind != VisionKind::Clip || self.vision.norm_eps.to_bits() != LAYER_NORM_EPS.to_bits()
        {
            return Err(refused(
                "models.tower",
                "reference",
                "fast: the reference tower is CLIP's own alone",
            ));
        }
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
        Self {
            width,
            mlp_width: 4 * width,
            layers,
            heads,
            activation: Activation::QuickGelu,
            norm_eps: LAYER_NORM_EPS,
        }
    }

    fn told(&self) -> [String; 6] {
        [
            self.width.to_string(),
            self.mlp_width.to_string(),
            self.layers.to_string(),
            self.heads.to_string(),
            self.activation.name().to_owned(),
            format!("{:e}", self.norm_eps),
        ]
    }

    fn candle_activation(&self, key: &str) -> Result<CandleActivation, ModelError> {
        match self.activation {
            Activation::QuickGelu => Ok(CandleActivation::QuickGelu),
            other => Err(refused(key, other.name(), "quick_gelu, the one the reference tower has")),
        }
    }
}

pub(super) fn refused(key: &str, found: &str, allowed: &str) -> ModelError {
    CheckpointFault::Config { key: key.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }
        .into()
}
