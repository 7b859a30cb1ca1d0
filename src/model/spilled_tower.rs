//! An image tower in `f32` whose blocks are read from a file one at a time: little memory, and the bits of one that is held.

use std::io;
use std::sync::Arc;

use candle_core::Tensor;

use super::error::ModelError;
use super::fast::{Activations, Aligned, FastVision, Weights};
use super::files::unreadable;
use super::packed::with_values;
use super::spill::SpilledBlocks;

/// One model.
#[derive(Debug, Clone)]
pub struct SpilledModel {
    /// A packed tower without the matrices of its blocks, whose places were never touched and so take no memory.
    outside: Tensor,
    blocks: Arc<SpilledBlocks>,
}

impl SpilledModel {
    /// A model of what is outside of its blocks' matrices and of these.
    #[must_use]
    pub fn new(outside: &Tensor, blocks: &Arc<SpilledBlocks>) -> Self {
        Self { outside: outside.clone(), blocks: Arc::clone(blocks) }
    }

    /// A packed tower with one of its blocks.
    ///
    /// # Errors
    /// `W012` when the file of the blocks cannot be read.
    pub(super) fn block(&self, index: usize) -> Result<Aligned, ModelError> {
        let mut packed = with_values(&self.outside, |values| self.blocks.outside(values))?;
        self.blocks.read(index, &mut packed).map_err(spill_fault)?;
        Ok(packed)
    }
}

/// What cannot be done with the file of the blocks.
pub(super) fn spill_fault(source: io::Error) -> ModelError {
    unreadable("the blocks that memory.weights = \"spilled\" put aside", source).into()
}

/// A model, or a merge of two for each image.
#[derive(Debug, Clone, Copy)]
pub enum SpilledWeights<'a> {
    /// The same for every image.
    One(&'a SpilledModel),
    /// `pt + lambda[i] * (ft - pt)` for image `i`.
    Lerp {
        /// The pretrained model.
        pt: &'a SpilledModel,
        /// The fine-tuned model.
        ft: &'a SpilledModel,
        /// One per image.
        lambda: &'a [f64],
    },
}

impl SpilledWeights<'_> {
    /// Unit features `[B, projection]` of normalised pixels: [`FastVision::features`].
    ///
    /// # Errors
    /// `W012` when a file of blocks cannot be read.
    pub fn features(&self, engine: &FastVision, pixels: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.features_from(engine, &self.prefix(engine, pixels, engine.packing().n_blocks() - 1)?)
    }

    /// The images after some blocks: [`FastVision::prefix`].
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn prefix(
        &self,
        engine: &FastVision,
        pixels: &[f32],
        n_layers: usize,
    ) -> Result<Activations, ModelError> {
        let first = self.with_block(0, |weights| engine.prefix(weights, pixels, n_layers.min(1)))?;
        self.through(engine, first, n_layers)
    }

    /// The features of images behind some blocks: [`FastVision::features_from`].
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn features_from(&self, engine: &FastVision, shared: &Activations) -> Result<Vec<f32>, ModelError> {
        let last = engine.packing().n_blocks() - 1;
        let before = self.through(engine, shared.clone(), last)?;
        self.with_block(last, |weights| engine.features_from(weights, &before))
    }

    fn through(
        &self,
        engine: &FastVision,
        mut images: Activations,
        n_layers: usize,
    ) -> Result<Activations, ModelError> {
        while images.n_layers() < n_layers {
            images = self.with_block(images.n_layers(), |weights| engine.next(weights, &images))?;
        }
        Ok(images)
    }

    /// Lends `f` the weights, of whose blocks one is there.
    fn with_block<R>(&self, index: usize, f: impl FnOnce(Weights<'_>) -> R) -> Result<R, ModelError> {
        Ok(match self {
            Self::One(model) => f(Weights::One(&model.block(index)?)),
            Self::Lerp { pt, ft, lambda } => {
                let (pt, ft) = (pt.block(index)?, ft.block(index)?);
                f(Weights::Lerp { pt: &pt, ft: &ft, lambda })
            }
        })
    }
}
