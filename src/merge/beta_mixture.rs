//! Clusters of coefficients: a mixture of Beta distributions fitted by EM (DaWin's clustered variant, code).
//!
//! A merge per sample is dear; a few clusters of nearly equal coefficients need one merge each. Each sample is
//! given to its most probable component, and merged with that component's mean `a / (a + b)`.

use thiserror::Error;

use super::beta::ln_beta;
use super::kmeans;

/// Added to every variance before it divides, as the reference does (`10 eps`, and `1e-10` in the quotient):
/// a cluster of equal numbers is narrow, not infinitely so.
const VARIANCE_FLOOR: f64 = 10.0 * f64::EPSILON + 1e-10;

/// Numbers are held this far inside `(0, 1)`, where the density's logarithms are finite and the moment step
/// gives positive parameters (choice; coefficients of the rules rarely come near).
const EDGE: f64 = 1e-6;

/// A component whose share of the data is below this has lost all of it and stays out.
const EMPTY_COUNT: f64 = 1e-9;

/// How a mixture is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureRule {
    /// Components asked for, at least 1; fewer come out when the data have fewer distinct values.
    pub n_components: usize,
    /// EM rounds at most, per start.
    pub rounds_max: usize,
    /// EM stops when the mean log-likelihood changes by less than this, in nats.
    pub tolerance_nats: f64,
    /// Starts; the one of greatest mean log-likelihood wins, the earlier of equals.
    pub n_starts: usize,
    /// Seed; start `r` uses `seed + r`.
    pub seed: u64,
}

impl MixtureRule {
    /// DaWin's numbers: 3 components, 1000 rounds, 1e-4, best of 3, seed 1.
    pub const DAWIN: Self =
        Self { n_components: 3, rounds_max: 1000, tolerance_nats: 1e-4, n_starts: 3, seed: 1 };
}

/// One cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaComponent {
    /// Share of the data, `0 ..= 1`; shares sum to 1.
    pub weight: f64,
    /// First parameter of the Beta distribution, positive.
    pub alpha: f64,
    /// Second parameter, positive.
    pub beta: f64,
}

impl BetaComponent {
    /// The cluster's coefficient, `a / (a + b)`: its mean, in `(0, 1)`.
    #[must_use]
    pub fn coefficient(&self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }
}

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct BetaMixture {
    components: Vec<BetaComponent>,
    mean_log_likelihood_nats: f64,
    rounds: usize,
    converged: bool,
}

impl BetaMixture {
    /// Fits `rule` to `values`, coefficients in `[0, 1]` in the order of the data.
    ///
    /// Each start: seeded k-means++ on the numbers, its hard clusters as the first responsibilities, then rounds
    /// of E step (posteriors and the mean log-likelihood) and M step (weights, and per component the weighted
    /// mean m and variance v, `v <- min(v, m (1 - m) / 4)`, `s = m (1 - m) / v - 1`, `a = s m`, `b = s (1 - m)`)
    /// until the mean log-likelihood settles. All sums run in the order of the data, so the fit is the same
    /// everywhere. The components come out by ascending coefficient (choice: the numbering means something).
    ///
    /// # Errors
    /// [`MixtureError::Empty`] without numbers, [`MixtureError::OutOfRange`] for a number outside `[0, 1]` or
    /// NaN, [`MixtureError::Rule`] for a rule with no components, rounds or starts.
    pub fn fit(values: &[f64], rule: &MixtureRule) -> Result<Self, MixtureError> {
        if rule.n_components == 0 || rule.rounds_max == 0 || rule.n_starts == 0 {
            return Err(MixtureError::Rule);
        }
        if values.is_empty() {
            return Err(MixtureError::Empty);
        }
        if let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| !(0.0..=1.0).contains(*v)) {
            return Err(MixtureError::OutOfRange { index, value });
        }
        let points: Vec<Point> = values.iter().map(|&v| Point::of(v)).collect();
        let xs: Vec<f64> = points.iter().map(|p| p.x).collect();
        let fit_from = |start: u64| {
            let labels = kmeans::labels(&xs, rule.n_components, rule.seed.wrapping_add(start));
            expectation_maximisation(&points, &labels, rule)
        };
        let mut best = fit_from(0);
        for start in 1..rule.n_starts as u64 {
            let fitted = fit_from(start);
            if fitted.mean_log_likelihood_nats > best.mean_log_likelihood_nats {
                best = fitted;
            }
        }
        best.components.sort_by(|a, b| a.coefficient().total_cmp(&b.coefficient()));
        Ok(best)
    }

    /// The components by ascending coefficient; at least one.
    #[must_use]
    pub fn components(&self) -> &[BetaComponent] {
        &self.components
    }

    /// Mean log-likelihood of the data in nats, as the last E step saw it.
    #[must_use]
    pub fn mean_log_likelihood_nats(&self) -> f64 {
        self.mean_log_likelihood_nats
    }

    /// EM rounds that the winning start took.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Whether the winning start settled before its rounds ran out.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// Index of the component that most probably made `value`; the lower of equals.
    ///
    /// A NaN belongs to the first component: check signals before asking.
    #[must_use]
    pub fn assign(&self, value: f64) -> usize {
        let point = Point::of(value);
        let mut best = (0, f64::NEG_INFINITY);
        for (k, component) in self.components.iter().enumerate() {
            let weighted = Scored::of(component).ln_weighted(point);
            if weighted > best.1 {
                best = (k, weighted);
            }
        }
        best.0
    }

    /// The coefficient to merge with for a sample whose own coefficient is `value`.
    #[must_use]
    pub fn coefficient(&self, value: f64) -> f64 {
        self.components[self.assign(value)].coefficient()
    }
}

