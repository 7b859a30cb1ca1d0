//! SigLIP's head on candle's operations: a learned query attends to all patches, and a multilayer perceptron follows.
//!
//! Reference: `transformers`, `models/siglip/modeling_siglip.py`, `SiglipMultiheadAttentionPoolingHead`.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder, layer_norm, linear, ops::softmax_last_dim};

use super::{
    config::{Activation, TowerConfig},
    encoder::activate,
};

#[derive(Debug, Clone)]
pub(super) struct AttentionPool {
    probe: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm: LayerNorm,
    fc_1: Linear,
    fc_2: Linear,
    heads: usize,
    activation: Activation,
}

impl AttentionPool {
    /// `weights` is at `vision_model.head`.
    pub(super) fn new(weights: &VarBuilder<'_>, config: &TowerConfig) -> Result<Self> {
        let (width, inner) = (config.width, config.mlp_width);
        let attention = weights.pp("attention");
        let projection = |name: &str| linear(width, width, attention.pp(name));
        Ok(Self {
            probe: weights.get((1, 1, width), "probe")?,
            query: projection("q_proj")?,
            key: projection("k_proj")?,
            value: projection("v_proj")?,
            out: projection("out_proj")?,
            norm: layer_norm(width, config.norm_eps, weights.pp("layernorm"))?,
            fc_1: linear(width, inner, weights.pp("mlp").pp("fc1"))?,
            fc_2: linear(inner, width, weights.pp("mlp").pp("fc2"))?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    /// `[B, patches, width]` to `[B, width]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n_samples, tokens, width) = x.dims3()?;
        let head = width / self.heads;
        let split = |x: &Tensor, linear: &Linear, tokens: usize| {
            let rows = linear.forward(x)?.reshape((x.dim(0)?, tokens, self.heads, head))?;
            rows.transpose(1, 2)?.contiguous()
        };
        let query = (split(&self.probe, &self.query, 1)? * (1.0 / (head as f64).sqrt()))?;
        let query = query.expand((n_samples, self.heads, 1, head))?.contiguous()?;
        let scores = query.matmul(&split(x, &self.key, tokens)?.transpose(D::Minus2, D::Minus1)?)?;
        let mixed = softmax_last_dim(&scores)?.matmul(&split(x, &self.value, tokens)?)?;
        let mixed = self.out.forward(&mixed.transpose(1, 2)?.reshape((n_samples, width))?)?;
        let inner = activate(self.activation, &self.fc_1.forward(&self.norm.forward(&mixed)?)?)?;
        &mixed + self.fc_2.forward(&inner)?
    }
}
