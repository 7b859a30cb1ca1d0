//! candle's operations, on any device. Which image tower is built on a set of tensors is the caller's choice: ours of
//! plain operations, or candle-transformers'.

use candle_core::{Device, Tensor};

use super::{Engine, Images};
use crate::merge::factored::FactoredVision;
use crate::merge::weights::{Parents, Tensors};
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// Builds an image tower on tensors of a device.
type Build = fn(&Tensors, &ClipConfig, &Device) -> Result<VisionTower, ModelError>;

/// See the module.
#[derive(Debug)]
pub(super) struct CandleEngine {
    parents: Parents,
    /// Holds handles of the parents' tensors and no weight of its own.
    factored: FactoredVision,
    config: ClipConfig,
    device: Device,
    build: Build,
}

impl CandleEngine {
    /// Takes both parents as they are.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device refuses.
    pub(super) fn new(
        parents: Parents,
        config: &ClipConfig,
        device: &Device,
        build: Build,
    ) -> Result<Self, ModelError> {
        let Parents { pretrained, expert, .. } = &parents;
        let factored = FactoredVision::new(pretrained, expert, parents.differing(), config, device)?;
        Ok(Self { factored, parents, config: config.clone(), device: device.clone(), build })
    }
}

impl Engine for CandleEngine {
    fn parents(&self) -> &Parents {
        &self.parents
    }

    fn tower(&self, tensors: &Tensors) -> Result<VisionTower, ModelError> {
        (self.build)(tensors, &self.config, &self.device)
    }

    fn images(&self, pixels: Tensor) -> Result<Images, ModelError> {
        Ok(Images { pixels, prefix: None })
    }

    fn features(&self, tower: &VisionTower, images: &Images) -> Result<Tensor, ModelError> {
        tower.features(&images.pixels)
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        self.factored.features(&images.pixels, lambda)
    }
}
