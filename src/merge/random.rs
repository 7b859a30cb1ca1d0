//! Random numbers without a state: each is a function of (seed, stream name, counter).
//!
//! Nothing here depends on which thread asks, or in which order, so a merge that drops weights at random is the
//! same on every worker and after every resume. The bits are SplitMix64's: `mix(key + (counter + 1) * golden)`
//! is the `counter`-th output of that generator started at `key`, reached without the ones before it.

/// The increment of SplitMix64, the odd integer nearest `2^64` over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    key: u64,
}

impl Draws {
    /// The stream of this name under this seed: `key = mix(mix(seed) xor fnv1a64(name))`.
    ///
    /// The name is hashed (FNV-1a, 64 bit, over its bytes) so that a tensor keeps its draws when other tensors
    /// are added or reordered.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        Self { key: mix(mix(seed) ^ fnv1a64(name.as_bytes())) }
    }

    /// The 64 bits at `counter`.
    #[must_use]
    pub fn bits(self, counter: u64) -> u64 {
        mix(self.key.wrapping_add(GOLDEN.wrapping_mul(counter.wrapping_add(1))))
    }

    /// A uniform number in `[0, 1)` at `counter`: the high 53 bits over `2^53`, so 1 never occurs.
    #[must_use]
    pub fn uniform(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// SplitMix64's output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixer_and_the_hash_are_the_published_ones() {
        // SplitMix64 started at 0, first two outputs.
        assert_eq!(mix(GOLDEN), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(GOLDEN.wrapping_mul(2)), 0x6E78_9E6A_A1B9_65F4);
        // FNV-1a of the empty string and of "a", from its reference page.
        assert_eq!(fnv1a64(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xAF63_DC4C_8601_EC8C);
    }
}
