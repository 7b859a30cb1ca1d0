//! Every kernel's own text, compiled for the host under the sanitizers, in the schedules that a card runs, against the tower in
//! f64. Where the machine has no C++ compiler this is skipped with a word.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::host::Host;
use support::inputs::{self, clip, huge, odd, pixels, rounded};
use support::reference::{Reference, Tensors, tensors};
use t3b_gpu::{Compute, Layout, Schedule, Sizes, schedule};

const N_IMAGES: usize = 2;

fn weights(sizes: &Sizes, compute: Compute, seed: u64) -> Tensors {
    let all = tensors(&Layout::new(sizes), seed);
    all.into_iter().map(|(name, values)| (name, rounded(compute, &values))).collect()
}

fn packed(sizes: &Sizes, tensors: &Tensors) -> Vec<f32> {
    Layout::new(sizes).pack(|name| &tensors[name])
}

fn whole(host: &Host, n_images: usize) -> Vec<Schedule> {
    vec![
        schedule::embed(&host.sizes, &host.layout, host.compute, n_images),
        schedule::finish(&host.sizes, &host.layout, host.compute, n_images, 0),
    ]
}

/// The largest difference between features of the schedule and of the reference.
fn deviation(sizes: Sizes, compute: Compute) -> Option<f64> {
    let host = Host::new(sizes.clone(), compute)?;
    let (tensors, pixels) = (weights(&sizes, compute, 1), pixels(&sizes, N_IMAGES));
    let features = host.features(&packed(&sizes, &tensors), &pixels, &whole(&host, N_IMAGES), 0);
    let reference = Reference { sizes: &sizes, tensors: &tensors };
    let expected = pixels.chunks(sizes.image_bytes()).flat_map(|pixels| reference.features(pixels));
    let differences = features.iter().zip(expected).map(|(ours, theirs)| (f64::from(*ours) - theirs).abs());
    // A NaN is no small difference.
    let largest = differences.map(|d| if d.is_nan() { f64::INFINITY } else { d }).fold(0.0, f64::max);
    println!("{} width {} head {}: {largest:.1e}", compute.name(), sizes.width, sizes.head());
    Some(largest)
}

#[test]
fn the_schedule_on_the_host_is_the_tower_in_f32() {
    for sizes in [odd(), clip(), huge()] {
        assert!(deviation(sizes, Compute::F32).is_none_or(|largest| largest < 3e-6));
    }
}

#[test]
fn the_schedule_on_the_host_is_the_tower_in_f16() {
    for sizes in [odd(), clip(), huge()] {
        assert!(deviation(sizes, Compute::F16).is_none_or(|largest| largest < 3e-3));
    }
}

#[test]
fn the_schedule_on_the_host_is_the_tower_in_bf16() {
    for sizes in [odd(), clip(), huge()] {
        assert!(deviation(sizes, Compute::Bf16).is_none_or(|largest| largest < 2e-2));
    }
}

/// Blocks that both parents share are computed once and the pass goes on from them.
#[test]
fn a_pass_in_two_parts_gives_the_bits_of_a_whole_one() {
    for compute in [Compute::F32, Compute::Bf16] {
        let Some(host) = Host::new(odd(), compute) else { return };
        let weights = packed(&host.sizes, &weights(&host.sizes, compute, 1));
        let pixels = pixels(&host.sizes, N_IMAGES);
        let (sizes, layout) = (&host.sizes, &host.layout);
        let parts = [
            schedule::embed(sizes, layout, compute, N_IMAGES),
            schedule::blocks(sizes, layout, compute, N_IMAGES, 0..2),
            schedule::finish(sizes, layout, compute, N_IMAGES, 2),
        ];
        let whole = host.features(&weights, &pixels, &whole(&host, N_IMAGES), 0);
        assert!(whole.iter().all(|x| x.is_finite()));
        assert_eq!(host.features(&weights, &pixels, &parts, 0), whole);
    }
}

/// A barrier that is missing shows as a result that depends on who runs first.
#[test]
fn the_order_of_threads_changes_no_bit() {
    for compute in [Compute::F32, Compute::F16] {
        let Some(host) = Host::new(clip(), compute) else { return };
        let weights = packed(&host.sizes, &weights(&host.sizes, compute, 2));
        let pixels = pixels(&host.sizes, 1);
        let of = |seed| host.features(&weights, &pixels, &whole(&host, 1), seed);
        let first = of(0);
        assert!([1, 2].into_iter().all(|seed| of(seed) == first));
    }
}

