//! The linear merge of large tensors at the speed of memory; one of two modules with unsafe code.
//!
//! A merge reads two streams and writes a third that nothing reads before the next pass. A plain store first fetches the
//! line that it is about to overwrite; a streaming store does not. `cargo bench --bench merge` prints what that is worth.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "streaming stores have no safe form; a bench shows that they pay")
)]

/// Values from which a merge no longer stays in the cache; below, plain stores are faster.
const WORTH_STREAMING: usize = 1 << 18;

/// `out = pretrained + coefficient * (expert - pretrained)`, each operation rounded: the same bits either way.
///
/// # Panics
/// When the lengths differ.
pub(super) fn lerp(pretrained: &[f32], expert: &[f32], coefficient: f32, out: &mut [f32]) {
    assert!(pretrained.len() == out.len() && expert.len() == out.len(), "three tensors of one shape");
    if cfg!(target_arch = "x86_64") && out.len() >= WORTH_STREAMING {
        streamed(pretrained, expert, coefficient, out);
    } else {
        plain(pretrained, expert, coefficient, out);
    }
}

fn plain(pretrained: &[f32], expert: &[f32], coefficient: f32, out: &mut [f32]) {
    for ((slot, &g), &e) in out.iter_mut().zip(pretrained).zip(expert) {
        *slot = g + coefficient * (e - g);
    }
}

#[cfg(not(target_arch = "x86_64"))]
use plain as streamed;

#[cfg(target_arch = "x86_64")]
fn streamed(pretrained: &[f32], expert: &[f32], coefficient: f32, out: &mut [f32]) {
    use std::arch::x86_64::{
        _mm_add_ps, _mm_loadu_ps, _mm_mul_ps, _mm_set1_ps, _mm_sfence, _mm_stream_ps, _mm_sub_ps,
    };
    /// Values of one store, and its alignment in bytes.
    const WIDTH: usize = 4;
    const ALIGNMENT: usize = 16;

    let head = out.as_ptr().align_offset(ALIGNMENT).min(out.len());
    let body = (out.len() - head) / WIDTH * WIDTH;
    let (start, middle, end) = (0..head, head..head + body, head + body..out.len());
    for edge in [start, end] {
        plain(&pretrained[edge.clone()], &expert[edge.clone()], coefficient, &mut out[edge]);
    }
    let (pretrained, expert, out) = (&pretrained[middle.clone()], &expert[middle.clone()], &mut out[middle]);
    // SAFETY: SSE is part of x86-64. Each step reads and writes `WIDTH` values from `at` on, and the three slices have
    // one length, which is a multiple of `WIDTH`. The first address of `out` is a multiple of `ALIGNMENT`, hence every one.
    unsafe {
        let factor = _mm_set1_ps(coefficient);
        for at in (0..out.len()).step_by(WIDTH) {
            let g = _mm_loadu_ps(pretrained.as_ptr().add(at));
            let e = _mm_loadu_ps(expert.as_ptr().add(at));
            let merged = _mm_add_ps(g, _mm_mul_ps(factor, _mm_sub_ps(e, g)));
            _mm_stream_ps(out.as_mut_ptr().add(at), merged);
        }
        // Streaming stores are weakly ordered; whoever is told that the merge is done must see it.
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streamed_stores_give_the_bits_of_the_plain_loop_at_any_length_and_offset() {
        let value = |i: usize, salt: f32| ((i as f32) * salt).sin() * 10.0_f32.powi((i % 9) as i32 - 4);
        let n = 1000;
        let (g, e): (Vec<f32>, Vec<f32>) = (0..n).map(|i| (value(i, 0.37), value(i, 0.91))).unzip();
        for (start, len) in (0..9).flat_map(|start| [0, 1, 3, 4, 5, 63, 900].map(|len| (start, len))) {
            let (g, e) = (&g[start..start + len], &e[2 * start..2 * start + len]);
            let (mut wanted, mut found) = (vec![7.0; n], vec![7.0; n]);
            plain(g, e, 0.3, &mut wanted[start..start + len]);
            streamed(g, e, 0.3, &mut found[start..start + len]);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&wanted), "start {start}, length {len}");
        }
    }

    #[test]
    fn large_and_small_tensors_merge_alike() {
        let large = WORTH_STREAMING + 3;
        let (g, e) = (vec![1.5_f32; large], vec![-0.25_f32; large]);
        let mut out = vec![0.0; large];
        lerp(&g, &e, 0.7, &mut out);
        assert!(out.iter().all(|v| v.to_bits() == (1.5_f32 + 0.7 * (-0.25 - 1.5)).to_bits()));
    }
}
