//! CLIP's forward pass in operations that candle can differentiate.
//!
//! candle's own CLIP cannot be trained: its fused layer norm has no backward pass. This one names and shapes every
//! tensor as `transformers.CLIPModel` does and computes the same numbers; `main` checks that before it saves.

use std::collections::BTreeMap;

use candle_core::{D, Result, Tensor, Var};
use candle_nn::ops::{sigmoid, softmax};
use t3b::model::config::{ClipConfig, LAYER_NORM_EPS, TowerConfig};
use t3b::model::layout::{TensorRole, TensorSpec, tensors};

use crate::dice::Dice;

/// Added to attention scores of positions that must not be seen.
const MASKED: f32 = -1e9;

/// A CLIP model whose weights can be changed.
pub(crate) struct Clip {
    pub(crate) config: ClipConfig,
    pub(crate) weights: BTreeMap<String, Var>,
}

impl Clip {
    /// Random weights.
    pub(crate) fn random(config: ClipConfig, logit_scale: f64, dice: &mut Dice) -> Result<Self> {
        let mut weights = BTreeMap::new();
        for spec in tensors(&config) {
            let values: Vec<f32> =
                (0..spec.elements()).map(|_| initial_value(&spec, logit_scale, dice) as f32).collect();
            let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &candle_core::Device::Cpu)?;
            weights.insert(spec.name, Var::from_tensor(&tensor)?);
        }
        Ok(Self { config, weights })
    }

    /// An independent copy: training one does not change the other.
    pub(crate) fn copied(&self) -> Result<Self> {
        let copy = |(name, var): (&String, &Var)| Ok((name.clone(), Var::from_tensor(&var.copy()?)?));
        Ok(Self {
            config: self.config.clone(),
            weights: self.weights.iter().map(copy).collect::<Result<_>>()?,
        })
    }

    /// The present weights, by name.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.weights.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Logits over the prompts, `[B, prompts]`.
    ///
    /// `pixels`: `[B, 3, S, S]` f32, normalised. `text`: unit vectors, `[prompts, projection]`.
    pub(crate) fn logits(&self, pixels: &Tensor, text: &Tensor) -> Result<Tensor> {
        let image = self.image_features(pixels)?;
        image.matmul(&text.t()?)?.broadcast_mul(&self.tensor("logit_scale").exp()?)
    }

    /// Unit-length image features, `[B, projection]`.
    pub(crate) fn image_features(&self, pixels: &Tensor) -> Result<Tensor> {
        let width = self.config.vision.width;
        let n_images = pixels.dim(0)?;
        let kernel = self.tensor("vision_model.embeddings.patch_embedding.weight").flatten_from(1)?;
        let patches = patches_of(pixels, self.config.patch_px)?;
        let n_patches = patches.dim(1)?;
        let embedded = patches.flatten_to(1)?.matmul(&kernel.t()?)?.reshape((n_images, n_patches, width))?;
        let class = self.tensor("vision_model.embeddings.class_embedding").reshape((1, 1, width))?;
        let class = class.broadcast_as((n_images, 1, width))?;
        let positions = self.tensor("vision_model.embeddings.position_embedding.weight");
        let x = Tensor::cat(&[&class, &embedded], 1)?.broadcast_add(positions)?;
        let x = self.layer_norm(&x, "vision_model.pre_layrnorm")?;
        let x = self.encoder(x, "vision_model", &self.config.vision, None)?;
        let pooled = self.layer_norm(&x.narrow(1, 0, 1)?.squeeze(1)?, "vision_model.post_layernorm")?;
        unit_length(&pooled.matmul(&self.tensor("visual_projection.weight").t()?)?)
    }

    /// Unit-length text features, `[N, projection]`, pooled at the largest id of each row.
    pub(crate) fn text_features(&self, ids: &Tensor) -> Result<Tensor> {
        let (n_texts, n_tokens) = ids.dims2()?;
        let width = self.config.text.width;
        let table = self.tensor("text_model.embeddings.token_embedding.weight");
        let tokens = table.index_select(&ids.flatten_all()?, 0)?.reshape((n_texts, n_tokens, width))?;
        let positions =
            self.tensor("text_model.embeddings.position_embedding.weight").narrow(0, 0, n_tokens)?;
        let x = tokens.broadcast_add(&positions)?;
        let x =
            self.encoder(x, "text_model", &self.config.text, Some(&causal_mask(n_tokens, ids.device())?))?;
        let x = self.layer_norm(&x, "text_model.final_layer_norm")?;
        let ends = ids.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let rows: Vec<u32> = ends.iter().zip(0..).map(|(end, row)| row * n_tokens as u32 + end).collect();
        let pooled = x.flatten_to(1)?.index_select(&Tensor::new(rows, ids.device())?, 0)?;
        unit_length(&pooled.matmul(&self.tensor("text_projection.weight").t()?)?)
    }

    fn encoder(
        &self,
        mut x: Tensor,
        model: &str,
        tower: &TowerConfig,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        for index in 0..tower.layers {
            let block = format!("{model}.encoder.layers.{index}");
            let normed = self.layer_norm(&x, &format!("{block}.layer_norm1"))?;
            x = (x + self.attention(&normed, &format!("{block}.self_attn"), tower.heads, mask)?)?;
            let normed = self.layer_norm(&x, &format!("{block}.layer_norm2"))?;
            let inner = self.linear(&normed, &format!("{block}.mlp.fc1"))?;
            let inner = (&inner * sigmoid(&(&inner * 1.702)?)?)?;
            x = (x + self.linear(&inner, &format!("{block}.mlp.fc2"))?)?;
        }
        Ok(x)
    }

    fn attention(&self, x: &Tensor, name: &str, heads: usize, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        let head_width = width / heads;
        let split = |projection: &str| {
            let projected = self.linear(x, &format!("{name}.{projection}"))?;
            projected.reshape((batch, length, heads, head_width))?.transpose(1, 2)?.contiguous()
        };
        let queries = (split("q_proj")? * (head_width as f64).powf(-0.5))?;
        let (keys, values) = (split("k_proj")?, split("v_proj")?);
        let mut scores = queries.matmul(&keys.t()?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let seen = softmax(&scores, D::Minus1)?.matmul(&values)?;
        let joined = seen.transpose(1, 2)?.reshape((batch, length, width))?;
        self.linear(&joined, &format!("{name}.out_proj"))
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.tensor(&format!("{name}.weight"));
        let mut shape = x.dims().to_vec();
        let inputs = shape.pop().unwrap_or(1);
        shape.push(weight.dim(0)?);
        let flat = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
        flat.broadcast_add(self.tensor(&format!("{name}.bias")))?.reshape(shape)
    }

    fn layer_norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let spread = (centred.sqr()?.mean_keepdim(D::Minus1)? + LAYER_NORM_EPS)?.sqrt()?;
        let scaled = centred.broadcast_div(&spread)?.broadcast_mul(self.tensor(&format!("{name}.weight")))?;
        scaled.broadcast_add(self.tensor(&format!("{name}.bias")))
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.weights.get(name).unwrap_or_else(|| panic!("the layout lists {name}"))
    }
}

