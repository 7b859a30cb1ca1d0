//! Linear layers of a pass, on one thread or shared out over several.
//!
//! Threads that share outputs read a layer's weights once between them. Were they to share rows, each would read all weights, and
//! of a single image's few rows the last tile of each thread would be half empty. In integers rows are shared: weights are a quarter
//! there, and every thread would have to quantise all rows.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::aligned::Aligned;
use super::int8::{Int8Linear, Int8Product};
use super::packing::{Linear, PANEL};
use super::product::{Product, ProductScratch, Rows, RowsMut};
use super::together::together;
use super::weights::Run;
use super::workspace::Tools;
use crate::model::config::Activation;

/// A linear layer in the form in which the pass computes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dense<'a> {
    pub(super) linear: Linear,
    /// Where the pass computes with integers.
    pub(super) int8: Option<&'a Int8Linear>,
}

impl Dense<'_> {
    /// All panels of its outputs.
    pub(super) fn panels(&self) -> Range<usize> {
        0..self.linear.outputs / PANEL
    }
}

/// Some outputs of a layer for some rows of every image.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    pub(super) dense: Dense<'a>,
    /// Outputs, in panels.
    pub(super) panels: Range<usize>,
    /// After the last block of inputs.
    pub(super) activation: Option<Activation>,
    /// The models of the images.
    pub(super) runs: &'a [Run<'a>],
    /// Rows of an image.
    pub(super) n_rows: usize,
    /// The rows of the images one behind the other.
    pub(super) x: Rows<'a>,
}

impl Step<'_> {
    /// Writes the outputs to their places in as many rows of `y`, with the tools of each thread that takes part.
    pub(super) fn run(&self, arch: Arch, y: RowsMut<'_>, tools: &mut [Tools]) {
        match tools {
            [one] => self.on_one_thread(arch, y, &mut one.product),
            several if self.dense.int8.is_some() => self.by_rows(arch, y, several),
            several => self.by_outputs(arch, y, several),
        }
    }

    fn on_one_thread(&self, arch: Arch, y: RowsMut<'_>, scratch: &mut ProductScratch) {
        let Self { dense, ref panels, activation, runs, n_rows, x } = *self;
        let panels = panels.clone();
        let product = Product { linear: dense.linear, panels, activation, runs, n_rows, x, y, scratch };
        match dense.int8 {
            Some(weights) => Int8Product { weights, product }.run(arch),
            None => arch.dispatch(product),
        }
    }

    /// Each thread computes all outputs of some rows of the only image.
    fn by_rows(&self, arch: Arch, y: RowsMut<'_>, tools: &mut [Tools]) {
        let Self { n_rows, x, .. } = *self;
        let RowsMut { stride, first, keeps, values } = y;
        let per_thread = n_rows.div_ceil(tools.len());
        let parts =
            values.par_chunks_mut(per_thread * stride).zip(x.values.par_chunks(per_thread * x.stride));
        let parts = parts.take(n_rows.div_ceil(per_thread)).zip(tools);
        together(parts.enumerate(), |(n, ((y, values), tools))| {
            let n_rows = per_thread.min(n_rows - n * per_thread);
            let own = Step { n_rows, x: Rows { values, ..x }, ..self.clone() };
            let y = RowsMut { values: y, stride, first, keeps };
            own.on_one_thread(arch, y, &mut tools.product);
        });
    }

    /// Each thread computes some panels of all rows of the only image in columns of its own, and then brings all columns of some rows
    /// to their place.
    fn by_outputs(&self, arch: Arch, y: RowsMut<'_>, tools: &mut [Tools]) {
        let (n_rows, n_threads, first) = (self.n_rows, tools.len(), self.panels.start);
        let panels = |n: usize| {
            let cut = |n: usize| first + n * self.panels.len() / n_threads;
            cut(n)..cut(n + 1)
        };
        let columns = |n: usize| {
            let panels = panels(n);
            panels.start * PANEL..panels.end * PANEL
        };
        let before = &*y.values;
        together(tools.par_iter_mut().enumerate(), |(n, tools)| {
            let stride = columns(n).len();
            if tools.columns.len() < n_rows * stride {
                tools.columns = Aligned::zeros(n_rows * stride);
            }
            let own = &mut tools.columns[..n_rows * stride];
            if y.keeps {
                let rows = before.chunks(y.stride).zip(own.chunks_exact_mut(stride));
                rows.for_each(|(y, own)| own.copy_from_slice(&y[columns(n)]));
            }
            let y = RowsMut { values: own, stride, first: panels(n).start, keeps: y.keeps };
            let own = Step { panels: panels(n), ..self.clone() };
            own.on_one_thread(arch, y, &mut tools.product);
        });
        let per_thread = n_rows.div_ceil(n_threads);
        let tools = &*tools;
        let parts = y.values.par_chunks_mut(per_thread * y.stride).take(n_rows.div_ceil(per_thread));
        together(parts.enumerate(), |(part, rows)| {
            for (row, y) in (part * per_thread..n_rows).zip(rows.chunks_mut(y.stride)) {
                for (n, tools) in tools.iter().enumerate() {
                    let columns = columns(n);
                    let own = &tools.columns[row * columns.len()..][..columns.len()];
                    y[columns].copy_from_slice(own);
                }
            }
        });
    }
}
