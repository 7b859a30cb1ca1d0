//! Where every weight of an image tower lies in one flat buffer.
//!
//! A matrix `[outputs, inputs]` is stored as blocks of [`K_BLOCK`] inputs; a block as panels of [`PANEL`] outputs; a panel
//! as strips of [`LANES`] outputs; a strip as its inputs in order, each with its outputs side by side. The kernel reads one
//! strip or two in that order, as its vectors are long. Outputs are padded to whole panels and inputs to whole [`LANES`], by
//! zeros. The layout depends on the architecture
//! alone, never on the machine, and holds weights unchanged, so an elementwise merge of two buffers is the buffer of the
//! merged model.

use std::ops::Range;

use super::aligned::Aligned;
use crate::model::config::{Activation, ClipConfig, TowerConfig};

/// Partial sums of every reduction, and values of the widest vector.
pub const LANES: usize = 16;

/// Outputs of a panel. Divides the widths of all published models.
pub const PANEL: usize = 32;

/// Inputs over which a chain of multiply-adds runs before it joins the sum. A strip of a block is 16 KiB, half of the
/// smallest first-level cache. Changing it changes the last bits of features.
pub const K_BLOCK: usize = 256;

/// A linear layer in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    /// Start of the matrix.
    pub(super) weight: usize,
    /// Start of the `outputs` biases.
    pub(super) bias: Option<usize>,
    /// Padded to a multiple of [`LANES`].
    pub(super) inputs: usize,
    /// Padded to a multiple of [`PANEL`].
    pub(super) outputs: usize,
}

impl Linear {
    /// A matrix without bias at the start of a buffer of its own.
    pub(super) fn alone(inputs: usize, outputs: usize) -> Self {
        let (inputs, outputs) = (inputs.next_multiple_of(LANES), outputs.next_multiple_of(PANEL));
        Self { weight: 0, bias: None, inputs, outputs }
    }

    /// Values of the matrix.
    pub(super) fn len(&self) -> usize {
        self.inputs * self.outputs
    }

    /// Inputs of the block that starts at input `start`.
    pub(super) fn depth(&self, start: usize) -> usize {
        K_BLOCK.min(self.inputs - start)
    }

    /// Start of a panel within the block that starts at input `start`.
    pub(super) fn panel(&self, start: usize, panel: usize) -> usize {
        self.strip(start, panel * PANEL / LANES)
    }

    /// Start of a strip, counted over all panels, within the block that starts at input `start`.
    fn strip(&self, start: usize, strip: usize) -> usize {
        self.weight + start * self.outputs + strip * LANES * self.depth(start)
    }

    /// The weights of one input for the outputs of a strip.
    pub(super) fn weights<'a>(&self, buffer: &'a [f32], input: usize, strip: usize) -> &'a [f32] {
        let start = input / K_BLOCK * K_BLOCK;
        &buffer[self.strip(start, strip) + (input - start) * LANES..][..LANES]
    }

    /// Writes the weights of one output, input by input.
    pub(super) fn put_output(&self, buffer: &mut [f32], output: usize, values: &[f32]) {
        for (block, values) in values.chunks(K_BLOCK).enumerate() {
            let strip = &mut buffer[self.strip(block * K_BLOCK, output / LANES)..];
            for (row, &value) in strip.chunks_exact_mut(LANES).zip(values) {
                row[output % LANES] = value;
            }
        }
    }

    /// Writes the weights of one input, output by output.
    pub(super) fn put_input(&self, buffer: &mut [f32], input: usize, values: &[f32]) {
        let (start, row) = (input / K_BLOCK * K_BLOCK, input % K_BLOCK);
        let at = |strip: usize| self.strip(start, strip) + row * LANES;
        // A copy of a known length is a few moves, one of any length a call.
        let (whole, rest) = values.as_chunks::<LANES>();
        for (strip, values) in whole.iter().enumerate() {
            buffer[at(strip)..][..LANES].copy_from_slice(values);
        }
        if !rest.is_empty() {
            buffer[at(whole.len())..][..rest.len()].copy_from_slice(rest);
        }
    }
}

/// A layer norm in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Norm {
    /// Start of the gains, a row with its padding.
    pub(super) gain: usize,
    /// Start of the biases, as many.
    pub(super) bias: usize,
}

/// A transformer block in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Before `qkv`.
    pub(super) attention_norm: Norm,
    /// Queries, keys and values as one layer; each third is padded to whole panels.
    pub(super) qkv: Linear,
    /// Of what attention mixed.
    pub(super) out: Linear,
    /// Before `rise`.
    pub(super) mlp_norm: Norm,
    /// From the residual width to the inner width, with the activation behind it.
    pub(super) rise: Linear,
    /// From the inner width back.
    pub(super) fall: Linear,
}

