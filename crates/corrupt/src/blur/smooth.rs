//! Gaussian smoothing of a given standard deviation, in double precision.

use crate::level;
use crate::math::exp;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Fields, taps and rows, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(super) values: Vec<f64>,
    filter: Filter,
}

/// What lies beyond the border.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Border {
    /// The nearest pixel.
    Nearest,
    /// The image mirrored, its edge repeated: ... 1 0 | 0 1 2 ... n-1 | n-1 ...
    Mirror,
}

impl Border {
    pub(crate) fn index(self, i: isize, n: usize) -> usize {
        match self {
            Self::Nearest => i.clamp(0, n as isize - 1) as usize,
            Self::Mirror => {
                let folded = i.rem_euclid(2 * n as isize) as usize;
                folded.min(2 * n - 1 - folded)
            }
        }
    }
}

/// Blurs with standard deviation `sigma_px`.
///
/// Order: `f`, along columns, along rows, clip, times 255, truncate. Beyond the border the edge repeats.
///
/// Reference: `gaussian_blur` of ImageNet-C, `skimage.filters.gaussian`.
pub(crate) fn smooth(sigma_px: f64, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    smooth_fractions(sigma_px, image.as_bytes(), image.width_px() as usize, buffers);
    to_levels(buffers, out.as_bytes_mut());
}

/// Leaves the smoothed fractions of full scale of interleaved RGB `levels` in the buffers.
pub(super) fn smooth_fractions(sigma_px: f64, levels: &[u8], width: usize, buffers: &mut Buffers) {
    const TRUNCATE: f64 = 4.0;
    buffers.values.clear();
    buffers.values.extend(levels.iter().map(|&level| f64::from(level) / 255.0));
    let Buffers { values, filter } = buffers;
    filter.run(sigma_px, TRUNCATE, Border::Nearest, 3, width, values);
}

/// Turns the fractions in the buffers into levels: clipped and truncated.
pub(super) fn to_levels(buffers: &Buffers, levels: &mut [u8]) {
    widest(
        #[inline(always)]
        || {
            for (to, &f) in levels.iter_mut().zip(&buffers.values) {
                *to = level::of_f64(f * 255.0);
            }
        },
    );
}

/// A separable Gaussian filter.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    taps: Vec<f64>,
    other: Vec<f64>,
    padded: Vec<f64>,
}

impl Filter {
    /// Filters a field of `channels` interleaved channels in place, along columns and then along rows.
    ///
    /// Sums run from the outermost pair of taps inwards, starting with the middle one, so that they round as
    /// the reference's do: results are truncated to levels later.
    ///
    /// Reference: `scipy.ndimage.gaussian_filter`.
    pub(crate) fn run(
        &mut self,
        sigma_px: f64,
        truncate: f64,
        border: Border,
        channels: usize,
        width: usize,
        values: &mut [f64],
    ) {
        half_taps(sigma_px, truncate, &mut self.taps);
        widest(
            #[inline(always)]
            || self.convolve(border, channels, width, values),
        );
    }

    #[inline(always)]
    fn convolve(&mut self, border: Border, channels: usize, width: usize, values: &mut [f64]) {
        let (row_len, beyond) = (width * channels, self.taps.len() as isize - 1);
        let height = values.len() / row_len;
        self.other.resize(values.len(), 0.0);
        for (y, sums) in self.other.chunks_exact_mut(row_len).enumerate() {
            let row = |dy: isize| &values[border.index(y as isize + dy, height) * row_len..][..row_len];
            weigh(&self.taps, row, sums);
        }
        for (from, sums) in self.other.chunks_exact(row_len).zip(values.chunks_exact_mut(row_len)) {
            let columns = -beyond..width as isize + beyond;
            self.padded.clear();
            self.padded.extend(columns.flat_map(|x| &from[border.index(x, width) * channels..][..channels]));
            let shifted = |dx: isize| &self.padded[(beyond + dx) as usize * channels..][..row_len];
            weigh(&self.taps, shifted, sums);
        }
    }
}

/// Weighted sum of a line and its neighbours at every distance on both sides.
#[inline(always)]
fn weigh<'a>(taps: &[f64], line: impl Fn(isize) -> &'a [f64], sums: &mut [f64]) {
    sums.iter_mut().zip(line(0)).for_each(|(sum, value)| *sum = value * taps[0]);
    for (d, &tap) in taps.iter().enumerate().skip(1).rev() {
        let d = d as isize;
        for ((sum, before), after) in sums.iter_mut().zip(line(-d)).zip(line(d)) {
            *sum += (before + after) * tap;
        }
    }
}

/// Middle tap and the taps to one side of it; the whole kernel sums to 1.
fn half_taps(sigma_px: f64, truncate: f64, taps: &mut Vec<f64>) {
    let reach = (truncate * sigma_px + 0.5) as usize;
    let exponent = -0.5 / (sigma_px * sigma_px);
    taps.clear();
    taps.extend((0..=reach).map(|x| exp(exponent * (x * x) as f64)));
    let total = pairwise_sum(2 * reach + 1, &|i| taps[i.abs_diff(reach)]);
    taps.iter_mut().for_each(|tap| *tap /= total);
}

/// Sum of `n` numbers in NumPy's order: eight running sums up to 128 numbers, halves beyond.
fn pairwise_sum(n: usize, number: &dyn Fn(usize) -> f64) -> f64 {
    if n < 8 {
        return (0..n).fold(0.0, |sum, i| sum + number(i));
    }
    if n > 128 {
        let half = n / 2 / 8 * 8;
        return pairwise_sum(half, number) + pairwise_sum(n - half, &|i| number(half + i));
    }
    let mut sums: [f64; 8] = std::array::from_fn(number);
    for start in (8..n - n % 8).step_by(8) {
        (0..8).for_each(|k| sums[k] += number(start + k));
    }
    let s = sums;
    let total = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    (n - n % 8..n).fold(total, |sum, i| sum + number(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_scipys() {
        let indices = |border: Border| (-4..7).map(|i| border.index(i, 3)).collect::<Vec<_>>();
        assert_eq!(indices(Border::Nearest), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
        assert_eq!(indices(Border::Mirror), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
    }

    #[test]
    fn pairwise_sums_hold_every_number_once() {
        for n in [0, 7, 8, 9, 128, 129, 1025] {
            assert_eq!(pairwise_sum(n, &|i| (i + 1) as f64), (n * (n + 1) / 2) as f64);
        }
    }
}