/// The value a weight starts from: small, so that residual blocks begin close to the identity.
fn initial_value(spec: &TensorSpec, logit_scale: f64, dice: &mut Dice) -> f64 {
    match spec.kind {
        TensorRole::Matrix => {
            let inputs: usize = spec.shape[1..].iter().product();
            dice.normal() * 0.8 / (inputs as f64).sqrt()
        }
        TensorRole::Embedding => dice.normal() * 0.05,
        TensorRole::Bias => 0.0,
        TensorRole::Gain => 1.0,
        TensorRole::LogScale => logit_scale,
    }
}

/// Cuts images into patches, `[B, 3, S, S]` to `[B, patches, 3 * P * P]`, in the order of a convolution's kernel.
fn patches_of(pixels: &Tensor, patch: usize) -> Result<Tensor> {
    let (batch, channels, side, _) = pixels.dims4()?;
    let n = side / patch;
    let split = pixels.reshape(&[batch, channels, n, patch, n, patch][..])?;
    split.permute(&[0, 2, 4, 1, 3, 5][..])?.reshape((batch, n * n, channels * patch * patch))
}

fn causal_mask(length: usize, device: &candle_core::Device) -> Result<Tensor> {
    let cell = |at: usize| if at % length > at / length { MASKED } else { 0.0 };
    let cells: Vec<f32> = (0..length * length).map(cell).collect();
    Tensor::from_vec(cells, (length, length), device)
}

fn unit_length(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)
}
