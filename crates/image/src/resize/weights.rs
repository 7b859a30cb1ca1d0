//! Fixed-point weights of one axis, as Pillow computes them.

use std::ops::Range;

use super::filter::{Filter, cubic};

/// Fraction bits of a weight; 8 for the pixel and 2 for sign and overshoot make 32.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Taps come in groups of this many, the last one filled up with zeros: exactly the support when enlarging.
pub(super) const TAP_GROUP: usize = 4;

/// The taps of a range of output positions along one axis.
#[derive(Debug)]
pub(super) struct Weights {
    /// Input positions of each output position.
    starts: Vec<u32>,
    ends: Vec<u32>,
    /// Where each output position's taps begin in `taps`; one longer than `starts`.
    offsets: Vec<u32>,
    taps: Vec<i32>,
    is_identity: bool,
}

impl Weights {
    /// Weights from `n_in` to `n_out` positions, for the output positions in `window`.
    ///
    /// Reference: Pillow `Resample.c`, `precompute_coeffs` and `normalize_coeffs_8bpc`; the order of the float
    /// operations is theirs, because a different one changes last bits.
    pub(super) fn new(filter: Filter, n_in: u32, n_out: u32, window: Range<u32>) -> Self {
        // What models resize with has a loop of its own: chosen tap by tap, a kernel takes as long again as its arithmetic.
        match filter {
            Filter::Bicubic => Self::of_kernel(filter, cubic, n_in, n_out, window),
            _ => Self::of_kernel(filter, |x| filter.weight(x), n_in, n_out, window),
        }
    }

    fn of_kernel(
        filter: Filter,
        kernel: impl Fn(f64) -> f64,
        n_in: u32,
        n_out: u32,
        window: Range<u32>,
    ) -> Self {
        let scale = f64::from(n_in) / f64::from(n_out);
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse_filter_scale = 1.0 / filter_scale;
        let mut weights =
            Self { starts: vec![], ends: vec![], offsets: vec![0], taps: vec![], is_identity: n_in == n_out };
        let mut row = Vec::new();
        for out in window {
            if weights.is_identity {
                weights.push(out, &[1.0]);
                continue;
            }
            let center = (f64::from(out) + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as u32;
            let end = ((center + support + 0.5) as u32).min(n_in);
            row.clear();
            row.extend((start..end).map(|x| kernel((f64::from(x) - center + 0.5) * inverse_filter_scale)));
            let sum = row.iter().fold(0.0, |sum, weight| sum + weight);
            row.iter_mut().for_each(|weight| *weight /= if sum == 0.0 { 1.0 } else { sum });
            weights.push(start, &row);
        }
        weights
    }

    fn push(&mut self, start: u32, taps: &[f64]) {
        self.starts.push(start);
        self.ends.push(start + taps.len() as u32);
        self.taps.extend(taps.iter().map(|&weight| to_fixed(weight)));
        self.taps.resize(self.taps.len().next_multiple_of(TAP_GROUP), 0);
        self.offsets.push(self.taps.len() as u32);
    }

    /// Number of output positions.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the axis keeps its size, so that Pillow skips the pass.
    pub(super) fn is_identity(&self) -> bool {
        self.is_identity
    }

    /// First input position and the taps of output position `i` of the window; taps of zero may reach past the input.
    pub(super) fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.starts[i] as usize, &self.taps[self.offsets[i] as usize..self.offsets[i + 1] as usize])
    }

    /// The input positions that some output position of the window reads.
    pub(super) fn input_range(&self) -> Range<usize> {
        self.starts[0] as usize..self.ends[self.len() - 1] as usize
    }

    /// Heap bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        size_of::<u32>() * (2 * self.starts.len() + self.offsets.len() + self.taps.len())
    }
}

/// Rounds half away from zero, by truncating after adding a half of the weight's sign.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_round_away_from_zero() {
        let unit = 1.0 / f64::from(1 << PRECISION_BITS);
        let rounded = [-1.5, -0.5, -0.49, 0.49, 0.5, 1.5].map(|weight| to_fixed(weight * unit));
        assert_eq!(rounded, [-2, -1, 0, 0, 1, 2]);
    }

    #[test]
    fn a_window_holds_the_weights_of_the_whole() {
        let (whole, window) =
            (Weights::new(Filter::Bicubic, 50, 17, 0..17), Weights::new(Filter::Bicubic, 50, 17, 5..9));
        for i in 0..window.len() {
            assert_eq!(window.at(i), whole.at(5 + i));
        }
        assert!(window.input_range().len() < whole.input_range().len());
    }
}
