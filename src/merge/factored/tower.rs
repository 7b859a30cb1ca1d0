//! CLIP's image tower of affine operations with one coefficient per sample.
//!
//! Reference: candle-transformers, `models/clip/{vision_model,text_model}.rs`.

use candle_core::{Result, Tensor};
use candle_nn::ops::softmax_last_dim;
use candle_transformers::models::clip::div_l2_norm;

use super::ops::{Affine, Blend, Blends, Norm, Samples};
use crate::model::ClipConfig;

/// The image tower and its projection. Activations are `[channels, B, tokens]`.
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
        let embedding = |name: &str| format!("vision_model.embeddings.{name}");
        let kernel = blends.take(&embedding("patch_embedding.weight"))?;
        let blocks = (0..config.vision.layers).map(|index| Block::new(&mut blends, index, config));
        let blocks = blocks.collect::<Result<_>>()?;
        Ok(Self {
            patch_px: config.patch_px,
            class: blends.take(&embedding("class_embedding"))?,
            patches: Affine {
                weight: kernel.map(|kernel| kernel.flatten_from(1))?,
                bias: None,
                activation: None,
            },
            positions: blends.take(&embedding("position_embedding.weight"))?,
            // The missing `e` is the name under which the weights were published.
            pre_norm: blends.norm("vision_model.pre_layrnorm")?,
            blocks,
            post_norm: blends.norm("vision_model.post_layernorm")?,
            projection: Affine {
                weight: blends.take("visual_projection.weight")?,
                bias: None,
                activation: None,
            },
        })
    }

    /// `[B, 3, S, S]` to unit rows `[B, projection]`.
    pub(super) fn features(&self, pixels: &Tensor, samples: &Samples) -> Result<Tensor> {
        let mut x = self.pre_norm.forward(&self.embed(pixels, samples)?, samples)?;
        for (index, block) in self.blocks.iter().enumerate() {
            // Nothing reads the patches behind the last block, so there only the class token goes on.
            let is_last = index + 1 == self.blocks.len();
            x = block.forward(&x, if is_last { 1 } else { x.dim(2)? }, samples)?;
        }
        let pooled = self.post_norm.forward(&x.narrow(2, 0, 1)?.contiguous()?, samples)?;
        div_l2_norm(&self.projection.forward(&pooled, samples)?.squeeze(2)?.t()?.contiguous()?)
    }

    /// Class token and patches with their positions, `[width, B, 1 + patches]`.
    fn embed(&self, pixels: &Tensor, samples: &Samples) -> Result<Tensor> {
        let (n_samples, channels, height, width) = pixels.dims4()?;
        let (side, rows, columns) = (self.patch_px, height / self.patch_px, width / self.patch_px);
        // A convolution whose stride is its kernel is a linear layer on each patch.
        let patches = pixels
            .reshape(&[n_samples, channels, rows, side, columns, side][..])?
            .permute([1, 3, 5, 0, 2, 4])?
            .reshape((channels * side * side, n_samples, rows * columns))?;
        let patches = self.patches.forward(&patches, samples)?;
        let x = Tensor::cat(&[&self.class.vector(samples)?, &patches], 2)?;
        let every_sample = |positions: &Tensor| positions.t()?.unsqueeze(1)?.repeat((1, n_samples, 1));
        x + self.positions.apply(samples, every_sample)?
    }
}

/// Attention and a multilayer perceptron, each behind a layer norm and beside a residual.
#[derive(Debug, Clone)]
struct Block {
    heads: usize,
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
            attention_norm: blends.norm(&name("layer_norm1"))?,
            query: blends.affine(&name("self_attn.q_proj"))?,
            key: blends.affine(&name("self_attn.k_proj"))?,
            value: blends.affine(&name("self_attn.v_proj"))?,
            out: blends.affine(&name("self_attn.out_proj"))?,
            mlp_norm: blends.norm(&name("layer_norm2"))?,
            rise: Affine { activation: Some(config.vision.activation), ..blends.affine(&name("mlp.fc1"))? },
            fall: blends.affine(&name("mlp.fc2"))?,
        })
    }

    /// `[width, B, tokens]` to `[width, B, kept]`: the first `kept` tokens after the block.
    fn forward(&self, x: &Tensor, kept: usize, samples: &Samples) -> Result<Tensor> {
        let attended = self.attend(&self.attention_norm.forward(x, samples)?, kept, samples)?;
        let x = (x.narrow(2, 0, kept)? + attended)?;
        let inner = self.rise.forward(&self.mlp_norm.forward(&x, samples)?, samples)?;
        x + self.fall.forward(&inner, samples)?
    }

    /// Attention of the first `kept` tokens to all.
    fn attend(&self, x: &Tensor, kept: usize, samples: &Samples) -> Result<Tensor> {
        let query = self.query.forward(&x.narrow(2, 0, kept)?.contiguous()?, samples)?;
        let (key, value) = (self.key.forward(x, samples)?, self.value.forward(x, samples)?);
        self.out.forward(&self.mix(&query, &key, &value)?, samples)
    }

    /// All samples and heads in one product.
    fn mix(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
        let (width, n_samples, kept) = query.dims3()?;
        let (heads, head) = (self.heads, width / self.heads);
        let split = |x: &Tensor| {
            let by_head = x.reshape((heads, head, n_samples, ()))?.transpose(1, 2)?;
            by_head.reshape((heads * n_samples, head, ()))
        };
        let mixed = mix(&split(query)?, &split(key)?, &split(value)?)?;
        mixed.reshape((heads, n_samples, head, kept))?.transpose(1, 2)?.reshape((width, n_samples, kept))
    }
}

/// Attention of `G` heads: `[G, head_width, tokens]` each, the queries' tokens being those kept, to
/// `[G, head_width, kept]`.
fn mix(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
    let scale = (query.dim(1)? as f64).powf(-0.5);
    let scores = query.transpose(1, 2)?.matmul(key)?;
    value.matmul(&softmax_last_dim(&(scores * scale)?)?.transpose(1, 2)?)
}
