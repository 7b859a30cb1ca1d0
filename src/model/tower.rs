//! The two towers on candle's operations: pixels or token ids to unit vectors.
//!
//! A tower holds handles of the tensors it was built from, not copies. Who overwrites such a tensor in place (a merge into
//! preallocated storage) changes what the tower computes next; nothing derived from a weight is kept between calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{
    Conv2d, Conv2dConfig, Embedding, LayerNorm, Linear, VarBuilder, conv2d_no_bias, embedding, layer_norm,
    linear_no_bias,
};
use candle_transformers::models::clip::{div_l2_norm, vision_model::ClipVisionTransformer};

use super::{
    config::{ClipConfig, LAYER_NORM_EPS},
    encoder::Encoder,
    error::{Fault, ModelError},
    fast::{Activations, FastVision, Weights},
    layout::{self, Part},
    packed::with_values,
};

/// The text tower and its projection.
#[derive(Debug, Clone)]
pub struct TextTower {
    tokens: Embedding,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    projection: Linear,
}

/// The image tower and its projection.
#[derive(Debug, Clone)]
pub struct VisionTower(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Our kernels on packed weights; CPU only.
    Fast(PackedTower),
    /// candle's operations: any device, any activation.
    Plain(Box<PlainVision>, Linear),
    /// candle-transformers', which tests and doubters compare with.
    Reference(Box<ClipVisionTransformer>, Linear),
}

/// The image tower on packed weights, for the CPU: see [`fast`](super::fast).
#[derive(Debug, Clone)]
pub struct PackedTower {
    engine: Arc<FastVision>,
    weights: Tensor,
}

#[derive(Debug, Clone)]
struct PlainVision {
    patches: Conv2d,
    class: Tensor,
    positions: Tensor,
    pre_norm: LayerNorm,
    encoder: Encoder,
    post_norm: LayerNorm,
}

impl VisionTower {
    /// Builds the tower on `tensors`, which may hold more than its own. Tensors that are f32 on `device` are shared; others
    /// are copied there.
    ///
    /// # Errors
    /// `W005` when a tensor is missing (candle would fill some in with random numbers), `N002` for a shape that is not the
    /// configuration's.
    pub fn new(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Vision, device)?;
        let plain = PlainVision::new(&weights.pp("vision_model"), config)?;
        Ok(Self(Kind::Plain(Box::new(plain), projection(config, &weights)?)))
    }

    /// The tower on weights that were [packed](super::packed::pack) for `engine`; a handle of them, not a copy.
    #[must_use]
    pub fn fast(engine: &Arc<FastVision>, weights: &Tensor) -> Self {
        Self(Kind::Fast(PackedTower { engine: Arc::clone(engine), weights: weights.clone() }))
    }

    /// The same tower as candle-transformers has it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `W013` for an activation other than `quick_gelu`, the one it has.
    pub fn reference(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Vision, device)?;
        let transformer = ClipVisionTransformer::new(weights.pp("vision_model"), &config.candle_vision()?)?;
        Ok(Self(Kind::Reference(Box::new(transformer), projection(config, &weights)?)))
    }

    /// Unit-length image features, `[B, projection]` f32.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]` f32, normalised ([`normalize`](super::normalize)). Reference:
    /// `CLIPModel.get_image_features` divided by its length. A feature of length zero gives NaN.
    ///
    /// # Errors
    /// `N002` for another shape, or when the device refuses.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let (pooled, projection) = match &self.0 {
            Kind::Fast(tower) => return Ok(tower.features(pixels)?),
            Kind::Plain(tower, projection) => (tower.forward(pixels)?, projection),
            Kind::Reference(transformer, projection) => (transformer.forward(pixels)?, projection),
        };
        Ok(div_l2_norm(&projection.forward(&pooled)?)?)
    }

    /// The same features of images whose first blocks are computed, where this is a fast tower.
    pub(crate) fn features_from(&self, prefix: &Activations) -> Result<Option<Tensor>, ModelError> {
        let Kind::Fast(tower) = &self.0 else { return Ok(None) };
        let features = with_values(&tower.weights, |w| tower.engine.features_from(Weights::One(w), prefix))?;
        Ok(Some(tower.rows(features)?))
    }
}

impl PackedTower {
    fn features(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        let side = self.engine.plan().image_px();
        if pixels.dims4()? != (pixels.dim(0)?, 3, side, side) {
            candle_core::bail!("pixels of shape {:?}, allowed [B, 3, {side}, {side}]", pixels.dims());
        }
        let features = with_values(pixels, |pixels| {
            with_values(&self.weights, |weights| self.engine.features(Weights::One(weights), pixels))
        })??;
        self.rows(features)
    }

    fn rows(&self, features: Vec<f32>) -> candle_core::Result<Tensor> {
        let width = self.engine.plan().projection_width();
        let n_images = features.len() / width;
        Tensor::from_vec(features, (n_images, width), &Device::Cpu)
    }
}

