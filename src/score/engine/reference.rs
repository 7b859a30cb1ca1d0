//! candle-transformers on the CPU, which tests and doubters compare with; a sample's own merge is that of candle's operations.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::ThreadPool;

use super::{Engine, Held, Images, Kind, Whose, one};
use crate::merge::factored::FactoredVision;
use crate::merge::weights::{Parents, Tensors};
use crate::model::normalize::Normalizer;
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// See the module.
#[derive(Debug)]
pub(super) struct ReferenceEngine {
    parents: Parents,
    /// Holds handles of the parents' tensors and no weight of its own.
    factored: FactoredVision,
    config: ClipConfig,
    normalizer: Normalizer,
    threads: Arc<ThreadPool>,
}

impl ReferenceEngine {
    /// Takes both parents as they are.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub(super) fn new(parents: Parents, config: &ClipConfig, kind: Kind) -> Result<Self, ModelError> {
        let Parents { pretrained, expert, .. } = &parents;
        let factored = FactoredVision::new(pretrained, expert, parents.differing(), config, &Device::Cpu)?;
        let Kind { normalizer, threads, .. } = kind;
        Ok(Self { factored, parents, config: config.clone(), normalizer, threads })
    }
}

impl Engine for ReferenceEngine {
    fn parents(&self) -> &Parents {
        &self.parents
    }

    fn tower(&self, tensors: &Tensors, _whose: Whose) -> Result<VisionTower, ModelError> {
        VisionTower::reference(tensors, &self.config, &Device::Cpu)
    }

    fn images(&self, pixels: &[u8], _room: usize) -> Result<Images, ModelError> {
        let pixels = self.normalizer.batch(pixels, self.config.image_px, &Device::Cpu)?;
        Ok(Images { n_images: pixels.dim(0)?, held: Held::Pixels(pixels) })
    }

    fn features(&self, tower: &VisionTower, parts: &[&Images], _room: usize) -> Result<Tensor, ModelError> {
        self.threads.install(|| one(parts.iter().map(|images| tower.features(images.pixels()?))))
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        self.threads.install(|| self.factored.features(images.pixels()?, lambda))
    }
}
