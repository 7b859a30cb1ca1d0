//! NumPy's legacy global stream, `np.random.*`.

use super::mt19937::Mt19937;
use crate::corrupt::math::ln;

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
    pub fn next_f64(&mut self) -> f64 {
        self.bits.next_f64()
    }

    /// The next standard normal number.
    ///
    /// Marsaglia's polar method. Each accepted pair gives two numbers: the second is returned at once, the
    /// first by the next call.
    ///
    /// Reference: numpy `legacy_gauss`.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let x1 = 2.0 * self.bits.next_f64() - 1.0;
            let x2 = 2.0 * self.bits.next_f64() - 1.0;
            let r2 = x1 * x1 + x2 * x2;
            if r2 < 1.0 && r2 != 0.0 {
                let f = (-2.0 * ln(r2) / r2).sqrt();
                self.spare_normal = Some(f * x1);
                return f * x2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Legacy;

    // python3 -c "import numpy as np; np.random.seed(0); print(np.random.normal(size=5).tolist())"
    #[test]
    fn seed_zero_gives_numpys_normals() {
        let mut legacy = Legacy::seed(0);
        let draws: Vec<f64> = (0..5).map(|_| legacy.normal()).collect();
        let numpys = [
            1.764052345967664,
            0.4001572083672233,
            0.9787379841057392,
            2.240893199201458,
            1.8675579901499675,
        ];
        assert_eq!(draws, numpys);
    }
}
