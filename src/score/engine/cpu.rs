//! Our kernels on the CPU: packed weights, blocks shared by the parents computed once, a sample's weights merged while
//! the kernel reads them.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::{Engine, Held, Images, Kind, Whose, not_ours, one};
use crate::merge::lerp::lerp_into;
use crate::merge::weights::{Parents, Tensors};
use crate::model::fast::{FastVision, Weights};
use crate::model::normalize::Normalizer;
use crate::model::packed::{PACKED, pack, with_values};
use crate::model::spilled_tower::{SpilledModel, SpilledWeights};
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// See the module.
#[derive(Debug)]
pub(super) struct CpuEngine {
    tower: Arc<FastVision>,
    parents: Parents,
    normalizer: Normalizer,
    n_shared: usize,
    n_abreast: usize,
    /// Both parents where their blocks are in files.
    spilled: Option<[SpilledModel; 2]>,
}

impl CpuEngine {
    /// Packs both parents.
    ///
    /// # Errors
    /// When the tensors are not contiguous `f32` on the CPU.
    pub(super) fn new(kind: Kind, named: Parents, config: &ClipConfig) -> Result<Self, ModelError> {
        let n_threads = kind.threads.current_num_threads();
        // One thread has no other to wait for; and where memory counts, two batches would each have blocks of their own read.
        let n_abreast = if named.spilled().is_some() { 1 } else { n_threads.min(2) };
        let tower = Arc::new(FastVision::in_pool(config, &kind.threads, n_abreast));
        let parents = named.packed(tower.packing())?;
        let Kind { normalizer, n_shared, .. } = kind;
        let spilled = parents.spilled().map(|[pt, ft]| {
            [(&parents.pretrained, pt), (&parents.expert, ft)]
                .map(|(tensors, blocks)| SpilledModel::new(&tensors[PACKED], blocks))
        });
        Ok(Self { tower, parents, normalizer, n_shared, n_abreast, spilled })
    }

    /// Overwrites a buffer by the merge at `lambda`, but for the matrices of the image tower's blocks from number `first` on.
    fn merge_outside(&self, first: usize, lambda: f64, buffer: &Tensors) -> Result<(), ModelError> {
        let outside = self.tower.packing().outside_blocks(first);
        self.parents.merge(buffer, &|name, pt, ft, out| match name {
            PACKED => outside.iter().cloned().for_each(|range| {
                lerp_into(&pt[range.clone()], &ft[range.clone()], lambda, &mut out[range]);
            }),
            _ => lerp_into(pt, ft, lambda, out),
        })
    }
}

impl Engine for CpuEngine {
    fn parents(&self) -> &Parents {
        &self.parents
    }

    fn n_batches_abreast(&self) -> usize {
        self.n_abreast
    }

    fn tower(&self, tensors: &Tensors, whose: Whose) -> Result<VisionTower, ModelError> {
        let Some(packed) = tensors.get(PACKED) else {
            return Ok(VisionTower::fast(&self.tower, &pack(self.tower.packing(), tensors)?));
        };
        Ok(match (&self.spilled, whose) {
            (None, _) => VisionTower::fast(&self.tower, packed),
            (Some([pt, _]), Whose::Pretrained) => VisionTower::spilled(&self.tower, packed, pt.clone()),
            (Some([_, ft]), Whose::Expert) => VisionTower::spilled(&self.tower, packed, ft.clone()),
            (Some(both), Whose::Merge) => VisionTower::spilled_merge(&self.tower, packed, both.clone()),
        })
    }

    fn merge(&self, lambda: f64, buffer: &Tensors, tower: &VisionTower) -> Result<(), ModelError> {
        if self.spilled.is_none() {
            return self.parents.lerp(lambda, buffer);
        }
        self.merge_outside(0, lambda, buffer)?;
        tower.merge_spilled(lambda)
    }

    /// Blocks that the parents share stay as they are: they are computed once, for the merged model too.
    fn in_int8(&self, parent: &VisionTower) -> Result<Option<VisionTower>, ModelError> {
        parent.in_int8(self.n_shared)
    }

    fn merge_int8(
        &self,
        lambda: f64,
        towers: [&VisionTower; 2],
        buffer: &Tensors,
        tower: &mut VisionTower,
    ) -> Result<(), ModelError> {
        // Blocks that are in files are not in the buffer, shared or not.
        let first = if self.spilled.is_some() { 0 } else { self.n_shared };
        self.merge_outside(first, lambda, buffer)?;
        tower.merge_int8(towers, lambda)
    }

    fn images(&self, pixels: &[u8], _room: usize) -> Result<Images, ModelError> {
        let pixels = self.normalizer.batch(pixels, self.tower.packing().image_px(), &Device::Cpu)?;
        let n_images = pixels.dim(0)?;
        if self.n_shared == 0 {
            return Ok(Images { n_images, held: Held::Pixels(pixels) });
        }
        let shared = with_values(&pixels, |pixels| {
            if let Some([pt, _]) = &self.spilled {
                return SpilledWeights::One(pt).prefix(&self.tower, pixels, self.n_shared);
            }
            Ok::<_, ModelError>(with_values(&self.parents.pretrained[PACKED], |weights| {
                self.tower.prefix(Weights::One(weights), pixels, self.n_shared)
            })?)
        });
        Ok(Images { n_images, held: Held::Shared(shared??) })
    }

    /// A row has the same bits in a pass of any size, so `room` is not looked at.
    fn features(&self, tower: &VisionTower, parts: &[&Images], _room: usize) -> Result<Tensor, ModelError> {
        one(parts.iter().map(|images| match &images.held {
            Held::Shared(shared) => tower.features_from(shared),
            _ => tower.features(images.pixels()?),
        }))
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        let shape = (lambda.len(), self.tower.packing().projection_width());
        if let Some([pt, ft]) = &self.spilled {
            let weights = SpilledWeights::Lerp { pt, ft, lambda };
            let features = match &images.held {
                Held::Shared(shared) => weights.features_from(&self.tower, shared),
                _ => with_values(images.pixels()?, |pixels| weights.features(&self.tower, pixels))?,
            };
            return Ok(Tensor::from_vec(features?, shape, &Device::Cpu)?);
        }
        let features = with_values(&self.parents.pretrained[PACKED], |pt| {
            with_values(&self.parents.expert[PACKED], |ft| {
                let weights = Weights::Lerp { pt, ft, lambda };
                match &images.held {
                    Held::Shared(shared) => Ok::<_, ModelError>(self.tower.features_from(weights, shared)),
                    _ => Ok(with_values(images.pixels()?, |pixels| self.tower.features(weights, pixels))?),
                }
            })
        });
        Ok(Tensor::from_vec(features???, shape, &Device::Cpu)?)
    }
}

impl Images {
    /// Normalised pixels `[B, 3, side, side]`.
    pub(super) fn pixels(&self) -> Result<&Tensor, ModelError> {
        match &self.held {
            Held::Pixels(pixels) => Ok(pixels),
            _ => Err(not_ours()),
        }
    }
}
