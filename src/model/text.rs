//! The text towers on candle's operations: token ids to unit vectors.

use std::collections::BTreeMap;

use candle_core::{D, Device, Module, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, embedding, layer_norm, linear, linear_no_bias};
use candle_transformers::models::clip::div_l2_norm;

use super::{
    bert::Bert,
    config::{ClipConfig, TextKind},
    encoder::Encoder,
    error::ModelError,
    layout::Part,
    tower::handles,
};

/// The text tower and its projection. It holds handles of tensors, as [`VisionTower`](super::tower::VisionTower) does.
#[derive(Debug, Clone)]
pub struct TextTower {
    kind: TextHalf,
    projection: usize,
    device: Device,
}

#[derive(Debug, Clone)]
enum TextHalf {
    Plain(Box<PlainText>),
    Bert(Box<Bert>),
}

/// CLIP's and SigLIP's.
#[derive(Debug, Clone)]
struct PlainText {
    tokens: Embedding,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    projection: Linear,
    /// Whether a token sees only those before it, and the end of the text is pooled; else all see all, and the last place.
    is_causal: bool,
}

impl TextTower {
    /// As [`VisionTower::new`](super::tower::VisionTower::new), for the text half.
    ///
    /// # Errors
    /// As there.
    pub fn new(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Text, device)?;
        let kind = match &config.text_kind {
            TextKind::Bert(shape) => TextHalf::Bert(Box::new(Bert::new(&weights, config, shape)?)),
            TextKind::Clip | TextKind::Siglip => {
                let (model, width, eps) = (weights.pp("text_model"), config.text.width, config.text.norm_eps);
                let embeddings = model.pp("embeddings");
                let is_causal = config.text_kind == TextKind::Clip;
                TextHalf::Plain(Box::new(PlainText {
                    tokens: embedding(config.vocab_size, width, embeddings.pp("token_embedding"))?,
                    positions: embeddings.get((config.context_tokens, width), "position_embedding.weight")?,
                    encoder: Encoder::new(&model.pp("encoder"), &config.text)?,
                    norm: layer_norm(width, eps, model.pp("final_layer_norm"))?,
                    projection: if is_causal {
                        linear_no_bias(width, config.projection, weights.pp("text_projection"))?
                    } else {
                        linear(width, config.projection, model.pp("head"))?
                    },
                    is_causal,
                }))
            }
        };
        Ok(Self { kind, projection: config.projection, device: device.clone() })
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Width of the features.
    pub(super) fn projection(&self) -> usize {
        self.projection
    }

    /// Unit-length text features, `[N, projection]` f32.
    ///
    /// `ids`: `[N, width]` u32, `width` at most the context, padded as [`Tokens`](super::prompts::Tokens) does it: a CLIP tower
    /// pools at the first largest id of each row, a SigLIP tower at the last place, a BERT at the first. Reference:
    /// `get_text_features` of `CLIPModel` or `SiglipModel`, or open_clip's `encode_text`, divided by its length.
    ///
    /// # Errors
    /// `N002` for another shape, an id outside the vocabulary, or when the device refuses.
    pub fn features(&self, ids: &Tensor) -> Result<Tensor, ModelError> {
        let features = match &self.kind {
            TextHalf::Plain(tower) => tower.forward(ids)?,
            TextHalf::Bert(tower) => tower.forward(ids)?,
        };
        Ok(div_l2_norm(&features)?)
    }
}

impl PlainText {
    fn forward(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        let (_, tokens) = ids.dims2()?;
        let x = self.tokens.forward(ids)?.broadcast_add(&self.positions.narrow(0, 0, tokens)?)?;
        let pooled = if self.is_causal {
            let x = self.encoder.forward(&x, Some(&causal_mask(tokens, ids.device())?))?;
            let ends = ids.argmax(D::Minus1)?.to_vec1::<u32>()?;
            let pooled = ends.iter().enumerate().map(|(row, &end)| x.get(row)?.narrow(0, end as usize, 1));
            Tensor::cat(&pooled.collect::<candle_core::Result<Vec<_>>>()?, 0)?
        } else {
            self.encoder.forward(&x, None)?.narrow(1, tokens - 1, 1)?.squeeze(1)?.contiguous()?
        };
        self.projection.forward(&self.norm.forward(&pooled)?)
    }
}

/// Zero where a token may look, minus infinity behind it.
fn causal_mask(tokens: usize, device: &Device) -> candle_core::Result<Tensor> {
    let value = |i| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 };
    Tensor::from_vec((0..tokens * tokens).map(value).collect(), (tokens, tokens), device)
}
