//! What a set of this size could show at all.

use crate::inference::{mcnemar_exact, normal_quantile};
use crate::metrics::real;

/// The smallest differences in accuracy between two methods that a set can show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detectable {
    /// Smallest difference that McNemar's exact test calls significant, with this many discordant samples; `None`
    /// when even all of them on one side would not be enough.
    pub significant: Option<f64>,
    /// True difference that the test finds with a power of 80 %, by the normal approximation.
    pub with_power: f64,
}

/// For `n` samples of which `n_discordant` are right under one method alone, at significance `alpha`.
///
/// With fewer than 6 discordant samples nothing is significant at 0.05, whatever `n` is.
#[must_use]
pub fn detectable(n: u64, n_discordant: u64, alpha: f64) -> Option<Detectable> {
    if n == 0 {
        return None;
    }
    let finds = |minority: u64| mcnemar_exact(minority, n_discordant - minority) <= alpha;
    // p grows with the minority up to one half, so the last one found is the smallest difference.
    let (mut found, mut end) = (0, n_discordant / 2 + 1);
    while found < end {
        let middle = found.midpoint(end);
        if finds(middle) { found = middle + 1 } else { end = middle }
    }
    let significant = found.checked_sub(1).map(|minority| real(n_discordant - 2 * minority) / real(n));
    let reach = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(0.8);
    Some(Detectable {
        significant,
        with_power: (reach * real(n_discordant.max(1)).sqrt() / real(n)).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_difference_is_the_last_that_a_walk_through_all_of_them_finds() {
        for n_discordant in 0..=200 {
            let finds = |minority: &u64| mcnemar_exact(*minority, n_discordant - minority) <= 0.05;
            let walked = (0..=n_discordant / 2).take_while(finds).last();
            let walked = walked.map(|minority| real(n_discordant - 2 * minority) / 1000.0);
            assert_eq!(detectable(1000, n_discordant, 0.05).unwrap().significant, walked, "{n_discordant}");
        }
    }

    /// As many terms as there are samples, for each of as many minorities, is hours for a night of millions.
    #[test]
    fn millions_of_discordant_samples_take_no_longer_than_their_spread() {
        let found = detectable(100_000_000, 20_000_000, 0.05).unwrap().significant.unwrap();
        // Normal approximation: 1.96 standard deviations of the difference.
        let expected = 1.959_963_985 * 20_000_000_f64.sqrt() / 100_000_000.0;
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
        // scipy.stats.binom.cdf, twice.
        assert!((mcnemar_exact(9_990_000, 10_010_000) / 7.752_307_557_546_872e-6 - 1.0).abs() < 1e-6);
    }
}
