//! Batches of images over cores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pulp::Arch;
use rayon::prelude::*;
use rayon::{ScopeFifo, ThreadPool};
use t3b_image::simd;

use super::forward::Pass;
use super::int8::Int8Layers;
use super::packing::{PANEL, Packing};
use super::weights::Weights;
use super::workspace::{Workspace, images_per_finish, images_per_set};
use crate::model::config::ClipConfig;

/// CLIP's image tower on packed weights.
///
/// A batch is cut into sets of images, and each set is computed by one thread of a rayon pool from pixels to features. Where a
/// batch has fewer images than the pool has threads, several share the work on an image. Sets of several callers follow each
/// other in the pool: while the last set of one's batch is computed, other threads have the next one's.
/// Memory: a workspace for each thread that was busy at one time, of about
/// `200 * (5 * width + mlp_width + 256)` values (6 MB for ViT-B), kept until the tower is dropped. The weights are the
/// caller's.
#[derive(Debug)]
pub struct FastVision {
    packing: Packing,
    arch: Arch,
    /// `None`: the one that the caller is in.
    pool: Option<Arc<ThreadPool>>,
    /// Who may ask at the same time.
    n_callers: usize,
    idle: Mutex<Vec<Workspace>>,
}

/// Images after some blocks, from [`FastVision::prefix`].
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// Blocks behind.
    n_layers: usize,
    /// `[images, tokens, row]`.
    rows: Vec<f32>,
}

impl Activations {
    /// Blocks behind.
    #[must_use]
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }

    /// How many images, of an architecture that is theirs.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn n_images(&self, packing: &Packing) -> usize {
        let per_image = packing.tokens * packing.row;
        let n_images = self.rows.len() / per_image;
        assert_eq!(self.rows.len(), n_images * per_image, "values of activations");
        n_images
    }
}

impl FastVision {
    /// The tower of an architecture, on the vectors of this process: [`simd::arch`]. Its threads are those of the rayon pool that its
    /// caller is in.
    #[must_use]
    pub fn new(config: &ClipConfig) -> Self {
        Self::on(simd::arch(), config)
    }

    /// The same on the threads of `pool`, for up to `n_callers` at the same time outside of it, who have equal shares of the threads.
    #[must_use]
    pub fn in_pool(config: &ClipConfig, pool: &Arc<ThreadPool>, n_callers: usize) -> Self {
        Self { pool: Some(Arc::clone(pool)), n_callers: n_callers.max(1), ..Self::new(config) }
    }

    /// The same on a given instruction set.
    pub(super) fn on(arch: Arch, config: &ClipConfig) -> Self {
        Self { packing: Packing::new(config), arch, pool: None, n_callers: 1, idle: Mutex::default() }
    }

    /// The layout of its weights.
    #[must_use]
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Unit-length image features, `[B, projection]`, row-major.
    ///
    /// `pixels`: `[B, 3, image_px, image_px]`, normalised. A row depends on its image and its model alone, to the last
    /// bit. A feature of length zero gives NaN.
    ///
    /// # Panics
    /// When the pixels are not whole images, or the weights do not fit the packing or the number of images.
    #[must_use]
    pub fn features(&self, weights: Weights<'_>, pixels: &[f32]) -> Vec<f32> {
        let n_images = self.n_images(weights, pixels);
        Sets::new(n_images, self, weights).features(pixels, |pass, pixels| {
            pass.embed(pixels);
            pass.ends(0)
        })
    }

    /// The images after the first `n_layers` blocks: for two models that agree up to there, the part to compute once.
    ///
    /// # Panics
    /// As [`features`](Self::features), and when `n_layers` is not less than the number of blocks: in the last, most of
    /// the rows are left out.
    #[must_use]
    pub fn prefix(&self, weights: Weights<'_>, pixels: &[f32], n_layers: usize) -> Activations {
        assert!(n_layers < self.packing.layers.len(), "the last block belongs to the features");
        let n_images = self.n_images(weights, pixels);
        let per_image = self.packing.tokens * self.packing.row;
        let mut rows = vec![0.0; n_images * per_image];
        Sets::new(n_images, self, weights).each(pixels, &mut rows, |pass, pixels, out| {
            pass.embed(pixels);
            pass.blocks(0..n_layers);
            out.copy_from_slice(&pass.work.residual[..out.len()]);
        });
        Activations { n_layers, rows }
    }

