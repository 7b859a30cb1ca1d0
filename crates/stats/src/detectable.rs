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
    let finds = |minority: &u64| mcnemar_exact(*minority, n_discordant - minority) <= alpha;
    // p grows with the minority up to one half, so the last one found is the smallest difference.
    let most = (0..=n_discordant / 2).take_while(finds).last();
    let significant = most.map(|minority| real(n_discordant - 2 * minority) / real(n));
    let reach = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(0.8);
    Some(Detectable {
        significant,
        with_power: (reach * real(n_discordant.max(1)).sqrt() / real(n)).min(1.0),
    })
}
