//! Monotone regression by pooling neighbours that are out of order.

/// A step-free increasing function through pooled means, linear between them and constant outside, as scikit-learn's
/// `IsotonicRegression(out_of_bounds="clip")`.
#[derive(Debug, Clone, PartialEq)]
pub struct Isotonic {
    xs: Vec<f64>,
    ys: Vec<f64>,
}

/// Rows with one x, or several pooled.
#[derive(Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    weight: f64,
}

impl Isotonic {
    /// Fits (x, y) pairs; `None` without finite pairs.
    #[must_use]
    pub fn fit(pairs: &[(f64, f64)]) -> Option<Self> {
        let mut pairs: Vec<(f64, f64)> = pairs.iter().copied().filter(|(x, y)| (x + y).is_finite()).collect();
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut blocks: Vec<Block> = Vec::new();
        for tie in pairs.chunk_by(|a, b| a.0 == b.0) {
            let sum = tie.iter().map(|(_, y)| y).sum();
            #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
            let weight = tie.len() as f64;
            let mut block = Block { first: tie[0].0, last: tie[0].0, sum, weight };
            while let Some(before) = blocks.last().filter(|b| b.sum / b.weight >= block.sum / block.weight) {
                block = Block {
                    first: before.first,
                    last: block.last,
                    sum: before.sum + block.sum,
                    weight: before.weight + block.weight,
                };
                blocks.pop();
            }
            blocks.push(block);
        }
        let mut fitted = Self { xs: Vec::new(), ys: Vec::new() };
        for block in &blocks {
            fitted.push(block.first, block.sum / block.weight);
            if block.last > block.first {
                fitted.push(block.last, block.sum / block.weight);
            }
        }
        (!fitted.xs.is_empty()).then_some(fitted)
    }

    fn push(&mut self, x: f64, y: f64) {
        self.xs.push(x);
        self.ys.push(y);
    }

    /// The fitted value at `x`.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        let above = self.xs.partition_point(|knot| *knot < x);
        if above == 0 {
            return self.ys[0];
        }
        if above == self.xs.len() {
            return self.ys[above - 1];
        }
        let (x0, x1, y0, y1) = (self.xs[above - 1], self.xs[above], self.ys[above - 1], self.ys[above]);
        y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    }
}
