//! The image tower on an NVIDIA card: the crate `t3b-gpu` under names and errors of this one.
//!
//! Both parents lie there as f32 masters; what a pass reads is a set of weights in the compute type, made of them by a merge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use t3b_gpu::card::{CardError, Stream};
use t3b_gpu::tower::{CudaSlice, Images, Tower};
use t3b_gpu::{Activation as CardActivation, Compute, Sizes};

use super::config::{Activation, ClipConfig};
use super::error::{CheckpointFault, ModelError};
use super::normalize::Normalizer;

/// See the module.
#[derive(Debug)]
pub(crate) struct CardVision(Tower);

/// A model's packed f32 weights on the card.
pub(crate) type Master = CudaSlice<f32>;

/// A set of weights in the compute type, which merges overwrite; clones are handles of the same set.
#[derive(Debug, Clone)]
pub(crate) struct WeightSet(Arc<Mutex<CudaSlice<u8>>>);

impl WeightSet {
    fn lock(&self) -> MutexGuard<'_, CudaSlice<u8>> {
        // Whoever panicked with it had queued whole merges or none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<CardError> for ModelError {
    fn from(error: CardError) -> Self {
        let no_memory = error.is_out_of_memory();
        CheckpointFault::Card { what: error.to_string(), no_memory }.into()
    }
}

fn sizes(config: &ClipConfig) -> Sizes {
    let (kind, tower) = (config.vision_kind, &config.vision);
    #[expect(clippy::cast_possible_truncation, reason = "the kernels add it in f32")]
    let norm_eps = tower.norm_eps as f32;
    Sizes {
        image_px: config.image_px,
        patch_px: config.patch_px,
        patch_bias: kind.has_patch_bias(),
        pre_norm: kind.has_pre_norm(),
        width: tower.width,
        heads: tower.heads,
        mlp_width: tower.mlp_width,
        layers: tower.layers,
        activation: match tower.activation {
            Activation::QuickGelu => CardActivation::QuickGelu,
            Activation::Gelu => CardActivation::Gelu,
            Activation::GeluTanh => CardActivation::GeluTanh,
        },
        norm_eps,
        projection: config.projection,
    }
}

impl CardVision {
    /// The tower of `config`, which must not pool by attention, without weights.
    ///
    /// # Errors
    /// `N002` when the card refuses.
    pub(crate) fn new(
        config: &ClipConfig,
        stream: &Stream,
        compute: Compute,
        normalizer: &Normalizer,
    ) -> Result<Self, ModelError> {
        let values = |channel| (0..=255).map(move |byte| normalizer.value(channel, byte));
        let table: Vec<f32> = (0..3).flat_map(values).collect();
        Ok(Self(Tower::new(Arc::clone(stream), sizes(config), compute, &table)?))
    }

    /// Packs the image tower among `tensors`, all of it there, and copies it to the card.
    ///
    /// # Errors
    /// `N002` when a tensor is not f32 on the host, or the card refuses the memory.
    pub(crate) fn master(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Master, ModelError> {
        let layout = self.0.layout();
        let values =
            |(name, _): (&str, usize)| Ok((name.to_owned(), tensors[name].flatten_all()?.to_vec1::<f32>()?));
        let named = layout.tensors().map(values).collect::<Result<BTreeMap<_, _>, ModelError>>()?;
        Ok(self.0.master(&layout.pack(|name| &named[name]))?)
    }

    /// A set of its own: the weights of a master.
    ///
    /// # Errors
    /// `N002` when the card refuses the memory.
    pub(crate) fn set(&self, master: &Master) -> Result<WeightSet, ModelError> {
        let set = WeightSet(Arc::new(Mutex::new(self.0.new_set()?)));
        self.merge(&set, (master, master), 0.0)?;
        Ok(set)
    }

    /// Overwrites a set by the merge of two masters, pretrained and expert, at `lambda`; 0 and 1 give the masters.
    ///
    /// # Errors
    /// `N002` when the card refuses.
    pub(crate) fn merge(
        &self,
        set: &WeightSet,
        (pt, ft): (&Master, &Master),
        lambda: f64,
    ) -> Result<(), ModelError> {
        #[expect(clippy::cast_possible_truncation, reason = "weights are merged in single precision")]
        let lambda = lambda as f32;
        Ok(self.0.merge(&mut set.lock(), pt, ft, lambda)?)
    }

    /// Copies images, bytes in HWC order one behind the other, to the card.
    ///
    /// # Errors
    /// `N002` when the card refuses the memory.
    pub(crate) fn upload(&self, pixels: &[u8]) -> Result<Images, ModelError> {
        Ok(self.0.upload(pixels)?)
    }

    /// Images behind the first `n_blocks` blocks, in a pass of `room` images.
    ///
    /// # Errors
    /// `N002` when the card refuses.
    pub(crate) fn prefix(
        &self,
        set: &WeightSet,
        images: &Images,
        n_blocks: usize,
        room: usize,
    ) -> Result<Images, ModelError> {
        Ok(self.0.prefix(&set.lock(), images, n_blocks, room)?)
    }

    /// Unit features of images, `[B, projection]` on the host, in a pass of `room` images.
    ///
    /// # Errors
    /// `N002` when the card refuses.
    pub(crate) fn features(
        &self,
        set: &WeightSet,
        images: &[&Images],
        room: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let n_images = images.iter().map(|images| images.n_images()).sum();
        let features = self.0.features(&set.lock(), images, room)?;
        Ok(self.0.download(&features, n_images)?)
    }

    /// One image of several.
    ///
    /// # Errors
    /// `N002` when the card refuses the memory.
    pub(crate) fn one_of(&self, images: &Images, n: usize) -> Result<Images, ModelError> {
        Ok(self.0.one_of(images, n)?)
    }
}
