//! One scan: prediction, contexts and runs.

use super::super::error::Fault;
use super::bits::BitReader;
use super::coding::{BadData, Coding};
use super::context::{Context, RunContext};

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
