//! One scan: prediction, contexts and runs.

use super::super::error::Fault;
use super::Presets;
use super::bits::BitReader;
use super::context::{BadData, Context, RunContext};

/// Bits of a run's length, by the run index (A.2.1).
const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const N_CONTEXTS: usize = 365;

/// How the components of a scan follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interleave {
    /// Line by line; one component alone is this too.
    Line,
    /// Value by value.
    Sample,
}

/// Parameters of a scan; the names are those of T.87.
#[derive(Debug)]
pub(super) struct Coding {
    max_value: i32,
    pub(super) near: i32,
    thresholds: [i32; 3],
    pub(super) reset: i32,
    range: i32,
    /// Bits of an escaped error.
    qbpp: u32,
    pub(super) limit: i32,
}

impl Coding {
    /// Fills in the defaults of C.2.4.1.1.
    pub(super) fn new(precision: u8, near: u8, presets: Presets) -> Result<Self, Fault> {
        let bad = || Fault::corrupt("JPEG-LS parameters");
        let largest = (1_i32 << precision) - 1;
        let max_value = if presets.max_value == 0 { largest } else { i32::from(presets.max_value) };
        let near = i32::from(near);
        if max_value > largest || near > max_value / 2 {
            return Err(bad());
        }
        let set = presets.thresholds.map(i32::from);
        let default = default_thresholds(max_value, near);
        let thresholds = [0, 1, 2].map(|i| if set[i] == 0 { default[i] } else { set[i] });
        let [t1, t2, t3] = thresholds;
        if t1 <= near || t2 < t1 || t3 < t2 || t3 > max_value.max(near + 1) {
            return Err(bad());
        }
        let reset = if presets.reset == 0 { 64 } else { i32::from(presets.reset) };
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bpp = 2.max(log2_ceil(max_value + 1));
        let limit = 2 * (bpp + 8.max(bpp)) as i32;
        if reset < 3 {
            return Err(bad());
        }
        Ok(Self { max_value, near, thresholds, reset, range, qbpp: log2_ceil(range), limit })
    }

    pub(super) fn start_a(&self) -> i32 {
        2.max((self.range + 32) / 64)
    }

    /// Width of a quantisation step.
    #[inline]
    pub(super) fn step(&self) -> i32 {
        2 * self.near + 1
    }

    /// Takes a Golomb code of limited length (A.5.3).
    #[inline]
    pub(super) fn golomb(&self, reader: &mut BitReader<'_>, k: u32, limit: i32) -> Result<i32, BadData> {
        let escape = limit - self.qbpp as i32 - 1;
        let zeros = reader.zeros(escape.max(0) as u32).ok_or(BadData)?;
        if (zeros as i32) < escape {
            let high = i64::from(zeros) << k;
            return i32::try_from(high + i64::from(reader.take(k))).map_err(|_| BadData);
        }
        Ok(reader.take(self.qbpp) as i32 + 1)
    }

    #[inline]
    fn quantize(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let class = i32::from(size > self.near)
            + i32::from(size >= t1)
            + i32::from(size >= t2)
            + i32::from(size >= t3);
        class * gradient.signum()
    }

    /// Prediction and error to a value (A.4.5, A.8).
    #[inline]
    fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let mut value = prediction + error * self.step();
        if value < -self.near {
            value += self.range * self.step();
        } else if value > self.max_value + self.near {
            value -= self.range * self.step();
        }
        value.clamp(0, self.max_value)
    }
}

fn log2_ceil(n: i32) -> u32 {
    (n.max(1) as u32).next_power_of_two().trailing_zeros()
}

fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, least: i32| if value > max_value || value < least { least } else { value };
    if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        let t1 = clamp(factor + 2 + 3 * near, near + 1);
        let t2 = clamp(4 * factor + 3 + 5 * near, t1);
        return [t1, t2, clamp(17 * factor + 4 + 7 * near, t2)];
    }
    let factor = 256 / (max_value + 1);
    let t1 = clamp(2.max(3 / factor + 3 * near), near + 1);
    let t2 = clamp(3.max(7 / factor + 5 * near), t1);
    [t1, t2, clamp(4.max(21 / factor + 7 * near), t2)]
}

/// Where a scan's values go: pixel after pixel, of all components of the frame.
pub(super) struct Lines<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) n_components: usize,
    /// Components of this scan.
    pub(super) components: Vec<usize>,
    pub(super) values: &'a mut [u16],
}

/// The line in hand and the one above it, with a column on either side.
struct Pair {
    above: Vec<i32>,
    line: Vec<i32>,
    run_index: usize,
}

/// What all components of a scan share.
struct Coder<'a, 'b> {
    coding: &'a Coding,
    reader: &'a mut BitReader<'b>,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
}

