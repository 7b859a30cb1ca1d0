//! Parts of the image tower, at the sizes of ViT-B/32.

use std::hint::black_box;

use pulp::{Simd, WithSimd};
use t3b_image::simd;

use super::activation::activate;
use super::aligned::Aligned;
use super::attention::Attention;
use super::int8::{Int8Linear, Int8Product};
use super::norm::LayerNorm;
use super::packing::{Linear, Norm, PANEL, Packing};
use super::product::{Product, ProductScratch, Rows, RowsMut};
use super::weights::{Model, Run};
use crate::kernels::wave;
use crate::model::config::{Activation, ClipConfig};

const WIDTH: usize = 768;
const TOKENS: usize = 50;

/// A linear layer of an image: 50 rows by 768 inputs and 768 outputs.
pub(crate) fn product(n: usize) {
    let (weights, _) = parents();
    linear(n, Model::One(&weights), None);
}

/// The same in 8-bit integers, the rows quantised on the way.
pub(crate) fn int8_product(n: usize) {
    let (weights, _) = parents();
    linear(n, Model::One(&weights), Some(&Int8Linear::of(&layer(), &weights)));
}

/// The same with weights that are merged panel by panel while they are read.
pub(crate) fn merged_product(n: usize) {
    let (pt, ft) = parents();
    linear(n, Model::Lerp { pt: &pt, ft: &ft, lambda: 0.37 }, None);
}

fn layer() -> Linear {
    let shape = Linear::alone(WIDTH, WIDTH);
    Linear { bias: Some(shape.len()), ..shape }
}

fn parents() -> (Aligned, Aligned) {
    let made = |salt| {
        let mut buffer = Aligned::zeros(layer().len() + WIDTH);
        buffer.iter_mut().enumerate().for_each(|(i, value)| *value = wave(i, salt));
        buffer
    };
    (made(0.731), made(0.377))
}

fn linear(n: usize, model: Model<'_>, int8: Option<&Int8Linear>) {
    let x: Vec<f32> = (0..TOKENS * WIDTH).map(|i| wave(i, 0.113)).collect();
    let mut y = vec![0.0; TOKENS * WIDTH];
    let mut scratch = ProductScratch::new(TOKENS, 1);
    for _ in 0..n {
        let product = Product {
            linear: layer(),
            panels: 0..WIDTH / PANEL,
            activation: None,
            runs: &[Run { n_images: 1, model }],
            n_rows: TOKENS,
            x: Rows { values: black_box(&x), stride: WIDTH, columns: WIDTH },
            y: RowsMut { values: black_box(&mut y), stride: WIDTH, first: 0, keeps: false },
            scratch: &mut scratch,
        };
        match int8 {
            Some(weights) => Int8Product { weights, product }.run(simd::arch()),
            None => simd::arch().dispatch(product),
        }
    }
}

/// Self-attention of an image, all heads and all tokens.
pub(crate) fn attention(n: usize) {
    let config = ClipConfig::named("clip-vit-base-patch32").expect("a known architecture");
    let packing = Packing::new(&config);
    let attention = Attention::new(&packing);
    let (mut scratch, mut product) = (attention.scratch(), ProductScratch::new(TOKENS, 1));
    let qkv: Vec<f32> = (0..TOKENS * 3 * WIDTH).map(|i| wave(i, 0.209)).collect();
    let mut out = vec![0.0; TOKENS * WIDTH];
    for _ in 0..n {
        let (qkv, out) = (black_box(&qkv), black_box(&mut out));
        attention.mix(simd::arch(), qkv, 0..TOKENS, out, &mut scratch, &mut product);
    }
}

/// Layer norm of the rows of sixteen images.
pub(crate) fn norm(n: usize) {
    let n_rows = 16 * TOKENS;
    let weights: Vec<f32> = (0..2 * WIDTH).map(|i| wave(i, 0.531)).collect();
    let x: Vec<f32> = (0..n_rows * WIDTH).map(|i| wave(i, 0.277)).collect();
    let (mut y, mut scratch) = (vec![0.0; n_rows * WIDTH], (vec![0.0; WIDTH], vec![0.0; WIDTH]));
    for _ in 0..n {
        simd::arch().dispatch(LayerNorm {
            norm: Norm { gain: 0, bias: WIDTH },
            runs: &[Run { n_images: 16, model: Model::One(&weights) }],
            n_rows: TOKENS,
            width: WIDTH,
            eps: 1e-5,
            stride: WIDTH,
            x: black_box(&x),
            y: black_box(&mut y),
            scratch: (&mut scratch.0, &mut scratch.1),
        });
    }
}

/// Each of the three activations over the inner rows of two images.
pub(crate) fn activations(n: usize) {
    let mut values: Vec<f32> = (0..2 * TOKENS * 4 * WIDTH).map(|i| 4.0 * wave(i, 0.613)).collect();
    for _ in 0..n {
        for activation in [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh] {
            simd::arch().dispatch(Activate { activation, values: black_box(&mut values) });
        }
    }
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for x in S::as_mut_simd_f32s(self.values).0 {
            *x = activate(simd, self.activation, *x);
        }
    }
}
