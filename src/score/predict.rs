//! From log-probabilities to what a table says about one sample.

use crate::merge::divergence::entropy_nats;
use crate::messages::Prediction;

/// Summarises one row of log-probabilities. Among equal probabilities the lowest class index wins.
#[must_use]
pub(super) fn predict(log_p: &[f64]) -> Prediction {
    let (mut best, mut second) = (0, None);
    for idx in 1..log_p.len() {
        if log_p[idx] > log_p[best] {
            second = Some(best);
            best = idx;
        } else if second.is_none_or(|second: usize| log_p[idx] > log_p[second]) {
            second = Some(idx);
        }
    }
    let pred_prob = log_p[best].exp();
    Prediction {
        probs: log_p.iter().map(|l| l.exp()).collect(),
        pred_idx: u32::try_from(best).unwrap_or(u32::MAX),
        pred_prob,
        margin: pred_prob - second.map_or(0.0, |second| log_p[second].exp()),
        entropy_nats: entropy_nats(log_p),
    }
}

/// The place of the largest value, the lowest among equals.
pub(super) fn argmax<T: Copy + PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, n| if values[n] > values[best] { n } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::divergence::log_softmax;

    #[test]
    fn the_lowest_index_wins_a_tie_and_the_margin_is_to_the_second() {
        let said = predict(&log_softmax(&[1.0_f64, 3.0, 3.0, 0.0], 1.0));
        assert_eq!((said.pred_idx, said.margin), (1, 0.0));
        let said = predict(&log_softmax(&[0.0_f64, 1.0, 5.0], 1.0));
        assert!((said.margin - (said.probs[2] - said.probs[1])).abs() < 1e-15);
        assert!((said.probs.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
