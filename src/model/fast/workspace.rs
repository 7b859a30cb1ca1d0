//! The memory of a pass, kept between passes.

use super::aligned::Aligned;
use super::attention::{Attention, HeadScratch};
use super::plan::Plan;
use super::product::ProductScratch;

/// Rows of activations that a set of images fills if it can. More rows reuse a panel of weights more often; fewer leave
/// the second-level cache to the weights.
const SET_ROWS: usize = 400;

/// Images that are computed together on one core.
pub(super) fn images_per_set(plan: &Plan) -> usize {
    (SET_ROWS / plan.tokens).max(1)
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
    /// Two rows, for merged vectors.
    pub(super) vectors: (Aligned, Aligned),
    pub(super) head: HeadScratch,
    pub(super) product: ProductScratch,
}

impl Workspace {
    pub(super) fn new(plan: &Plan) -> Self {
        let n_images = images_per_set(plan);
        let n_rows = n_images * plan.tokens;
        let inner =
            plan.patches.inputs.max(plan.layers.iter().map(|layer| layer.rise.outputs).max().unwrap_or(0));
        Self {
            residual: Aligned::zeros(n_rows * plan.row),
            hidden: Aligned::zeros(n_rows * plan.row),
            qkv: Aligned::zeros(n_rows * 3 * plan.row),
            inner: Aligned::zeros(n_rows * inner),
            features: Aligned::zeros(n_images * plan.feature_row()),
            vectors: (Aligned::zeros(plan.row), Aligned::zeros(plan.row)),
            head: Attention::new(plan).scratch(),
            product: ProductScratch::new(plan.tokens, n_images),
        }
    }
}
