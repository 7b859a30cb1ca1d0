//! Normal numbers by the ziggurat of Marsaglia and Tsang (2000), 256 layers.
//!
//! Exact in law, tail included, at a resolution of 2^-23 of a layer's width.

use std::sync::LazyLock;

use super::counter::Counter;
use crate::corrupt::math::{exp, ln};

/// Where the tail begins.
const R: f64 = 3.654_152_885_361_008_8;

/// Area of each layer, tail included in the lowest.
const V: f64 = 0.004_928_673_233_99;

const N_LAYERS: usize = 256;

struct Ziggurat {
    /// Right edges, from the widest down to 0; `x[0]` makes the lowest strip and the tail one rectangle.
    x: [f64; N_LAYERS + 1],
    /// The density `exp(-x²/2)` at each edge.
    f: [f64; N_LAYERS + 1],
}

static TABLES: LazyLock<Ziggurat> = LazyLock::new(|| {
    let density = |x: f64| exp(-0.5 * x * x);
    let mut x = [0.0; N_LAYERS + 1];
    x[0] = V / density(R);
    x[1] = R;
    for i in 2..N_LAYERS {
        x[i] = (-2.0 * ln(V / x[i - 1] + density(x[i - 1]))).sqrt();
    }
    Ziggurat { f: x.map(density), x }
});

/// The next standard normal number.
pub(super) fn normal(bits: &mut Counter) -> f64 {
    let tables = &*TABLES;
    loop {
        let draw = bits.next_u32();
        let layer = (draw & 0xff) as usize;
        let sign = if draw & 0x100 == 0 { 1.0 } else { -1.0 };
        let x = (f64::from(draw >> 9) + 0.5) * (1.0 / 8_388_608.0) * tables.x[layer];
        if x < tables.x[layer + 1] {
            return sign * x;
        }
        if layer == 0 {
            return sign * tail(bits);
        }
        let height = tables.f[layer] + (tables.f[layer + 1] - tables.f[layer]) * bits.next_f64();
        if height < exp(-0.5 * x * x) {
            return sign * x;
        }
    }
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
        let n = 4_000_000;
        let draws: Vec<f64> = (0..n).map(|_| normal(&mut bits)).collect();
        let moment = |k: i32| draws.iter().map(|g| g.powi(k)).sum::<f64>() / f64::from(n);
        assert!(moment(1).abs() < 4.0 / f64::from(n).sqrt());
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / f64::from(n)).sqrt());
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / f64::from(n)).sqrt());
        let beyond = draws.iter().filter(|g| g.abs() > R).count() as f64;
        let expected = f64::from(n) * 2.5803e-4;
        assert!((beyond - expected).abs() < 4.0 * expected.sqrt(), "{beyond} of {expected}");
    }
}