    /// The images after one more block than before, which is not the last.
    ///
    /// # Panics
    /// As [`features_from`](Self::features_from), and as [`prefix`](Self::prefix).
    #[must_use]
    pub fn next(&self, weights: Weights<'_>, before: &Activations) -> Activations {
        let n_layers = before.n_layers + 1;
        assert!(n_layers < self.packing.layers.len(), "the last block belongs to the features");
        let n_images = self.n_images_of(weights, before);
        let mut rows = vec![0.0; before.rows.len()];
        Sets::new(n_images, self, weights).each(&before.rows, &mut rows, |pass, before, out| {
            pass.work.residual[..before.len()].copy_from_slice(before);
            pass.blocks(n_layers - 1..n_layers);
            out.copy_from_slice(&pass.work.residual[..out.len()]);
        });
        Activations { n_layers, rows }
    }

    /// The features of images whose first blocks are computed: the same bits as [`features`](Self::features) of the
    /// pixels, if the weights of those blocks and of the embeddings are the same.
    ///
    /// # Panics
    /// When the activations are another architecture's, or the weights do not fit the packing or the number of images.
    #[must_use]
    pub fn features_from(&self, weights: Weights<'_>, activations: &Activations) -> Vec<f32> {
        let n_images = self.n_images_of(weights, activations);
        Sets::new(n_images, self, weights).features(&activations.rows, |pass, rows| {
            pass.work.residual[..rows.len()].copy_from_slice(rows);
            pass.ends(activations.n_layers)
        })
    }

    /// Overwrites `merged` by the merge at `lambda` of what the integers of two parents stand for, quantised as they are: 0 and 1 give
    /// the parents' integers. Blocks are shared out over the rayon pool that the caller is in. What the integers leave to the `f32`
    /// buffer is merged there, [by others](Packing::outside_blocks).
    ///
    /// # Panics
    /// When the three are not of one architecture or begin at different blocks.
    pub fn merge_int8(
        &self,
        merged: &mut Int8Layers,
        pretrained: &Int8Layers,
        expert: &Int8Layers,
        lambda: f64,
    ) {
        match lambda as f32 {
            0.0 => merged.clone_from(pretrained),
            1.0 => merged.clone_from(expert),
            lambda => merged.beside(pretrained, expert).into_par_iter().for_each(|(layer, [pt, ft])| {
                self.arch.dispatch(
                    #[inline(always)]
                    || layer.merge(pt, ft, lambda),
                );
            }),
        }
    }

    /// Runs what `spawn` spawns, first come, first served.
    fn scope<'scope>(&self, spawn: impl FnOnce(&ScopeFifo<'scope>) + Send) {
        match &self.pool {
            Some(pool) => pool.in_place_scope_fifo(spawn),
            None => rayon::in_place_scope_fifo(spawn),
        }
    }

    fn n_images_of(&self, weights: Weights<'_>, activations: &Activations) -> usize {
        let n_images = activations.n_images(&self.packing);
        weights.check(self.packing.len(), n_images);
        n_images
    }

    fn n_images(&self, weights: Weights<'_>, pixels: &[f32]) -> usize {
        let n_images = pixels.len() / self.packing.pixels();
        assert_eq!(pixels.len(), n_images * self.packing.pixels(), "values of whole images");
        weights.check(self.packing.len(), n_images);
        n_images
    }
}

/// A batch cut into sets of equal size, the last one perhaps smaller.
struct Sets<'a> {
    tower: &'a FastVision,
    weights: Weights<'a>,
    n_images: usize,
    per_set: usize,
    /// Threads that share a set of one image.
    n_sharing: usize,
}

