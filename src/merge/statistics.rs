//! Means, variances, correlation and quantiles for diagnostics, each with a stated order of summation.

/// A sum over how many it is of; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn share(sum: f64, n: u64) -> Option<f64> {
    (n > 0).then(|| sum / n as f64)
}

/// Mean and variance of numbers seen one at a time (Welford's recurrence).
///
/// The result depends on the order of the pushes in its last bits: push in the order of the data, never in the
/// order of arrival. A NaN makes mean and variance NaN.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Running {
    n: u64,
    mean: f64,
    sum_of_squares: f64,
}

impl Running {
    /// An accumulator of all of `values`, pushed left to right.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut running = Self::default();
        for &x in values {
            running.push(x);
        }
        running
    }

    /// Adds one number.
    pub fn push(&mut self, x: f64) {
        self.n += 1;
        let from_old = x - self.mean;
        self.mean += from_old / self.n as f64;
        self.sum_of_squares += from_old * (x - self.mean);
    }

    /// The accumulator of these numbers followed by those of `later`: what partitions have counted apart, put
    /// together in the order of the partitions. Equal to pushing them all up to rounding.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        if self.n == 0 {
            return later;
        }
        if later.n == 0 {
            return self;
        }
        let (a, b) = (self.n as f64, later.n as f64);
        let apart = later.mean - self.mean;
        Self {
            n: self.n + later.n,
            mean: self.mean + apart * (b / (a + b)),
            sum_of_squares: self.sum_of_squares + later.sum_of_squares + apart * apart * (a * b / (a + b)),
        }
    }

    /// How many numbers.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their mean; `None` without any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// Their variance divided by n; `None` without any.
    #[must_use]
    pub fn variance_population(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum_of_squares / self.n as f64)
    }

    /// Their variance divided by n - 1; `None` with fewer than two.
    #[must_use]
    pub fn variance_unbiased(&self) -> Option<f64> {
        (self.n > 1).then(|| self.sum_of_squares / (self.n - 1) as f64)
    }

    /// Square root of [`Self::variance_unbiased`].
    #[must_use]
    pub fn std_unbiased(&self) -> Option<f64> {
        self.variance_unbiased().map(f64::sqrt)
    }
}

/// Pearson's correlation of two columns, in `-1 ..= 1`.
///
/// Two passes (means, then products of differences), each left to right. `None` with fewer than two rows or
/// when a column is constant (all its numbers equal), where the correlation is undefined. A NaN in a column
/// gives NaN.
///
/// # Panics
/// When the columns differ in length.
#[must_use]
pub fn pearson_r(xs: &[f64], ys: &[f64]) -> Option<f64> {
    assert_eq!(xs.len(), ys.len(), "two columns of the same rows");
    // Asked of the data, not of the sum below: the mean of equal numbers may round away from them.
    let constant = |v: &[f64]| v.windows(2).all(|w| w[0] == w[1]);
    if xs.len() < 2 || constant(xs) || constant(ys) {
        return None;
    }
    let n = xs.len() as f64;
    let (mean_x, mean_y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (&x, &y) in xs.iter().zip(ys) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    Some((xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// The quantile at `level` by linear interpolation between order statistics.
///
/// Position `(n - 1) * level` in the sorted numbers, counted from 0; between two neighbours the value is
/// interpolated. This is Hyndman and Fan's type 7, numpy's default; with it p50 of an even count is the mean of
/// the middle two. `None` when there are no numbers or one of them is NaN.
///
/// # Panics
/// When `level` is outside `[0, 1]`.
#[must_use]
pub fn quantile(values: &[f64], level: f64) -> Option<f64> {
    assert!((0.0..=1.0).contains(&level), "a quantile's level lies in [0, 1], got {level}");
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = (sorted.len() - 1) as f64 * level;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    // An infinite neighbour times a fraction of 0 would be NaN.
    let fraction = position - below as f64;
    if fraction == 0.0 {
        return Some(sorted[below]);
    }
    Some(sorted[below] + fraction * (sorted[above] - sorted[below]))
}
