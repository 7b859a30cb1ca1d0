//! A set of images through a block. Layers share out their outputs, norms and attention their rows, where several threads compute a
//! single image.

use std::ops::Range;

use rayon::prelude::*;

use super::attention::Attention;
use super::dense::{Dense, Step};
use super::forward::Pass;
use super::int8::Int8Layer;
use super::norm::LayerNorm;
use super::one_query::OneQuery;
use super::packing::{Layer, Norm, PANEL};
use super::product::{Rows, RowsMut};
use super::together::together;

/// The layers of a block in the form in which the pass computes with them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) attention_norm: Norm,
    pub(super) qkv: Dense<'a>,
    out: Dense<'a>,
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

impl Pass<'_> {
    /// Attention and multilayer perceptron, each behind a layer norm and added to what is there.
    pub(super) fn block(&mut self, block: Block<'_>) {
        let all = self.all();
        self.norm(all, block.attention_norm);
        self.project_qkv(all, block.qkv, block.qkv.panels());
        self.mix(all);
        self.behind_mix(all, block, true);
    }

    /// The beginning of a block of which only the class token goes on: what it mixes.
    pub(super) fn mix_class(&mut self, block: Block<'_>) {
        self.norm(self.all(), block.attention_norm);
        self.project_qkv(self.class(), block.qkv, 0..self.third());
        self.mix_first(block.qkv);
    }

    /// What the first row of every image mixes, whose query is there; in place of its hidden row. Keys and values are made of all tokens
    /// only where the layer is in integers.
    pub(super) fn mix_first(&mut self, qkv: Dense<'_>) {
        if qkv.int8.is_some() {
            self.project_qkv(self.all(), qkv, self.third()..3 * self.third());
            return self.mix(self.class());
        }
        let packing = self.packing;
        let (tokens, row, width) = (packing.tokens, packing.row, packing.width / packing.heads);
        let models = self.runs.iter().flat_map(|run| std::iter::repeat_n(run.model, run.n_images));
        let work = &mut *self.work;
        let images = work.qkv.chunks(3 * tokens * row).zip(work.hidden.chunks_mut(tokens * row));
        for ((model, (queries, x)), out) in models.zip(images).zip(work.inner.chunks_mut(row)) {
            let per_thread = packing.heads.div_ceil(self.n_threads) * width;
            let parts = out[..packing.width].par_chunks_mut(per_thread).zip(&mut work.tools);
            let seen = &*x;
            together(parts.enumerate(), |(n, (out, tools))| {
                for (head, out) in out.chunks_exact_mut(width).enumerate() {
                    let first = n * per_thread + head * width;
                    let channels = first..first + width;
                    self.arch.dispatch(OneQuery {
                        qkv: qkv.linear,
                        model,
                        query: &queries[channels.clone()],
                        channels,
                        tokens,
                        x: seen,
                        row,
                        out,
                        scratch: &mut tools.query,
                    });
                }
            });
            x[..packing.width].copy_from_slice(&out[..packing.width]);
        }
    }

    /// What follows in a block on what attention mixed. `keeps`: whether that is added to what is there, or takes its place.
    pub(super) fn behind_mix(&mut self, rows: Kept, block: Block<'_>, keeps: bool) {
        self.out(rows, block.out, keeps);
        self.perceptron(rows, block);
    }

    /// Layer norm of residual rows into the hidden rows.
    pub(super) fn norm(&mut self, rows: Kept, norm: Norm) {
        let (stride, n_rows) = (self.stride(rows), self.n_images * rows.n_rows);
        let per_thread = n_rows.div_ceil(self.n_threads);
        let work = &mut *self.work;
        let len = n_rows * stride;
        let x = work.residual[..len].par_chunks(per_thread * stride);
        let y = work.hidden[..len].par_chunks_mut(per_thread * stride);
        together(x.zip(y).zip(&mut work.tools), |((x, y), tools)| {
            self.arch.dispatch(LayerNorm {
                norm,
                runs: self.runs,
                n_rows: if self.n_threads == 1 { rows.n_rows } else { per_thread },
                width: self.packing.width,
                eps: self.packing.norm_eps as f32,
                stride,
                x,
                y,
                scratch: tools.vectors(),
            });
        });
    }

    /// Some panels of the queries, keys and values of the hidden rows.
    pub(super) fn project_qkv(&mut self, rows: Kept, dense: Dense<'_>, panels: Range<usize>) {
        let stride = self.stride(rows);
        let x = Rows { values: &self.work.hidden, stride, columns: self.packing.width };
        let step = Step { dense, panels, activation: None, runs: self.runs, n_rows: rows.n_rows, x };
        let y = RowsMut { values: &mut self.work.qkv, stride: 3 * stride, first: 0, keeps: false };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
    }

    /// The mixtures of the rows' queries, in place of the hidden rows.
    pub(super) fn mix(&mut self, rows: Kept) {
        let (stride, tokens) = (self.stride(rows), self.packing.tokens * self.packing.row);
        let per_thread = rows.n_rows.div_ceil(self.n_threads);
        let attention = Attention::new(self.packing);
        let work = &mut *self.work;
        let images = work.qkv.chunks_exact(3 * tokens).zip(work.hidden.chunks_exact_mut(tokens));
        for (qkv, hidden) in images.take(self.n_images) {
            let parts = hidden.par_chunks_mut(per_thread * stride).zip(&mut work.tools);
            together(parts.enumerate(), |(n, (hidden, tools))| {
                let queries = n * per_thread..((n + 1) * per_thread).min(rows.n_rows);
                attention.mix(self.arch, qkv, queries, hidden, &mut tools.head, &mut tools.product);
            });
        }
    }

    /// A layer's outputs for the hidden rows, added to the residual rows or in their place.
    fn out(&mut self, rows: Kept, dense: Dense<'_>, keeps: bool) {
        let stride = self.stride(rows);
        let x = Rows { values: &self.work.hidden, stride, columns: self.packing.width };
        let (panels, n_rows) = (dense.panels(), rows.n_rows);
        let step = Step { dense, panels, activation: None, runs: self.runs, n_rows, x };
        let y = RowsMut { values: &mut self.work.residual, stride, first: 0, keeps };
        step.run(self.arch, y, &mut self.work.tools[..self.n_threads]);
    }

    /// The multilayer perceptron behind its norm, added to what is there.
    fn perceptron(&mut self, rows: Kept, block: Block<'_>) {
        let Block { mlp_norm, rise, fall, .. } = block;
        let (stride, inner, n_rows) = (self.stride(rows), rise.linear.outputs, rows.n_rows);
        self.norm(rows, mlp_norm);
        let (work, packing) = (&mut *self.work, self.packing);
        let tools = &mut work.tools[..self.n_threads];
        let x = Rows { values: &work.hidden, stride, columns: packing.width };
        let activation = Some(packing.activation);
        let step = Step { dense: rise, panels: rise.panels(), activation, runs: self.runs, n_rows, x };
        let y = RowsMut { values: &mut work.inner, stride: inner, first: 0, keeps: false };
        step.run(self.arch, y, tools);
        let x = Rows { values: &work.inner, stride: inner, columns: packing.mlp_width };
        let step = Step { dense: fall, panels: fall.panels(), activation: None, runs: self.runs, n_rows, x };
        let y = RowsMut { values: &mut work.residual, stride, first: 0, keeps: true };
        step.run(self.arch, y, tools);
    }

    /// From a row to the next.
    fn stride(&self, rows: Kept) -> usize {
        rows.step * self.packing.row
    }

    /// Panels of the queries of a layer, and of its keys and its values.
    pub(super) fn third(&self) -> usize {
        self.packing.row / PANEL
    }

    /// Every token.
    pub(super) fn all(&self) -> Kept {
        Kept { n_rows: self.packing.tokens, step: 1 }
    }

    /// The first token.
    pub(super) fn class(&self) -> Kept {
        Kept { n_rows: 1, step: self.packing.tokens }
    }
}
