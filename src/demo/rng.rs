//! A small counter-based generator for the drawing (splitmix64).

/// 2^64 divided by the golden ratio: the step between counters of splitmix64.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers of one drawing; a pure function of its key.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    key: u64,
    counter: u64,
}

impl Draws {
    /// The stream that belongs to `seed` and `index`.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        Self { key: mix(mix(seed) ^ index), counter: 0 }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN_STEP);
        mix(self.key.wrapping_add(self.counter))
    }

    /// Uniform in `[0, 1)`, on a grid of 2^-24 so that every value is an exact `f32`.
    pub(super) fn unit(&mut self) -> f32 {
        unit_from(self.bits())
    }

    /// Uniform in `[low, high)`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform over `0..n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        // Multiply-shift; its bias of n / 2^64 is far below anything a drawing shows.
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// About normal, mean 0, standard deviation 1: the sum of twelve uniforms (Irwin-Hall).
    pub(super) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    /// A direction: a unit vector, found by rejection so that no sine is needed.
    pub(super) fn direction(&mut self) -> (f32, f32) {
        loop {
            let (x, y) = (self.range(-1.0, 1.0), self.range(-1.0, 1.0));
            let squared = x * x + y * y;
            if squared <= 1.0 && squared > 1e-3 {
                let length = squared.sqrt();
                return (x / length, y / length);
            }
        }
    }
}

/// Smooth noise in `[-1, 1]`: lattice values of the key, blended between the four neighbours.
///
/// Units: `x` and `y` in lattice cells.
pub(super) fn value_noise(key: u64, x: f32, y: f32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let (tx, ty) = (ease(x - x0), ease(y - y0));
    let at = |dx: i64, dy: i64| lattice(key, x0 as i64 + dx, y0 as i64 + dy);
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * tx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * tx;
    top + (bottom - top) * ty
}

/// `3 t^2 - 2 t^3`: goes from 0 to 1 with flat ends.
pub(super) fn ease(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn lattice(key: u64, x: i64, y: i64) -> f32 {
    let cell = (x as u64).wrapping_mul(GOLDEN_STEP) ^ (y as u64).rotate_left(32);
    unit_from(mix(key ^ mix(cell))) * 2.0 - 1.0
}

fn unit_from(bits: u64) -> f32 {
    (bits >> 40) as f32 / 16_777_216.0
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_two_indices_differ_and_repeat() {
        let first: Vec<u64> = (0..4).map(|_| Draws::new(1, 0).bits()).collect();
        assert!(first.iter().all(|bits| *bits == first[0]), "same key, same number");
        assert_ne!(Draws::new(1, 0).bits(), Draws::new(1, 1).bits());
        assert_ne!(Draws::new(1, 0).bits(), Draws::new(2, 0).bits());
    }

    #[test]
    fn normal_has_mean_zero_and_unit_spread() {
        let mut draws = Draws::new(7, 7);
        let values: Vec<f32> = (0..20_000).map(|_| draws.normal()).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }

    #[test]
    fn value_noise_is_bounded_and_continuous() {
        for i in 0..500 {
            let x = i as f32 * 0.037;
            let (a, b) = (value_noise(3, x, 0.4), value_noise(3, x + 1e-3, 0.4));
            assert!(a.abs() <= 1.0 && (a - b).abs() < 0.02, "{a} then {b} at {x}");
        }
    }
}
