//! Zoom blur: the mean of an image and its enlargements about the centre.

use crate::pixels::Rgb8;

/// Rows and sums, kept between calls.
#[derive(Debug, Default)]
pub(in crate::corrupt) struct Buffers {
    columns: Vec<Sample>,
    rows: Vec<Sample>,
    /// One row of the enlargement, before its columns are interpolated.
    row: Vec<f64>,
    sums: Vec<f32>,
}

/// Between which two input positions an output position lies.
#[derive(Debug, Clone, Copy)]
struct Sample {
    below: usize,
    above: usize,
    /// Share of `above`, in `[0, 1)`.
    weight: f64,
    /// Rounding put the position past the last input; the reference then gives 0.
    outside: bool,
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
pub(in crate::corrupt) fn zoom(stop: f64, step: f64, image: &Rgb8, buffers: &mut Buffers, out: &mut Rgb8) {
    let Buffers { columns, rows, row, sums } = buffers;
    let (width, height) = (image.width_px() as usize, image.height_px() as usize);
    let values = image.as_bytes();
    let fractions: [f32; 256] = std::array::from_fn(|v| (v as f64 / 255.0) as f32);
    sums.clear();
    sums.resize(values.len(), 0.0);
    row.resize(width * 3, 0.0);

    let n_factors = n_factors(stop, step);
    for i in 0..n_factors {
        let factor = 1.0 + i as f64 * step;
        axis_samples(width, factor, columns);
        axis_samples(height, factor, rows);
        for (at, sums) in rows.iter().zip(sums.chunks_exact_mut(width * 3)) {
            if at.outside {
                continue;
            }
            let line = |y: usize| &values[y * width * 3..][..width * 3];
            interpolate_rows(line(at.below), line(at.above), at.weight, &fractions, row);
            add_columns(row, columns, sums);
        }
    }
    let n = (n_factors + 1) as f32;
    for ((to, &value), &sum) in out.as_bytes_mut().iter_mut().zip(values).zip(sums.iter()) {
        *to = (((fractions[usize::from(value)] + sum) / n).clamp(0.0, 1.0) * 255.0) as u8;
    }
}

/// The length of `arange(1, stop, step)`: the quotient rounded up, with the float error of its division.
///
/// So `arange(1, 1.11, 0.01)` has 12 items and includes 1.11.
fn n_factors(stop: f64, step: f64) -> usize {
    ((stop - 1.0) / step).ceil() as usize
}

/// Where each of `side` output positions samples the input, after both central crops.
fn axis_samples(side: usize, factor: f64, samples: &mut Vec<Sample>) {
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

fn interpolate_rows(below: &[u8], above: &[u8], weight: f64, fractions: &[f32; 256], row: &mut [f64]) {
    let fraction = |value: u8| f64::from(fractions[usize::from(value)]);
    for ((to, &below), &above) in row.iter_mut().zip(below).zip(above) {
        *to = fraction(below) * (1.0 - weight) + fraction(above) * weight;
    }
}

fn add_columns(row: &[f64], columns: &[Sample], sums: &mut [f32]) {
    for (at, sums) in columns.iter().zip(sums.chunks_exact_mut(3)) {
        if at.outside {
            continue;
        }
        let (below, above) = (&row[at.below * 3..][..3], &row[at.above * 3..][..3]);
        for ((sum, &below), &above) in sums.iter_mut().zip(below).zip(above) {
            *sum += (below * (1.0 - at.weight) + above * at.weight) as f32;
        }
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
