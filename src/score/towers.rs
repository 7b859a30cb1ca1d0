//! The image towers of a lane: which kind, and what they do beyond scoring one model.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::merge::weights::{Parents, Tensors};
use crate::model::fast::{Activations, FastVision, Weights};
use crate::model::packed::{PACKED, pack, with_values};
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// Which code computes image features; both agree to some 1e-6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// Ours: packed weights and kernels of our own on the CPU, candle's operations elsewhere.
    Fast,
    /// candle-transformers', for comparison; `quick_gelu` models only.
    Reference,
}

/// A batch of normalised images, with what all models compute from it alike.
pub(super) struct Images {
    pub(super) pixels: Tensor,
    pub(super) prefix: Option<Activations>,
}

/// Which image towers a lane has.
#[derive(Debug, Clone)]
pub(super) enum Towers {
    /// Our kernels, on a CPU.
    Fast(Arc<FastVision>),
    /// candle's operations, on any device.
    Plain,
    /// candle-transformers'.
    Reference,
}

impl Towers {
    /// The fast tower's kernels are for the CPU; elsewhere candle's own are used.
    pub(super) fn new(kind: TowerKind, config: &ClipConfig, device: &Device) -> Self {
        match kind {
            TowerKind::Reference => Self::Reference,
            TowerKind::Fast if device.is_cpu() => Self::Fast(Arc::new(FastVision::new(config))),
            TowerKind::Fast => Self::Plain,
        }
    }

    pub(super) fn vision(
        &self,
        tensors: &Tensors,
        config: &ClipConfig,
        device: &Device,
    ) -> Result<VisionTower, ModelError> {
        match (self, tensors.get(PACKED)) {
            (Self::Fast(engine), Some(packed)) => Ok(VisionTower::fast(engine, packed)),
            (Self::Fast(engine), None) => Ok(VisionTower::fast(engine, &pack(engine.plan(), tensors)?)),
            (Self::Plain, _) => VisionTower::new(tensors, config, device),
            (Self::Reference, _) => VisionTower::reference(tensors, config, device),
        }
    }

    /// Whether the tower merges the weights of every sample while it reads them.
    pub(super) fn merge_while_reading(&self) -> bool {
        matches!(self, Self::Fast(_))
    }

    /// The first `n_shared` blocks, which are the same in both parents and so in every merge of them, where the tower can
    /// go on from there.
    pub(super) fn prefix(
        &self,
        parents: &Parents,
        n_shared: usize,
        pixels: &Tensor,
    ) -> Result<Option<Activations>, ModelError> {
        let Self::Fast(engine) = self else { return Ok(None) };
        if n_shared == 0 {
            return Ok(None);
        }
        let prefix = with_values(pixels, |pixels| {
            with_values(&parents.pretrained[PACKED], |weights| {
                engine.prefix(Weights::One(weights), pixels, n_shared)
            })
        });
        Ok(Some(prefix??))
    }

    /// Unit features of every image under the merge at its own coefficient, `[B, projection]`.
    ///
    /// # Panics
    /// When the tower does not [merge while it reads](Self::merge_while_reading).
    pub(super) fn merged_per_sample(
        &self,
        parents: &Parents,
        lambda: &[f64],
        images: &Images,
    ) -> Result<Tensor, ModelError> {
        let Self::Fast(engine) = self else { unreachable!("other towers have a factored pass") };
        let features = with_values(&parents.pretrained[PACKED], |pt| {
            with_values(&parents.expert[PACKED], |ft| {
                let weights = Weights::Lerp { pt, ft, lambda };
                match &images.prefix {
                    Some(prefix) => Ok(engine.features_from(weights, prefix)),
                    None => with_values(&images.pixels, |pixels| engine.features(weights, pixels)),
                }
            })
        });
        let features = features???;
        let shape = (lambda.len(), engine.plan().projection_width());
        Ok(Tensor::from_vec(features, shape, &Device::Cpu)?)
    }
}
