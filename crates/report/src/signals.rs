//! What the parents say of each other, cell by cell: divergence, coefficient, agreement, and how much of the
//! coefficients' spread lies inside batches.

use t3b_stats::{Grid, Histogram};

/// Cells of the fine grids.
const N_CELLS: usize = 4096;

/// One row of the `signals` table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalRow {
    /// Number of its batch.
    pub batch: i64,
    /// Jensen-Shannon divergence of the parents, nats.
    pub js_nats: f64,
    /// T3's coefficient of the sample.
    pub lambda: f64,
    /// Entropy of the generalist, nats.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert, nats.
    pub ft_entropy_nats: f64,
    /// Whether both predict the same class.
    pub agree: bool,
}

/// Sums over the rows of one cell, in table order.
#[derive(Debug, Clone)]
pub struct Signals {
    /// Divergence from 0 to ln 2.
    pub js: Histogram,
    /// Coefficient from 0 to 1.
    pub lambda: Histogram,
    /// Entropies from 0 to ln of the number of classes: generalist, expert.
    pub entropy: [Histogram; 2],
    n: u64,
    n_agree: u64,
    sums: [f64; 4],
    squares: f64,
    batch: Option<(i64, f64, f64, f64)>,
    within: (f64, f64),
    grids: [Grid; 3],
}

impl Signals {
    /// No rows yet, for a set of `n_classes`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
    pub fn new(n_classes: usize) -> Self {
        let grids = [
            Grid::new(0.0, std::f64::consts::LN_2, N_CELLS),
            Grid::new(0.0, 1.0, N_CELLS),
            Grid::new(0.0, (n_classes.max(2) as f64).ln(), N_CELLS),
        ];
        let [js, lambda, entropy] = grids.each_ref().map(Histogram::new);
        Self {
            js,
            lambda,
            entropy: [entropy.clone(), entropy],
            n: 0,
            n_agree: 0,
            sums: [0.0; 4],
            squares: 0.0,
            batch: None,
            within: (0.0, 0.0),
            grids,
        }
    }

    /// Adds a row; rows of one batch come one after another.
    pub fn add(&mut self, row: &SignalRow) {
        self.js.add(&self.grids[0], row.js_nats);
        self.lambda.add(&self.grids[1], row.lambda);
        self.entropy[0].add(&self.grids[2], row.pt_entropy_nats);
        self.entropy[1].add(&self.grids[2], row.ft_entropy_nats);
        self.n += 1;
        self.n_agree += u64::from(row.agree);
        let numbers = [row.js_nats, row.lambda, row.pt_entropy_nats, row.ft_entropy_nats];
        self.sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        self.squares += row.lambda * row.lambda;
        match &mut self.batch {
            Some((batch, n, sum, squares)) if *batch == row.batch => {
                (*n, *sum, *squares) = (*n + 1.0, *sum + row.lambda, *squares + row.lambda * row.lambda);
            }
            _ => {
                self.close_batch();
                self.batch = Some((row.batch, 1.0, row.lambda, row.lambda * row.lambda));
            }
        }
    }

    fn close_batch(&mut self) {
        if let Some((_, n, sum, squares)) = self.batch.take() {
            self.within.0 += (squares - sum * sum / n).max(0.0);
            self.within.1 += n;
        }
    }

    /// Ends the rows and says what they are.
    #[must_use]
    pub fn finish(mut self) -> CellSignals {
        self.close_batch();
        let n = real(self.n).max(1.0);
        let [js, lambda, pt, ft] = self.sums.map(|sum| sum / n);
        let variance = (self.squares / n - lambda * lambda).max(0.0);
        let quantile = |counts: &Histogram, high: f64, share: f64| {
            let (mut seen, wanted) = (0, share * n);
            let place = counts.counts().iter().position(|count| {
                seen += count;
                real(seen) >= wanted
            });
            (place.unwrap_or(0) as f64 + 0.5) / N_CELLS as f64 * high
        };
        let js_high = std::f64::consts::LN_2;
        CellSignals {
            n: self.n,
            js_mean_nats: js,
            js_range_nats: [quantile(&self.js, js_high, 0.05), quantile(&self.js, js_high, 0.95)],
            lambda_mean: lambda,
            lambda_range: [quantile(&self.lambda, 1.0, 0.05), quantile(&self.lambda, 1.0, 0.95)],
            lambda_std: variance.sqrt(),
            lambda_std_within: (self.within.0 / self.within.1.max(1.0)).sqrt(),
            entropy_mean_nats: [pt, ft],
            agree: real(self.n_agree) / n,
            histograms: [self.js, self.lambda, self.entropy[0].clone(), self.entropy[1].clone()],
        }
    }
}

/// What the rows of one cell are.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSignals {
    /// Scored samples.
    pub n: u64,
    /// Mean divergence.
    pub js_mean_nats: f64,
    /// 5th and 95th percentile of the divergence.
    pub js_range_nats: [f64; 2],
    /// Mean coefficient.
    pub lambda_mean: f64,
    /// 5th and 95th percentile of the coefficient.
    pub lambda_range: [f64; 2],
    /// Standard deviation of the coefficient.
    pub lambda_std: f64,
    /// The part of it inside batches: what T3_B averages away.
    pub lambda_std_within: f64,
    /// Mean entropies of generalist and expert.
    pub entropy_mean_nats: [f64; 2],
    /// Share of samples on which the parents agree.
    pub agree: f64,
    /// Divergence, coefficient and both entropies on fine grids, for comparisons between nights.
    pub histograms: [Histogram; 4],
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
