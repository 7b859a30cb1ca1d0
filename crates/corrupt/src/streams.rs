//! Every random stream a corruption can draw from.

use super::rng::counter::{BATCH, Counter};
use super::rng::legacy::Legacy;
use super::rng::pcg64::Pcg64;
use super::rng::python::Python;
use super::rng::ziggurat::Ziggurat;
use super::severity::Severity;

/// How corruptions are made random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RngMode {
    /// One stream per (seed, sample, corruption, severity): any order, any number of threads.
    Counter,
    /// The sequential streams of the Python reference: byte parity, but only in its own order.
    NumpyCompat,
}

/// The random streams handed to [`apply`](super::apply), which advances them.
#[derive(Clone, Debug)]
pub struct Streams {
    inner: StreamsInner,
}

#[expect(clippy::large_enum_variant, reason = "a boxed counter would cost an allocation per image")]
#[derive(Clone, Debug)]
pub(super) enum StreamsInner {
    Numpy(Box<NumpyStreams>),
    Counter(Counter),
}

/// The three generators the reference seeds once per data set.
#[derive(Clone, Debug)]
pub(super) struct NumpyStreams {
    pub(super) python: Python,
    pub(super) legacy: Legacy,
    pub(super) generator: Pcg64,
}

impl Streams {
    /// The reference's streams, freshly seeded.
    ///
    /// To reproduce a published data set, seed once and then apply every corruption in registry order, every
    /// severity from 1 to 5, every image in order.
    ///
    /// Reference: `random.seed(seed)`, `np.random.seed(seed)`, `np.random.default_rng(seed)`. NumPy refuses
    /// legacy seeds of 2^32 and more; here only their low 32 bits reach that stream.
    #[must_use]
    pub fn numpy_compat(seed: u64) -> Self {
        Self {
            inner: StreamsInner::Numpy(Box::new(NumpyStreams {
                python: Python::seed(seed),
                legacy: Legacy::seed(seed as u32),
                generator: Pcg64::seed(seed),
            })),
        }
    }

    /// The stream that belongs to one cell of one sample, whatever was drawn before.
    ///
    /// Two streams differ when any argument differs. Nothing but basic integer and IEEE arithmetic is used,
    /// so the bytes do not depend on the machine.
    #[must_use]
    pub fn counter(seed: u64, sample_id: &str, corruption: &str, severity: Severity) -> Self {
        Self { inner: StreamsInner::Counter(Counter::keyed(seed, sample_id, corruption, severity.get())) }
    }

    /// Which of the two modes this is.
    #[must_use]
    pub fn mode(&self) -> RngMode {
        match self.inner {
            StreamsInner::Numpy(_) => RngMode::NumpyCompat,
            StreamsInner::Counter(_) => RngMode::Counter,
        }
    }

    /// A whole number from `low` to `high`, both included, each equally likely.
    ///
    /// Reference: `random.randint(low, high)`; `random.choice` of `n` items is `randint(0, n - 1)`.
    pub(super) fn randint(&mut self, low: i64, high: i64) -> i64 {
        let n = (high - low + 1) as u32;
        low + i64::from(match &mut self.inner {
            StreamsInner::Numpy(numpy) => numpy.python.below(n),
            StreamsInner::Counter(counter) => counter.below(n),
        })
    }

    /// A number in `[low, high)`.
    ///
    /// Reference: `np.random.uniform(low, high)`.
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let share = match &mut self.inner {
            StreamsInner::Numpy(numpy) => numpy.legacy.next_f64(),
            StreamsInner::Counter(counter) => counter.next_f64(),
        };
        low + (high - low) * share
    }

    /// A whole number from 0 to `n - 1`, each equally likely.
    ///
    /// Reference: `np.random.randint(n)`.
    pub(super) fn offset(&mut self, n: u32) -> u32 {
        match &mut self.inner {
            StreamsInner::Numpy(numpy) => numpy.legacy.below(n),
            StreamsInner::Counter(counter) => counter.below(n),
        }
    }

    /// Fills `out` with standard normal numbers.
    ///
    /// Reference: `np.random.normal(size=n)`.
    pub(super) fn normals(&mut self, out: &mut [f64]) {
        match &mut self.inner {
            StreamsInner::Numpy(numpy) => numpy.legacy.normals(out),
            StreamsInner::Counter(counter) => {
                let mut batch = [0.0; BATCH];
                for chunk in out.chunks_mut(BATCH) {
                    Ziggurat::get().normals(counter, &mut batch);
                    chunk.iter_mut().zip(batch).for_each(|(to, g)| *to = f64::from(g));
                }
            }
        }
    }

    pub(super) fn inner(&mut self) -> &mut StreamsInner {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [Streams; 2] {
        [Streams::numpy_compat(3), Streams::counter(3, "sample", "kind", Severity::ALL[2])]
    }

    /// Chi-square at a chance of 1 in 1000 for 4 and 9 degrees of freedom.
    #[test]
    fn whole_numbers_are_equally_likely_and_in_bounds() {
        for (low, high, limit) in [(1, 5, 18.47), (0, 9, 27.88)] {
            for mut streams in both() {
                let n = (high - low + 1) as usize;
                let mut counts = vec![0.0f64; n];
                (0..10_000).for_each(|_| counts[(streams.randint(low, high) - low) as usize] += 1.0);
                let expected = 10_000.0 / n as f64;
                let chi_square: f64 = counts.iter().map(|c| (c - expected).powi(2) / expected).sum();
                assert!(chi_square < limit, "{:?} {counts:?}", streams.mode());
            }
        }
    }

    /// Kolmogorov-Smirnov at a chance of 1 in 1000.
    #[test]
    fn angles_are_uniform() {
        for mut streams in both() {
            let mut angles: Vec<f64> = (0..10_000).map(|_| streams.uniform(-45.0, 45.0)).collect();
            angles.sort_by(f64::total_cmp);
            let off = |(i, angle): (usize, &f64)| ((angle + 45.0) / 90.0 - i as f64 / 10_000.0).abs();
            let worst = angles.iter().enumerate().map(off).fold(0.0, f64::max);
            assert!(worst * 100.0 < 1.95, "{:?} {worst}", streams.mode());
            assert!(angles[0] >= -45.0 && angles[9_999] < 45.0);
        }
    }
}
