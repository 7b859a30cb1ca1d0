//! CLIP's image tower of affine operations with one coefficient per sample.
//!
//! Reference: candle-transformers, `models/clip/{vision_model,text_model}.rs`.

use candle_core::{Result, Tensor};
use candle_nn::ops::{sigmoid, softmax_last_dim};
use candle_transformers::models::clip::div_l2_norm;

use super::ops::{Affine, Blend, Blends, Lambda, Norm};
use crate::model::ClipConfig;
use crate::model::config::Activation;

/// Slope of the sigmoid in `quick_gelu`.
const QUICK_GELU_SLOPE: f64 = 1.702;

/// The image tower and its projection.
#[derive(Debug, Clone)]
pub(super) struct Tower {
    patch_px: usize,
    class: Blend,
    patches: Affine,
    positions: Blend,
    pre_norm: Norm,
    blocks: Vec<Block>,
    post_norm: Norm,
    projection: Affine,
}

impl Tower {
    pub(super) fn new(mut blends: Blends, config: &ClipConfig) -> Result<Self> {
        let (width, patch_px) = (config.vision.width, config.patch_px);
        let embedding = |name: &str| format!("vision_model.embeddings.{name}");
        let kernel = blends.take(&embedding("patch_embedding.weight"))?;
        let blocks = (0..config.vision.layers).map(|index| Block::new(&mut blends, index, config));
        let blocks = blocks.collect::<Result<_>>()?;
        Ok(Self {
            patch_px,
            class: blends.take(&embedding("class_embedding"))?,
            patches: Affine { weight: kernel.reshape((width, 3 * patch_px * patch_px))?, bias: None },
            positions: blends.take(&embedding("position_embedding.weight"))?,
            // The missing `e` is the name under which the weights were published.
            pre_norm: blends.norm("vision_model.pre_layrnorm")?,
            blocks,
            post_norm: blends.norm("vision_model.post_layernorm")?,
            projection: Affine { weight: blends.take("visual_projection.weight")?, bias: None },
        })
    }

    /// `[B, 3, S, S]` to unit rows `[B, projection]`.
    pub(super) fn features(&self, pixels: &Tensor, lambda: &Lambda) -> Result<Tensor> {
        let mut x = self.pre_norm.forward(&self.embed(pixels, lambda)?, lambda)?;
        for (index, block) in self.blocks.iter().enumerate() {
            // Nothing reads the patches behind the last block, so there only the class token goes on.
            let is_last = index + 1 == self.blocks.len();
            x = block.forward(&x, if is_last { 1 } else { x.dim(1)? }, lambda)?;
        }
        let pooled = self.post_norm.forward(&x.narrow(1, 0, 1)?, lambda)?;
        div_l2_norm(&self.projection.forward(&pooled, lambda)?.squeeze(1)?)
    }

    /// Class token and patches with their positions, `[B, 1 + patches, width]`.
    fn embed(&self, pixels: &Tensor, lambda: &Lambda) -> Result<Tensor> {
        let (samples, channels, height, width) = pixels.dims4()?;
        let (side, rows, columns) = (self.patch_px, height / self.patch_px, width / self.patch_px);
        // A convolution whose stride is its kernel is a linear layer on each patch.
        let patches = pixels
            .reshape(&[samples, channels, rows, side, columns, side][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((samples, rows * columns, channels * side * side))?;
        let patches = self.patches.forward(&patches, lambda)?;
        let class = self.class.merged(lambda)?.unsqueeze(1)?;
        let class = class.broadcast_as((samples, 1, class.dim(2)?))?;
        Tensor::cat(&[&class.contiguous()?, &patches], 1)?.broadcast_add(&self.positions.merged(lambda)?)
    }
}

/// Attention and a multilayer perceptron, each behind a layer norm and beside a residual.
#[derive(Debug, Clone)]
struct Block {
    heads: usize,
    activation: Activation,
    attention_norm: Norm,
    query: Affine,
    key: Affine,
    value: Affine,
    out: Affine,
    mlp_norm: Norm,
    rise: Affine,
    fall: Affine,
}

impl Block {
    fn new(blends: &mut Blends, index: usize, config: &ClipConfig) -> Result<Self> {
        let name = |part: &str| format!("vision_model.encoder.layers.{index}.{part}");
        Ok(Self {
            heads: config.vision.heads,
            activation: config.vision.activation,
            attention_norm: blends.norm(&name("layer_norm1"))?,
            query: blends.affine(&name("self_attn.q_proj"))?,
            key: blends.affine(&name("self_attn.k_proj"))?,
            value: blends.affine(&name("self_attn.v_proj"))?,
            out: blends.affine(&name("self_attn.out_proj"))?,
            mlp_norm: blends.norm(&name("layer_norm2"))?,
            rise: blends.affine(&name("mlp.fc1"))?,
            fall: blends.affine(&name("mlp.fc2"))?,
        })
    }

    /// `[B, T, width]` to `[B, kept, width]`: the first `kept` tokens after the block.
    fn forward(&self, x: &Tensor, kept: usize, lambda: &Lambda) -> Result<Tensor> {
        let attended = self.attend(&self.attention_norm.forward(x, lambda)?, kept, lambda)?;
        let x = (x.narrow(1, 0, kept)? + attended)?;
        let inner = self.rise.forward(&self.mlp_norm.forward(&x, lambda)?, lambda)?;
        let inner = match self.activation {
            Activation::QuickGelu => (&inner * sigmoid(&(&inner * QUICK_GELU_SLOPE)?)?)?,
            Activation::Gelu => inner.gelu_erf()?,
        };
        x + self.fall.forward(&inner, lambda)?
    }

    /// Attention of the first `kept` tokens to all.
    fn attend(&self, x: &Tensor, kept: usize, lambda: &Lambda) -> Result<Tensor> {
        let (samples, _, width) = x.dims3()?;
        let scale = ((width / self.heads) as f64).powf(-0.5);
        let asking = x.narrow(1, 0, kept)?.contiguous()?;
        let query = self.split((self.query.forward(&asking, lambda)? * scale)?)?;
        let key = self.split(self.key.forward(x, lambda)?)?;
        let value = self.split(self.value.forward(x, lambda)?)?;
        let share = softmax_last_dim(&query.matmul(&key.transpose(1, 2)?)?)?;
        let heads = share.matmul(&value)?.reshape((samples, self.heads, kept, width / self.heads))?;
        self.out.forward(&heads.transpose(1, 2)?.reshape((samples, kept, width))?, lambda)
    }

    /// `[B, T, width]` to `[B * heads, T, width / heads]`.
    fn split(&self, x: Tensor) -> Result<Tensor> {
        let (samples, tokens, width) = x.dims3()?;
        let per_head = x.reshape((samples, tokens, self.heads, width / self.heads))?.transpose(1, 2)?;
        per_head.reshape((samples * self.heads, tokens, width / self.heads))
    }
}
