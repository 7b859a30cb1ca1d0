//! Defocus: convolution with a slightly smoothed disc.

use super::reflect_101;
use crate::corrupt::certain;
use crate::corrupt::math::exp;
use crate::pixels::Rgb8;

/// A kernel value met more often than this could overflow a 16-bit sum of 8-bit values.
const MAX_CELLS_PER_CLASS: usize = 257;

/// Values that are convolved together.
const CHUNK: usize = 32;

/// Kernels and sums, kept between calls.
#[derive(Debug, Default)]
pub(in crate::corrupt) struct Buffers {
    kernels: Vec<Kernel>,
    prefixes: Vec<u16>,
    pairs: Vec<u16>,
    /// Where each run starts and ends in the pairs, class by class.
    spans: Vec<(usize, usize)>,
}

/// Convolves with a disc of `radius_px`, smoothed with standard deviation `alias_sigma_px`.
///
/// Order: `f` per value, convolution per channel, clip to `[0, 1]`, times 255, truncate. Borders are mirrored
/// without repeating the edge.
///
/// The kernel does not sum to exactly 1: it keeps its single-precision rounding, which makes flat regions drop
/// by one level where the sum is just below 1, and the smoothing of a disc that touches its array's border
/// adds up to 2 %.
///
/// Reference: `DefocusBlur`, OpenCV `GaussianBlur` on the disc and `filter2D` on the image.
pub(in crate::corrupt) fn defocus(
    radius_px: f64,
    alias_sigma_px: f64,
    image: &Rgb8,
    buffers: &mut Buffers,
    out: &mut Rgb8,
) {
    let Buffers { kernels, prefixes, pairs, spans } = buffers;
    let params = (radius_px, alias_sigma_px);
    let known = kernels.iter().position(|kernel| kernel.params == params).unwrap_or_else(|| {
        kernels.push(Kernel::new(radius_px, alias_sigma_px));
        kernels.len() - 1
    });
    let kernel = &kernels[known];
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let stride = (width + 2 * kernel.reach + 1) * 3;
    prefixes.resize(stride * height, 0);
    let rows = image.as_bytes().chunks_exact(width * 3).zip(prefixes.chunks_exact_mut(stride));
    rows.for_each(|(values, prefix)| running_sums(values, kernel.reach, prefix));

    let position = |run: &Run, x: usize| run.dy * stride + x * 3;
    spans.clear();
    let runs = kernel.classes.iter().flat_map(|class| &class.runs);
    spans.extend(runs.map(|run| (position(run, run.start), position(run, run.end))));
    // The last chunk of a row may read past it.
    pairs.resize(stride * (kernel.reach + 1) + CHUNK, 0);
    for (y, out_row) in out.as_bytes_mut().chunks_exact_mut(width * 3).enumerate() {
        let row = |dy: isize| &prefixes[reflect_101(y as isize + dy, height) * stride..][..stride];
        pair_rows(row, stride, pairs);
        for (i, to) in out_row.chunks_mut(CHUNK).enumerate() {
            let levels = convolve(kernel, spans, &pairs[i * CHUNK..]);
            to.copy_from_slice(&levels[..to.len()]);
        }
    }
}

/// Entry `3 * x + c` is the sum of channel `c` over all pixels before `x` of the padded row, modulo 2^16.
fn running_sums(values: &[u8], reach: usize, prefix: &mut [u16]) {
    let (width, beyond) = (values.len() / 3, reach as isize);
    let mirrored = |x: isize| &values[reflect_101(x, width) * 3..][..3];
    let left = (-beyond..0).map(mirrored);
    let right = (width as isize..width as isize + beyond).map(mirrored);
    let mut sums = [0u16; 3];
    prefix[..3].copy_from_slice(&sums);
    for (entry, pixel) in prefix[3..].chunks_exact_mut(3).zip(left.chain(values.chunks_exact(3)).chain(right))
    {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum = sum.wrapping_add(u16::from(value));
        }
        entry.copy_from_slice(&sums);
    }
}

