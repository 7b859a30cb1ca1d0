//! The seam between the method and what computes image features: our kernels on a CPU or on an NVIDIA card, or
//! candle-transformers as the reference. Whatever computes, tensors and class banks stay on the host.

#[cfg(feature = "cuda")]
mod card;
mod cpu;
mod reference;

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use rayon::ThreadPool;
use t3b_gpu::Compute;

use super::device::Device;
use crate::merge::weights::{Parents, Tensors};
use crate::model::fast::Activations;
use crate::model::normalize::Normalizer;
use crate::model::tower::VisionTower;
use crate::model::{ClipConfig, ModelError};
use cpu::CpuEngine;
use reference::ReferenceEngine;

/// Which code computes image features; both agree to some 1e-6 in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TowerKind {
    /// Ours: packed weights and kernels of our own, on the CPU and on NVIDIA cards.
    Fast,
    /// candle-transformers' on the CPU, for comparison; `quick_gelu` models only.
    Reference,
}

/// Images, as far as all models compute them alike.
#[derive(Debug)]
pub(super) struct Images {
    n_images: usize,
    held: Held,
}

/// What an engine makes of bytes.
#[derive(Debug)]
enum Held {
    /// `[B, 3, side, side]`, normalised.
    Pixels(Tensor),
    /// The results of the blocks that all models share.
    Shared(Activations),
    /// On a card.
    #[cfg(feature = "cuda")]
    Card(t3b_gpu::tower::Images),
}

impl Images {
    /// How many.
    pub(super) fn n_images(&self) -> usize {
        self.n_images
    }
}

/// What is said where an engine is given another one's images; that is a bug.
fn not_ours() -> ModelError {
    candle_core::Error::Msg("images or a tower of another engine".to_owned()).into()
}

/// Whose tensors a tower is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Pretrained,
    Expert,
    Merge,
}

/// Computes image features of the parents and of merges of them.
pub(super) trait Engine: fmt::Debug + Send + Sync {
    /// Both parents' tensors in the form in which this engine reads them.
    fn parents(&self) -> &Parents;

    /// Batches that both parents should see at once.
    fn n_batches_at_once(&self) -> usize {
        1
    }

    /// Batches that are best scored side by side, each asked for by a thread of its own: where the end of one's pass leaves threads
    /// without work that another's has for them.
    fn n_batches_abreast(&self) -> usize {
        1
    }

    /// The image tower on `tensors`, which are a parent's or a merge buffer's; it sees every later merge into them.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device refuses.
    fn tower(&self, tensors: &Tensors, whose: Whose) -> Result<VisionTower, ModelError>;

    /// A parent's tower in 8-bit integers, for coefficients alone; `None` where this engine has none.
    ///
    /// # Errors
    /// When the weights are elsewhere.
    fn in_int8(&self, parent: &VisionTower) -> Result<Option<VisionTower>, ModelError> {
        let _ = parent;
        Ok(None)
    }

    /// Overwrites a buffer, and the tower on it, by the parents' merge at `lambda`; 0 and 1 give the parents.
    ///
    /// # Errors
    /// When the device fails.
    fn merge(&self, lambda: f64, buffer: &Tensors, tower: &VisionTower) -> Result<(), ModelError> {
        let _ = tower;
        self.parents().lerp(lambda, buffer)
    }

    /// Overwrites a buffer, and the tower in integers on it, by the merge at `lambda` of the parents: of what the integers of `towers`
    /// stand for, quantised again, and of the tensors in all that is not in integers.
    ///
    /// # Errors
    /// When the engine has no such towers.
    fn merge_int8(
        &self,
        lambda: f64,
        towers: [&VisionTower; 2],
        buffer: &Tensors,
        tower: &mut VisionTower,
    ) -> Result<(), ModelError> {
        let _ = (lambda, towers, buffer, tower);
        Err(not_ours())
    }

    /// Readies `pixels`, whole images in HWC order one behind the other, at least one, for every model; `room` as for
    /// [`features`](Self::features).
    ///
    /// # Errors
    /// When the device fails.
    fn images(&self, pixels: &[u8], room: usize) -> Result<Images, ModelError>;

    /// Unit features of one tower, a row for each image of `parts` in their order. Where a row's last bits depend on how many
    /// images a pass has, it has `room`, however many there are.
    ///
    /// # Errors
    /// When the device fails.
    fn features(&self, tower: &VisionTower, parts: &[&Images], room: usize) -> Result<Tensor, ModelError>;

    /// Unit features `[B, projection]`, row `i` those of the merge at `lambda[i]`.
    ///
    /// # Errors
    /// When the device fails.
    fn features_per_sample(&self, lambda: &[f64], images: &Images) -> Result<Tensor, ModelError>;
}

/// How an engine computes.
#[derive(Debug)]
pub(super) struct Kind {
    /// Whose code.
    pub(super) tower: TowerKind,
    /// In which numbers; other than f32 on cards alone.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "only a card is asked"))]
    pub(super) compute: Compute,
    /// What bytes mean.
    pub(super) normalizer: Normalizer,
    /// Image blocks at the front that are the same in both parents, and so in every merge of them.
    pub(super) n_shared: usize,
    /// Images of a whole batch.
    pub(super) batch_size: usize,
    /// Where the CPU's part is done.
    pub(super) threads: Arc<ThreadPool>,
}

/// The engine for `kind` on a device that was [picked](super::Devices::pick) for these models. Of the tensors by name it keeps what it
/// reads.
///
/// # Errors
/// When the parents' tensors do not fit the engine, or the device refuses.
pub(super) fn engine(
    kind: Kind,
    parents: Parents,
    config: &ClipConfig,
    device: &Device,
) -> Result<Box<dyn Engine>, ModelError> {
    Ok(match (device, kind.tower) {
        #[cfg(feature = "cuda")]
        (Device::Card(stream), _) => Box::new(card::CardEngine::new(kind, &parents, config, stream)?),
        (Device::Cpu, TowerKind::Fast) => Box::new(CpuEngine::new(kind, parents, config)?),
        (Device::Cpu, TowerKind::Reference) => Box::new(ReferenceEngine::new(parents, config, kind)?),
    })
}

/// The rows of all parts in their order.
pub(super) fn one(parts: impl Iterator<Item = Result<Tensor, ModelError>>) -> Result<Tensor, ModelError> {
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    match parts.len() {
        1 => Ok(parts.remove(0)),
        _ => Ok(Tensor::cat(&parts, 0)?),
    }
}
