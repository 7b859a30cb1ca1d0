//! Laws of products and towers in integers.

use proptest::prelude::*;
use pulp::Arch;

use super::super::lanes::tests::archs;
use super::super::packing::{LANES, Linear, PANEL};
use super::super::product::{Product, ProductScratch, Rows, RowsMut};
use super::super::tests::{bits, on_threads, packed, pixels, small, tensors};
#[cfg(target_arch = "x86_64")]
use super::super::tile::NARROW;
use super::super::weights::{Model, Run};
use super::super::{Aligned, FastVision, Weights};
use super::rows::Scale;
#[cfg(target_arch = "x86_64")]
use super::vnni::EncodedVnni;
use super::*;
use crate::model::config::{Activation, VisionKind};

/// A layer with its weights by output, and rows of inputs.
#[derive(Debug, Clone)]
struct Case {
    inputs: usize,
    outputs: usize,
    n_rows: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
}

impl Case {
    fn of(inputs: usize, outputs: usize, n_rows: usize, value: impl Fn(usize) -> f32) -> Self {
        let some = |n: usize, salt: usize| (0..n).map(|i| value(i * 7 + salt)).collect::<Vec<f32>>();
        let (weights, bias, x) = (some(inputs * outputs, 1), some(outputs, 2), some(n_rows * inputs, 3));
        Self { inputs, outputs, n_rows, weights, bias, x }
    }

    /// `[rows, outputs]`, from the kernels.
    fn ours(&self, arch: Arch) -> Vec<f32> {
        self.product(|product| product.run(arch))
    }

    /// `[rows, outputs]`, as `run` computes them.
    fn product(&self, run: impl FnOnce(Int8Product<'_>)) -> Vec<f32> {
        let shape = Linear::alone(self.inputs, self.outputs);
        let linear = Linear { bias: Some(shape.len()), ..shape };
        let mut buffer = Aligned::zeros(shape.len() + shape.outputs);
        for (output, weights) in self.weights.chunks(self.inputs).enumerate() {
            linear.put_output(&mut buffer, output, weights);
            buffer[shape.len() + output] = self.bias[output];
        }
        let weights = Int8Linear::of(&linear, &buffer);
        let mut y = vec![0.0; self.n_rows * linear.outputs];
        let product = Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: &[Run { n_images: 1, model: Model::One(&buffer) }],
            n_rows: self.n_rows,
            x: Rows { values: &self.x, stride: self.inputs, columns: self.inputs },
            y: RowsMut { values: &mut y, stride: linear.outputs, first: 0, keeps: false },
            scratch: &mut ProductScratch::new(self.n_rows, 1),
        };
        run(Int8Product { weights: &weights, product });
        y.chunks(linear.outputs).flat_map(|row| row[..self.outputs].to_vec()).collect()
    }

    /// What the definition says, in 64 bits: quantise both sides, multiply whole numbers, scale the sum.
    fn defined(&self) -> Vec<f64> {
        let weights = self.weights.chunks(self.inputs).map(|weights| {
            let scale = weights.iter().fold(0.0_f64, |most, w| most.max(f64::from(w.abs()))) / 64.0;
            let whole = |w: &f32| if scale > 0.0 { (f64::from(*w) / scale).round_ties_even() } else { 0.0 };
            (scale, weights.iter().map(whole).collect::<Vec<_>>())
        });
        let weights: Vec<(f64, Vec<f64>)> = weights.collect();
        let rows = self.x.chunks(self.inputs).flat_map(|row| {
            let least = row.iter().fold(0.0_f64, |least, x| least.min(f64::from(*x)));
            let most = row.iter().fold(0.0_f64, |most, x| most.max(f64::from(*x)));
            let scale = (most - least) / 255.0;
            let zero = if scale > 0.0 { (-least / scale).round_ties_even() } else { 0.0 };
            let whole = |x: &f32| {
                if scale > 0.0 {
                    (f64::from(*x) / scale + zero).round_ties_even().clamp(0.0, 255.0)
                } else {
                    zero
                }
            };
            let row: Vec<f64> = row.iter().map(whole).collect();
            weights
                .iter()
                .zip(&self.bias)
                .map(move |((of_weights, weights), bias)| {
                    let sum: f64 = row.iter().zip(weights).map(|(x, w)| (x - zero) * w).sum();
                    f64::from(*bias) + sum * scale * of_weights
                })
                .collect::<Vec<_>>()
        });
        rows.collect()
    }

    /// The product itself, in 64 bits.
    fn exact(&self) -> Vec<f64> {
        let rows = self.x.chunks(self.inputs).flat_map(|row| {
            let output = |(weights, bias): (&[f32], &f32)| {
                let products = row.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
                f64::from(*bias) + products.sum::<f64>()
            };
            self.weights.chunks(self.inputs).zip(&self.bias).map(output).collect::<Vec<_>>()
        });
        rows.collect()
    }

