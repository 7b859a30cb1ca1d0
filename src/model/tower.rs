//! The image tower: pixels to unit vectors. [`text`](super::text) has the other.
//!
//! A tower holds handles of the tensors it was built from, not copies. Who overwrites such a tensor in place (a merge into
//! preallocated storage) changes what the tower computes next; nothing derived from a weight is kept between calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{
    Conv2d, Conv2dConfig, LayerNorm, Linear, VarBuilder, conv2d, conv2d_no_bias, layer_norm, linear_no_bias,
};
use candle_transformers::models::clip::{div_l2_norm, vision_model::ClipVisionTransformer};

use super::{
    attention_pool::AttentionPool,
    config::ClipConfig,
    encoder::Encoder,
    error::{CheckpointFault, ModelError},
    fast::{Activations, FastVision, Int8Layers, Weights},
    layout::{self, Part},
    packed::with_values,
    spilled_tower::{SpilledModel, SpilledWeights},
};

pub use super::text::TextTower;

/// The image tower and its projection.
#[derive(Debug, Clone)]
pub struct VisionTower(Backend);

#[derive(Debug, Clone)]
enum Backend {
    /// Our kernels on packed weights; CPU only.
    Fast(PackedTower),
    /// Our kernels on a card; its engine computes it, on bytes that are there.
    #[cfg(feature = "cuda")]
    Card(super::card::WeightSet),
    /// candle's operations: any device, family and activation.
    Plain(Box<PlainVision>),
    /// candle-transformers', which tests and doubters compare with.
    Reference(Box<ClipVisionTransformer>, Linear),
}

/// The image tower on packed weights, for the CPU: see [`fast`](super::fast).
#[derive(Debug, Clone)]
pub struct PackedTower {
    engine: Arc<FastVision>,
    weights: Tensor,
    /// The blocks that are computed in 8-bit integers.
    int8: Option<Arc<Int8Layers>>,
    /// Where the matrices of the blocks are, where the weights lack them.
    spilled: Option<Spilled>,
}

/// Whose blocks are read from a file.
#[derive(Debug, Clone)]
enum Spilled {
    One(SpilledModel),
    /// Of the two at the coefficient that was merged at last.
    Merge([SpilledModel; 2], Arc<Mutex<f64>>),
}

#[derive(Debug, Clone)]
struct PlainVision {
    patches: Conv2d,
    class: Option<Tensor>,
    positions: Tensor,
    pre_norm: Option<LayerNorm>,
    encoder: Encoder,
    post_norm: LayerNorm,
    head: Head,
}

