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
    class: Option<Blend>,
    patches: Affine,
    positions: Blend,
    pre_norm: Option<Norm>,
    blocks: Vec<Block>,
    post_norm: Norm,
    head: Head,
}

/// From the tokens behind the last block to a feature.
#[derive(Debug, Clone)]
enum Head {
    /// Projects the class token.
    Projection(Affine),
    /// Lets the learned query `probe` attend to all patches; the block's first norm is not there.
    Attention { probe: Blend, block: Box<Block> },
}

impl Tower {
    pub(super) fn new(mut blends: Blends, config: &ClipConfig) -> Result<Self> {
        let embedding = |name: &str| format!("vision_model.embeddings.{name}");
        let kind = config.vision_kind;
        let kernel = blends.take(&embedding("patch_embedding.weight"))?;
        let bias =
            kind.has_patch_bias().then(|| blends.take(&embedding("patch_embedding.bias"))).transpose()?;
        let class = kind.has_class_token().then(|| blends.take(&embedding("class_embedding"))).transpose()?;
        // The missing `e` is the name under which the weights were published.
        let pre_norm = kind.has_pre_norm().then(|| blends.norm("vision_model.pre_layrnorm")).transpose()?;
        let blocks = (0..config.vision.layers).map(|index| Block::new(&mut blends, index, config));
        let blocks = blocks.collect::<Result<_>>()?;
        let head = if kind.pools_by_attention() {
            let head = "vision_model.head";
            Head::Attention {
                probe: blends.take(&format!("{head}.probe"))?,
                block: Box::new(Block::below(
                    &mut blends,
                    [format!("{head}.attention"), format!("{head}.mlp")],
                    None,
                    &format!("{head}.layernorm"),
                    config,
                )?),
            }
        } else {
            let weight = blends.take("visual_projection.weight")?;
            Head::Projection(Affine { weight, bias: None, activation: None })
        };
        Ok(Self {
            patch_px: config.patch_px,
            class,
            patches: Affine { weight: kernel.map(|kernel| kernel.flatten_from(1))?, bias, activation: None },
            positions: blends.take(&embedding("position_embedding.weight"))?,
            pre_norm,
            blocks,
            post_norm: blends.norm("vision_model.post_layernorm")?,
            head,
        })
    }

    /// `[B, 3, S, S]` to unit rows `[B, projection]`.
    pub(super) fn features(&self, pixels: &Tensor, samples: &Samples) -> Result<Tensor> {
        let mut x = self.embed(pixels, samples)?;
        if let Some(norm) = &self.pre_norm {
            x = norm.forward(&x, samples)?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            // Where the class token alone is projected, nothing reads the patches behind the last block.
            let is_last = index + 1 == self.blocks.len() && matches!(self.head, Head::Projection(_));
            x = block.forward(&x, if is_last { 1 } else { x.dim(2)? }, samples)?;
        }
        let feature = match &self.head {
            Head::Projection(projection) => {
                let pooled = self.post_norm.forward(&x.narrow(2, 0, 1)?.contiguous()?, samples)?;
                projection.forward(&pooled, samples)?
            }
            Head::Attention { probe, block } => {
                block.pool(probe, &self.post_norm.forward(&x, samples)?, samples)?
            }
        };
        div_l2_norm(&feature.squeeze(2)?.t()?.contiguous()?)
    }

    /// Class token, where there is one, and patches with their positions, `[width, B, tokens]`.
    fn embed(&self, pixels: &Tensor, samples: &Samples) -> Result<Tensor> {
        let (n_samples, channels, height, width) = pixels.dims4()?;
        let (side, rows, columns) = (self.patch_px, height / self.patch_px, width / self.patch_px);
        // Pixels behind the last whole patch have no part in a convolution.
        let pixels = pixels.narrow(2, 0, rows * side)?.narrow(3, 0, columns * side)?.contiguous()?;
        // A convolution whose stride is its kernel is a linear layer on each patch.
        let patches = pixels
            .reshape(&[n_samples, channels, rows, side, columns, side][..])?
            .permute([1, 3, 5, 0, 2, 4])?
            .reshape((channels * side * side, n_samples, rows * columns))?;
        let patches = self.patches.forward(&patches, samples)?;
        let x = match &self.class {
            Some(class) => Tensor::cat(&[&class.vector(samples)?, &patches], 2)?,
            None => patches,
        };
        let every_sample = |positions: &Tensor| positions.t()?.unsqueeze(1)?.repeat((1, n_samples, 1));
        x + self.positions.apply(samples, every_sample)?
    }
}

/// Attention and a multilayer perceptron, each behind a layer norm and beside a residual.
#[derive(Debug, Clone)]
struct Block {
    heads: usize,
    attention_norm: Option<Norm>,
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
        let norm = blends.norm(&name("layer_norm1"))?;
        Self::below(blends, [name("self_attn"), name("mlp")], Some(norm), &name("layer_norm2"), config)
    }

    /// The block whose attention and perceptron are below these names.
    fn below(
        blends: &mut Blends,
        [attention, mlp]: [String; 2],
        attention_norm: Option<Norm>,
        mlp_norm: &str,
        config: &ClipConfig,
    ) -> Result<Self> {
        let rise = blends.affine(&format!("{mlp}.fc1"))?;
        Ok(Self {
            heads: config.vision.heads,
            attention_norm,
            query: blends.affine(&format!("{attention}.q_proj"))?,
            key: blends.affine(&format!("{attention}.k_proj"))?,
            value: blends.affine(&format!("{attention}.v_proj"))?,
            out: blends.affine(&format!("{attention}.out_proj"))?,
            mlp_norm: blends.norm(mlp_norm)?,
            rise: Affine { activation: Some(config.vision.activation), ..rise },
            fall: blends.affine(&format!("{mlp}.fc2"))?,
        })
    }

    /// `[width, B, patches]` to `[width, B, 1]`: what the learned query mixes of all patches, and the perceptron behind it.
    fn pool(&self, probe: &Blend, x: &Tensor, samples: &Samples) -> Result<Tensor> {
        let probe = probe.map(|probe| probe.flatten_all())?.vector(samples)?;
        let query = self.query.forward(&probe, samples)?;
        let (key, value) = (self.key.forward(x, samples)?, self.value.forward(x, samples)?);
        let mixed = self.out.forward(&self.mix(&query, &key, &value)?, samples)?;
        self.perceptron(&mixed, samples)
    }

    /// `[width, B, tokens]` to `[width, B, kept]`: the first `kept` tokens after the block.
    fn forward(&self, x: &Tensor, kept: usize, samples: &Samples) -> Result<Tensor> {
        let normed = match &self.attention_norm {
            Some(norm) => norm.forward(x, samples)?,
            None => x.clone(),
        };
        let attended = self.attend(&normed, kept, samples)?;
        self.perceptron(&(x.narrow(2, 0, kept)? + attended)?, samples)
    }

    /// The multilayer perceptron behind its norm, beside the residual.
    fn perceptron(&self, x: &Tensor, samples: &Samples) -> Result<Tensor> {
        let inner = self.rise.forward(&self.mlp_norm.forward(x, samples)?, samples)?;
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
