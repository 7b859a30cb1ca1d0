//! The merge of an image tower against copying the same bytes: `cargo bench --bench merge`.
//!
//! Both are counted in bytes moved a second: a copy reads one and writes one, a merge reads two and writes one. The limit
//! is 0.85. Beside it the same merge as candle's tensor expression, which makes three passes, and the merge of towers in 8-bit
//! integers, which reads and writes a quarter of the bytes and rounds anew, beside quantising a merge in `f32`.

use std::hint::black_box;
use std::time::Instant;

use candle_core::{Device, Tensor};
use t3b::merge::lerp::lerp_into;
use t3b::model::ClipConfig;
use t3b::model::fast::{FastVision, Int8Layers};

/// Values of the image tower of ViT-B/16.
const N_VALUES: usize = 86_192_640;
const ROUNDS: usize = 15;
const LAMBDA: f64 = 0.37;

fn seconds(work: &mut dyn FnMut()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

fn plain(pt: &[f32], ft: &[f32], out: &mut [f32]) {
    for ((out, &pt), &ft) in out.iter_mut().zip(pt).zip(ft) {
        *out = pt + LAMBDA as f32 * (ft - pt);
    }
}

fn main() {
    let value = |i: usize, salt: f32| (i as f32 * salt).sin();
    let pt: Vec<f32> = (0..N_VALUES).map(|i| value(i, 0.37)).collect();
    let ft: Vec<f32> = (0..N_VALUES).map(|i| value(i, 0.91)).collect();
    let (mut copied, mut merged) = (vec![0.0_f32; N_VALUES], vec![0.0_f32; N_VALUES]);
    let tensor = |values: &[f32]| Tensor::from_slice(values, N_VALUES, &Device::Cpu).expect("memory");
    let (pt_tensor, ft_tensor) = (tensor(&pt), tensor(&ft));
    let expression =
        || (&pt_tensor + ((&ft_tensor - &pt_tensor)? * LAMBDA)?).and_then(|t| t.to_vec1::<f32>());

    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    lerp_into(&pt, &ft, LAMBDA, &mut merged);
    let theirs = expression().expect("candle");
    let n_different = bits(&merged).iter().zip(&bits(&theirs)).filter(|(a, b)| a != b).count();
    println!("values whose bits differ from the tensor expression's: {n_different} of {N_VALUES}");

    let mut best = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(seconds(&mut || black_box(&mut copied).copy_from_slice(black_box(&pt))));
        best[1] = best[1].min(seconds(&mut || lerp_into(&pt, &ft, LAMBDA, &mut merged)));
        best[2] = best[2].min(seconds(&mut || {
            drop(&pt_tensor + ((&ft_tensor - &pt_tensor).expect("memory") * LAMBDA).expect("memory"))
        }));
        best[3] = best[3].min(seconds(&mut || plain(black_box(&pt), &ft, black_box(&mut merged))));
    }
    let bytes = (N_VALUES * size_of::<f32>()) as f64;
    let (copy, merge) = (2.0 * bytes / best[0], 3.0 * bytes / best[1]);
    println!(
        "copy {:.1} GB/s, merge {:.1} GB/s, ratio {:.2} (limit 0.85)",
        copy / 1e9,
        merge / 1e9,
        merge / copy
    );
    println!("merge against the same loop with plain stores: {:.2} x fewer seconds", best[3] / best[1]);
    println!("merge against the tensor expression: {:.1} x fewer seconds", best[2] / best[1]);
    in_integers(&pt, &ft, &merged, best[1]);
}

/// The merge of the same towers in 8-bit integers, on the threads of rayon's own pool.
fn in_integers(pt: &[f32], ft: &[f32], merged: &[f32], whole_s: f64) {
    let tower = FastVision::new(&ClipConfig::named("clip-vit-base-patch16").expect("a known name"));
    let of = |values: &[f32]| Int8Layers::of(tower.packing(), values, 0);
    let (pt, ft) = (of(pt), of(ft));
    let mut layers = pt.clone();
    let [mut best, mut anew] = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        best = best.min(seconds(&mut || tower.merge_int8(black_box(&mut layers), &pt, &ft, LAMBDA)));
        anew = anew.min(seconds(&mut || drop(black_box(of(merged)))));
    }
    println!(
        "merge in integers {:.1} ms, in f32 {:.1} ms on one thread: {:.2} x; with quantising that {:.1} x",
        best * 1e3,
        whole_s * 1e3,
        whole_s / best,
        (whole_s + anew) / best
    );
}
