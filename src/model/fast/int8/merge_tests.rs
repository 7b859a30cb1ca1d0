//! Laws of merges in integers.
#![cfg(test)]

use super::super::lanes::tests::archs;
use super::super::packing::PANEL;
use super::super::tests::{bits, on_threads, packed, pixels, small, tensors};
use super::super::{Aligned, FastVision, Weights};
use super::tests::{cosine, quantised, whole_of};
use super::*;
use crate::merge::lerp::lerp_into;

/// The whole numbers of an output and what they are multiplied by.
fn row(int8: &Int8Linear, inputs: usize, output: usize) -> (f64, Vec<f64>) {
    let whole = (0..inputs).map(|input| f64::from(whole_of(int8, output, input)));
    (f64::from(int8.scales(output / PANEL)[output % PANEL]), whole.collect())
}

#[test]
fn a_merged_matrix_is_the_merge_of_what_the_parents_integers_stand_for() {
    for (inputs, outputs) in [(20, 33), (1024, 64), (1100, 40)] {
        let of = |salt: f32| {
            quantised(inputs, outputs, move |output, input| {
                // Outputs of very different size, one of them of zeros in one parent.
                let size = if output == 7 && salt > 0.5 { 0.0 } else { 10.0_f32.powi(output as i32 % 5 - 2) };
                size * ((output * 31 + input * 17) as f32 * salt).sin()
            })
        };
        let (pretrained, expert) = (of(0.37), of(0.91));
        for lambda in [0.25_f32, 0.5, 0.9] {
            let mut merged = pretrained.clone();
            merged.merge(&pretrained, &expert, lambda);
            for output in 0..outputs {
                let [pt, ft, found] = [&pretrained, &expert, &merged].map(|of| row(of, inputs, output));
                let values = pt.1.iter().zip(&ft.1).map(|(a, b)| {
                    let (a, b) = (a * pt.0, b * ft.0);
                    a + f64::from(lambda) * (b - a)
                });
                let values: Vec<f64> = values.collect();
                let most = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
                assert!((found.0 - most / 64.0).abs() <= 1e-6 * most, "{output}: {} of {most}", found.0);
                let mut sums = vec![0.0; inputs.div_ceil(INT8_BLOCK)];
                for (input, (value, whole)) in values.iter().zip(&found.1).enumerate() {
                    // To nearest, and at the middle perhaps the other way in 32 bits.
                    assert!(
                        (value / found.0 - whole).abs() <= 0.5001,
                        "{output} {input}: {whole} of {value}"
                    );
                    sums[input / INT8_BLOCK] += whole;
                }
                for (block, sum) in sums.iter().enumerate() {
                    let said = merged.sums(block * INT8_BLOCK, output / PANEL)[output % PANEL];
                    assert_eq!(f64::from(said), *sum, "{output}, block {block}");
                }
            }
        }
    }
}

#[test]
fn what_is_broken_in_a_parent_is_broken_in_the_merge_and_no_other_output_is() {
    let of = |broken: f32| {
        quantised(20, 33, move |output, input| if (output, input) == (5, 3) { broken } else { 0.5 })
    };
    for broken in [f32::NAN, f32::INFINITY] {
        let (whole, hit) = (of(0.25), of(broken));
        for (pretrained, expert) in [(&whole, &hit), (&hit, &whole)] {
            let mut merged = whole.clone();
            merged.merge(pretrained, expert, 0.5);
            for output in 0..33 {
                let is_finite = merged.scales(output / PANEL)[output % PANEL].is_finite();
                assert_eq!(is_finite, output != 5, "{output}");
            }
        }
    }
}

/// Near the merge in `f32`, the parents at both ends, and the same bits on any number of threads and with any instruction set.
#[test]
fn a_merged_tower_in_integers_is_near_the_merged_tower_wherever_it_is_computed() {
    let config = small();
    let tower = FastVision::new(&config);
    let parents = [1, 2].map(|seed| packed(&tower, &tensors(&config, seed)));
    let pixels = pixels(&config, 5);
    for first in [0, 1] {
        let [pretrained, expert] =
            parents.each_ref().map(|packed| Int8Layers::of(tower.packing(), packed, first));
        let merged = |tower: &FastVision, lambda: f64| {
            let mut buffer = Aligned::zeros(tower.packing().len());
            for range in tower.packing().outside_blocks(first) {
                let [pt, ft] = parents.each_ref().map(|values| &values[range.clone()]);
                lerp_into(pt, ft, lambda, &mut buffer[range]);
            }
            // Blocks before the first are no integers; what is computed of them is not looked at here.
            let mut layers = pretrained.clone();
            tower.merge_int8(&mut layers, &pretrained, &expert, lambda);
            tower.features(Weights::Int8 { packed: &buffer, layers: &layers }, &pixels)
        };
        for (end, (packed, layers)) in parents.iter().zip([&pretrained, &expert]).enumerate() {
            let own = tower.features(Weights::Int8 { packed, layers }, &pixels);
            assert_eq!(bits(&merged(&tower, end as f64)), bits(&own), "end {end}");
        }
        for lambda in [0.3, 0.6] {
            let ours = merged(&tower, lambda);
            let mut whole = Aligned::zeros(tower.packing().len());
            lerp_into(&parents[0], &parents[1], lambda, &mut whole);
            let exact = tower.features(Weights::One(&whole), &pixels);
            for (ours, exact) in ours.chunks(config.projection).zip(exact.chunks(config.projection)) {
                assert!(cosine(ours, exact) > 0.998, "{lambda}: {}", cosine(ours, exact));
                assert_ne!(bits(ours), bits(exact));
            }
            for n_threads in [1, 3] {
                assert_eq!(bits(&on_threads(n_threads, || merged(&tower, lambda))), bits(&ours));
            }
            for arch in archs() {
                assert_eq!(bits(&merged(&FastVision::on(arch, &config), lambda)), bits(&ours), "{arch:?}");
            }
        }
    }
}
