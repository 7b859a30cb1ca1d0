//! TIES-Merging with one expert: task arithmetic on the largest differences only.
//!
//! Trim, elect sign, merge (Yadav et al., 2023, and their `topk_values_mask`). With one expert the elected sign
//! of a weight is the sign of its own trimmed difference and the disjoint mean has one term, so the second and
//! third steps change nothing: what remains is `theta_pt + scale * trimmed difference`.
//!
//! The threshold is one number for the whole task vector, all tensors together, so it takes a pass over all of
//! them before the first can be merged.

use thiserror::Error;

/// Fraction of the differences kept, the original's default.
pub const TIES_KEEP: f64 = 0.2;

/// Smallest magnitude of `expert - pretrained` that is kept, over all `tensors` as one flat vector.
///
/// As the original has it: of `d` differences the `(d - floor(d * keep))`-th smallest magnitude, counted from
/// 1, is the threshold, and every magnitude not below it is kept. Two consequences. Without equal magnitudes
/// `floor(d * keep) + 1` differences are kept, one more than asked. With equal magnitudes at the threshold all
/// of them are kept; a threshold of 0 (most weights untouched) keeps everything, which adds only zeros.
/// `keep = 1`, which the original cannot do, keeps everything.
///
/// Exact and without a copy of the vector: magnitudes of `f32` sort as their bits do, so two passes that count
/// the high and then the low 16 bits find the order statistic. The order of the tensors does not matter.
///
/// # Errors
/// [`TiesError::Keep`] for a fraction outside `[0, 1]`, [`TiesError::Empty`] when there are no weights,
/// [`TiesError::NotFinite`] when a difference is infinite or NaN.
///
/// # Panics
/// When a pair of tensors differs in length.
pub fn ties_threshold<'a, I>(tensors: I, keep: f64) -> Result<f32, TiesError>
where
    I: Iterator<Item = (&'a [f32], &'a [f32])> + Clone,
{
    if !(0.0..=1.0).contains(&keep) {
        return Err(TiesError::Keep { keep });
    }
    let mut high = Histogram::new();
    for bits in tensors.clone().flat_map(magnitude_bits) {
        high.count(bits >> 16);
    }
    if high.total == 0 {
        return Err(TiesError::Empty);
    }
    // The high half of an infinity or NaN is at least that of infinity.
    if high.any_from(f32::INFINITY.to_bits() >> 16) {
        return Err(TiesError::NotFinite);
    }
    let n_trimmed = (high.total - (high.total as f64 * keep) as u64).max(1);
    let (high_half, rank) = high.of_rank(n_trimmed);
    let mut low = Histogram::new();
    for bits in tensors.flat_map(magnitude_bits).filter(|b| b >> 16 == high_half) {
        low.count(bits & 0xFFFF);
    }
    let (low_half, _) = low.of_rank(rank);
    Ok(f32::from_bits((high_half << 16) | low_half))
}

/// Merges one tensor into `out`: `pretrained + scale * d` where `|d| >= threshold`, `pretrained` elsewhere.
///
/// `d = expert - pretrained` in `f32`, scaled in `f32`; the scale is rounded to `f32` once.
///
/// # Panics
/// When the lengths differ.
pub fn ties_into(pretrained: &[f32], expert: &[f32], threshold: f32, scale: f64, out: &mut [f32]) {
    assert_eq!(pretrained.len(), expert.len(), "both parents hold the same tensor");
    assert_eq!(pretrained.len(), out.len(), "the merge has the parents' shape");
    let scale = scale as f32;
    for ((slot, &g), &e) in out.iter_mut().zip(pretrained).zip(expert) {
        let d = e - g;
        *slot = if d.abs() >= threshold { g + scale * d } else { g };
    }
}

/// Bits of the magnitudes of one tensor's differences; as integers they sort as the magnitudes do.
fn magnitude_bits<'a>((pretrained, expert): (&'a [f32], &'a [f32])) -> impl Iterator<Item = u32> + 'a {
    assert_eq!(pretrained.len(), expert.len(), "both parents hold the same tensor");
    pretrained.iter().zip(expert).map(|(&g, &e)| (e - g).abs().to_bits())
}

/// Counts of 16-bit values.
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    fn new() -> Self {
        Self { counts: vec![0; 1 << 16], total: 0 }
    }

    fn count(&mut self, value: u32) {
        self.counts[value as usize] += 1;
        self.total += 1;
    }

    fn any_from(&self, value: u32) -> bool {
        self.counts[value as usize..].iter().any(|&n| n > 0)
    }

    /// The value of the `rank`-th smallest entry, counted from 1, and its rank among the entries of that value.
    fn of_rank(&self, rank: u64) -> (u32, u64) {
        assert!((1..=self.total).contains(&rank), "rank {rank} of {}", self.total);
        let mut left = rank;
        for (value, &n) in (0_u32..).zip(&self.counts) {
            if left <= n {
                return (value, left);
            }
            left -= n;
        }
        unreachable!("the counts add up to the total")
    }
}

/// Why there is no threshold.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum TiesError {
    /// The fraction to keep is outside `[0, 1]`.
    #[error("the fraction to keep must lie in [0, 1], got {keep}")]
    Keep {
        /// The refused fraction.
        keep: f64,
    },
    /// There are no weights at all.
    #[error("there are no weights to merge")]
    Empty,
    /// A difference of the two parents is infinite or NaN.
    #[error("a difference of the two parents' weights is not finite")]
    NotFinite,
}
