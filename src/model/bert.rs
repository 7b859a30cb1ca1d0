//! BERT as a text tower: norms behind the residuals, token types, padding that attention does not see.
//!
//! Reference: `transformers`, `models/bert/modeling_bert.py`, `BertModel`, as open_clip's `HFTextEncoder` pools and projects it.

use candle_core::{D, Module, Result, Tensor};
use candle_nn::{
    Embedding, LayerNorm, Linear, VarBuilder, embedding, layer_norm, linear, linear_no_bias,
    ops::softmax_last_dim,
};

use super::{
    config::{Activation, BertShape, ClipConfig, TowerConfig},
    encoder::activate,
};

/// The tower and its projection.
#[derive(Debug, Clone)]
pub(super) struct Bert {
    words: Embedding,
    positions: Tensor,
    token_types: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
    projection: Vec<Linear>,
    pad_id: u32,
}

#[derive(Debug, Clone)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    attention_norm: LayerNorm,
    rise: Linear,
    fall: Linear,
    norm: LayerNorm,
    heads: usize,
    activation: Activation,
}

impl Bert {
    /// `weights` is at the root of the text half.
    pub(super) fn new(weights: &VarBuilder<'_>, config: &ClipConfig, shape: &BertShape) -> Result<Self> {
        let (model, tower, width) = (weights.pp("text_model"), &config.text, config.text.width);
        let embeddings = model.pp("embeddings");
        let block = |index: usize| Block::new(&model.pp("encoder.layer").pp(index), tower);
        let projection = weights.pp("text_projection");
        let projection = match shape.projection_hidden {
            None => vec![linear_no_bias(width, config.projection, projection)?],
            Some(hidden) => vec![
                linear_no_bias(width, hidden, projection.pp(0))?,
                linear_no_bias(hidden, config.projection, projection.pp(2))?,
            ],
        };
        Ok(Self {
            words: embedding(config.vocab_size, width, embeddings.pp("word_embeddings"))?,
            positions: embeddings.get((shape.positions, width), "position_embeddings.weight")?,
            token_types: embeddings.get((shape.token_types, width), "token_type_embeddings.weight")?,
            norm: layer_norm(width, tower.norm_eps, embeddings.pp("LayerNorm"))?,
            blocks: (0..tower.layers).map(block).collect::<Result<_>>()?,
            projection,
            pad_id: shape.pad_id,
        })
    }

    /// Features of any length, `[N, projection]`, of the first token of each row; all texts are of type 0.
    pub(super) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (n_texts, tokens) = ids.dims2()?;
        let x = self.words.forward(ids)?.broadcast_add(&self.positions.narrow(0, 0, tokens)?)?;
        let x = x.broadcast_add(&self.token_types.narrow(0, 0, 1)?)?;
        let mut x = self.norm.forward(&x)?;
        let hidden = |id: u32| if id == self.pad_id { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = ids.flatten_all()?.to_vec1::<u32>()?.into_iter().map(hidden).collect();
        let mask = Tensor::from_vec(mask, (n_texts, 1, 1, tokens), ids.device())?;
        for block in &self.blocks {
            x = block.forward(&x, &mask)?;
        }
        let first = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        match self.projection.as_slice() {
            [only] => only.forward(&first),
            [rise, fall] => fall.forward(&activate(Activation::Gelu, &rise.forward(&first)?)?),
            _ => candle_core::bail!("a projection has one layer or two"),
        }
    }
}

impl Block {
    fn new(weights: &VarBuilder<'_>, config: &TowerConfig) -> Result<Self> {
        let (width, inner, eps) = (config.width, config.mlp_width, config.norm_eps);
        let attention = weights.pp("attention");
        let projection = |name: &str| linear(width, width, attention.pp("self").pp(name));
        Ok(Self {
            query: projection("query")?,
            key: projection("key")?,
            value: projection("value")?,
            out: linear(width, width, attention.pp("output.dense"))?,
            attention_norm: layer_norm(width, eps, attention.pp("output.LayerNorm"))?,
            rise: linear(width, inner, weights.pp("intermediate.dense"))?,
            fall: linear(inner, width, weights.pp("output.dense"))?,
            norm: layer_norm(width, eps, weights.pp("output.LayerNorm"))?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let x = self.attention_norm.forward(&(x + self.attention(x, mask)?)?)?;
        let inner = activate(self.activation, &self.rise.forward(&x)?)?;
        self.norm.forward(&(&x + self.fall.forward(&inner)?)?)
    }

    fn attention(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (n_texts, tokens, width) = x.dims3()?;
        let head = width / self.heads;
        let split = |linear: &Linear| {
            linear.forward(x)?.reshape((n_texts, tokens, self.heads, head))?.transpose(1, 2)?.contiguous()
        };
        let query = (split(&self.query)? * (1.0 / (head as f64).sqrt()))?;
        let scores = query.matmul(&split(&self.key)?.transpose(D::Minus2, D::Minus1)?)?;
        let mixed = softmax_last_dim(&scores.broadcast_add(mask)?)?.matmul(&split(&self.value)?)?;
        self.out.forward(&mixed.transpose(1, 2)?.reshape((n_texts, tokens, width))?)
    }
}
