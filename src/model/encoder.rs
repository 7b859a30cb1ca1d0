//! The transformer blocks that both towers consist of, on candle's own operations: any device, both nonlinearities.
//!
//! Reference: `transformers`, `models/clip/modeling_clip.py`, `CLIPEncoder`.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder, layer_norm, linear, ops::softmax_last_dim};

use super::config::{Activation, TowerConfig};

/// `x * sigmoid(1.702 x)`.
const QUICK_GELU_SLOPE: f64 = 1.702;

/// Blocks of one tower, in order.
#[derive(Debug, Clone)]
pub(super) struct Encoder(Vec<Block>);

#[derive(Debug, Clone)]
struct Block {
    norm_1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm_2: LayerNorm,
    fc_1: Linear,
    fc_2: Linear,
    heads: usize,
    activation: Activation,
}

impl Encoder {
    /// `weights` is at `vision_model.encoder` or `text_model.encoder`.
    pub(super) fn new(weights: &VarBuilder<'_>, config: &TowerConfig) -> Result<Self> {
        let block = |index: usize| Block::new(&weights.pp("layers").pp(index), config);
        (0..config.layers).map(block).collect::<Result<_>>().map(Self)
    }

    /// `[B, tokens, width]` to the same shape. `mask` is added to the scores, `[tokens, tokens]`.
    pub(super) fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, block| block.forward(&x, mask))
    }
}

/// The nonlinearity of every value.
pub(super) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * QUICK_GELU_SLOPE)?)?,
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
    }
}

impl Block {
    fn new(weights: &VarBuilder<'_>, config: &TowerConfig) -> Result<Self> {
        let (width, inner) = (config.width, config.mlp_width);
        let attention = weights.pp("self_attn");
        let projection = |name: &str| linear(width, width, attention.pp(name));
        Ok(Self {
            norm_1: layer_norm(width, config.norm_eps, weights.pp("layer_norm1"))?,
            query: projection("q_proj")?,
            key: projection("k_proj")?,
            value: projection("v_proj")?,
            out: projection("out_proj")?,
            norm_2: layer_norm(width, config.norm_eps, weights.pp("layer_norm2"))?,
            fc_1: linear(width, inner, weights.pp("mlp").pp("fc1"))?,
            fc_2: linear(inner, width, weights.pp("mlp").pp("fc2"))?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let x = (x + self.attention(&self.norm_1.forward(x)?, mask)?)?;
        let inner = self.fc_1.forward(&self.norm_2.forward(&x)?)?;
        let inner = activate(self.activation, &inner)?;
        &x + self.fc_2.forward(&inner)?
    }

    fn attention(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (n_samples, tokens, width) = x.dims3()?;
        let head = width / self.heads;
        let split = |linear: &Linear| {
            linear.forward(x)?.reshape((n_samples, tokens, self.heads, head))?.transpose(1, 2)?.contiguous()
        };
        let query = (split(&self.query)? * (1.0 / (head as f64).sqrt()))?;
        let scores = query.matmul(&split(&self.key)?.transpose(D::Minus2, D::Minus1)?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let mixed = softmax_last_dim(&scores)?.matmul(&split(&self.value)?)?;
        self.out.forward(&mixed.transpose(1, 2)?.reshape((n_samples, tokens, width))?)
    }
}
