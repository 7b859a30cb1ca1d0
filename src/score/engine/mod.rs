//! The seam between the method and what computes image features: our kernels on a CPU, candle's operations on any
//! device, or candle-transformers as the reference.

mod candle;
mod cpu;

use std::fmt;

use candle_core::{Device, Tensor};

use crate::merge::weights::{Parents, Tensors};
use crate::model::fast::Activations;
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};
use candle::CandleEngine;
use cpu::CpuEngine;

/// Which code computes image features; both agree to some 1e-6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// Ours: packed weights and kernels of our own on the CPU, candle's operations elsewhere.
    Fast,
    /// candle-transformers', for comparison; `quick_gelu` models only.
    Reference,
}

/// A batch of normalised images, with what all models compute from it alike.
#[derive(Debug)]
pub(super) struct Images {
    pixels: Tensor,
    /// The blocks that all models share, where the engine computes them once.
    prefix: Option<Activations>,
}

impl Images {
    /// How many.
    pub(super) fn n_images(&self) -> Result<usize, ModelError> {
        Ok(self.pixels.dim(0)?)
    }
}

/// Computes image features of the parents and of merges of them, on one device.
pub(super) trait Engine: fmt::Debug + Send {
    /// Both parents' tensors in the form in which this engine merges and reads them.
    fn parents(&self) -> &Parents;

    /// The image tower on `tensors`, which are a parent's or a merge buffer's; it sees every later merge into them.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device refuses.
    fn tower(&self, tensors: &Tensors) -> Result<VisionTower, ModelError>;

    /// Readies `pixels`, `[B, 3, side, side]` normalised, for every model.
    ///
    /// # Errors
    /// When the device fails.
    fn images(&self, pixels: Tensor) -> Result<Images, ModelError>;

    /// Unit features `[B, projection]` of one tower.
    ///
    /// # Errors
    /// When the device fails.
    fn features(&self, tower: &VisionTower, images: &Images) -> Result<Tensor, ModelError>;

    /// Unit features `[B, projection]`, row `i` those of the merge at `lambda[i]`.
    ///
    /// # Errors
    /// When the device fails.
    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError>;
}

/// The engine for `kind` on `device`. The first `n_shared` image blocks are the same in both parents.
///
/// # Errors
/// When the parents' tensors do not fit the engine, or the device refuses the memory.
pub(super) fn engine(
    kind: TowerKind,
    parents: Parents,
    config: &ClipConfig,
    n_shared: usize,
    device: &Device,
) -> Result<Box<dyn Engine>, ModelError> {
    Ok(match kind {
        // The kernels are for the CPU; elsewhere candle's operations are used.
        TowerKind::Fast if device.is_cpu() => Box::new(CpuEngine::new(&parents, config, n_shared)?),
        TowerKind::Fast => Box::new(CandleEngine::new(parents, config, device, VisionTower::new)?),
        TowerKind::Reference => Box::new(CandleEngine::new(parents, config, device, VisionTower::reference)?),
    })
}
