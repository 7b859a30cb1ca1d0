//! Normal numbers by the ziggurat of Marsaglia and Tsang (2000), 256 layers.
//!
//! Exact in law, tail included, at a resolution of 2^-23 of a layer's width.

use std::sync::LazyLock;

use super::counter::{BATCH, Counter};
use crate::math::{exp, ln};

/// Where the tail begins.
const R: f64 = 3.654_152_885_361_009;

/// Area of each layer, tail included in the lowest.
const V: f64 = 0.004_928_673_233_99;

const N_LAYERS: usize = 256;

/// Steps across a layer.
const N_STEPS: f64 = 8_388_608.0;

/// The layers.
#[derive(Debug)]
pub struct Ziggurat {
    /// Right edges, from the widest down to 0; the first makes the lowest strip and the tail one rectangle.
    x: [f64; N_LAYERS + 1],
    /// The density `exp(-x²/2)` at each edge.
    f: [f64; N_LAYERS + 1],
    /// Width of a step.
    step: [f32; N_LAYERS],
    /// Steps that lie wholly under the next layer's edge.
    n_inside: [u32; N_LAYERS],
}

static TABLES: LazyLock<Ziggurat> = LazyLock::new(|| {
    let density = |x: f64| exp(-0.5 * x * x);
    let mut x = [0.0; N_LAYERS + 1];
    x[0] = V / density(R);
    x[1] = R;
    for i in 2..N_LAYERS {
        x[i] = (-2.0 * ln(V / x[i - 1] + density(x[i - 1]))).sqrt();
    }
    Ziggurat {
        step: std::array::from_fn(|i| (x[i] / N_STEPS) as f32),
        n_inside: std::array::from_fn(|i| (x[i + 1] / x[i] * N_STEPS) as u32),
        f: x.map(density),
        x,
    }
});

impl Ziggurat {
    /// The tables, made on first use.
    pub fn get() -> &'static Self {
        &TABLES
    }

    /// The next standard normal numbers.
    ///
    /// Takes one batch of words, and single words after it for the few numbers that need more.
    #[inline(always)]
    pub fn normals(&self, bits: &mut Counter, out: &mut [f32; BATCH]) {
        let words = bits.next_batch();
        let mut is_outside = [0u8; BATCH];
        for ((to, is_outside), &word) in out.iter_mut().zip(&mut is_outside).zip(&words) {
            let (layer, step) = split(word);
            // Signed, because that is what converts several at a time.
            *to = with_sign((step as i32 as f32 + 0.5) * self.step[layer], word);
            *is_outside = u8::from(step >= self.n_inside[layer]);
        }
        // 1 in 80 is outside, so most eights need nothing.
        for (first, eight) in (0..).step_by(8).zip(is_outside.as_chunks::<8>().0) {
            if *eight == [0; 8] {
                continue;
            }
            for i in (first..first + 8).filter(|i| is_outside[*i] != 0) {
                let x = self.outside(words[i], bits) as f32;
                out[i] = with_sign(x, words[i]);
            }
        }
    }

    /// Decides a word that fell outside the next layer; returns the size of the number.
    #[cold]
    fn outside(&self, word: u32, bits: &mut Counter) -> f64 {
        let mut word = word;
        loop {
            let (layer, step) = split(word);
            let x = (f64::from(step) + 0.5) / N_STEPS * self.x[layer];
            if step < self.n_inside[layer] {
                return x;
            }
            if layer == 0 {
                return tail(bits);
            }
            let height = self.f[layer] + (self.f[layer + 1] - self.f[layer]) * bits.next_f64();
            if height < exp(-0.5 * x * x) {
                return x;
            }
            word = bits.next_u32();
        }
    }
}

/// Layer (8 bits) and step across it (23 bits).
#[inline(always)]
fn split(word: u32) -> (usize, u32) {
    ((word & 0xff) as usize, word >> 9)
}

/// Negates `x` on one bit of the word, without a branch that is wrong every other time.
#[inline(always)]
fn with_sign(x: f32, word: u32) -> f32 {
    f32::from_bits(x.to_bits() ^ ((word & 0x100) << 23))
}

/// A normal number given that it exceeds [`R`] (Marsaglia, 1964).
fn tail(bits: &mut Counter) -> f64 {
    loop {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let a = -ln(1.0 - bits.next_f64()) / R;
        let b = -ln(1.0 - bits.next_f64());
        if 2.0 * b > a * a {
            return R + a;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_layer_closes() {
        let top = TABLES.x[N_LAYERS - 1];
        assert!((top * (1.0 - TABLES.f[N_LAYERS - 1]) - V).abs() < 1e-9, "{top}");
    }

    #[test]
    fn moments_and_tail_share_are_normal() {
        let mut bits = Counter::keyed(0, "ziggurat", "", 1);
        let mut draws = vec![[0.0; BATCH]; 62_500];
        draws.iter_mut().for_each(|batch| TABLES.normals(&mut bits, batch));
        let draws: Vec<f64> = draws.iter().flatten().map(|&g| f64::from(g)).collect();
        let n = draws.len() as f64;
        let moment = |k: i32| draws.iter().map(|g| g.powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 4.0 / n.sqrt());
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / n).sqrt());
        let beyond = draws.iter().filter(|g| g.abs() > R).count() as f64;
        let expected = n * 2.5803e-4;
        assert!((beyond - expected).abs() < 4.0 * expected.sqrt(), "{beyond} of {expected}");
    }
}
