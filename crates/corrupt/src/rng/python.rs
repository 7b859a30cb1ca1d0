//! Python's `random` module.

use super::mt19937::Mt19937;

/// `random.Random`, seeded with an integer.
#[derive(Clone, Debug)]
pub struct Python {
    bits: Mt19937,
}

impl Python {
    /// The state after `random.seed(seed)`.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        let limbs = [seed as u32, (seed >> 32) as u32];
        let n_limbs = if limbs[1] == 0 { 1 } else { 2 };
        Self { bits: Mt19937::from_key(&limbs[..n_limbs]) }
    }

    /// A number in `0..n`, equally likely; `n` is at least 1.
    ///
    /// Reference: `Random._randbelow_with_getrandbits`.
    pub fn below(&mut self, n: u32) -> u32 {
        let n_bits = 32 - n.leading_zeros();
        loop {
            let draw = self.bits.next_u32() >> (32 - n_bits);
            if draw < n {
                return draw;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Python;

    // python3 -c "import random; random.seed(0); print([random.randint(0, 99) for _ in range(8)])"
    #[test]
    fn seed_zero_gives_pythons_numbers() {
        let mut python = Python::seed(0);
        let draws: Vec<u32> = (0..8).map(|_| python.below(100)).collect();
        assert_eq!(draws, [49, 97, 53, 5, 33, 65, 62, 51]);
    }
}