/// From the tokens behind the last block to a feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Head {
    /// Projects the class token.
    Projection(Linear),
    /// Lets a learned query attend to all patches, with a multilayer perceptron behind it. The layer's first norm is not used.
    Attention {
        /// Start of the query, one row.
        probe: usize,
        /// As in a block.
        layer: Layer,
    },
}

/// The layout of an image tower's weights, and its sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Packing {
    /// Side of an image.
    pub(super) image_px: usize,
    /// Side of a patch.
    pub(super) patch_px: usize,
    /// Patches, and the class token where there is one.
    pub(super) tokens: usize,
    /// Residual width.
    pub(super) width: usize,
    /// Values from one row of activations to the next: the width in whole panels.
    pub(super) row: usize,
    /// Attention heads of a block.
    pub(super) heads: usize,
    /// Inner width of a block.
    pub(super) mlp_width: usize,
    /// At the inner width.
    pub(super) activation: Activation,
    /// Added to the variance of a layer norm.
    pub(super) norm_eps: f64,
    /// Values of a feature.
    pub(super) projection_width: usize,
    /// Start of the class embedding, one row; `None` where there is no class token.
    pub(super) class: Option<usize>,
    /// Start of the position embeddings, `tokens` rows.
    pub(super) positions: usize,
    /// The patch convolution, a linear layer on each patch.
    pub(super) patches: Linear,
    /// Before the first block; not every family has it.
    pub(super) pre_norm: Option<Norm>,
    /// The blocks, first to last.
    pub(super) layers: Vec<Layer>,
    /// Of the class token, or of all patches, behind the last block.
    pub(super) post_norm: Norm,
    /// From there to a feature.
    pub(super) head: Head,
    /// Values of the buffer.
    len: usize,
}

impl Packing {
    /// Lays out the image tower of an architecture.
    #[must_use]
    pub fn new(config: &ClipConfig) -> Self {
        let tower = &config.vision;
        let mut cursor = Cursor { row: tower.width.next_multiple_of(PANEL), next: 0 };
        let (row, tokens) = (cursor.row, config.vision_positions());
        let kind = config.vision_kind;
        let class = kind.has_class_token().then(|| cursor.take(row));
        let positions = cursor.take(tokens * row);
        let patches = cursor.linear(3 * config.patch_px.pow(2), row, kind.has_patch_bias());
        let pre_norm = kind.has_pre_norm().then(|| cursor.norm());
        let layers = (0..tower.layers).map(|_| cursor.layer(tower)).collect();
        let post_norm = cursor.norm();
        let head = if kind.pools_by_attention() {
            Head::Attention { probe: cursor.take(row), layer: cursor.layer(tower) }
        } else {
            Head::Projection(cursor.linear(tower.width, config.projection, false))
        };
        Self {
            image_px: config.image_px,
            patch_px: config.patch_px,
            tokens,
            width: tower.width,
            row,
            heads: tower.heads,
            mlp_width: tower.mlp_width,
            activation: tower.activation,
            norm_eps: tower.norm_eps,
            projection_width: config.projection,
            class,
            positions,
            patches,
            pre_norm,
            layers,
            post_norm,
            head,
            len: cursor.next,
        }
    }

    /// Values of a packed tower, padding included.
    #[expect(clippy::len_without_is_empty, reason = "no tower is empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the values lie that are in no matrix of the blocks from number `first` on, in ascending order.
    #[must_use]
    pub fn outside_blocks(&self, first: usize) -> Vec<Range<usize>> {
        let mut outside = Vec::new();
        let mut start = 0;
        for matrix in (first..self.layers.len()).flat_map(|index| self.matrices(index)) {
            outside.push(start..matrix.start);
            start = matrix.end;
        }
        outside.push(start..self.len);
        outside
    }

    /// Where the matrices of a block lie, in ascending order; as long in every block.
    ///
    /// # Panics
    /// When there is no such block.
    #[must_use]
    pub fn matrices(&self, index: usize) -> [Range<usize>; 4] {
        let Layer { qkv, out, rise, fall, .. } = &self.layers[index];
        [qkv, out, rise, fall].map(|matrix| matrix.weight..matrix.weight + matrix.len())
    }

