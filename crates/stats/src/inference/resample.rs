//! The bootstrap's resamples: made once, shared by every figure, so that differences are paired by construction.

use rand::RngCore;
use rand_pcg::Pcg64Mcg;

/// Draws of `n_units` units with replacement. A unit is a sample, a patient or a block of samples; which one draw holds
/// depends on the seed and its number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resamples {
    seed: u64,
    n_units: usize,
    n_draws: usize,
}

impl Resamples {
    /// `n_draws` resamples of `n_units` units.
    #[must_use]
    pub fn new(seed: u64, n_units: usize, n_draws: usize) -> Self {
        Self { seed, n_units, n_draws }
    }

    /// Units of the set.
    #[must_use]
    pub fn n_units(&self) -> usize {
        self.n_units
    }

    /// How often each unit is in resample `draw`.
    #[must_use]
    pub fn weights(&self, draw: usize) -> Vec<u32> {
        let mut weights = vec![0; self.n_units];
        let mut stream = stream(self.seed, draw as u64);
        for _ in 0..self.n_units {
            weights[below(&mut stream, self.n_units)] += 1;
        }
        weights
    }

    /// The weights of all resamples, in order.
    pub fn all(&self) -> impl Iterator<Item = Vec<u32>> + '_ {
        (0..self.n_draws).map(|draw| self.weights(draw))
    }
}

/// An independent stream per (seed, number).
pub(crate) fn stream(seed: u64, number: u64) -> Pcg64Mcg {
    Pcg64Mcg::new((u128::from(seed) << 64) | u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
}

/// A place below `n`, each about equally likely (within n / 2^64).
#[expect(clippy::cast_possible_truncation, reason = "a product shifted by 64 bits is below n")]
pub(crate) fn below(stream: &mut Pcg64Mcg, n: usize) -> usize {
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}