/// An image alone is what it is among others.
#[test]
fn an_image_has_the_same_features_in_any_batch() {
    let Some(host) = Host::new(odd(), Compute::F16) else { return };
    let weights = packed(&host.sizes, &weights(&host.sizes, Compute::F16, 3));
    let pixels = pixels(&host.sizes, 5);
    let all = host.features(&weights, &pixels, &whole(&host, 5), 0);
    let last = &pixels[4 * host.sizes.image_bytes()..];
    assert_eq!(host.features(&weights, last, &whole(&host, 1), 0), all[4 * host.sizes.projection..]);
}

#[test]
fn a_merge_is_the_line_between_the_parents_and_its_ends_are_the_parents() {
    let n = 4 * 257;
    let (pt, ft) = (inputs::values(1, n), inputs::values(2, n));
    for compute in [Compute::F32, Compute::F16, Compute::Bf16] {
        let Some(host) = Host::new(odd(), compute) else { return };
        for lambda in [0.0_f32, 1.0, 0.5407, -0.1] {
            let mut program = host.filled("pt", "f32", &pt) + &host.filled("ft", "f32", &ft);
            program += &format!("buffer out value {n}\n");
            program += &format!("launch merge 3 1 1 64 out:0 pt:0 ft:0 {}f {n}l\n", lambda.to_bits());
            host.run(&(program + &host.save("out", n)));
            let expected = pt.iter().zip(&ft).map(|(pt, ft)| match lambda {
                0.0 => *pt,
                1.0 => *ft,
                lambda => pt + lambda * (ft - pt),
            });
            let reach = match compute {
                Compute::F32 | Compute::Tf32 => 0.0,
                Compute::F16 => f32::powi(2.0, -11),
                Compute::Bf16 => f32::powi(2.0, -8),
            };
            for (ours, exact) in host.saved("out").into_iter().zip(expected) {
                // Half a unit in the last place, and half of f16's smallest number.
                let allowed = if reach > 0.0 { exact.abs() * reach + 3e-8 } else { 0.0 };
                assert!((ours - exact).abs() <= allowed, "{} {lambda}: {ours} {exact}", compute.name());
            }
        }
    }
}

#[test]
fn no_two_tensors_share_a_place_and_every_tensor_is_packed() {
    for sizes in [odd(), clip(), huge()] {
        let layout = Layout::new(&sizes);
        let ones: Vec<f32> = vec![1.0; 1 << 20];
        let lens: std::collections::BTreeMap<&str, usize> = layout.tensors().collect();
        let packed = layout.pack(|name| &ones[..lens[name]]);
        let n_values: usize = lens.values().sum();
        assert_eq!(packed.iter().filter(|x| **x == 1.0).count(), n_values);
        assert_eq!(packed.len(), layout.len());
        assert_eq!(lens.len(), layout.tensors().count());
    }
}

/// A100, RTX 30 and 40, H100 and H200, B200, RTX 50.
#[cfg(feature = "cuda")]
const CARDS: [(i32, i32); 6] = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];

/// The compiler that a card's machine runs at start needs no card; `scripts/cuda-toolkit.sh` brings it.
#[cfg(feature = "cuda")]
#[test]
fn the_run_time_compiler_takes_the_kernels_of_every_card_type_and_tower() {
    let is_full = std::env::var("T3B_FULL").is_ok_and(|full| full == "1");
    let cards = if is_full { &CARDS[..] } else { &CARDS[3..4] };
    println!("the kernels for {} of {} kinds of cards", cards.len(), CARDS.len());
    for (sizes, activation) in [
        (odd(), t3b_gpu::Activation::Gelu),
        (clip(), t3b_gpu::Activation::QuickGelu),
        (huge(), t3b_gpu::Activation::GeluTanh),
    ] {
        let sizes = Sizes { activation, ..sizes };
        for (compute, card) in
            Compute::ALL.iter().flat_map(|compute| cards.iter().map(move |card| (compute, card)))
        {
            let code = match t3b_gpu::card::compile(&sizes, *compute, *card) {
                Err(error @ t3b_gpu::card::CardError::NoLibrary(_)) => {
                    println!("skipped: {error}; scripts/cuda-toolkit.sh brings it");
                    return;
                }
                code => code.unwrap().to_src(),
            };
            for kernel in t3b_gpu::kernels::Kernel::ALL {
                assert!(code.contains(&format!(".entry {}(", kernel.name())), "{kernel:?} for {card:?}");
            }
        }
    }
}