fn projection(config: &ClipConfig, weights: &VarBuilder<'_>) -> candle_core::Result<Linear> {
    linear_no_bias(config.vision.width, config.projection, weights.pp("visual_projection"))
}

impl PlainVision {
    fn new(weights: &VarBuilder<'_>, config: &ClipConfig) -> candle_core::Result<Self> {
        let (width, patch) = (config.vision.width, config.patch_px);
        let embeddings = weights.pp("embeddings");
        let stride = Conv2dConfig { stride: patch, ..Conv2dConfig::default() };
        let positions = (config.vision_positions(), width);
        Ok(Self {
            patches: conv2d_no_bias(3, width, patch, stride, embeddings.pp("patch_embedding"))?,
            class: embeddings.get(width, "class_embedding")?,
            positions: embeddings.get(positions, "position_embedding.weight")?,
            // The missing `e` is the name under which the weights were published.
            pre_norm: layer_norm(width, LAYER_NORM_EPS, weights.pp("pre_layrnorm"))?,
            encoder: Encoder::new(&weights.pp("encoder"), &config.vision)?,
            post_norm: layer_norm(width, LAYER_NORM_EPS, weights.pp("post_layernorm"))?,
        })
    }

    /// The class token behind the last norm, `[B, width]`.
    fn forward(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        let patches = self.patches.forward(pixels)?.flatten_from(2)?.transpose(1, 2)?;
        let (n_samples, _, width) = patches.dims3()?;
        let class = self.class.reshape((1, 1, width))?.expand((n_samples, 1, width))?;
        let x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&self.positions)?;
        let x = self.encoder.forward(&self.pre_norm.forward(&x)?, None)?;
        self.post_norm.forward(&x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)
    }
}

impl TextTower {
    /// As [`VisionTower::new`], for the text half.
    ///
    /// # Errors
    /// As [`VisionTower::new`].
    pub fn new(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Text, device)?;
        let (model, width) = (weights.pp("text_model"), config.text.width);
        let embeddings = model.pp("embeddings");
        Ok(Self {
            tokens: embedding(config.vocab_size, width, embeddings.pp("token_embedding"))?,
            positions: embeddings.get((config.context_tokens, width), "position_embedding.weight")?,
            encoder: Encoder::new(&model.pp("encoder"), &config.text)?,
            norm: layer_norm(width, LAYER_NORM_EPS, model.pp("final_layer_norm"))?,
            projection: linear_no_bias(width, config.projection, weights.pp("text_projection"))?,
        })
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &Device {
        self.projection.weight().device()
    }

    /// Width of the features.
    pub(super) fn projection(&self) -> usize {
        self.projection.weight().dims()[0]
    }

    /// Unit-length text features, `[N, projection]` f32, pooled at the first largest id of each row.
    ///
    /// `ids`: `[N, width]` u32, `width` at most the context ([`Tokens`](super::prompts::Tokens)). Reference:
    /// `CLIPModel.get_text_features` divided by its length.
    ///
    /// # Errors
    /// `N002` for another shape, an id outside the vocabulary, or when the device refuses.
    pub fn features(&self, ids: &Tensor) -> Result<Tensor, ModelError> {
        let pooled = self.pooled(ids)?;
        Ok(div_l2_norm(&self.projection.forward(&pooled)?)?)
    }

    fn pooled(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        let (_, tokens) = ids.dims2()?;
        let x = self.tokens.forward(ids)?.broadcast_add(&self.positions.narrow(0, 0, tokens)?)?;
        let x = self.encoder.forward(&x, Some(&causal_mask(tokens, ids.device())?))?;
        let ends = ids.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let pooled = ends.iter().enumerate().map(|(row, &end)| x.get(row)?.narrow(0, end as usize, 1));
        self.norm.forward(&Tensor::cat(&pooled.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }
}

/// Zero where a token may look, minus infinity behind it.
fn causal_mask(tokens: usize, device: &Device) -> candle_core::Result<Tensor> {
    let value = |i| if i % tokens > i / tokens { f32::NEG_INFINITY } else { 0.0 };
    Tensor::from_vec((0..tokens * tokens).map(value).collect(), (tokens, tokens), device)
}

/// The tensors of one half, none missing, as candle wants them.
fn handles(
    tensors: &BTreeMap<String, Tensor>,
    config: &ClipConfig,
    part: Part,
    device: &Device,
) -> Result<VarBuilder<'static>, ModelError> {
    let (mut found, mut missing) = (HashMap::new(), Vec::new());
    for spec in layout::tensors(config).into_iter().filter(|spec| spec.part == part) {
        match tensors.get(&spec.name) {
            Some(tensor) => drop(found.insert(spec.name, tensor.clone())),
            None => missing.push(spec.name),
        }
    }
    if !missing.is_empty() {
        return Err(Fault::Names { owner: "model", missing, unknown: Vec::new() }.into());
    }
    Ok(VarBuilder::from_tensors(found, DType::F32, device))
}
