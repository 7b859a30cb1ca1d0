//! The tower in f64 and plain loops, from named tensors, in the words of `transformers`' CLIPVisionModelWithProjection. It knows
//! neither the layout nor the schedule.

use std::collections::BTreeMap;

use t3b_gpu::{Activation, Layout, Sizes};

pub(crate) type Tensors = BTreeMap<String, Vec<f32>>;

/// Weights that keep activations near unit size, gains near one.
pub(crate) fn tensors(layout: &Layout, seed: u64) -> Tensors {
    let tensor = |(n, (name, len)): (usize, (&str, usize))| {
        let reach = if name.ends_with("bias") { 0.3 } else { 1.7 / f64::from(len as u32).powf(0.25) };
        let centre = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let reach = if centre > 0.0 { 0.3 } else { reach };
        let values = super::inputs::values(seed * 1000 + n as u64, len);
        (name.to_owned(), values.into_iter().map(|u| (centre + reach * f64::from(u)) as f32).collect())
    };
    layout.tensors().enumerate().map(tensor).collect()
}

type Matrix = Vec<Vec<f64>>;

pub(crate) struct Reference<'a> {
    pub(crate) sizes: &'a Sizes,
    pub(crate) tensors: &'a Tensors,
}

impl Reference<'_> {
    fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }

    fn linear(&self, x: &Matrix, name: &str, n_outputs: usize) -> Matrix {
        let bias = self.tensors.get(&format!("{name}.bias"));
        let weight = self.tensor(&format!("{name}.weight"));
        let output = |x: &[f64], n: usize| {
            let row = &weight[n * x.len()..(n + 1) * x.len()];
            let sum: f64 = x.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum();
            sum + bias.map_or(0.0, |bias| f64::from(bias[n]))
        };
        x.iter().map(|x| (0..n_outputs).map(|n| output(x, n)).collect()).collect()
    }

    fn norm(&self, x: &Matrix, name: &str) -> Matrix {
        let (gain, bias) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        let row = |x: &Vec<f64>| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let scale = 1.0 / (variance + f64::from(self.sizes.norm_eps)).sqrt();
            let parts = x.iter().zip(gain.iter().zip(bias));
            parts.map(|(x, (gain, bias))| (x - mean) * scale * f64::from(*gain) + f64::from(*bias)).collect()
        };
        x.iter().map(row).collect()
    }

    fn activation(&self, x: f64) -> f64 {
        match self.sizes.activation {
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
            Activation::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
            }
        }
    }

    fn attention(&self, x: &Matrix, name: &str) -> Matrix {
        let (width, head) = (self.sizes.width, self.sizes.head());
        let [q, k, v] =
            ["q_proj", "k_proj", "v_proj"].map(|part| self.linear(x, &format!("{name}.{part}"), width));
        let mut mixed = vec![vec![0.0; width]; x.len()];
        for first in (0..width).step_by(head) {
            let part = |row: &[f64]| row[first..first + head].to_vec();
            for (query, mixed) in q.iter().zip(&mut mixed) {
                let score = |key: &Vec<f64>| {
                    part(query).iter().zip(part(key)).map(|(q, k)| q * k).sum::<f64>() / (head as f64).sqrt()
                };
                let scores: Vec<f64> = k.iter().map(score).collect();
                let highest = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
                for (score, value) in scores.iter().zip(&v) {
                    let p = (score - highest).exp() / sum;
                    mixed[first..first + head].iter_mut().zip(part(value)).for_each(|(m, v)| *m += p * v);
                }
            }
        }
        self.linear(&mixed, &format!("{name}.out_proj"), width)
    }

    fn embed(&self, pixels: &[u8]) -> Matrix {
        let (sizes, table) = (self.sizes, super::inputs::table());
        let (side, patch, per_line) = (sizes.image_px, sizes.patch_px, sizes.image_px / sizes.patch_px);
        let embedding = |name: &str| format!("vision_model.embeddings.{name}");
        let mut patches = Matrix::new();
        for token in 0..per_line * per_line {
            let mut row = Vec::new();
            for (channel, y, x) in columns(patch) {
                let (y, x) = (token / per_line * patch + y, token % per_line * patch + x);
                let byte = pixels[(y * side + x) * 3 + channel];
                row.push(f64::from(table[channel * 256 + usize::from(byte)]));
            }
            patches.push(row);
        }
        let mut rows = self.linear(&patches, &embedding("patch_embedding"), sizes.width);
        let class = self.tensor(&embedding("class_embedding")).iter().map(|x| f64::from(*x)).collect();
        rows.insert(0, class);
        let positions = self.tensor(&embedding("position_embedding.weight")).chunks(sizes.width);
        for (row, positions) in rows.iter_mut().zip(positions) {
            row.iter_mut().zip(positions).for_each(|(x, position)| *x += f64::from(*position));
        }
        if sizes.pre_norm { self.norm(&rows, "vision_model.pre_layrnorm") } else { rows }
    }

    /// Unit features of one image.
    pub(crate) fn features(&self, pixels: &[u8]) -> Vec<f64> {
        let mut x = self.embed(pixels);
        for index in 0..self.sizes.layers {
            let name = |part: &str| format!("vision_model.encoder.layers.{index}.{part}");
            let add = |x: &mut Matrix, y: Matrix| {
                x.iter_mut().flatten().zip(y.into_iter().flatten()).for_each(|(x, y)| *x += y);
            };
            let mixed = self.attention(&self.norm(&x, &name("layer_norm1")), &name("self_attn"));
            add(&mut x, mixed);
            let mut inner =
                self.linear(&self.norm(&x, &name("layer_norm2")), &name("mlp.fc1"), self.sizes.mlp_width);
            inner.iter_mut().flatten().for_each(|x| *x = self.activation(*x));
            let out = self.linear(&inner, &name("mlp.fc2"), self.sizes.width);
            add(&mut x, out);
        }
        let class = self.norm(&vec![x[0].clone()], "vision_model.post_layernorm");
        let feature = self.linear(&class, "visual_projection", self.sizes.projection).remove(0);
        let length = feature.iter().map(|x| x * x).sum::<f64>().sqrt();
        feature.into_iter().map(|x| x / length).collect()
    }
}

/// Channel, line and column of every value of a patch.
fn columns(patch: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..3 * patch * patch).map(move |n| (n / (patch * patch), n / patch % patch, n % patch))
}

/// By its series; for the sizes of activations it converges to the last digits.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
