//! Zoom blur: the mean of an image and its enlargements about the centre.

use crate::level;
use t3b_image::Rgb8;
use t3b_image::simd::widest;

/// Numbers per pixel in working memory: the fourth is unused, and pads a pixel to what one instruction takes.
const LANES: usize = 4;

/// Rows and sums, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    columns: Vec<Sample>,
    rows: Vec<Sample>,
    /// The image as fractions of full scale.
    fractions: Vec<[f32; LANES]>,
    /// One row of the enlargement, before its columns are interpolated.
    row: Vec<[f64; LANES]>,
    sums: Vec<[f32; LANES]>,
}

/// Between which two input positions an output position lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) below: usize,
    pub(crate) above: usize,
    /// Share of `above`, in `[0, 1)`.
    pub(crate) weight: f64,
    /// Rounding put the position past the last input; the reference then gives 0.
    pub(crate) outside: bool,
}

/// Averages `image` with its enlargements by 1, 1 + step, 1 + 2 step, ... below `stop`.
///
/// Order: `f` in single precision; per factor a central crop, linear interpolation in double precision, a
/// central crop to size, rounding to single precision; sum in order of factors; plus the image; mean; clip;
/// times 255; truncate. The image itself is counted once more than the factors, so twice with factor 1.
///
/// Each axis is cropped by its own side. The reference crops both by the height, so it raises unless square.
///
/// Reference: `ZoomBlur`, `clipped_zoom`; `numpy.arange`; `scipy.ndimage.zoom(order=1)`.
pub(crate) fn zoom(stop: f64, step: f64, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    widest(
        #[inline(always)]
        || average(stop, step, image, buffers, out),
    );
}

#[inline(always)]
fn average(stop: f64, step: f64, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    let Buffers { columns, rows, fractions, row, sums } = buffers;
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    fractions.resize(width * height, [0.0; LANES]);
    for (to, pixel) in fractions.iter_mut().zip(image.as_bytes().chunks_exact(3)) {
        *to = [pixel[0], pixel[1], pixel[2], 0].map(|value| (f64::from(value) / 255.0) as f32);
    }
    sums.clear();
    sums.resize(width * height, [0.0; LANES]);
    row.resize(width, [0.0; LANES]);

    let n_factors = n_factors(stop, step);
    for i in 0..n_factors {
        let factor = 1.0 + i as f64 * step;
        axis_samples(width, factor, columns);
        axis_samples(height, factor, rows);
        for (at, sums) in rows.iter().zip(sums.chunks_exact_mut(width)) {
            if at.outside {
                continue;
            }
            let line = |y: usize| fractions[y * width..][..width].as_flattened();
            interpolate_rows(line(at.below), line(at.above), at.weight, row.as_flattened_mut());
            add_columns(row, columns, sums);
        }
    }
    let n = (n_factors + 1) as f32;
    for ((to, value), sum) in out.as_bytes_mut().chunks_exact_mut(3).zip(fractions).zip(sums) {
        for ((to, value), sum) in to.iter_mut().zip(value).zip(sum) {
            *to = level::of_f32((*value + *sum) / n * 255.0);
        }
    }
}

/// The length of `arange(1, stop, step)`: the quotient rounded up, with the float error of its division.
///
/// So `arange(1, 1.11, 0.01)` has 12 items and includes 1.11.
fn n_factors(stop: f64, step: f64) -> usize {
    ((stop - 1.0) / step).ceil() as usize
}

/// Where each of `side` output positions samples the input, after both central crops.
///
/// Reference: `clipped_zoom`, `scipy.ndimage.zoom(order=1)`.
pub(crate) fn axis_samples(side: usize, factor: f64, samples: &mut Vec<Sample>) {
    let crop = (side as f64 / factor).ceil() as usize;
    let top = (side - crop) / 2;
    let enlarged = (crop as f64 * factor).round_ties_even() as usize;
    let trim = enlarged.saturating_sub(side) / 2;
    let spacing = if enlarged > 1 { (crop as f64 - 1.0) / (enlarged as f64 - 1.0) } else { 1.0 };
    samples.clear();
    samples.extend((trim..trim + side).map(|i| {
        let position = i as f64 * spacing;
        let last = crop - 1;
        let below = (position as usize).min(last);
        Sample {
            below: top + below,
            above: top + (below + 1).min(last),
            weight: position - position.floor(),
            outside: position > last as f64,
        }
    }));
}

#[inline(always)]
fn interpolate_rows(below: &[f32], above: &[f32], weight: f64, row: &mut [f64]) {
    for ((to, &below), &above) in row.iter_mut().zip(below).zip(above) {
        *to = f64::from(below) * (1.0 - weight) + f64::from(above) * weight;
    }
}

#[inline(always)]
fn add_columns(row: &[[f64; LANES]], columns: &[Sample], sums: &mut [[f32; LANES]]) {
    for (at, sums) in columns.iter().zip(sums) {
        if at.outside {
            continue;
        }
        // By value: through references the lanes would be done one by one.
        let (below, above, before) = (row[at.below], row[at.above], *sums);
        *sums = std::array::from_fn(|lane| {
            before[lane] + (below[lane] * (1.0 - at.weight) + above[lane] * at.weight) as f32
        });
    }
}

#[cfg(test)]
mod tests {
    use super::n_factors;

    // len(np.arange(1, stop, step)) for the five severities.
    #[test]
    fn factor_lists_have_numpys_lengths() {
        let lists = [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)];
        assert_eq!(lists.map(|(stop, step)| n_factors(stop, step)), [12, 16, 11, 13, 11]);
    }
}
