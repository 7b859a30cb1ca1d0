//! A counter-based generator: word `i` of a stream is a pure function of the stream's key and `i`.
//!
//! Philox2x64-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011).

use sha2::{Digest, Sha256};

/// Separates these keys from any other use of SHA-256 on the same words, and versions the bytes drawn.
const DOMAIN: &[u8] = b"t3b corruption stream v1";

/// Blocks made at once: independent of each other, so that the processor overlaps their multiplications.
const BLOCKS: usize = 16;

/// 32-bit words made at once.
pub const BATCH: usize = 4 * BLOCKS;

/// One stream of random numbers, found by key instead of by position.
#[derive(Clone, Debug)]
pub struct Counter {
    key: u64,
    nonce: u64,
    next_block: u64,
    /// Words made for single draws, used up to `next_word`.
    words: [u32; BATCH],
    next_word: usize,
}

impl Counter {
    /// The stream of one sample, corruption and severity.
    ///
    /// Key and nonce are the first 128 bits of SHA-256 over the arguments, each text preceded by its length.
    #[must_use]
    pub fn keyed(seed: u64, sample_id: &str, corruption: &str, severity: u8) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(seed.to_le_bytes());
        for text in [sample_id, corruption] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update([severity]);
        let digest = hash.finalize();
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| digest[at + i]));
        Self { key: word(0), nonce: word(8), next_block: 0, words: [0; BATCH], next_word: BATCH }
    }

    /// The next 32 bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.next_word == BATCH {
            self.words = self.next_batch();
            self.next_word = 0;
        }
        let word = self.words[self.next_word];
        self.next_word += 1;
        word
    }

    /// The next 64 bits: two words, low half first.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | (u64::from(self.next_u32()) << 32)
    }

    /// The next number in `[0, 1)`, a multiple of 2^-53.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A fresh batch of words; words left over for single draws stay for them.
    #[inline(always)]
    pub fn next_batch(&mut self) -> [u32; BATCH] {
        let mut words = [0; BATCH];
        for (i, block) in words.chunks_exact_mut(4).enumerate() {
            let counter = [self.next_block.wrapping_add(i as u64), self.nonce];
            let [low, high] = philox(counter, self.key);
            block.copy_from_slice(&[low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]);
        }
        self.next_block = self.next_block.wrapping_add(BLOCKS as u64);
        words
    }

    /// A number in `0..n`, equally likely; `n` is at least 1.
    ///
    /// Reference: Lemire, "Fast random integer generation in an interval", 2019.
    pub fn below(&mut self, n: u32) -> u32 {
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }
}

/// Ten rounds of Philox2x64.
#[inline(always)]
fn philox(counter: [u64; 2], key: u64) -> [u64; 2] {
    const MULTIPLIER: u128 = 0xd2b7_4407_b1ce_6e93;
    const WEYL: u64 = 0x9e37_79b9_7f4a_7c15;
    let [mut low, mut high] = counter;
    let mut round_key = key;
    for _ in 0..10 {
        let product = u128::from(low) * MULTIPLIER;
        low = (product >> 64) as u64 ^ round_key ^ high;
        high = product as u64;
        round_key = round_key.wrapping_add(WEYL);
    }
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::{Counter, philox};

    // Random123 1.09, examples/kat_vectors, "philox2x64 10".
    #[test]
    fn philox_gives_the_published_blocks() {
        assert_eq!(philox([0, 0], 0), [0xca00_a045_9843_d731, 0x66c2_4222_c9a8_45b5]);
        let ones = u64::MAX;
        assert_eq!(philox([ones, ones], ones), [0x65b0_21d6_0cd8_310f, 0x4d02_f322_2f86_df20]);
        let pi = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
        assert_eq!(philox(pi, 0xa409_3822_299f_31d0), [0x0a5e_742c_2997_341c, 0xb0f8_83d3_8000_de5d]);
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let first = |mut c: Counter| c.next_u64();
        let base = first(Counter::keyed(0, "a", "b", 1));
        assert_eq!(base, first(Counter::keyed(0, "a", "b", 1)));
        for other in [
            Counter::keyed(1, "a", "b", 1),
            Counter::keyed(0, "ab", "", 1),
            Counter::keyed(0, "a", "c", 1),
            Counter::keyed(0, "a", "b", 2),
        ] {
            assert_ne!(base, first(other));
        }
    }
}
