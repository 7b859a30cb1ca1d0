//! NumPy's default generator: PCG64 (O'Neill, 2014; XSL-RR 128/64) seeded by `SeedSequence`.

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// `np.random.default_rng(seed)`.
#[derive(Clone, Debug)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
}

impl Pcg64 {
    /// The state after `np.random.default_rng(seed)`.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        let [state_high, state_low, stream_high, stream_low] = seed_sequence(seed);
        let join = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
        let mut pcg = Self { state: 0, increment: (join(stream_high, stream_low) << 1) | 1 };
        pcg.step();
        pcg.state = pcg.state.wrapping_add(join(state_high, state_low));
        pcg.step();
        pcg
    }

    /// The next 64 bits.
    #[inline(always)]
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next number in `[0, 1)`, a multiple of 2^-53.
    #[inline(always)]
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Skips `n` draws.
    ///
    /// Reference: Brown, "Random number generation with arbitrary strides", 1994.
    pub fn advance(&mut self, n: u128) {
        let (mut multiplier, mut increment) = (MULTIPLIER, self.increment);
        let mut remaining = n;
        while remaining > 0 {
            if remaining & 1 == 1 {
                self.state = self.state.wrapping_mul(multiplier).wrapping_add(increment);
            }
            increment = increment.wrapping_mul(multiplier.wrapping_add(1));
            multiplier = multiplier.wrapping_mul(multiplier);
            remaining >>= 1;
        }
    }

    #[inline(always)]
    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }
}

/// Four 64-bit words from one integer.
///
/// Reference: numpy `SeedSequence(seed).generate_state(4, np.uint64)`.
fn seed_sequence(seed: u64) -> [u64; 4] {
    let mut multiplier = 0x43b0_d7e5_u32;
    let mut hash = |word: u32| {
        let mut word = word ^ multiplier;
        multiplier = multiplier.wrapping_mul(0x931e_8875);
        word = word.wrapping_mul(multiplier);
        word ^ (word >> 16)
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..pool.len() {
        for to in 0..pool.len() {
            if from != to {
                pool[to] = mix(pool[to], hash(pool[from]));
            }
        }
    }

    let mut multiplier = 0x8b51_f9dd_u32;
    let mut output = |i: usize| {
        let mut word = pool[i % pool.len()] ^ multiplier;
        multiplier = multiplier.wrapping_mul(0x58f3_8ded);
        word = word.wrapping_mul(multiplier);
        u64::from(word ^ (word >> 16))
    };
    std::array::from_fn(|i| output(2 * i) | (output(2 * i + 1) << 32))
}

fn mix(x: u32, y: u32) -> u32 {
    let word = 0xca01_f9dd_u32.wrapping_mul(x).wrapping_sub(0x4973_f715_u32.wrapping_mul(y));
    word ^ (word >> 16)
}

#[cfg(test)]
mod tests {
    use super::Pcg64;

    // python3 -c "import numpy as np; print(np.random.default_rng(0).random(3).tolist())"
    #[test]
    fn seed_zero_gives_numpys_numbers() {
        let mut pcg = Pcg64::seed(0);
        let draws: Vec<f64> = (0..3).map(|_| pcg.next_f64()).collect();
        assert_eq!(draws, [0.6369616873214543, 0.2697867137638703, 0.04097352393619469]);
    }

    #[test]
    fn advancing_is_drawing() {
        let mut walked = Pcg64::seed(7);
        let mut jumped = walked.clone();
        for _ in 0..1000 {
            walked.next_u64();
        }
        jumped.advance(1000);
        assert_eq!(walked.next_u64(), jumped.next_u64());
    }
}