    /// The most that rounding to whole numbers can move an output: half a step of each factor for every input.
    fn bound(&self) -> f64 {
        let most = |values: &[f32]| values.iter().fold(0.0_f64, |most, v| most.max(f64::from(v.abs())));
        let (x, w) = (most(&self.x), most(&self.weights));
        self.inputs as f64 * (2.0 * x / 255.0 * w + w / 128.0 * x + 2.0 * x / 255.0 * w / 128.0)
    }

    fn check(&self) {
        let first = self.ours(Arch::Scalar);
        for arch in archs() {
            assert_eq!(bits(&self.ours(arch)), bits(&first), "{arch:?} {} {}", self.inputs, self.outputs);
            let without = self.product(|product| product.without_vnni(arch));
            assert_eq!(bits(&without), bits(&first), "{arch:?} alone {} {}", self.inputs, self.outputs);
            #[cfg(target_arch = "x86_64")]
            if let Some(vnni) = EncodedVnni::of(arch) {
                let narrow = self.product(|product| vnni.vectorize(|| product.blocks::<_, NARROW>(vnni)));
                assert_eq!(bits(&narrow), bits(&first), "VNNI of 256 bits {} {}", self.inputs, self.outputs);
            }
        }
        let scale = self.bound().max(1e-30);
        for ((ours, defined), exact) in first.iter().zip(self.defined()).zip(self.exact()) {
            // A value within a rounding of the middle may go the other way in 32 bits: one step of one input or two.
            let near = 2.0 * scale / self.inputs as f64 + 1e-5 * defined.abs() + 1e-5 * scale;
            assert!((f64::from(*ours) - defined).abs() <= near, "{ours} is not {defined}");
            assert!(
                (f64::from(*ours) - exact).abs() <= scale * 1.01 + 1e-6 * exact.abs(),
                "{ours} is far from {exact}"
            );
        }
    }
}

fn wave(i: usize) -> f32 {
    (i as f32 * 0.731).sin() + 0.25
}

#[test]
fn every_shape_is_what_the_definition_says_on_every_instruction_set() {
    for (inputs, outputs) in [(1, 1), (20, 33), (256, 32), (1024, 64), (1025, 5), (2100, 40)] {
        for n_rows in (1..=7).chain([12, 13, 26]) {
            Case::of(inputs, outputs, n_rows, wave).check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_values_are_what_the_definition_says(
        inputs in 1_usize..70,
        outputs in 1_usize..40,
        n_rows in 1_usize..15,
        seed in any::<u64>(),
        power in -12_i32..12,
    ) {
        let value = |i: usize| {
            let mixed = (i as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed >> 40) as f32 / 16_777_216.0 - 0.5) * 10.0_f32.powi(power)
        };
        Case::of(inputs, outputs, n_rows, value).check();
    }
}

/// All products at their largest, with the same sign and in turn: sums of 16 bits that saturate would show.
#[test]
fn the_largest_values_are_multiplied_without_loss() {
    for inputs in [4, 1024, 3072] {
        for sign in [1.0, -1.0] {
            let case = Case::of(inputs, 33, 7, |_| 1.0);
            let weights = (0..inputs * 33).map(|i| if i / inputs % 2 == 0 { sign } else { -sign }).collect();
            let case = Case { weights, bias: vec![0.0; 33], ..case };
            for arch in archs() {
                for (at, y) in case.ours(arch).into_iter().enumerate() {
                    let exact = inputs as f32 * if at % 33 % 2 == 0 { sign } else { -sign };
                    assert!((y - exact).abs() <= 1e-5 * exact.abs(), "{arch:?}: {y} is not {exact}");
                }
            }
        }
    }
}

#[test]
fn a_row_reaches_from_its_least_to_its_most_and_zero_is_a_whole_number() {
    let scale = Scale::of(&[-1.0, 0.0, 3.0]);
    assert_eq!((scale.zero, scale.scale), (64.0, 4.0 / 255.0));
    let one_sided = Scale::of(&[0.5, 2.0]);
    assert_eq!((one_sided.zero, one_sided.scale), (0.0, 2.0 / 255.0));
    assert_eq!(Scale::of(&[0.0; 40]), Scale { factor: 0.0, zero: 0.0, scale: 0.0 });
    assert_eq!(Scale::of(&[1e-42, 0.0]).scale, 0.0);
}

/// One broken value breaks its row or its output and no other.
#[test]
fn what_is_not_finite_stays_so_and_goes_nowhere_else() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (at_x, at_weight) in [(Some(2 * 40 + 17), None), (None, Some(5 * 40 + 3))] {
            let mut case = Case::of(40, 33, 7, wave);
            at_x.into_iter().for_each(|at| case.x[at] = broken);
            at_weight.into_iter().for_each(|at| case.weights[at] = broken);
            for arch in archs() {
                for (at, y) in case.ours(arch).into_iter().enumerate() {
                    let is_hit = if at_x.is_some() { at / 33 == 2 } else { at % 33 == 5 };
                    assert_eq!(y.is_finite(), !is_hit, "{arch:?}, {broken} at {at_x:?} {at_weight:?}: {at}");
                }
            }
        }
    }
}

