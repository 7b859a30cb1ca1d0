//! Defocus: convolution with a slightly smoothed disc.

use super::disc::{Kernel, Run};
use super::reflect_101;
use crate::certain;
use crate::level;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Values that are convolved together.
const CHUNK: usize = 32;

/// Kernels and sums, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
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
pub(crate) fn defocus(
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
    widest(
        #[inline(always)]
        || convolve_image(kernel, image, prefixes, pairs, spans, out),
    );
}

#[inline(always)]
fn convolve_image(
    kernel: &Kernel,
    image: &Rgb8,
    prefixes: &mut Vec<u16>,
    pairs: &mut Vec<u16>,
    spans: &mut Vec<(usize, usize)>,
    out: &mut Rgb8,
) {
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
#[inline(always)]
fn running_sums(values: &[u8], reach: usize, prefix: &mut [u16]) {
    let (width, beyond) = (values.len() / 3, reach as isize);
    let pixels = values.as_chunks::<3>().0;
    let mut sums = [0u16; 3];
    let mut add = |&[r, g, b]: &[u8; 3], entry: &mut [u16; 3]| {
        sums =
            [sums[0].wrapping_add(r.into()), sums[1].wrapping_add(g.into()), sums[2].wrapping_add(b.into())];
        *entry = sums;
    };
    let (first, entries) = prefix.as_chunks_mut::<3>().0.split_at_mut(1);
    first[0] = [0; 3];
    let (left, entries) = entries.split_at_mut(reach);
    let (middle, right) = entries.split_at_mut(width);
    for (x, entry) in (-beyond..0).zip(left) {
        add(&pixels[reflect_101(x, width)], entry);
    }
    for (pixel, entry) in pixels.iter().zip(middle) {
        add(pixel, entry);
    }
    for (x, entry) in (width as isize..).zip(right) {
        add(&pixels[reflect_101(x, width)], entry);
    }
}

/// Adds the rows equally far above and below, which the kernel weights alike; the middle row stays alone.
#[inline(always)]
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
#[inline(always)]
fn convolve(kernel: &Kernel, mut spans: &[(usize, usize)], pairs: &[u16]) -> [u8; CHUNK] {
    let (all_spans, mut counts) = (spans, [0; CHUNK]);
    if let [class] = &kernel.classes[..] {
        sum_spans(spans, pairs, &mut counts);
        let mut levels = [0; CHUNK];
        for (level, n) in levels.iter_mut().zip(counts) {
            *level = level::of_f64(class.value * f64::from(n));
        }
        return levels;
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
#[inline(always)]
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

#[inline(always)]
fn add_weighted(value: f32, counts: &[u16; CHUNK], sums: &mut [f32; CHUNK]) {
    for (sum, &n) in sums.iter_mut().zip(counts) {
        *sum += value * f32::from(n);
    }
}