impl<'a> Sets<'a> {
    /// As few sets as memory allows, but one for every thread if there are images enough.
    fn new(n_images: usize, tower: &'a FastVision, weights: Weights<'a>) -> Self {
        let largest = images_per_set(&tower.packing);
        let n_threads =
            tower.pool.as_ref().map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads());
        let n_sets = n_images.div_ceil(largest).next_multiple_of(n_threads).clamp(1, n_images.max(1));
        // Each has a panel of outputs in every layer.
        let n_sharing = (n_threads / tower.n_callers / n_images.max(1)).clamp(1, tower.packing.row / PANEL);
        Self { tower, weights, n_images, per_set: n_images.div_ceil(n_sets).max(1), n_sharing }
    }

    /// Runs `f` on the pass of every set, with the set's parts of two buffers that have equally many values for every image, and returns
    /// when all are done. Threads take the sets in their order.
    fn each(
        &self,
        inputs: &[f32],
        outputs: &mut [f32],
        f: impl Fn(&mut Pass<'_>, &[f32], &mut [f32]) + Sync,
    ) {
        let parts = inputs.chunks(self.per_set(inputs)).zip(outputs.chunks_mut(self.per_set(outputs)));
        let f = &f;
        self.tower.scope(|scope| {
            for (set, (input, output)) in parts.enumerate() {
                scope.spawn_fifo(move |_| self.pass(set, |pass| f(pass, input, output)));
            }
        });
    }

    /// The features of the images, of each of which `ends` makes its last row. Where images are many, whoever has the last set finishes
    /// all of them together: each weight that is read is multiplied by rows of several sets, where those of one leave most of a tile
    /// empty (1 to 2 % of a pass of ViT-B/32).
    fn features(&self, inputs: &[f32], ends: impl Fn(&mut Pass<'_>, &[f32]) -> Vec<f32> + Sync) -> Vec<f32> {
        let mut features = vec![0.0; self.n_images * self.tower.packing.projection_width];
        if self.n_sharing > 1 {
            self.each(inputs, &mut features, |pass, input, out| {
                let ends = ends(pass, input);
                pass.finish(&ends, out);
            });
            return features;
        }
        let parts = inputs.chunks(self.per_set(inputs));
        let (n_sets, ends) = (parts.len(), &ends);
        let joint = &Mutex::new((BTreeMap::new(), features.as_mut_slice()));
        self.tower.scope(|scope| {
            for (set, input) in parts.enumerate() {
                scope.spawn_fifo(move |_| {
                    let own = self.pass(set, |pass| ends(pass, input));
                    let mut joint = joint.lock().unwrap_or_else(PoisonError::into_inner);
                    let (ended, features) = &mut *joint;
                    ended.insert(set, own);
                    if ended.len() == n_sets {
                        let ends: Vec<f32> = ended.values().flatten().copied().collect();
                        self.finish(&ends, features);
                    }
                });
            }
        });
        features
    }

    /// Last rows of all images to their features, on this thread.
    fn finish(&self, ends: &[f32], features: &mut [f32]) {
        let most = images_per_finish(&self.tower.packing);
        let per_set = self.n_images.div_ceil(self.n_images.div_ceil(most).max(1)).max(1);
        let sets = Sets { per_set, ..*self };
        let parts = ends.chunks(sets.per_set(ends)).zip(features.chunks_mut(sets.per_set(features)));
        for (set, (ends, out)) in parts.enumerate() {
            sets.pass(set, |pass| pass.finish(ends, out));
        }
    }

    /// Values of a set, in a buffer that has equally many for every image.
    fn per_set(&self, values: &[f32]) -> usize {
        (values.len() / self.n_images.max(1) * self.per_set).max(1)
    }

    /// Runs `f` on the pass of a set, in a workspace of its own.
    fn pass<R>(&self, set: usize, f: impl FnOnce(&mut Pass<'_>) -> R) -> R {
        let tower = self.tower;
        let idle = || tower.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop().unwrap_or_else(|| Workspace::new(&tower.packing));
        let mut work = kept.shared_by(self.n_sharing, &tower.packing);
        let first = set * self.per_set;
        let n_images = self.per_set.min(self.n_images - first);
        let runs = self.weights.runs(first, n_images);
        let (packing, arch, n_threads) = (&tower.packing, tower.arch, self.n_sharing);
        let int8 = self.weights.int8();
        let mut pass = Pass { packing, arch, runs: &runs, int8, n_images, n_threads, work: &mut work };
        let done = f(&mut pass);
        idle().push(work);
        done
    }
}
