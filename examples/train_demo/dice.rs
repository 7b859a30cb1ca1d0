//! Seeded random numbers of the training (splitmix64); candle cannot seed its own on a CPU.

/// 2^64 divided by the golden ratio: the step between counters of splitmix64.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers.
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of `seed` that belongs to `purpose`; streams of two purposes share nothing.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let state = purpose.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte)));
        Self { state }
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_STEP);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform over `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// About normal with mean 0 and standard deviation 1: the sum of twelve uniforms.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Puts `items` into a random order (Fisher-Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