/// From the tokens behind the last block to a feature.
#[derive(Debug, Clone)]
enum Head {
    /// Projects the class token.
    Projection(Linear),
    /// Lets a learned query attend to all patches.
    Attention(AttentionPool),
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
        Ok(Self(Backend::Plain(Box::new(PlainVision::new(&weights, config)?))))
    }

    /// The tower on weights that were [packed](super::packed::pack) for `engine`; a handle of them, not a copy.
    #[must_use]
    pub fn fast(engine: &Arc<FastVision>, weights: &Tensor) -> Self {
        let (engine, weights) = (Arc::clone(engine), weights.clone());
        Self(Backend::Fast(PackedTower { engine, weights, int8: None, spilled: None }))
    }

    /// The tower of a model whose blocks are in a file; `weights` are packed without them.
    #[must_use]
    pub fn spilled(engine: &Arc<FastVision>, weights: &Tensor, model: SpilledModel) -> Self {
        let (engine, weights) = (Arc::clone(engine), weights.clone());
        Self(Backend::Fast(PackedTower { engine, weights, int8: None, spilled: Some(Spilled::One(model)) }))
    }

    /// The tower of a merge of two such models, at 0 until it is [told](Self::merge_spilled) otherwise; `weights` are those of the merge.
    #[must_use]
    pub fn spilled_merge(engine: &Arc<FastVision>, weights: &Tensor, parents: [SpilledModel; 2]) -> Self {
        let (engine, weights) = (Arc::clone(engine), weights.clone());
        let spilled = Some(Spilled::Merge(parents, Arc::default()));
        Self(Backend::Fast(PackedTower { engine, weights, int8: None, spilled }))
    }

    /// Says at which coefficient a [merge](Self::spilled_merge) is computed from now on.
    ///
    /// # Errors
    /// When it is another tower.
    pub fn merge_spilled(&self, lambda: f64) -> Result<(), ModelError> {
        let Backend::Fast(PackedTower { spilled: Some(Spilled::Merge(_, held)), .. }) = &self.0 else {
            return Err(candle_core::Error::Msg("a tower whose blocks are in memory".to_owned()).into());
        };
        *held.lock().unwrap_or_else(PoisonError::into_inner) = lambda;
        Ok(())
    }

    /// A fast tower with the linear layers of its blocks from number `first` on in 8-bit integers, made of its weights as they are now;
    /// `None` of another tower.
    ///
    /// # Errors
    /// When its weights are elsewhere.
    pub fn in_int8(&self, first: usize) -> Result<Option<Self>, ModelError> {
        let Backend::Fast(tower) = &self.0 else { return Ok(None) };
        let packing = tower.engine.packing();
        let layers = match &tower.spilled {
            None => with_values(&tower.weights, |weights| Int8Layers::of(packing, weights, first))?,
            Some(Spilled::One(model) | Spilled::Merge([model, _], _)) => {
                Int8Layers::by_block(packing, first, |index| model.block(index))?
            }
        };
        Ok(Some(Self(Backend::Fast(PackedTower { int8: Some(Arc::new(layers)), ..tower.clone() }))))
    }

    /// Overwrites the integers of a tower [in integers](Self::in_int8) by the merge at `lambda` of what those of two such parents stand
    /// for. The rest of its weights is as its tensors are.
    ///
    /// # Errors
    /// When one of them is another tower.
    ///
    /// # Panics
    /// When they are of different architectures.
    pub fn merge_int8(&mut self, parents: [&Self; 2], lambda: f64) -> Result<(), ModelError> {
        let layers = |tower: &Self| match &tower.0 {
            Backend::Fast(tower) => tower.int8.clone(),
            _ => None,
        };
        let (Backend::Fast(PackedTower { engine, int8: Some(merged), .. }), [Some(pretrained), Some(expert)]) =
            (&mut self.0, parents.map(layers))
        else {
            return Err(candle_core::Error::Msg("a tower that is not in integers".to_owned()).into());
        };
        engine.merge_int8(Arc::make_mut(merged), &pretrained, &expert, lambda);
        Ok(())
    }

    /// The tower on a set of weights on a card; a handle of them, not a copy.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub(crate) fn card(set: super::card::WeightSet) -> Self {
        Self(Backend::Card(set))
    }

    /// The weights of a tower on a card.
    #[cfg(feature = "cuda")]
    pub(crate) fn weight_set(&self) -> Option<&super::card::WeightSet> {
        match &self.0 {
            Backend::Card(set) => Some(set),
            _ => None,
        }
    }

    /// The same tower as candle-transformers has it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `W013` for another family, or an activation other than `quick_gelu`, the one it has.
    pub fn reference(
        tensors: &BTreeMap<String, Tensor>,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let weights = handles(tensors, config, Part::Vision, device)?;
        let transformer = ClipVisionTransformer::new(weights.pp("vision_model"), &config.candle_vision()?)?;
        Ok(Self(Backend::Reference(Box::new(transformer), projection(config, &weights)?)))
    }

    /// Unit-length image features, `[B, projection]` f32.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]` f32, normalised ([`normalize`](super::normalize)). Reference:
    /// `get_image_features` of `CLIPModel` or `SiglipModel`, or open_clip's `encode_image`, divided by its length. A feature of length zero gives NaN.
    ///
    /// # Errors
    /// `N002` for another shape, for a tower on a card, or when the device refuses.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let (pooled, projection) = match &self.0 {
            Backend::Fast(tower) => return tower.features(pixels),
            #[cfg(feature = "cuda")]
            Backend::Card(_) => {
                let what = "a tower on a card takes bytes that are there";
                return Err(candle_core::Error::Msg(what.to_owned()).into());
            }
            Backend::Plain(tower) => return Ok(div_l2_norm(&tower.forward(pixels)?)?),
            Backend::Reference(transformer, projection) => (transformer.forward(pixels)?, projection),
        };
        Ok(div_l2_norm(&projection.forward(&pooled)?)?)
    }

    /// The same features of images whose first blocks are computed, by a fast tower.
    pub(crate) fn features_from(&self, shared: &Activations) -> Result<Tensor, ModelError> {
        let Backend::Fast(tower) = &self.0 else {
            return Err(candle_core::Error::Msg("blocks that another tower computed".to_owned()).into());
        };
        tower.features_from(shared)
    }
}

impl PackedTower {
    /// Its weights in the form in which they are computed with.
    fn form<'a>(&'a self, packed: &'a [f32]) -> Weights<'a> {
        match &self.int8 {
            Some(layers) => Weights::Int8 { packed, layers },
            None => Weights::One(packed),
        }
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        let (engine, side) = (&*self.engine, self.engine.packing().image_px());
        let n_images = pixels.dim(0)?;
        if pixels.dims4()? != (n_images, 3, side, side) {
            let what = format!("pixels of shape {:?}, allowed [B, 3, {side}, {side}]", pixels.dims());
            return Err(candle_core::Error::Msg(what).into());
        }
        let features = with_values(pixels, |pixels| {
            let held = |weights: Weights<'_>| engine.features(weights, pixels);
            self.computed(n_images, held, |spilled| spilled.features(engine, pixels))
        })??;
        self.rows(features)
    }

