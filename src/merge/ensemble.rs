//! Averages of the two models' outputs; no weights are merged.

/// Mean of the two probability vectors, `(p + q) / 2`, from rows of log-probabilities.
///
/// The result sums to 1 up to rounding.
///
/// # Panics
/// When the rows differ in length.
#[must_use]
pub fn mean_of_probabilities(log_p: &[f64], log_q: &[f64]) -> Vec<f64> {
    assert_eq!(log_p.len(), log_q.len(), "both models score the same classes");
    log_p.iter().zip(log_q).map(|(p, q)| (p.exp() + q.exp()) / 2.0).collect()
}

/// Mean of the two logit vectors, in `f64`; its softmax is the normalised geometric mean of the two
/// distributions.
///
/// Logits are compared as the models give them, each with its own scale: a model with the larger scale weighs
/// more here than in [`mean_of_probabilities`].
///
/// # Panics
/// When the rows differ in length.
#[must_use]
pub fn mean_of_logits<T: Copy + Into<f64>>(z_pt: &[T], z_ft: &[T]) -> Vec<f64> {
    assert_eq!(z_pt.len(), z_ft.len(), "both models score the same classes");
    z_pt.iter().zip(z_ft).map(|(&a, &b)| (a.into() + b.into()) / 2.0).collect()
}
