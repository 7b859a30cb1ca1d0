//! Affine operations whose weights differ from sample to sample.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::Tensors;
use crate::model::config::LAYER_NORM_EPS;
use crate::model::error::Fault;
use crate::model::layout::{self, Part};
use crate::model::{ClipConfig, ModelError};

/// The coefficients of a batch, `[B]`.
#[derive(Debug, Clone)]
pub(super) struct Lambda(Tensor);

impl Lambda {
    pub(super) fn new(values: &[f64], dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self(Tensor::new(values, device)?.to_dtype(dtype)?))
    }

    /// `x_i * lambda_i` for `x` of shape `[B, ...]`.
    fn times(&self, x: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; x.rank()];
        shape[0] = self.0.elem_count();
        x.broadcast_mul(&self.0.reshape(shape)?)
    }
}

/// One tensor of both parents: the generalist's, and what leads from there to the expert's where they differ.
#[derive(Debug, Clone)]
pub(super) struct Blend {
    base: Tensor,
    delta: Option<Tensor>,
}

impl Blend {
    /// The merged tensor of every sample, `[B, ...]`, or `[1, ...]` where the parents are equal. For small tensors.
    pub(super) fn merged(&self, lambda: &Lambda) -> Result<Tensor> {
        let base = self.base.unsqueeze(0)?;
        let Some(delta) = &self.delta else { return Ok(base) };
        let mut shape = vec![lambda.0.elem_count()];
        shape.extend_from_slice(delta.dims());
        base.broadcast_add(&lambda.times(&delta.unsqueeze(0)?.broadcast_as(shape)?)?)
    }

    /// The same values in another shape.
    pub(super) fn reshape(&self, shape: (usize, usize)) -> Result<Self> {
        let delta = self.delta.as_ref().map(|delta| delta.reshape(shape)).transpose()?;
        Ok(Self { base: self.base.reshape(shape)?, delta })
    }
}

/// The vision tensors of both parents by name.
#[derive(Debug)]
pub(super) struct Blends(BTreeMap<String, Blend>);

/// Pairs the parents' vision tensors on `device` and takes their differences.
pub(super) fn blends(
    pretrained: &Tensors,
    expert: &Tensors,
    differing: &[String],
    config: &ClipConfig,
    device: &Device,
) -> std::result::Result<Blends, ModelError> {
    let specs: Vec<_> = layout::tensors(config).into_iter().filter(|spec| spec.part == Part::Vision).collect();
    let there = |name: &String| {
        pretrained.contains_key(name) && (!differing.contains(name) || expert.contains_key(name))
    };
    let missing: Vec<String> = specs.iter().map(|spec| spec.name.clone()).filter(|name| !there(name)).collect();
    if !missing.is_empty() {
        return Err(Fault::Names { owner: "model", missing, unknown: Vec::new() }.into());
    }
    let blend = |spec: layout::TensorSpec| {
        let base = pretrained[&spec.name].to_device(device)?;
        if base.dims() != spec.shape {
            bail!("{} has shape {:?}, allowed {:?}", spec.name, base.dims(), spec.shape);
        }
        let differs = differing.contains(&spec.name);
        let delta = differs.then(|| expert[&spec.name].to_device(device)? - &base).transpose()?;
        Ok((spec.name, Blend { base, delta }))
    };
    Ok(Blends(specs.into_iter().map(blend).collect::<Result<_>>()?))
}

impl Blends {
    /// Hands out a tensor, once.
    pub(super) fn take(&mut self, name: &str) -> Result<Blend> {
        self.0.remove(name).map_or_else(|| bail!("{name} is not a tensor of this architecture"), Ok)
    }

    pub(super) fn affine(&mut self, name: &str) -> Result<Affine> {
        let bias = Some(self.take(&format!("{name}.bias"))?);
        Ok(Affine { weight: self.take(&format!("{name}.weight"))?, bias })
    }

    pub(super) fn norm(&mut self, name: &str) -> Result<Norm> {
        Ok(Norm { gain: self.take(&format!("{name}.weight"))?, bias: self.take(&format!("{name}.bias"))? })
    }
}

/// A linear layer, `weight: [out, in]`.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub(super) weight: Blend,
    pub(super) bias: Option<Blend>,
}

impl Affine {
    /// `[B, T, in]` to `[B, T, out]`: `W x + lambda (D x) + b + lambda D_b`.
    pub(super) fn forward(&self, x: &Tensor, lambda: &Lambda) -> Result<Tensor> {
        let (samples, tokens, inputs) = x.dims3()?;
        let rows = x.reshape((samples * tokens, inputs))?;
        let product = |weight: &Tensor| rows.matmul(&weight.t()?)?.reshape((samples, tokens, ()));
        let mut y = product(&self.weight.base)?;
        if let Some(delta) = &self.weight.delta {
            y = (y + lambda.times(&product(delta)?)?)?;
        }
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.merged(lambda)?.unsqueeze(1)?),
            None => Ok(y),
        }
    }
}

/// A layer norm over the last dimension.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    gain: Blend,
    bias: Blend,
}

impl Norm {
    /// `[B, T, width]` to the same shape. Variance around the mean, not as a difference of squares: digits are kept.
    pub(super) fn forward(&self, x: &Tensor, lambda: &Lambda) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let unit = centred.broadcast_div(&(variance + LAYER_NORM_EPS)?.sqrt()?)?;
        let (gain, bias) = (self.gain.merged(lambda)?.unsqueeze(1)?, self.bias.merged(lambda)?.unsqueeze(1)?);
        unit.broadcast_mul(&gain)?.broadcast_add(&bias)
    }
}
