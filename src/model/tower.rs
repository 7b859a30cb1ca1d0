//! The two towers on candle's CLIP: pixels or token ids to unit vectors.
//!
//! A tower holds handles of the tensors it was built from, not copies. Who overwrites such a tensor in place (a merge into
//! preallocated storage) changes what the tower computes next; nothing derived from a weight is kept between calls.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Linear, VarBuilder, linear_no_bias};
use candle_transformers::models::clip::{
    div_l2_norm, text_model::ClipTextTransformer, vision_model::ClipVisionTransformer,
};

use super::{
    config::ClipConfig,
    error::{Fault, ModelError},
    layout::{self, Part},
};

/// The image tower and its projection.
#[derive(Debug, Clone)]
pub struct VisionTower {
    transformer: ClipVisionTransformer,
    projection: Linear,
}

/// The text tower and its projection.
#[derive(Debug, Clone)]
pub struct TextTower {
    transformer: ClipTextTransformer,
    projection: Linear,
}

impl VisionTower {
    /// Builds the tower on `tensors`, which may hold more than its own. Tensors that are f32 on `device` are shared; others
    /// are copied there.
    ///
    /// # Errors
    /// `W005` when a tensor is missing (candle would fill some in with random numbers), `W013` for an activation other than
    /// `quick_gelu`, `N002` for a shape that is not the configuration's.
    pub fn new(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Vision, device)?;
        let transformer = ClipVisionTransformer::new(weights.pp("vision_model"), &config.candle_vision()?)?;
        let projection =
            linear_no_bias(config.vision.width, config.projection, weights.pp("visual_projection"))?;
        Ok(Self { transformer, projection })
    }

    /// Unit-length image features, `[B, projection]` f32.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]` f32, normalised ([`normalize`](super::normalize)). Reference:
    /// `CLIPModel.get_image_features` divided by its length. A feature of length zero gives NaN.
    ///
    /// # Errors
    /// `N002` for another shape, or when the device refuses.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        Ok(div_l2_norm(&self.projection.forward(&self.transformer.forward(pixels)?)?)?)
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
        let transformer = ClipTextTransformer::new(weights.pp("text_model"), &config.candle_text()?)?;
        let projection = linear_no_bias(config.text.width, config.projection, weights.pp("text_projection"))?;
        Ok(Self { transformer, projection })
    }

    /// Where the weights are.
    pub(super) fn device(&self) -> &Device {
        self.projection.weight().device()
    }

    /// Width of the features.
    pub(super) fn projection(&self) -> usize {
        self.projection.weight().dims()[0]
    }

    /// Unit-length text features, `[N, projection]` f32, pooled at the largest id of each row.
    ///
    /// `ids`: `[N, width]` u32, `width` at most the context ([`Tokens`](super::prompts::Tokens)). Reference:
    /// `CLIPModel.get_text_features` divided by its length.
    ///
    /// # Errors
    /// `N002` for another shape, an id outside the vocabulary, or when the device refuses.
    pub fn features(&self, ids: &Tensor) -> Result<Tensor, ModelError> {
        Ok(div_l2_norm(&self.projection.forward(&self.transformer.forward(ids)?)?)?)
    }
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
