//! Reductions over a row with a fixed number of partial sums.
//!
//! Value `i` goes to partial sum `i % LANES`; the partial sums are combined in halves. So the order of additions does not
//! depend on the length of the machine's vectors.

use pulp::Simd;

use super::packing::LANES;

/// Sum of a row whose length is a multiple of [`LANES`].
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let sums = S::as_mut_simd_f32s(&mut lanes).0;
    for chunk in row.as_chunks::<LANES>().0 {
        for (sum, &x) in sums.iter_mut().zip(S::as_simd_f32s(chunk).0) {
            *sum = simd.add_f32s(*sum, x);
        }
    }
    combined(lanes, |a, b| a + b)
}

/// Sum of `(x - centre)^2` of a row whose length is a multiple of [`LANES`].
#[inline(always)]
pub(super) fn sum_of_squares<S: Simd>(simd: S, row: &[f32], centre: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let sums = S::as_mut_simd_f32s(&mut lanes).0;
    let centre = simd.splat_f32s(centre);
    for chunk in row.as_chunks::<LANES>().0 {
        for (sum, &x) in sums.iter_mut().zip(S::as_simd_f32s(chunk).0) {
            let d = simd.sub_f32s(x, centre);
            *sum = simd.mul_add_f32s(d, d, *sum);
        }
    }
    combined(lanes, |a, b| a + b)
}

/// Largest value of a row whose length is a multiple of [`LANES`].
#[inline(always)]
pub(super) fn max<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let largest = S::as_mut_simd_f32s(&mut lanes).0;
    for chunk in row.as_chunks::<LANES>().0 {
        for (largest, &x) in largest.iter_mut().zip(S::as_simd_f32s(chunk).0) {
            *largest = simd.max_f32s(*largest, x);
        }
    }
    combined(lanes, f32::max)
}

/// Sum of products of two rows of the same length, in whole chunks.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, row: &[[f32; LANES]], other: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let sums = S::as_mut_simd_f32s(&mut lanes).0;
    for (chunk, other) in row.iter().zip(other.as_chunks::<LANES>().0) {
        let products = S::as_simd_f32s(chunk).0.iter().zip(S::as_simd_f32s(other).0);
        for (sum, (&x, &y)) in sums.iter_mut().zip(products) {
            *sum = simd.mul_add_f32s(x, y, *sum);
        }
    }
    combined(lanes, |a, b| a + b)
}

/// Adds to each of [`LANES`] sums the chain of its products with `x`, in ascending order.
#[inline(always)]
pub(super) fn add_products<S: Simd>(simd: S, x: &[f32], weights: &[[f32; LANES]], sums: &mut [f32]) {
    let mut chains = [0.0; LANES];
    let lanes = S::as_mut_simd_f32s(&mut chains).0;
    for (&x, weights) in x.iter().zip(weights) {
        let x = simd.splat_f32s(x);
        for (lane, &weight) in lanes.iter_mut().zip(S::as_simd_f32s(weights).0) {
            *lane = simd.mul_add_f32s(x, weight, *lane);
        }
    }
    sums.iter_mut().zip(chains).for_each(|(sum, chain)| *sum += chain);
}

#[inline(always)]
fn combined(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
pub(in super::super) mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    /// Every instruction set of this machine, the widest first.
    pub(in super::super) fn archs() -> Vec<Arch> {
        t3b_image::simd::paths().into_iter().map(|(_, arch)| arch).collect()
    }

    /// What `f` makes of a copy of `values`, after checking that every instruction set gives the same bits.
    pub(in super::super) fn every_arch(values: &[f32], f: impl Fn(Arch, &mut [f32])) -> Vec<f32> {
        let results = archs().into_iter().map(|arch| {
            let mut values = values.to_vec();
            f(arch, &mut values);
            (arch, values)
        });
        let mut results = results.collect::<Vec<_>>().into_iter();
        let (_, first) = results.next().expect("at least one");
        for (arch, other) in results {
            let differing = first.iter().zip(&other).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(differing, None, "first value at which {arch:?} differs");
        }
        first
    }

    struct Reduce<'a>(&'a mut [f32]);

    impl WithSimd for Reduce<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (sum, squares) = (sum(simd, self.0), sum_of_squares(simd, self.0, 0.5));
            (self.0[0], self.0[1], self.0[2]) = (sum, squares, max(simd, self.0));
        }
    }

    #[test]
    fn reductions_are_right_and_the_same_everywhere() {
        for n in [LANES, 3 * LANES, 48 * LANES] {
            let row: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
            let results = every_arch(&row, |arch, row| arch.dispatch(Reduce(row)));
            let wide = || row.iter().map(|&x| f64::from(x));
            assert!((f64::from(results[0]) - wide().sum::<f64>()).abs() < 1e-3);
            let squares: f64 = wide().map(|x| (x - 0.5).powi(2)).sum();
            assert!((f64::from(results[1]) / squares - 1.0).abs() < 1e-5);
            assert_eq!(results[2], row.iter().copied().fold(f32::MIN, f32::max));
        }
    }
}
