//! Position embeddings for an image of another size: a grid of vectors, resized.
//!
//! References: open_clip 3 `resize_pos_embed` and timm `resample_abs_pos_embed` (bicubic with antialiasing), transformers 5
//! `interpolate_pos_encoding` (bicubic without); both are torch's `interpolate` with `align_corners = False`.

/// Which reference is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cubic {
    /// The kernel with a = -0.5, widened when the grid shrinks: open_clip's.
    Antialiased,
    /// Four neighbours with a = -0.75, whatever the scale: transformers'.
    Plain,
}

/// Weights of a few neighbouring inputs for one output.
struct Taps {
    /// Input positions, at the edges the same one several times.
    inputs: Vec<usize>,
    weights: Vec<f64>,
}

/// Resizes `[extra + from * from, width]` to `[extra + to * to, width]`; the first `extra` rows stay as they are.
///
/// # Panics
/// When `rows` has another number of values.
pub(super) fn resize(
    rows: &[f32],
    width: usize,
    extra: usize,
    (from, to): (usize, usize),
    cubic: Cubic,
) -> Vec<f32> {
    assert_eq!(rows.len(), (extra + from * from) * width, "a square grid of vectors");
    let (kept, grid) = rows.split_at(extra * width);
    let taps: Vec<Taps> = (0..to).map(|out| taps(out, from, to, cubic)).collect();
    let mut across = vec![0.0_f64; from * to * width];
    for y in 0..from {
        for (x, taps) in taps.iter().enumerate() {
            let out = &mut across[(y * to + x) * width..][..width];
            for (input, weight) in taps.inputs.iter().zip(&taps.weights) {
                let row = &grid[(y * from + input) * width..][..width];
                out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * f64::from(*value));
            }
        }
    }
    let mut resized = kept.to_vec();
    let mut out = vec![0.0_f64; width];
    for taps in &taps {
        for x in 0..to {
            out.fill(0.0);
            for (input, weight) in taps.inputs.iter().zip(&taps.weights) {
                let row = &across[(input * to + x) * width..][..width];
                out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
            }
            resized.extend(out.iter().map(|value| *value as f32));
        }
    }
    resized
}

fn taps(out: usize, from: usize, to: usize, cubic: Cubic) -> Taps {
    let scale = from as f64 / to as f64;
    let last = from as f64 - 1.0;
    match cubic {
        Cubic::Plain => {
            let place = (out as f64 + 0.5) * scale - 0.5;
            let (floor, rest) = (place.floor(), place - place.floor());
            let inputs = [-1.0, 0.0, 1.0, 2.0].map(|step| (floor + step).clamp(0.0, last) as usize);
            let weights = [rest + 1.0, rest, 1.0 - rest, 2.0 - rest].map(|x| kernel(x, -0.75));
            Taps { inputs: inputs.to_vec(), weights: weights.to_vec() }
        }
        Cubic::Antialiased => {
            let widened = scale.max(1.0);
            let centre = (out as f64 + 0.5) * scale;
            let start = (centre - 2.0 * widened + 0.5).max(0.0) as usize;
            let end = ((centre + 2.0 * widened + 0.5) as usize).min(from);
            let weight = |input: usize| kernel((input as f64 - centre + 0.5).abs() / widened, -0.5);
            let weights: Vec<f64> = (start..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            Taps { inputs: (start..end).collect(), weights: weights.into_iter().map(|w| w / sum).collect() }
        }
    }
}

/// The cubic convolution kernel of Keys at distance `x`.
fn kernel(x: f64, a: f64) -> f64 {
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_of_the_same_size_is_itself_and_a_constant_stays_one() {
        let rows: Vec<f32> = (0..(1 + 9) * 2).map(|i| (i as f32 * 0.7).sin()).collect();
        for cubic in [Cubic::Plain, Cubic::Antialiased] {
            let same = resize(&rows, 2, 1, (3, 3), cubic);
            assert!(rows.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-6));
            for to in [2, 5] {
                let constant = resize(&[0.25; 9 * 2], 2, 0, (3, to), cubic);
                assert_eq!(constant.len(), to * to * 2);
                assert!(constant.iter().all(|value| (value - 0.25).abs() < 1e-6));
            }
        }
    }
}
