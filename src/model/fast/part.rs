//! Some rows of a set of images through a block, on one thread.

use std::ops::Range;

use pulp::Arch;

use super::attention::Attention;
use super::int8::{Int8Layer, Int8Linear, Int8Product};
use super::norm::LayerNorm;
use super::packing::{Layer, Linear, Norm, PANEL, Packing};
use super::product::{Product, Rows, RowsMut};
use super::weights::Run;
use super::workspace::Tools;

/// A linear layer of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dense<'a> {
    linear: Linear,
    /// Where the pass computes with integers.
    int8: Option<&'a Int8Linear>,
}

impl Dense<'_> {
    fn apply(self, arch: Arch, product: Product<'_>) {
        match self.int8 {
            Some(weights) => Int8Product { weights, product }.run(arch),
            None => arch.dispatch(product),
        }
    }
}

/// The layers of a block in the form in which the pass computes with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) attention_norm: Norm,
    pub(super) qkv: Dense<'a>,
    pub(super) out: Dense<'a>,
    mlp_norm: Norm,
    rise: Dense<'a>,
    fall: Dense<'a>,
}

impl<'a> Block<'a> {
    pub(super) fn of(layer: &Layer, int8: Option<&'a Int8Layer>) -> Self {
        Self {
            attention_norm: layer.attention_norm,
            qkv: Dense { linear: layer.qkv, int8: int8.map(|int8| &int8.qkv) },
            out: Dense { linear: layer.out, int8: int8.map(|int8| &int8.out) },
            mlp_norm: layer.mlp_norm,
            rise: Dense { linear: layer.rise, int8: int8.map(|int8| &int8.rise) },
            fall: Dense { linear: layer.fall, int8: int8.map(|int8| &int8.fall) },
        }
    }
}

/// The rows of each image that a step computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Rows of an image.
    pub(super) n_rows: usize,
    /// From one to the next, in tokens.
    pub(super) step: usize,
}

/// Rows of every image of a set, or neighbouring rows of its only image.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) packing: &'a Packing,
    pub(super) arch: Arch,
    /// The models of the images.
    pub(super) runs: &'a [Run<'a>],
    /// Those to compute.
    pub(super) rows: Kept,
    /// Token of the first row.
    pub(super) first: usize,
    /// What the blocks add to, from the first row on.
    pub(super) residual: &'a mut [f32],
    /// Normalised rows or what attention mixed, from the first row on.
    pub(super) hidden: &'a mut [f32],
    /// Of the perceptron, from the first row on.
    pub(super) inner: &'a mut [f32],
    pub(super) tools: &'a mut Tools,
}

impl Part<'_> {
    /// Layer norm of residual rows into the hidden rows.
    pub(super) fn norm(&mut self, norm: Norm) {
        self.arch.dispatch(LayerNorm {
            norm,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            width: self.packing.width,
            eps: self.packing.norm_eps as f32,
            stride: self.stride(),
            x: self.residual,
            y: self.hidden,
            scratch: self.tools.vectors(),
        });
    }

    /// Some panels of the queries, keys and values of the hidden rows, to the same rows of `qkv`.
    pub(super) fn project(&mut self, dense: Dense<'_>, panels: Range<usize>, qkv: &mut [f32]) {
        let stride = self.stride();
        let product = Product {
            linear: dense.linear,
            panels,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.tools.product,
        };
        dense.apply(self.arch, product);
    }

    /// The rest of a block, from the queries, keys and values of all rows on.
    pub(super) fn finish(&mut self, block: Block<'_>, qkv: &[f32]) {
        self.mix(qkv);
        self.out(block.out, true);
        self.perceptron(block);
    }

    /// The mixtures of the rows' queries, in place of the hidden rows.
    pub(super) fn mix(&mut self, qkv: &[f32]) {
        let (per_image, queries) =
            (self.rows.n_rows * self.stride(), self.first..self.first + self.rows.n_rows);
        let attention = Attention::new(self.packing);
        let images = qkv.chunks_exact(self.packing.tokens * 3 * self.packing.row);
        for (qkv, hidden) in images.zip(self.hidden.chunks_exact_mut(per_image)) {
            let tools = &mut *self.tools;
            attention.mix(self.arch, qkv, queries.clone(), hidden, &mut tools.head, &mut tools.product);
        }
    }

    /// A layer's outputs for the hidden rows, added to the residual rows or in their place.
    pub(super) fn out(&mut self, dense: Dense<'_>, keeps: bool) {
        let stride = self.stride();
        let product = Product {
            linear: dense.linear,
            panels: 0..dense.linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: self.residual, stride, keeps },
            scratch: &mut self.tools.product,
        };
        dense.apply(self.arch, product);
    }

    /// The multilayer perceptron behind its norm, added to what is there.
    pub(super) fn perceptron(&mut self, block: Block<'_>) {
        let (stride, inner) = (self.stride(), block.rise.linear.outputs);
        self.norm(block.mlp_norm);
        let rise = Product {
            linear: block.rise.linear,
            panels: 0..inner / PANEL,
            activation: Some(self.packing.activation),
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: self.inner, stride: inner, keeps: false },
            scratch: &mut self.tools.product,
        };
        block.rise.apply(self.arch, rise);
        let fall = Product {
            linear: block.fall.linear,
            panels: 0..self.packing.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.inner, stride: inner, columns: self.packing.mlp_width },
            y: RowsMut { values: self.residual, stride, keeps: true },
            scratch: &mut self.tools.product,
        };
        block.fall.apply(self.arch, fall);
    }

    /// From a row to the next.
    fn stride(&self) -> usize {
        self.rows.step * self.packing.row
    }
}