    fn features_from(&self, shared: &Activations) -> Result<Tensor, ModelError> {
        let (engine, n_images) = (&*self.engine, shared.n_images(self.engine.packing()));
        let held = |weights: Weights<'_>| engine.features_from(weights, shared);
        self.rows(self.computed(n_images, held, |spilled| spilled.features_from(engine, shared))?)
    }

    /// What is computed of some images with the weights where they are.
    fn computed(
        &self,
        n_images: usize,
        held: impl FnOnce(Weights<'_>) -> Vec<f32>,
        spilled: impl FnOnce(SpilledWeights<'_>) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Vec<f32>, ModelError> {
        match (&self.spilled, &self.int8) {
            (Some(Spilled::One(model)), None) => spilled(SpilledWeights::One(model)),
            (Some(Spilled::Merge([pt, ft], lambda)), None) => {
                let lambda = vec![*lambda.lock().unwrap_or_else(PoisonError::into_inner); n_images];
                spilled(SpilledWeights::Lerp { pt, ft, lambda: &lambda })
            }
            _ => Ok(with_values(&self.weights, |weights| held(self.form(weights)))?),
        }
    }

    fn rows(&self, features: Vec<f32>) -> Result<Tensor, ModelError> {
        let width = self.engine.packing().projection_width();
        let n_images = features.len() / width;
        Ok(Tensor::from_vec(features, (n_images, width), &Device::Cpu)?)
    }
}

fn projection(config: &ClipConfig, weights: &VarBuilder<'_>) -> candle_core::Result<Linear> {
    linear_no_bias(config.vision.width, config.projection, weights.pp("visual_projection"))
}

impl PlainVision {
    fn new(weights: &VarBuilder<'_>, config: &ClipConfig) -> candle_core::Result<Self> {
        let model = weights.pp("vision_model");
        let (width, patch, kind) = (config.vision.width, config.patch_px, config.vision_kind);
        let eps = config.vision.norm_eps;
        let embeddings = model.pp("embeddings");
        let stride = Conv2dConfig { stride: patch, ..Conv2dConfig::default() };
        let positions = (config.vision_positions(), width);
        let patches = embeddings.pp("patch_embedding");
        let class = kind.has_class_token().then(|| embeddings.get(width, "class_embedding")).transpose()?;
        // The missing `e` is the name under which the weights were published.
        let pre_norm = kind.has_pre_norm().then(|| layer_norm(width, eps, model.pp("pre_layrnorm")));
        Ok(Self {
            patches: if kind.has_patch_bias() {
                conv2d(3, width, patch, stride, patches)?
            } else {
                conv2d_no_bias(3, width, patch, stride, patches)?
            },
            class,
            positions: embeddings.get(positions, "position_embedding.weight")?,
            pre_norm: pre_norm.transpose()?,
            encoder: Encoder::new(&model.pp("encoder"), &config.vision)?,
            post_norm: layer_norm(width, eps, model.pp("post_layernorm"))?,
            head: if kind.pools_by_attention() {
                Head::Attention(AttentionPool::new(&model.pp("head"), &config.vision)?)
            } else {
                Head::Projection(projection(config, weights)?)
            },
        })
    }

    /// Features of any length, `[B, projection]`.
    fn forward(&self, pixels: &Tensor) -> candle_core::Result<Tensor> {
        let patches = self.patches.forward(pixels)?.flatten_from(2)?.transpose(1, 2)?;
        let (n_samples, _, width) = patches.dims3()?;
        let x = match &self.class {
            None => patches,
            Some(class) => {
                let class = class.reshape((1, 1, width))?.expand((n_samples, 1, width))?;
                Tensor::cat(&[class, patches], 1)?
            }
        };
        let x = x.broadcast_add(&self.positions)?;
        let x = match &self.pre_norm {
            None => x,
            Some(norm) => norm.forward(&x)?,
        };
        let x = self.encoder.forward(&x, None)?;
        match &self.head {
            Head::Projection(projection) => {
                let class = x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
                projection.forward(&self.post_norm.forward(&class)?)
            }
            Head::Attention(pool) => pool.forward(&self.post_norm.forward(&x)?),
        }
    }
}

/// The tensors of one half, none missing, as candle wants them.
pub(super) fn handles(
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
        return Err(CheckpointFault::Names { owner: "model", missing, unknown: Vec::new() }.into());
    }
    Ok(VarBuilder::from_tensors(found, DType::F32, device))
}
