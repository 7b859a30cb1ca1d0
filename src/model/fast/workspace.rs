//! The memory of a pass, kept between passes.

use super::aligned::Aligned;
use super::attention::{Attention, HeadScratch};
use super::one_query::QueryScratch;
use super::packing::Packing;
use super::product::ProductScratch;
use super::tile::WIDE;

/// Rows of activations that a set of images fills if it can. More rows reuse a panel of weights more often; fewer keep
/// more of their activations near: of 400 to 200, passes in integers gain up to a tenth and those in f32 neither gain nor lose.
const SET_ROWS: usize = 200;

/// Images that are computed together on one core.
pub(super) fn images_per_set(packing: &Packing) -> usize {
    (SET_ROWS / packing.tokens).max(1)
}

/// Images whose last rows are computed together on one core, in the memory of a set: where each has a model of its own, its row takes a
/// tile.
pub(super) fn images_per_finish(packing: &Packing) -> usize {
    images_per_set(packing) * packing.tokens.div_ceil(WIDE)
}

/// Buffers for up to a set of images. Rows lie one behind the other, the tokens of an image first.
#[derive(Debug)]
pub(super) struct Workspace {
    /// `[images * tokens, row]`: what the blocks add to.
    pub(super) residual: Aligned,
    /// The same shape: the normalised input of a layer, or what attention mixed.
    pub(super) hidden: Aligned,
    /// `[images * tokens, 3 * row]`.
    pub(super) qkv: Aligned,
    /// `[images * tokens, mlp width]`, and before the first block the patches, `[images * tokens, patch values]`.
    pub(super) inner: Aligned,
    /// `[images, projection width]`, padded to whole panels; the attention pool's queries before that.
    pub(super) features: Aligned,
    /// Of each thread that shares in the pass, at least one.
    pub(super) tools: Vec<Tools>,
}

/// What a thread needs beside the rows.
#[derive(Debug)]
pub(super) struct Tools {
    vectors: (Aligned, Aligned),
    pub(super) head: HeadScratch,
    pub(super) product: ProductScratch,
    pub(super) query: QueryScratch,
    /// Outputs of a layer that is shared out; as long as the largest so far.
    pub(super) columns: Aligned,
}

impl Tools {
    fn new(packing: &Packing) -> Self {
        Self {
            vectors: (Aligned::zeros(packing.row), Aligned::zeros(packing.row)),
            head: Attention::new(packing).scratch(),
            product: ProductScratch::new(packing.tokens, images_per_set(packing)),
            query: QueryScratch::of(packing.row, packing.tokens),
            columns: Aligned::default(),
        }
    }

    /// Two rows, for merged vectors.
    pub(super) fn vectors(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.vectors.0, &mut self.vectors.1)
    }
}

impl Workspace {
    pub(super) fn new(packing: &Packing) -> Self {
        let n_images = images_per_set(packing);
        let n_rows = n_images * packing.tokens;
        let inner = packing.patches.inputs.max(packing.inner());
        Self {
            residual: Aligned::zeros(n_rows * packing.row),
            hidden: Aligned::zeros(n_rows * packing.row),
            qkv: Aligned::zeros(n_rows * 3 * packing.row),
            inner: Aligned::zeros(n_rows * inner),
            features: Aligned::zeros(images_per_finish(packing) * packing.feature_row()),
            tools: vec![Tools::new(packing)],
        }
    }

    /// With the tools of at least `n_threads` threads.
    pub(super) fn shared_by(mut self, n_threads: usize, packing: &Packing) -> Self {
        self.tools.resize_with(n_threads.max(self.tools.len()), || Tools::new(packing));
        self
    }
}
