//! Our kernels on the CPU: packed weights, blocks shared by the parents computed once, a sample's weights merged while
//! the kernel reads them.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::{Engine, Images};
use crate::merge::weights::{Parents, Tensors};
use crate::model::fast::{FastVision, Weights};
use crate::model::packed::{PACKED, pack, with_values};
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// See the module.
#[derive(Debug)]
pub(super) struct CpuEngine {
    tower: Arc<FastVision>,
    parents: Parents,
    /// Image blocks at the front that are the same in both parents, and so in every merge of them.
    n_shared: usize,
}

impl CpuEngine {
    /// Packs both parents.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub(super) fn new(named: &Parents, config: &ClipConfig, n_shared: usize) -> Result<Self, ModelError> {
        let tower = Arc::new(FastVision::new(config));
        let parents = named.packed(tower.packing())?;
        Ok(Self { tower, parents, n_shared })
    }
}

impl Engine for CpuEngine {
    fn parents(&self) -> &Parents {
        &self.parents
    }

    fn tower(&self, tensors: &Tensors) -> Result<VisionTower, ModelError> {
        match tensors.get(PACKED) {
            Some(packed) => Ok(VisionTower::fast(&self.tower, packed)),
            None => Ok(VisionTower::fast(&self.tower, &pack(self.tower.packing(), tensors)?)),
        }
    }

    fn images(&self, pixels: Tensor) -> Result<Images, ModelError> {
        if self.n_shared == 0 {
            return Ok(Images { pixels, prefix: None });
        }
        let prefix = with_values(&pixels, |pixels| {
            with_values(&self.parents.pretrained[PACKED], |weights| {
                self.tower.prefix(Weights::One(weights), pixels, self.n_shared)
            })
        });
        Ok(Images { prefix: Some(prefix??), pixels })
    }

    fn features(&self, tower: &VisionTower, images: &Images) -> Result<Tensor, ModelError> {
        match images.prefix.as_ref().map(|prefix| tower.features_from(prefix)).transpose()?.flatten() {
            Some(features) => Ok(features),
            None => tower.features(&images.pixels),
        }
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        let features = with_values(&self.parents.pretrained[PACKED], |pt| {
            with_values(&self.parents.expert[PACKED], |ft| {
                let weights = Weights::Lerp { pt, ft, lambda };
                match &images.prefix {
                    Some(prefix) => Ok(self.tower.features_from(weights, prefix)),
                    None => with_values(&images.pixels, |pixels| self.tower.features(weights, pixels)),
                }
            })
        });
        let shape = (lambda.len(), self.tower.packing().projection_width());
        Ok(Tensor::from_vec(features???, shape, &Device::Cpu)?)
    }
}
