//! What the coder has learnt about values with similar neighbours.

use super::bits::BitReader;
use super::coding::{BadData, Coding};

/// Statistics of one context; the letters are those of T.87.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    a: i32,
    b: i32,
    pub(super) c: i32,
    n: i32,
}

impl Context {
    pub(super) fn new(coding: &Coding) -> Self {
        Self { a: coding.start_a(), b: 0, c: 0, n: 1 }
    }

    /// Takes one prediction error and learns from it (A.5, A.6).
    #[inline]
    pub(super) fn error(&mut self, coding: &Coding, reader: &mut BitReader<'_>) -> Result<i32, BadData> {
        let k = golomb_k(self.n, self.a);
        let mapped = coding.golomb(reader, k, coding.limit)?;
        let is_odd = mapped & 1 == 1;
        let error = if coding.near == 0 && k == 0 && 2 * self.b <= -self.n {
            if is_odd { mapped / 2 } else { -(mapped / 2) - 1 }
        } else if is_odd {
            -(mapped / 2) - 1
        } else {
            mapped / 2
        };
        self.learn(coding, error);
        Ok(error)
    }

    #[inline]
    fn learn(&mut self, coding: &Coding, error: i32) {
        self.b += error * coding.step();
        self.a += error.abs();
        if self.n == coding.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// Statistics of the values that end runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunContext {
    a: i32,
    n: i32,
    n_negative: i32,
    /// The value equals the run as far as its upper neighbour tells.
    kind: i32,
}

impl RunContext {
    pub(super) fn new(coding: &Coding, kind: i32) -> Self {
        Self { a: coding.start_a(), n: 1, n_negative: 0, kind }
    }

    /// Takes one prediction error and learns from it (A.7.2); `run_bits` is J at the end of the run.
    pub(super) fn error(
        &mut self,
        coding: &Coding,
        reader: &mut BitReader<'_>,
        run_bits: u32,
    ) -> Result<i32, BadData> {
        let k = golomb_k(self.n, if self.kind == 1 { self.a + (self.n >> 1) } else { self.a });
        let mapped = coding.golomb(reader, k, coding.limit - run_bits as i32 - 1)?;
        let signed = mapped + self.kind;
        let magnitude = (signed + 1) / 2;
        let is_positive_when_odd = k == 0 && 2 * self.n_negative < self.n;
        let error = if (signed & 1 == 1) == is_positive_when_odd { magnitude } else { -magnitude };
        self.n_negative += i32::from(error < 0);
        self.a += (mapped + 1 - self.kind) >> 1;
        if self.n == coding.reset {
            self.a >>= 1;
            self.n >>= 1;
            self.n_negative >>= 1;
        }
        self.n += 1;
        Ok(error)
    }
}

/// The Golomb parameter for a mean magnitude of `a / n`.
#[inline]
fn golomb_k(n: i32, a: i32) -> u32 {
    (0..24).find(|&k| i64::from(n) << k >= i64::from(a)).unwrap_or(24)
}
