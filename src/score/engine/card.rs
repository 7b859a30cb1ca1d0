//! Our kernels on an NVIDIA card: f32 masters of both parents, sets of weights in the compute type, bytes uploaded once for all
//! models, blocks shared by the parents computed once. Features come back; everything after them is done on the host.

use candle_core::{Device, Tensor};
use t3b_gpu::card::Stream;
use t3b_gpu::tower;

use super::{Engine, Held, Images, Kind, Whose, not_ours};
use crate::merge::weights::{Parents, Tensors};
use crate::model::card::{CardVision, Master, WeightSet};
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};

/// Images that both parents see at once: with fewer, a layer's matrix product does not fill a large card.
const IMAGES_AT_ONCE: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct CardEngine {
    tower: CardVision,
    /// On the host; those whose merge changes the image tower leave it to the card.
    parents: Parents,
    /// Of the pretrained model, and of the expert where its image tower is another one.
    masters: (Master, Option<Master>),
    /// The pretrained model's weights and how many blocks at the front all models share, where they share some.
    shared: Option<(WeightSet, usize)>,
    projection: usize,
    batch_size: usize,
}

impl CardEngine {
    /// Packs both parents and copies them to the card.
    ///
    /// # Errors
    /// When the card refuses, or its memory ends.
    pub(super) fn new(
        kind: Kind,
        named: &Parents,
        config: &ClipConfig,
        stream: &Stream,
    ) -> Result<Self, ModelError> {
        let tower = CardVision::new(config, stream, kind.compute, &kind.normalizer)?;
        let pt = tower.master(&named.pretrained)?;
        let ft = named.image_differs().then(|| tower.master(&named.expert)).transpose()?;
        // The last block is computed for the class token alone, together with the features, so it is never shared.
        let n_shared = kind.n_shared.min(config.vision.layers - 1);
        let shared = (n_shared > 0).then(|| tower.set(&pt)).transpose()?.map(|set| (set, n_shared));
        Ok(Self {
            tower,
            parents: named.with_fixed_images(),
            masters: (pt, ft),
            shared,
            projection: config.projection,
            batch_size: kind.batch_size,
        })
    }

    /// The pretrained model's weights and the expert's.
    fn both(&self) -> (&Master, &Master) {
        let (pt, ft) = &self.masters;
        (pt, ft.as_ref().unwrap_or(pt))
    }

    fn rows(&self, features: Vec<f32>) -> Result<Tensor, ModelError> {
        let n_images = features.len() / self.projection;
        Ok(Tensor::from_vec(features, (n_images, self.projection), &Device::Cpu)?)
    }
}

fn on_card(images: &Images) -> Result<&tower::Images, ModelError> {
    match &images.held {
        Held::Card(images) => Ok(images),
        _ => Err(not_ours()),
    }
}

impl Engine for CardEngine {
    fn parents(&self) -> &Parents {
        &self.parents
    }

    fn n_batches_at_once(&self) -> usize {
        (IMAGES_AT_ONCE / self.batch_size).max(1)
    }

    fn tower(&self, tensors: &Tensors, _whose: Whose) -> Result<VisionTower, ModelError> {
        Ok(VisionTower::card(self.tower.set(&self.tower.master(tensors)?)?))
    }

    fn merge(&self, lambda: f64, buffer: &Tensors, tower: &VisionTower) -> Result<(), ModelError> {
        self.parents.lerp(lambda, buffer)?;
        let set = tower.weight_set().ok_or_else(not_ours)?;
        self.tower.merge(set, self.both(), lambda)
    }

    fn images(&self, pixels: &[u8], room: usize) -> Result<Images, ModelError> {
        let mut images = self.tower.upload(pixels)?;
        if let Some((pretrained, n_shared)) = &self.shared {
            images = self.tower.prefix(pretrained, &images, *n_shared, room)?;
        }
        Ok(Images { n_images: images.n_images(), held: Held::Card(images) })
    }

    fn features(&self, tower: &VisionTower, parts: &[&Images], room: usize) -> Result<Tensor, ModelError> {
        let images = parts.iter().map(|images| on_card(images)).collect::<Result<Vec<_>, _>>()?;
        let set = tower.weight_set().ok_or_else(not_ours)?;
        self.rows(self.tower.features(set, &images, room)?)
    }

    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError> {
        let images = on_card(images)?;
        let merged = self.tower.set(&self.masters.0)?;
        let mut features = Vec::with_capacity(lambda.len() * self.projection);
        for (n, lambda) in lambda.iter().enumerate() {
            self.tower.merge(&merged, self.both(), *lambda)?;
            let image = self.tower.one_of(images, n)?;
            features.extend(self.tower.features(&merged, &[&image], 1)?);
        }
        self.rows(features)
    }
}
