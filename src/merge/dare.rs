//! DARE: drop differences at random and rescale the rest (Yu et al., 2024).
//!
//! The draw of a weight is a function of (seed, tensor name, index in the flattened tensor), so the same weights
//! are dropped on every worker, in whatever order the tensors are merged, and for every scale.

use super::random::Draws;

/// The DARE rule: `theta_pt + scale * mask * D / (1 - drop_probability)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dare {
    /// Probability that a difference is dropped, `0 ..< 1`.
    pub drop_probability: f64,
    /// Factor on the rescaled difference; 1 keeps its expectation at the expert's.
    pub scale: f64,
    /// Seed of the draws; different seeds are different runs of the baseline.
    pub seed: u64,
}

impl Dare {
    /// Merges the tensor called `name` into `out`.
    ///
    /// Weight `i` keeps its difference when the uniform draw `i` of the stream `name` is at least the drop
    /// probability. `scale / (1 - p)` is computed in `f64` and rounded to `f32` once; difference, product and
    /// sum are `f32`. Dropped weights are the pretrained model's bit for bit.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn merge_into(&self, name: &str, pretrained: &[f32], expert: &[f32], out: &mut [f32]) {
        assert_eq!(pretrained.len(), expert.len(), "both parents hold the same tensor");
        assert_eq!(pretrained.len(), out.len(), "the merge has the parents' shape");
        let factor = (self.scale / (1.0 - self.drop_probability)) as f32;
        let draws = Draws::new(self.seed, name);
        for (i, ((slot, &g), &e)) in (0_u64..).zip(out.iter_mut().zip(pretrained).zip(expert)) {
            *slot = if draws.uniform(i) >= self.drop_probability { g + factor * (e - g) } else { g };
        }
    }
}