/// Adds the rows equally far above and below, which the kernel weights alike; the middle row stays alone.
fn pair_rows<'a>(row: impl Fn(isize) -> &'a [u16], stride: usize, pairs: &mut [u16]) {
    for (dy, pair) in (0..).zip(pairs.chunks_exact_mut(stride)) {
        if dy == 0 {
            pair.copy_from_slice(row(0));
            continue;
        }
        for ((to, above), below) in pair.iter_mut().zip(row(-dy)).zip(row(dy)) {
            *to = above.wrapping_add(*below);
        }
    }
}

/// Levels of the first values of a row of pairs.
///
/// With `n` classes, a sum of at most 264 in single precision is off by less than `264 (n + 2) / 2^24`.
fn convolve(kernel: &Kernel, mut spans: &[(usize, usize)], pairs: &[u16]) -> [u8; CHUNK] {
    let (all_spans, mut counts) = (spans, [0; CHUNK]);
    if let [class] = &kernel.classes[..] {
        sum_spans(spans, pairs, &mut counts);
        return counts.map(|n| (class.value * f64::from(n)) as u8);
    }
    let mut sums = [0.0f32; CHUNK];
    for class in &kernel.classes {
        let (class_spans, others) = spans.split_at(class.runs.len());
        spans = others;
        sum_spans(class_spans, pairs, &mut counts);
        add_weighted(class.value as f32, &counts, &mut sums);
    }
    let margin = 264.0 * (kernel.classes.len() + 2) as f32 / 16_777_216.0;
    certain::levels(&sums, margin, |i| exact_level(kernel, all_spans, &pairs[i..]))
}

/// The level of one value. The sum is in levels, so the division and multiplication by 255 around the clip fall away.
fn exact_level(kernel: &Kernel, mut spans: &[(usize, usize)], pairs: &[u16]) -> u8 {
    let mut sum = 0.0;
    for class in &kernel.classes {
        let (class_spans, others) = spans.split_at(class.runs.len());
        spans = others;
        let count =
            |n: u16, &(start, end): &(usize, usize)| n.wrapping_add(pairs[end].wrapping_sub(pairs[start]));
        sum += class.value * f64::from(class_spans.iter().fold(0, count));
    }
    sum as u8
}

// The two loops are kept apart: merged, the 16-bit one would run at the width of the 32-bit one.

/// Sums over all cells of a class. Differences are exact, although the running sums wrap.
#[inline(never)]
fn sum_spans(spans: &[(usize, usize)], pairs: &[u16], sums: &mut [u16; CHUNK]) {
    let mut local = [0u16; CHUNK];
    for &(start, end) in spans {
        let (start, end) = (&pairs[start..][..CHUNK], &pairs[end..][..CHUNK]);
        for ((sum, start), end) in local.iter_mut().zip(start).zip(end) {
            *sum = sum.wrapping_add(end.wrapping_sub(*start));
        }
    }
    *sums = local;
}

#[inline(never)]
fn add_weighted(value: f32, counts: &[u16; CHUNK], sums: &mut [f32; CHUNK]) {
    for (sum, &n) in sums.iter_mut().zip(counts) {
        *sum += value * f32::from(n);
    }
}

/// A kernel as runs of equal cells: a run costs one difference of running sums, however long it is.
#[derive(Debug)]
struct Kernel {
    params: (f64, f64),
    reach: usize,
    classes: Vec<Class>,
}

/// All cells of one value.
#[derive(Debug)]
struct Class {
    value: f64,
    runs: Vec<Run>,
}

/// Cells `start..end`, counted from the left end of the kernel, of the rows `dy` above and below its middle.
#[derive(Debug)]
struct Run {
    dy: usize,
    start: usize,
    end: usize,
}

impl Kernel {
    fn new(radius_px: f64, alias_sigma_px: f64) -> Self {
        // Adding less than this to a sum of fractions does not change it.
        const NEGLIGIBLE: f32 = 1e-18;
        let disc = smoothed_disc(radius_px, alias_sigma_px);
        let side = disc.len();
        let reach = side / 2;
        let mut classes: Vec<(Class, usize)> = Vec::new();
        for (dy, cells) in disc[reach..].iter().enumerate() {
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
