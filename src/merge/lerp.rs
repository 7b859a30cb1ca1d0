//! Linear merges of flat weights: `theta = theta_pt + coefficient * (theta_ft - theta_pt)` (paper, section of
//! the merge; the same line as `(1 - lambda) theta_pt + lambda theta_ft`).
//!
//! WiSE-FT is this merge at a fixed coefficient, usually 0.5, and with one expert task arithmetic
//! `theta_pt + s (theta_ft - theta_pt)` is the same merge again: one function serves both, so that two rows of
//! a table that must agree do. M3 is this merge at a random coefficient.

use super::random::Draws;
use super::stream;

/// Coefficient of the WiSE-FT row, the plain average of the two models.
pub const WISE_FT_COEFFICIENT: f64 = 0.5;

/// Scale of the task-arithmetic row (and of TIES), 0.3 in the original's tuning-free setting.
pub const TASK_SCALE: f64 = 0.3;

/// Merges one tensor into `out`.
///
/// The difference is taken first, then scaled, then added, each rounded to `f32`; no fused step, so every
/// machine gives the same bits. The coefficient is rounded to `f32` once. At 0 the result is `pretrained` bit
/// for bit and at 1 it is `expert` bit for bit, both by copying: `a + (b - a)` need not round to `b`. Between,
/// equal weights stay equal. Coefficients outside `[0, 1]` extrapolate, as task arithmetic may want.
///
/// # Panics
/// When the lengths differ.
pub fn lerp_into(pretrained: &[f32], expert: &[f32], coefficient: f64, out: &mut [f32]) {
    assert_eq!(pretrained.len(), expert.len(), "both parents hold the same tensor");
    assert_eq!(pretrained.len(), out.len(), "the merge has the parents' shape");
    let coefficient = coefficient as f32;
    if coefficient == 0.0 {
        out.copy_from_slice(pretrained);
    } else if coefficient == 1.0 {
        out.copy_from_slice(expert);
    } else {
        stream::lerp(pretrained, expert, coefficient, out);
    }
}

/// Adds a scaled difference that was computed before: `out = base + scale * delta`.
///
/// The same bits as [`lerp_into`] where `delta` is `expert - pretrained` in `f32`, except at a scale of exactly
/// 1, where this adds and that copies. At a scale of 0 the result is `base` bit for bit.
///
/// # Panics
/// When the lengths differ.
pub fn add_scaled_into(base: &[f32], delta: &[f32], scale: f64, out: &mut [f32]) {
    assert_eq!(base.len(), delta.len(), "a difference per weight");
    assert_eq!(base.len(), out.len(), "the merge has the base's shape");
    let scale = scale as f32;
    if scale == 0.0 {
        out.copy_from_slice(base);
        return;
    }
    for ((slot, &b), &d) in out.iter_mut().zip(base).zip(delta) {
        *slot = b + scale * d;
    }
}

/// M3's coefficient of one run: uniform on `[0, 1)`, the draw number `run` of the stream `m3` under `seed`.
///
/// The original draws from a Beta(a, a) distribution; a = 1 is the uniform one. A row of this baseline is the
/// mean and spread over at least five runs.
#[must_use]
pub fn m3_coefficient(seed: u64, run: u64) -> f64 {
    Draws::new(seed, "m3").uniform(run)
}
