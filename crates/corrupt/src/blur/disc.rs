//! The kernel of defocus: a slightly smoothed disc, cut into runs of equal cells.

use super::reflect_101;
use crate::math::exp;

/// A kernel value met more often than this could overflow a 16-bit sum of 8-bit values.
const MAX_CELLS_PER_CLASS: usize = 257;

/// A kernel as runs of equal cells: a run costs one difference of running sums, however long it is.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Radius of the disc and standard deviation of its smoothing.
    pub(super) params: (f64, f64),
    /// Cells to each side of the middle; those beyond change no sum.
    pub(super) reach: usize,
    pub(super) classes: Vec<Class>,
}

/// All cells of one value.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) value: f64,
    pub(super) runs: Vec<Run>,
}

/// Cells `start..end`, counted from the left end of the kernel, of the rows `dy` above and below its middle.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) dy: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Kernel {
    pub(super) fn new(radius_px: f64, alias_sigma_px: f64) -> Self {
        // Adding less than this to a sum of fractions does not change it.
        const NEGLIGIBLE: f32 = 1e-18;
        let disc = smoothed_disc(radius_px, alias_sigma_px);
        let middle = disc.len() / 2;
        let reach = (0..=middle).rev().find(|&dy| disc[middle + dy][middle] >= NEGLIGIBLE).unwrap_or(0);
        let side = 2 * reach + 1;
        let mut classes: Vec<(Class, usize)> = Vec::new();
        for (dy, cells) in disc[middle..=middle + reach].iter().enumerate() {
            let cells = &cells[middle - reach..=middle + reach];
            let n_rows = if dy == 0 { 1 } else { 2 };
            let mut start = 0;
            while start < side {
                let value = cells[start];
                let n = cells[start..].iter().take_while(|cell| **cell == value).count();
                let run = Run { dy, start, end: start + n };
                start += n;
                let n = n * n_rows;
                if value < NEGLIGIBLE {
                    continue;
                }
                let value = f64::from(value);
                let fits = |(class, n_cells): &&mut (Class, usize)| {
                    class.value == value && *n_cells + n <= MAX_CELLS_PER_CLASS
                };
                match classes.iter_mut().find(fits) {
                    Some((class, n_cells)) => {
                        class.runs.push(run);
                        *n_cells += n;
                    }
                    None => classes.push((Class { value, runs: vec![run] }, n)),
                }
            }
        }
        let classes = classes.into_iter().map(|(class, _)| class).collect();
        Self { params: (radius_px, alias_sigma_px), reach, classes }
    }
}

/// The disc's cells in single precision.
///
/// Every multiplication and addition is in the order and with the fused steps of the reference: the last bit
/// decides whether flat regions are truncated down.
///
/// Reference: `disk` in medmnistc `filter.py`; OpenCV's symmetric 3-tap and 5-tap filters.
fn smoothed_disc(radius_px: f64, alias_sigma_px: f64) -> Vec<Vec<f32>> {
    let reach = if radius_px <= 8.0 { 8 } else { radius_px as isize };
    let taps = gaussian_taps(if radius_px <= 8.0 { 3 } else { 5 }, alias_sigma_px);
    let side = 2 * reach as usize + 1;
    let inside = |x: isize, y: isize| ((x * x + y * y) as f64) <= radius_px * radius_px;
    let n_inside = (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (x, y)));
    let cell = 1.0 / n_inside.filter(|&(x, y)| inside(x, y)).count() as f32;

    let index = |x: isize| reflect_101(x, side);
    let disc = |x: isize, y: isize| {
        let centred = |i: isize| index(i) as isize - reach;
        if inside(centred(x), centred(y)) { cell } else { 0.0 }
    };
    let n = taps.len() as isize - 1;
    // From the middle outwards, every step but the first fused; three taps alone along a row go inwards.
    let chain = |middle: f32, pair: &dyn Fn(isize) -> f32| {
        (1..=n).fold(middle * taps[0], |sum, d| pair(d).mul_add(taps[d as usize], sum))
    };
    let along_row = |x: isize, y: isize| {
        let pair = |d: isize| disc(x - d, y) + disc(x + d, y);
        if n == 1 { disc(x, y).mul_add(taps[0], pair(1) * taps[1]) } else { chain(disc(x, y), &pair) }
    };
    let along_both =
        |x: isize, y: isize| chain(along_row(x, y), &|d| along_row(x, y - d) + along_row(x, y + d));
    (0..side as isize).map(|y| (0..side as isize).map(|x| along_both(x, y)).collect()).collect()
}

/// Centre tap and the taps to one side of it, of a Gaussian of `n_taps` that sums to 1.
///
/// Reference: OpenCV `getGaussianKernel`, double precision cast to single.
fn gaussian_taps(n_taps: usize, sigma_px: f64) -> Vec<f32> {
    let half: Vec<f64> =
        (0..=n_taps / 2).map(|x| exp(-0.5 * (x * x) as f64 / (sigma_px * sigma_px))).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.iter().map(|tap| (tap / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(radius_px: f64, alias_sigma_px: f64) -> f64 {
        smoothed_disc(radius_px, alias_sigma_px).iter().flatten().map(|&cell| f64::from(cell)).sum()
    }

    // Sums of the reference's kernels.
    #[test]
    fn kernel_sums_keep_their_quirks() {
        assert!((sum(3.0, 0.1) - 0.999_999_996).abs() < 1e-9);
        assert!((sum(7.0, 0.3) - 1.000_103).abs() < 1e-6);
        assert!((sum(8.0, 0.5) - 1.012_975).abs() < 1e-6);
    }

    #[test]
    fn classes_hold_every_cell_once() {
        let kernel = Kernel::new(10.0, 0.5);
        let from_runs: f64 = kernel
            .classes
            .iter()
            .flat_map(|class| class.runs.iter().map(|run| (class.value, run)))
            .map(|(value, run)| value * ((run.end - run.start) * if run.dy == 0 { 1 } else { 2 }) as f64)
            .sum();
        assert!((from_runs - sum(10.0, 0.5)).abs() < 1e-12);
    }
}