/// A matrix whose weight is `value(output, input)`, quantised.
pub(super) fn quantised(inputs: usize, outputs: usize, value: impl Fn(usize, usize) -> f32) -> Int8Linear {
    let shape = Linear::alone(inputs, outputs);
    let mut buffer = Aligned::zeros(shape.len());
    for output in 0..outputs {
        let weights: Vec<f32> = (0..inputs).map(|input| value(output, input)).collect();
        shape.put_output(&mut buffer, output, &weights);
    }
    Int8Linear::of(&shape, &buffer)
}

/// The whole number of a weight: quads of inputs side by side, outputs of a strip one behind the other.
pub(super) fn whole_of(int8: &Int8Linear, output: usize, input: usize) -> i8 {
    let (panel, output) = (output / PANEL, output % PANEL);
    let start = input / INT8_BLOCK * INT8_BLOCK;
    let strip = output / LANES * LANES * int8.depth(start);
    let quad = strip + (input - start) / QUAD * QUAD * LANES;
    int8.panel(start, panel)[quad + output % LANES * QUAD + input % QUAD]
}

#[test]
fn weights_lie_in_quads_within_strips() {
    let value = |output: usize, input: usize| ((output * 5 + input * 3) % 129) as f32 - 64.0;
    // Every output has a weight of 64, so that its scale is one.
    let of = |output, input| if input == 0 { 64.0 } else { value(output, input) };
    let int8 = quantised(INT8_BLOCK + 9, PANEL + 3, of);
    for (output, input) in [(17, 6), (PANEL + 2, 1023), (3, INT8_BLOCK + 8)] {
        assert_eq!(f32::from(whole_of(&int8, output, input)), value(output, input));
    }
    let sum: f32 = 64.0 + (1..INT8_BLOCK).map(|input| value(3, input)).sum::<f32>();
    assert_eq!(int8.sums(0, 0)[3], sum);
    assert_eq!((int8.scales(0)[3], int8.scales(1)[3]), (1.0, 0.0));
}

/// Cosine of two rows.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn a_tower_in_integers_is_near_the_tower_and_has_one_row_for_an_image() {
    for kind in [VisionKind::Clip, VisionKind::Timm, VisionKind::Siglip] {
        let mut config = small();
        config.vision_kind = kind;
        config.vision.activation = Activation::Gelu;
        if kind == VisionKind::Siglip {
            config.projection = config.vision.width;
        }
        let tower = FastVision::new(&config);
        let weights = packed(&tower, &tensors(&config, 1));
        let layers = Int8Layers::of(tower.packing(), &weights, 0);
        let int8 = Weights::Int8 { packed: &weights, layers: &layers };
        let pixels = pixels(&config, 33);
        let per_image = tower.packing().pixels();
        let whole = tower.features(Weights::One(&weights), &pixels);
        let alone: Vec<f32> =
            pixels.chunks(per_image).flat_map(|image| tower.features(int8, image)).collect();
        let width = config.projection;
        for (whole, alone) in whole.chunks(width).zip(alone.chunks(width)) {
            assert!(cosine(whole, alone) > 0.999, "{kind:?}: {}", cosine(whole, alone));
            assert_ne!(bits(whole), bits(alone), "{kind:?} computes in integers");
        }
        for (n_images, n_threads) in [(1, 1), (1, 3), (2, 3), (7, 2), (33, 1), (33, 3)] {
            let first = 33 - n_images;
            let rows = on_threads(n_threads, || tower.features(int8, &pixels[first * per_image..]));
            assert_eq!(bits(&rows), bits(&alone[first * width..]), "{kind:?} {n_images} {n_threads}");
        }
        for arch in archs() {
            let rows = FastVision::on(arch, &config).features(int8, &pixels);
            assert_eq!(bits(&rows), bits(&alone), "{kind:?} {arch:?}");
        }
    }
}

/// Blocks that both parents share are computed once and as they are; the others behind them in integers.
#[test]
fn blocks_before_the_first_are_those_of_the_tower() {
    let config = small();
    let tower = FastVision::new(&config);
    let weights = packed(&tower, &tensors(&config, 6));
    let pixels = pixels(&config, 3);
    let whole = tower.features(Weights::One(&weights), &pixels);
    for first in 1..config.vision.layers {
        let layers = Int8Layers::of(tower.packing(), &weights, first);
        let int8 = Weights::Int8 { packed: &weights, layers: &layers };
        let prefix = tower.prefix(Weights::One(&weights), &pixels, first);
        let ours = tower.features_from(int8, &prefix);
        assert_eq!(bits(&ours), bits(&tower.features(int8, &pixels)));
        assert_ne!(bits(&ours), bits(&whole));
    }
    let none = Int8Layers::of(tower.packing(), &weights, config.vision.layers);
    let int8 = Weights::Int8 { packed: &weights, layers: &none };
    assert_eq!(bits(&tower.features(int8, &pixels)), bits(&whole));
}
