//! Spherical interpolation of two tensors, each flattened to one vector.

/// The cosine is held this far inside `[-1, 1]`, so that the sine it is divided by is never 0.
pub const COSINE_MARGIN: f64 = 1e-6;

/// Position of the SLERP row on the arc.
pub const SLERP_POSITION: f64 = 0.5;

/// Merges one tensor into `out`: `(sin((1 - t) w) theta_pt + sin(t w) theta_ft) / sin w`, where `w` is the angle
/// between the two flattened tensors and `t` is `position`, the place on the arc from pretrained to expert.
///
/// Weights and result are `f32`. The cosine is the dot product over the product of the norms, summed in `f64`
/// (eight interleaved sums, added in order) and held inside `1 - `[`COSINE_MARGIN`] on both sides; the two
/// factors are computed in `f64` and rounded to `f32` once. The given tensors are combined, not their unit
/// vectors, so for parents of nearly equal direction this is close to the linear merge. Where one tensor is all
/// zeros the angle is undefined and the merge is linear (choice). At `position` 0 and 1 the result is the parent
/// bit for bit.
///
/// # Panics
/// When the lengths differ.
pub fn slerp_into(pretrained: &[f32], expert: &[f32], position: f64, out: &mut [f32]) {
    assert_eq!(pretrained.len(), expert.len(), "both parents hold the same tensor");
    assert_eq!(pretrained.len(), out.len(), "the merge has the parents' shape");
    if position == 0.0 {
        out.copy_from_slice(pretrained);
    } else if position == 1.0 {
        out.copy_from_slice(expert);
    } else {
        let (of_pretrained, of_expert) = factors(pretrained, expert, position);
        for ((slot, &g), &e) in out.iter_mut().zip(pretrained).zip(expert) {
            *slot = of_pretrained * g + of_expert * e;
        }
    }
}

/// The two factors of the sum.
fn factors(pretrained: &[f32], expert: &[f32], position: f64) -> (f32, f32) {
    let norms = dot(pretrained, pretrained).sqrt() * dot(expert, expert).sqrt();
    if norms == 0.0 {
        return ((1.0 - position) as f32, position as f32);
    }
    let limit = 1.0 - COSINE_MARGIN;
    let angle = (dot(pretrained, expert) / norms).clamp(-limit, limit).acos();
    let of_pretrained = ((1.0 - position) * angle).sin() / angle.sin();
    let of_expert = (position * angle).sin() / angle.sin();
    (of_pretrained as f32, of_expert as f32)
}

/// Dot product in `f64`. A single running sum cannot be vectorised without reordering it; eight can, in an
/// order that is the same on every machine.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += f64::from(x) * f64::from(y);
    }
    sums.iter().sum()
}
