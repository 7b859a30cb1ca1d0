//! Affine operations whose weights differ from sample to sample.
//!
//! Activations are `[channels, B, tokens]`, channels slowest: a weight matrix multiplies from the left without a copy,
//! and the columns of a sample share its coefficient.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::ops::silu;

use super::Tensors;
use crate::model::config::Activation;
use crate::model::error::CheckpointFault;
use crate::model::layout::{self, Part, TensorSpec};
use crate::model::{ClipConfig, ModelError};

/// Slope of the sigmoid in `quick_gelu`.
pub(super) const QUICK_GELU_SLOPE: f64 = 1.702;

/// The coefficients of a batch, `[1, B, 1]`.
#[derive(Debug)]
pub(super) struct Samples(Tensor);

impl Samples {
    pub(super) fn new(lambda: &[f64], dtype: DType, device: &Device) -> Result<Self> {
        Tensor::new(lambda, device)?.to_dtype(dtype)?.reshape((1, (), 1)).map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.elem_count()
    }

    /// `pt + lambda (ft - pt)` of `[channels, B, tokens]`.
    fn lerp(&self, pt: &Tensor, ft: &Tensor) -> Result<Tensor> {
        pt + (ft - pt)?.broadcast_mul(&self.0)?
    }
}

/// One tensor of both parents; `ft` only where they differ.
#[derive(Debug, Clone)]
pub(super) struct Blend {
    pub(super) pt: Tensor,
    pub(super) ft: Option<Tensor>,
}

impl Blend {
    /// The merge of what `operation`, which is affine in the weight, makes of it: `[channels, B, tokens]`.
    pub(super) fn apply(
        &self,
        samples: &Samples,
        operation: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let pt = operation(&self.pt)?;
        self.ft.as_ref().map_or_else(|| Ok(pt.clone()), |ft| samples.lerp(&pt, &operation(ft)?))
    }

    /// The same tensor in another form.
    pub(super) fn map(&self, form: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { pt: form(&self.pt)?, ft: self.ft.as_ref().map(form).transpose()? })
    }

    /// The merge of a vector for every sample, `[channels, B, 1]`.
    pub(super) fn vector(&self, samples: &Samples) -> Result<Tensor> {
        let column = |vector: &Tensor| vector.reshape(((), 1, 1))?.repeat((1, samples.len(), 1));
        self.apply(samples, column)
    }
}

/// The vision tensors of both parents by name.
#[derive(Debug)]
pub(super) struct Blends {
    tensors: BTreeMap<String, Blend>,
    norm_eps: f64,
}

impl Blends {
    /// Pairs the parents' tensors on `device`.
    pub(super) fn new(
        pretrained: &Tensors,
        expert: &Tensors,
        differing: &[String],
        config: &ClipConfig,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        let (mut blends, mut missing) = (BTreeMap::new(), Vec::new());
        for spec in layout::tensors(config).into_iter().filter(|spec| spec.part == Part::Vision) {
            let differs = differing.contains(&spec.name);
            match (pretrained.get(&spec.name), expert.get(&spec.name)) {
                (Some(pt), ft) if ft.is_some() || !differs => {
                    let ft = ft.filter(|_| differs).map(|ft| placed(ft, &spec, device)).transpose()?;
                    blends.insert(spec.name.clone(), Blend { pt: placed(pt, &spec, device)?, ft });
                }
                _ => missing.push(spec.name),
            }
        }
        if missing.is_empty() {
            Ok(Self { tensors: blends, norm_eps: config.vision.norm_eps })
        } else {
            Err(CheckpointFault::Names { owner: "model", missing, unknown: Vec::new() }.into())
        }
    }

    /// Hands out a tensor, once.
    pub(super) fn take(&mut self, name: &str) -> Result<Blend> {
        self.tensors.remove(name).map_or_else(|| bail!("{name} is not a tensor of this architecture"), Ok)
    }

    pub(super) fn affine(&mut self, name: &str) -> Result<Affine> {
        let bias = Some(self.take(&format!("{name}.bias"))?);
        Ok(Affine { weight: self.take(&format!("{name}.weight"))?, bias, activation: None })
    }

    pub(super) fn norm(&mut self, name: &str) -> Result<Norm> {
        Ok(Norm {
            gain: self.take(&format!("{name}.weight"))?,
            bias: self.take(&format!("{name}.bias"))?,
            eps: self.norm_eps,
        })
    }
}

fn placed(tensor: &Tensor, spec: &TensorSpec, device: &Device) -> Result<Tensor> {
    if tensor.dims() != spec.shape {
        bail!("{} has shape {:?}, allowed {:?}", spec.name, tensor.dims(), spec.shape);
    }
    tensor.to_device(device)?.contiguous()
}

/// A linear layer, `weight: [out, in]`.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub(super) weight: Blend,
    pub(super) bias: Option<Blend>,
    /// Of the outputs.
    pub(super) activation: Option<Activation>,
}

impl Affine {
    /// `[in, B, tokens]` to `[out, B, tokens]`.
    pub(super) fn forward(&self, x: &Tensor, samples: &Samples) -> Result<Tensor> {
        let (inputs, _, tokens) = x.dims3()?;
        let columns = x.reshape((inputs, samples.len() * tokens))?;
        let product = |weight: &Tensor| weight.matmul(&columns)?.reshape(((), samples.len(), tokens));
        let mut y = self.weight.apply(samples, product)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.vector(samples)?)?;
        }
        match self.activation {
            Some(Activation::QuickGelu) => silu(&(y * QUICK_GELU_SLOPE)?)? / QUICK_GELU_SLOPE,
            Some(Activation::Gelu) => y.gelu_erf(),
            Some(Activation::GeluTanh) => y.gelu(),
            None => Ok(y),
        }
    }
}

/// A layer norm over the channels.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) gain: Blend,
    pub(super) bias: Blend,
    pub(super) eps: f64,
}

impl Norm {
    /// `[channels, B, tokens]` to the same shape. Variance around the mean, not as a difference of squares: digits are
    /// kept.
    pub(super) fn forward(&self, x: &Tensor, samples: &Samples) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(0)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(0)? + self.eps)?.sqrt()?;
        let unit = centred.broadcast_div(&deviation)?;
        unit.broadcast_mul(&self.gain.vector(samples)?)?.broadcast_add(&self.bias.vector(samples)?)
    }
}
