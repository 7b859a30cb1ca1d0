//! Exact sample-wise T3 at batch speed: one forward pass in which every sample has weights of its own (choice; the
//! paper materialises one merged model per sample).
//!
//! Weights enter linearly. With `D = theta_ft - theta_pt` and sample `i` merged at `lambda_i`, every affine operation is
//! `y_i = W x_i + lambda_i (D x_i) + b + lambda_i D_b`, and the same holds for the gains and biases of layer norms, for
//! the class and position embeddings, the patch convolution and the projection. Two matrix products per layer over the
//! whole batch thus equal one merged model per sample; where the parents are equal there is one product.
//! Reference: `tests/it/factored.rs` compares with materialised merges.
//!
//! [`ops`] holds the affine building blocks, [`tower`] CLIP's image tower made of them.

mod ops;
mod tower;

use candle_core::{Device, Tensor, bail};

use super::weights::Tensors;
use crate::model::{ClipConfig, ModelError};
use ops::Lambda;
use tower::Tower;

/// The image towers of all merges of two parents.
///
/// Memory: handles of the generalist's tensors, and one tensor of its own per differing one, `theta_ft - theta_pt`.
/// A call needs, at its peak, about `B * tokens * (4 * mlp_width + 3 * width)` values on top of its input; nothing is
/// kept between calls, and no merged weight exists at any time.
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
        let blends = ops::blends(pretrained, expert, differing, config, device)?;
        Ok(Self { tower: Tower::new(blends, config)?, device: device.clone() })
    }

    /// Unit-length image features `[B, projection]`, row `i` those of the merge at `lambda[i]`.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]`, normalised, of the tensors' data type. 0 is the generalist and 1 the
    /// expert; numbers outside extrapolate, and a NaN makes its own row NaN. A row depends on no other, except in the
    /// last bits: matrix kernels differ by shape.
    ///
    /// # Errors
    /// `N002` for another shape or data type, a number of coefficients that is not `B`, or when the device refuses.
    pub fn features(&self, pixels: &Tensor, lambda: &[f64]) -> Result<Tensor, ModelError> {
        Ok(self.features_of(pixels, lambda)?)
    }

    fn features_of(&self, pixels: &Tensor, lambda: &[f64]) -> candle_core::Result<Tensor> {
        if pixels.dim(0)? != lambda.len() {
            bail!("{} coefficients for pixels of shape {:?}", lambda.len(), pixels.shape());
        }
        self.tower.features(pixels, &Lambda::new(lambda, pixels.dtype(), &self.device)?)
    }
}
