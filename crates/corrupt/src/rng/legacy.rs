//! NumPy's legacy global stream, `np.random.*`.

use super::mt19937::Mt19937;
use crate::math::ln;

/// Accepted pairs that are turned into normal numbers together.
const PAIRS: usize = 64;

/// `np.random.RandomState`: MT19937 with the distributions NumPy has frozen.
#[derive(Clone, Debug)]
pub struct Legacy {
    bits: Mt19937,
    spare_normal: Option<f64>,
}

impl Legacy {
    /// The state after `np.random.seed(seed)`.
    #[must_use]
    pub fn seed(seed: u32) -> Self {
        Self { bits: Mt19937::from_seed(seed), spare_normal: None }
    }

    /// The next number of `np.random.random()`, in `[0, 1)`.
    #[inline]
    pub fn next_f64(&mut self) -> f64 {
        self.bits.next_f64()
    }

    /// A number in `0..n`, equally likely; `n` is at least 1.
    ///
    /// Reference: numpy `randint`, which masks and rejects; a single choice takes no draw.
    pub fn below(&mut self, n: u32) -> u32 {
        let last = n - 1;
        if last == 0 {
            return 0;
        }
        let mask = u32::MAX >> last.leading_zeros();
        loop {
            let draw = self.bits.next_u32() & mask;
            if draw <= last {
                return draw;
            }
        }
    }

    /// Fills `out` with the next standard normal numbers.
    ///
    /// Marsaglia's polar method. Each accepted pair gives two numbers, the second first; of an odd count the
    /// last one is kept for the next call.
    ///
    /// Reference: numpy `legacy_gauss`.
    #[inline(always)]
    pub fn normals(&mut self, out: &mut [f64]) {
        let n_spare = out.len().min(usize::from(self.spare_normal.is_some()));
        let (first, rest) = out.split_at_mut(n_spare);
        for (to, spare) in first.iter_mut().zip(self.spare_normal) {
            *to = spare;
            self.spare_normal = None;
        }
        for chunk in rest.chunks_mut(2 * PAIRS) {
            let mut pairs = [[0.0; 3]; PAIRS];
            let pairs = &mut pairs[..chunk.len().div_ceil(2)];
            self.accepted_pairs(pairs);
            // Apart from the drawing, so that the logarithms of neighbouring pairs overlap.
            for [_, _, r2] in pairs.iter_mut() {
                *r2 = (-2.0 * ln(*r2) / *r2).sqrt();
            }
            for (to, &[x1, x2, f]) in chunk.chunks_mut(2).zip(pairs.iter()) {
                to[0] = f * x2;
                match to.get_mut(1) {
                    Some(second) => *second = f * x1,
                    None => self.spare_normal = Some(f * x1),
                }
            }
        }
    }

    /// Points `(x1, x2)` in the unit disc and their squared distances from its centre.
    #[inline(always)]
    fn accepted_pairs(&mut self, pairs: &mut [[f64; 3]]) {
        let mut n = 0;
        while n < pairs.len() {
            let x1 = 2.0 * self.bits.next_f64() - 1.0;
            let x2 = 2.0 * self.bits.next_f64() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            // Written whether accepted or not: one in five is not, which no branch predictor can learn.
            pairs[n] = [x1, x2, r2];
            n += usize::from(r2 < 1.0 && r2 != 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Legacy;

    // python3 -c "import numpy as np; np.random.seed(0); print(np.random.normal(size=5).tolist())"
    #[test]
    fn seed_zero_gives_numpys_normals_in_any_portions() {
        let numpys = [
            1.764052345967664,
            0.4001572083672233,
            0.9787379841057392,
            2.240893199201458,
            1.8675579901499675,
        ];
        for portion in 1..=5 {
            let (mut legacy, mut draws) = (Legacy::seed(0), [0.0; 5]);
            draws.chunks_mut(portion).for_each(|chunk| legacy.normals(chunk));
            assert_eq!(draws, numpys);
        }
    }
}
