//! Exact sample-wise T3 at batch speed: one forward pass in which every sample has weights of its own (choice; the
//! paper materialises one merged model per sample).
//!
//! Weights enter linearly, so the merge of a sample may be made of weights or of outputs: with one `lambda` per sample,
//! `(theta_pt + lambda (theta_ft - theta_pt)) x = theta_pt x + lambda (theta_ft x - theta_pt x)`, and the same holds for
//! biases, the gains of layer norms, the class and position embeddings, the patch convolution and the projection. Here
//! outputs are merged: two matrix products over the whole batch, one per parent, on any device and in any precision; where
//! the parents are equal a layer is computed once. On the CPU the [fast tower](crate::model::fast) merges weights instead,
//! a panel at a time while it reads them, at the arithmetic of a plain pass. Either way no merged model exists at any time.
//! Reference: `tests/it/exact/factored.rs` compares with materialised merges.
//!
//! [`ops`] holds the affine building blocks, [`tower`] CLIP's image tower made of them.

mod ops;
mod tower;

use candle_core::{Device, Tensor, bail};

use super::weights::Tensors;
use crate::model::{ClipConfig, ModelError};
use ops::Samples;
use tower::Tower;

/// The image towers of all merges of two parents.
///
/// Memory: handles of the parents' tensors, and no weight of its own. A call needs at its peak, beside its input and as
/// much again, about `B * tokens * (4 * mlp_width + 2 * width)` values and the attention maps of all samples. Nothing is
/// kept between calls.
#[derive(Debug, Clone)]
pub struct FactoredVision {
    tower: Tower,
    device: Device,
}

impl FactoredVision {
    /// Takes the vision tensors of both parents; others may be there and are ignored.
    ///
    /// `differing` names the tensors in which the parents differ; for others `expert` is not read. All tensors have one
    /// data type, `f32` or `f64`, in which everything is computed. Those on `device` are shared; others are copied there.
    ///
    /// # Errors
    /// `W005` when a tensor is missing, `N002` for a shape that is not the configuration's, or when the device refuses.
    pub fn new(
        pretrained: &Tensors,
        expert: &Tensors,
        differing: &[String],
        config: &ClipConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let blends = ops::Blends::new(pretrained, expert, differing, config, device)?;
        Ok(Self { tower: Tower::new(blends, config)?, device: device.clone() })
    }

    /// Unit-length image features `[B, projection]`, row `i` those of the merge at `lambda[i]`.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]`, normalised, of the tensors' data type. 0 is the pretrained model and 1 the
    /// expert; numbers outside extrapolate, and a NaN makes its own row NaN. A row depends on no other, except in the
    /// last bits: matrix kernels differ by shape.
    ///
    /// # Errors
    /// `N002` for another shape or data type, a number of coefficients that is not `B`, or when the device refuses.
    pub fn features(&self, pixels: &Tensor, lambda: &[f64]) -> Result<Tensor, ModelError> {
        Ok(self.features_of(pixels, lambda)?)
    }

    fn features_of(&self, pixels: &Tensor, lambda: &[f64]) -> candle_core::Result<Tensor> {
        if pixels.dim(0)? != lambda.len() || lambda.is_empty() {
            bail!("{} coefficients for pixels of shape {:?}", lambda.len(), pixels.shape());
        }
        self.tower.features(pixels, &Samples::new(lambda, pixels.dtype(), &self.device)?)
    }
}