    /// A packed tower with what lies outside of its blocks' matrices. Their places are never touched, and take memory when they are.
    ///
    /// # Panics
    /// When the tower is another architecture's.
    #[must_use]
    pub fn outside(&self, packed: &[f32]) -> Aligned {
        let mut outside = Aligned::zeros(packed.len());
        for range in self.outside_blocks(0) {
            outside[range.clone()].copy_from_slice(&packed[range]);
        }
        outside
    }

    /// How many blocks.
    #[must_use]
    pub fn n_blocks(&self) -> usize {
        self.layers.len()
    }

    /// Side of an image in pixels.
    #[must_use]
    pub fn image_px(&self) -> usize {
        self.image_px
    }

    /// Values of a row of features.
    #[must_use]
    pub fn projection_width(&self) -> usize {
        self.projection_width
    }

    /// Values of an inner row of the perceptrons, padded.
    pub(super) fn inner(&self) -> usize {
        self.mlp_width.next_multiple_of(PANEL)
    }

    /// Values of a padded feature.
    pub(super) fn feature_row(&self) -> usize {
        match &self.head {
            Head::Projection(projection) => projection.outputs,
            Head::Attention { .. } => self.row,
        }
    }

    /// Values of one image: `3 * image_px * image_px`.
    pub(super) fn pixels(&self) -> usize {
        3 * self.image_px * self.image_px
    }
}

/// Hands out the buffer from the front. Every piece is a multiple of [`LANES`], so each starts a cache line.
struct Cursor {
    /// Padded residual width.
    row: usize,
    /// First value that is free.
    next: usize,
}

impl Cursor {
    fn take(&mut self, len: usize) -> usize {
        let start = self.next;
        self.next += len;
        start
    }

    fn norm(&mut self) -> Norm {
        Norm { gain: self.take(self.row), bias: self.take(self.row) }
    }

    fn layer(&mut self, tower: &TowerConfig) -> Layer {
        Layer {
            attention_norm: self.norm(),
            qkv: self.linear(tower.width, 3 * self.row, true),
            out: self.linear(tower.width, self.row, true),
            mlp_norm: self.norm(),
            rise: self.linear(tower.width, tower.mlp_width, true),
            fall: self.linear(tower.mlp_width, self.row, true),
        }
    }

    fn linear(&mut self, inputs: usize, outputs: usize, has_bias: bool) -> Linear {
        let shape = Linear::alone(inputs, outputs);
        let weight = self.take(shape.len());
        Linear { weight, bias: has_bias.then(|| self.take(shape.outputs)), ..shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_lies_in_blocks_and_panels_however_it_is_written() {
        let shape = Linear::alone(K_BLOCK + 9, PANEL + 3);
        assert_eq!((shape.inputs, shape.outputs), (K_BLOCK + LANES, 2 * PANEL));
        let value = |output: usize, input: usize| (output * 1000 + input) as f32;
        let (mut by_output, mut by_input) = (vec![0.0; shape.len()], vec![0.0; shape.len()]);
        for output in 0..PANEL + 3 {
            let values: Vec<f32> = (0..K_BLOCK + 9).map(|input| value(output, input)).collect();
            shape.put_output(&mut by_output, output, &values);
        }
        for input in 0..K_BLOCK + 9 {
            let values: Vec<f32> = (0..PANEL + 3).map(|output| value(output, input)).collect();
            shape.put_input(&mut by_input, input, &values);
        }
        assert_eq!(by_output, by_input);
        let second_block = K_BLOCK * 2 * PANEL;
        assert_eq!(by_output[second_block + LANES * PANEL + 2 * LANES + 1], value(PANEL + 1, K_BLOCK + 2));
        assert_eq!(by_output[K_BLOCK * PANEL + 5 * LANES + 2], value(PANEL + 2, 5));
    }

    #[test]
    fn what_is_outside_of_blocks_and_their_matrices_make_the_buffer() {
        let packing = Packing::new(&ClipConfig::named("clip-vit-base-patch32").expect("a known name"));
        let per_block = 768 * (3 * 768 + 768 + 2 * 3072);
        for first in [0, 5, 12] {
            let outside = packing.outside_blocks(first);
            assert!(outside.windows(2).all(|two| two[0].end < two[1].start), "in order, and apart");
            let n_values: usize = outside.iter().map(Range::len).sum();
            assert_eq!(n_values + (12 - first) * per_block, packing.len());
            let norm = packing.layers[11].mlp_norm.gain;
            assert!(outside.iter().any(|range| range.contains(&norm)), "norms stay");
        }
    }

    #[test]
    fn a_published_tower_needs_no_padding() {
        let config = ClipConfig::named("clip-vit-base-patch16").expect("a known name");
        assert_eq!(Packing::new(&config).len(), 86_192_640);
    }
}