/// Decodes a scan into its components.
pub(super) fn decode(
    coding: &Coding,
    interleave: Interleave,
    lines: Lines<'_>,
    reader: &mut BitReader<'_>,
) -> Result<(), Fault> {
    let Lines { width, height, n_components, components, values } = lines;
    let blank = || Pair { above: vec![0; width + 2], line: vec![0; width + 2], run_index: 0 };
    let mut pairs: Vec<Pair> = components.iter().map(|_| blank()).collect();
    let contexts = vec![Context::new(coding); N_CONTEXTS];
    let runs = [RunContext::new(coding, 0), RunContext::new(coding, 1)];
    let mut coder = Coder { coding, reader, contexts, runs };
    for y in 0..height {
        pairs.iter_mut().for_each(Pair::next_line);
        let decoded = match interleave {
            Interleave::Line => pairs.iter_mut().try_for_each(|pair| coder.line(std::slice::from_mut(pair))),
            Interleave::Sample => coder.line(&mut pairs),
        };
        if coder.reader.is_overread() {
            return Err(Fault::truncated("the scan data end before the last value"));
        }
        decoded.map_err(|BadData| Fault::corrupt("the scan data hold an impossible code"))?;
        let row = &mut values[y * width * n_components..][..width * n_components];
        for (pair, &component) in pairs.iter().zip(&components) {
            for (value, &decoded) in row[component..].iter_mut().step_by(n_components).zip(&pair.line[1..]) {
                *value = decoded as u16;
            }
        }
    }
    Ok(())
}

impl Pair {
    /// Left of a line stands the value above its first; right of the line above, its last (A.2.1).
    fn next_line(&mut self) {
        std::mem::swap(&mut self.above, &mut self.line);
        let width = self.line.len() - 2;
        self.line[0] = self.above[1];
        self.above[width + 1] = self.above[width];
    }

    /// Left, above, above left, above right.
    #[inline]
    fn neighbours(&self, x: usize) -> [i32; 4] {
        [self.line[x], self.above[x + 1], self.above[x], self.above[x + 2]]
    }
}

impl Coder<'_, '_> {
    /// One line of one component, or of all of them value by value.
    fn line(&mut self, pairs: &mut [Pair]) -> Result<(), BadData> {
        let width = pairs[0].line.len() - 2;
        let mut x = 0;
        while x < width {
            let is_flat = pairs.iter().all(|pair| self.context(pair.neighbours(x)) == 0);
            if is_flat {
                x = self.run(pairs, x, width)?;
                continue;
            }
            for pair in pairs.iter_mut() {
                pair.line[x + 1] = self.regular(pair.neighbours(x))?;
            }
            x += 1;
        }
        Ok(())
    }

    /// The context of three gradients, negative where its mirror image is meant.
    #[inline]
    fn context(&self, [a, b, c, d]: [i32; 4]) -> i32 {
        let [q1, q2, q3] = [d - b, b - c, c - a].map(|gradient| self.coding.quantize(gradient));
        (q1 * 9 + q2) * 9 + q3
    }

    #[inline]
    fn regular(&mut self, neighbours: [i32; 4]) -> Result<i32, BadData> {
        let context = self.context(neighbours);
        let [a, b, c, _] = neighbours;
        let sign = if context < 0 { -1 } else { 1 };
        let context = &mut self.contexts[context.unsigned_abs() as usize];
        let edge = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let prediction = (edge + sign * context.c).clamp(0, self.coding.max_value);
        let error = context.error(self.coding, self.reader)?;
        Ok(self.coding.reconstruct(prediction, sign * error))
    }

    /// A run of the left value and the value that ends it; gives the next column.
    fn run(&mut self, pairs: &mut [Pair], start: usize, width: usize) -> Result<usize, BadData> {
        let mut x = start;
        let mut run_index = pairs[0].run_index;
        let fill = |pairs: &mut [Pair], x: usize, n: usize| {
            for pair in pairs {
                let value = pair.line[x];
                pair.line[x + 1..x + 1 + n].fill(value);
            }
        };
        while x < width && self.reader.take(1) == 1 {
            let whole = 1 << RUN_BITS[run_index];
            let n = whole.min(width - x);
            fill(pairs, x, n);
            x += n;
            if n == whole {
                run_index = (run_index + 1).min(31);
            }
        }
        pairs[0].run_index = run_index;
        if x == width {
            return Ok(x);
        }
        let n = self.reader.take(RUN_BITS[run_index]) as usize;
        if n >= width - x {
            return Err(BadData);
        }
        fill(pairs, x, n);
        x += n;
        let is_sample = pairs.len() > 1;
        for pair in pairs.iter_mut() {
            pair.line[x + 1] = self.run_end(pair.neighbours(x), RUN_BITS[run_index], is_sample)?;
        }
        pairs[0].run_index = run_index.saturating_sub(1);
        Ok(x + 1)
    }

    /// The value after a run; value by value all components use the first context.
    fn run_end(&mut self, [a, b, ..]: [i32; 4], run_bits: u32, is_sample: bool) -> Result<i32, BadData> {
        let is_like_run = !is_sample && (a - b).abs() <= self.coding.near;
        let error = self.runs[usize::from(is_like_run)].error(self.coding, self.reader, run_bits)?;
        if is_like_run {
            return Ok(self.coding.reconstruct(a, error));
        }
        Ok(self.coding.reconstruct(b, if a > b { -error } else { error }))
    }
}