/// A number with the two logarithms that every density needs.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    ln_x: f64,
    ln_rest: f64,
}

impl Point {
    fn of(value: f64) -> Self {
        let x = value.clamp(EDGE, 1.0 - EDGE);
        Self { x, ln_x: x.ln(), ln_rest: (-x).ln_1p() }
    }
}

/// A component with its normalisation computed once.
struct Scored {
    alpha: f64,
    beta: f64,
    constant: f64,
}

impl Scored {
    fn of(component: &BetaComponent) -> Self {
        let BetaComponent { weight, alpha, beta } = *component;
        Self { alpha, beta, constant: weight.ln() - ln_beta(alpha, beta) }
    }

    /// Logarithm of weight times density.
    fn ln_weighted(&self, p: Point) -> f64 {
        (self.alpha - 1.0) * p.ln_x + (self.beta - 1.0) * p.ln_rest + self.constant
    }
}

/// EM from hard labels; `labels[i] < k` for some small k.
fn expectation_maximisation(points: &[Point], labels: &[usize], rule: &MixtureRule) -> BetaMixture {
    let k = labels.iter().max().map_or(1, |m| m + 1);
    let mut shares = vec![0.0; points.len() * k];
    for (row, &label) in shares.chunks_exact_mut(k).zip(labels) {
        row[label] = 1.0;
    }
    let mut components = maximise(points, &shares, k);
    let (mut likelihood, mut rounds, mut converged) = (f64::NEG_INFINITY, 0, false);
    while rounds < rule.rounds_max && !converged {
        let before = likelihood;
        likelihood = expect(points, &components, &mut shares);
        components = maximise(points, &shares, k);
        rounds += 1;
        converged = (likelihood - before).abs() < rule.tolerance_nats;
    }
    components.retain(|c| c.weight > 0.0);
    BetaMixture { components, mean_log_likelihood_nats: likelihood, rounds, converged }
}

/// E step: fills each point's row of posteriors and returns the mean log-likelihood in nats.
fn expect(points: &[Point], components: &[BetaComponent], shares: &mut [f64]) -> f64 {
    let scored: Vec<Scored> = components.iter().map(Scored::of).collect();
    let mut sum = 0.0;
    for (&point, row) in points.iter().zip(shares.chunks_exact_mut(components.len())) {
        for (share, component) in row.iter_mut().zip(&scored) {
            *share = component.ln_weighted(point);
        }
        // An empty component stands at minus infinity; one always has weight, so the largest is finite.
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = row.iter().map(|s| (s - largest).exp()).sum::<f64>();
        let ln_total = largest + total.ln();
        row.iter_mut().for_each(|s| *s = (*s - ln_total).exp());
        sum += ln_total;
    }
    sum / points.len() as f64
}

/// M step by moments.
fn maximise(points: &[Point], shares: &[f64], k: usize) -> Vec<BetaComponent> {
    let column = |j: usize| points.iter().zip(shares.chunks_exact(k).map(move |row| row[j]));
    (0..k)
        .map(|j| {
            let count: f64 = column(j).map(|(_, w)| w).sum();
            if count < EMPTY_COUNT {
                return BetaComponent { weight: 0.0, alpha: 1.0, beta: 1.0 };
            }
            let mean = column(j).map(|(p, w)| w * p.x).sum::<f64>() / count;
            // Around the mean, not as a difference of two squares: tight clusters keep their digits.
            let variance = column(j).map(|(p, w)| w * (p.x - mean) * (p.x - mean)).sum::<f64>() / count;
            let largest = mean * (1.0 - mean);
            let s = largest / (variance.min(largest / 4.0) + VARIANCE_FLOOR) - 1.0;
            BetaComponent { weight: count / points.len() as f64, alpha: s * mean, beta: s * (1.0 - mean) }
        })
        .collect()
}

/// Why there is no mixture.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum MixtureError {
    /// No numbers to fit.
    #[error("a mixture needs at least one number")]
    Empty,
    /// A number that is no coefficient.
    #[error("number {index} is {value}, outside [0, 1]")]
    OutOfRange {
        /// Its position in the data.
        index: usize,
        /// The refused number.
        value: f64,
    },
    /// The rule asks for no components, no rounds or no starts.
    #[error("a mixture needs at least one component, one round and one start")]
    Rule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_component_stays_out() {
        // k-means may in principle lose a middle cluster; label 1 has no point here.
        let points: Vec<Point> = [0.2, 0.25, 0.7, 0.8].map(Point::of).to_vec();
        let mixture = expectation_maximisation(&points, &[0, 0, 2, 2], &MixtureRule::DAWIN);
        assert_eq!(mixture.components.len(), 2);
        assert!(mixture.mean_log_likelihood_nats.is_finite());
    }
}
