//! The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998).

use t3b_image::simd::widest;

const N: usize = 624;
const M: usize = 397;

/// The generator behind both Python's `random` and NumPy's legacy streams, which seed it differently.
#[derive(Clone, Debug)]
pub struct Mt19937 {
    state: [u32; N],
    /// The words of the current state, ready to hand out.
    words: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// Seeds from one word, as `np.random.seed(seed)` does.
    ///
    /// Reference: `init_genrand` of mt19937ar.
    #[must_use]
    pub fn from_seed(seed: u32) -> Self {
        let mut state = [0; N];
        let mut word = seed;
        for (i, slot) in state.iter_mut().enumerate() {
            *slot = word;
            word = 1_812_433_253u32.wrapping_mul(word ^ (word >> 30)).wrapping_add(i as u32 + 1);
        }
        Self { state, words: [0; N], next: N }
    }

    /// Seeds from a list of words, as Python's `random.seed(int)` does with the limbs of the integer.
    ///
    /// # Panics
    /// When `key` is empty.
    ///
    /// Reference: `init_by_array` of mt19937ar.
    #[must_use]
    pub fn from_key(key: &[u32]) -> Self {
        assert!(!key.is_empty(), "a key has at least one word");
        let mut state = Self::from_seed(19_650_218).state;
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let previous = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] =
                (state[i] ^ previous.wrapping_mul(1_664_525)).wrapping_add(key[j]).wrapping_add(j as u32);
            i = advance(i, &mut state);
            j = (j + 1) % key.len();
        }
        for _ in 1..N {
            let previous = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = (state[i] ^ previous.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = advance(i, &mut state);
        }
        state[0] = 0x8000_0000;
        Self { state, words: [0; N], next: N }
    }

    /// The next 32 bits.
    #[inline(always)]
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let word = self.words[self.next];
        self.next += 1;
        word
    }

    /// The next number in `[0, 1)`, a multiple of 2^-53.
    ///
    /// Reference: `genrand_res53`.
    #[inline(always)]
    pub fn next_f64(&mut self) -> f64 {
        let high = self.next_u32() >> 5;
        let low = self.next_u32() >> 6;
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    #[inline(never)]
    fn refill(&mut self) {
        widest(
            #[inline(always)]
            || self.step(),
        );
        self.next = 0;
    }

    #[inline(always)]
    fn step(&mut self) {
        let s = &mut self.state;
        for i in 0..N - M {
            s[i] = s[i + M] ^ twist(s[i], s[i + 1]);
        }
        for i in N - M..N - 1 {
            s[i] = s[i + M - N] ^ twist(s[i], s[i + 1]);
        }
        s[N - 1] = s[M - 1] ^ twist(s[N - 1], s[0]);
        for (word, &state) in self.words.iter_mut().zip(s.iter()) {
            *word = temper(state);
        }
    }
}

#[inline(always)]
fn temper(mut y: u32) -> u32 {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    y ^ (y >> 18)
}

#[inline(always)]
fn twist(upper: u32, lower: u32) -> u32 {
    let y = (upper & 0x8000_0000) | (lower & 0x7fff_ffff);
    (y >> 1) ^ ((y & 1).wrapping_neg() & 0x9908_b0df)
}

/// The next index of the seeding walk, which skips 0 and carries the last word over to it.
fn advance(i: usize, state: &mut [u32; N]) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

#[cfg(test)]
mod tests {
    use super::Mt19937;

    // Published in mt19937ar.out: the first words for the key {0x123, 0x234, 0x345, 0x456}.
    #[test]
    fn key_seeding_gives_the_published_words() {
        let mut mt = Mt19937::from_key(&[0x123, 0x234, 0x345, 0x456]);
        let words: Vec<u32> = (0..5).map(|_| mt.next_u32()).collect();
        assert_eq!(words, [1067595299, 955945823, 477289528, 4107218783, 4228976476]);
    }

    // The C++ standard (rand.predef) fixes the 10000th word for the default seed.
    #[test]
    fn word_seeding_gives_the_standard_ten_thousandth_word() {
        let mut mt = Mt19937::from_seed(5489);
        let last = (0..10_000).map(|_| mt.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
