//! Some rows of a set of images through a block, on one thread.

use std::ops::Range;

use pulp::Arch;

use super::attention::Attention;
use super::norm::LayerNorm;
use super::packing::{Layer, Linear, Norm, PANEL, Packing};
use super::product::{Product, Rows, RowsMut};
use super::weights::Run;
use super::workspace::Tools;

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
    pub(super) fn project(&mut self, linear: Linear, panels: Range<usize>, qkv: &mut [f32]) {
        let stride = self.stride();
        self.arch.dispatch(Product {
            linear,
            panels,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: qkv, stride: 3 * stride, keeps: false },
            scratch: &mut self.tools.product,
        });
    }

    /// The rest of a block, from the queries, keys and values of all rows on.
    pub(super) fn finish(&mut self, layer: &Layer, qkv: &[f32]) {
        self.mix(qkv);
        self.out(layer.out, true);
        self.perceptron(layer);
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
    pub(super) fn out(&mut self, linear: Linear, keeps: bool) {
        let stride = self.stride();
        self.arch.dispatch(Product {
            linear,
            panels: 0..linear.outputs / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: self.residual, stride, keeps },
            scratch: &mut self.tools.product,
        });
    }

    /// The multilayer perceptron behind its norm, added to what is there.
    pub(super) fn perceptron(&mut self, layer: &Layer) {
        let (stride, inner) = (self.stride(), layer.rise.outputs);
        self.norm(layer.mlp_norm);
        self.arch.dispatch(Product {
            linear: layer.rise,
            panels: 0..inner / PANEL,
            activation: Some(self.packing.activation),
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.hidden, stride, columns: self.packing.width },
            y: RowsMut { values: self.inner, stride: inner, keeps: false },
            scratch: &mut self.tools.product,
        });
        self.arch.dispatch(Product {
            linear: layer.fall,
            panels: 0..self.packing.row / PANEL,
            activation: None,
            runs: self.runs,
            n_rows: self.rows.n_rows,
            x: Rows { values: self.inner, stride: inner, columns: self.packing.mlp_width },
            y: RowsMut { values: self.residual, stride, keeps: true },
            scratch: &mut self.tools.product,
        });
    }

    /// From a row to the next.
    fn stride(&self) -> usize {
        self.rows.step * self.packing.row
    }
}
