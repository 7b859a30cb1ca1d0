//! The kernels and matrix products of a pass, in their order, as data.
//!
//! The residual stream is f32 `[rows, width]`, a row for each token of each image. What a layer adds to it is added by the
//! kernel that norms it for the next layer, so between two layers the stream lacks the last output.

use std::ops::Range;

use crate::kernels::Kernel;
use crate::layout::{Block, Layout, Linear, Norm};
use crate::{Compute, Sizes};

/// Memory of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// The model, values of the compute type, as [`Layout`] says.
    Weights,
    /// The images, bytes `[images, side, side, 3]`.
    Pixels,
    /// The normalised value of every byte of every channel, f32 `[3, 256]`.
    Table,
    /// The residual stream, f32 `[rows, width]`.
    Residual,
    /// Normed rows, or what attention mixed, `[rows, width]`.
    Hidden,
    /// Queries, keys and values `[rows, 3 width]`, or the output of a layer `[rows, width]`.
    Wide,
    /// The patches as rows, or the inner values of a perceptron.
    Inner,
    /// f32 `[images, projection]`.
    Features,
}

impl Buffer {
    /// All of them; a buffer's place is its number.
    pub const ALL: [Self; 8] = [
        Self::Weights,
        Self::Pixels,
        Self::Table,
        Self::Residual,
        Self::Hidden,
        Self::Wide,
        Self::Inner,
        Self::Features,
    ];

    /// Whether it holds f32 whatever the compute type is.
    #[must_use]
    pub fn is_f32(self) -> bool {
        matches!(self, Self::Table | Self::Residual | Self::Features)
    }
}

/// A place in a buffer, in values from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Buffer, pub usize);

/// What a kernel is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arg {
    /// An address.
    At(At),
    /// No address.
    Null,
    /// A count.
    U32(u32),
    /// A number.
    F32(f32),
}

/// A matrix product as cuBLAS has it: matrices of columns, `C [m, n] = transposed(A [k, m]) B [k, n]`. For rows this reads
/// `C [n, m] = B [n, k] transposed(A [m, k])`: `n` rows through a layer of `m` outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemm {
    /// Outputs of the layer.
    pub m: usize,
    /// Rows.
    pub n: usize,
    /// Inputs of the layer.
    pub k: usize,
    /// The matrix, and from one of its rows to the next.
    pub a: (At, usize),
    /// The rows, and from one to the next.
    pub b: (At, usize),
    /// The outputs, and from one row to the next.
    pub c: (At, usize),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A matrix product.
    Gemm(Gemm),
    /// A kernel.
    Launch {
        /// Which.
        kernel: Kernel,
        /// Blocks.
        grid: [u32; 3],
        /// Threads of a block.
        block: u32,
        /// As the kernel's text has them.
        args: Vec<Arg>,
    },
}

/// Steps in their order.
pub type Schedule = Vec<Op>;

/// Values of each buffer of a pass of `n_images`, those of the model and of the table left out.
#[must_use]
pub fn lengths(sizes: &Sizes, n_images: usize) -> [(Buffer, usize); 6] {
    let rows = n_images * sizes.tokens();
    [
        (Buffer::Pixels, n_images * sizes.image_bytes()),
        (Buffer::Residual, rows * sizes.width),
        (Buffer::Hidden, rows * sizes.width),
        (Buffer::Wide, rows * 3 * sizes.width),
        (Buffer::Inner, rows * sizes.mlp_width.max(sizes.patch_row())),
        (Buffer::Features, n_images * sizes.projection),
    ]
}

/// The bytes of a pass become the stream before the first block.
#[must_use]
pub fn embed(sizes: &Sizes, layout: &Layout, compute: Compute, n_images: usize) -> Schedule {
    let mut writer = Writer::new(sizes, layout, compute, n_images);
    writer.embed();
    writer.ops
}

/// Some blocks, the last of the tower not among them, on the stream; the stream is whole before and after.
///
/// # Panics
/// When the tower's last block is among them: it is part of [`finish`].
#[must_use]
pub fn blocks(
    sizes: &Sizes,
    layout: &Layout,
    compute: Compute,
    n_images: usize,
    which: Range<usize>,
) -> Schedule {
    assert!(which.end < sizes.layers, "the last block is computed for the class token alone");
    let mut writer = Writer::new(sizes, layout, compute, n_images);
    which.for_each(|index| writer.block(&layout.blocks[index]));
    writer.settle();
    writer.ops
}

/// The blocks from number `first` on, of the last only what the class token needs, and the features, unit rows.
///
/// # Panics
/// When there is no such block.
#[must_use]
pub fn finish(sizes: &Sizes, layout: &Layout, compute: Compute, n_images: usize, first: usize) -> Schedule {
    let (last, others) = layout.blocks.split_last().expect("a tower has a block");
    let mut writer = Writer::new(sizes, layout, compute, n_images);
    others[first..].iter().for_each(|block| writer.block(block));
    writer.class_block(last);
    writer.project();
    writer.ops
}

struct Writer<'a> {
    sizes: &'a Sizes,
    layout: &'a Layout,
    compute: Compute,
    n_images: usize,
    /// Start of the bias of the layer whose output, in [`Buffer::Wide`], the stream still lacks.
    pending: Option<usize>,
    ops: Schedule,
}

/// Rows in 32-bit counts: a pass of 2^32 rows fits no card.
fn count(n: usize) -> u32 {
    u32::try_from(n).expect("counts of a pass fit 32 bits")
}

impl<'a> Writer<'a> {
    fn new(sizes: &'a Sizes, layout: &'a Layout, compute: Compute, n_images: usize) -> Self {
        Self { sizes, layout, compute, n_images, pending: None, ops: Vec::new() }
    }

    fn rows(&self) -> usize {
        self.n_images * self.sizes.tokens()
    }

    fn embed(&mut self) {
        let (sizes, layout, rows) = (self.sizes, self.layout, self.rows());
        let (stride, width) = (sizes.patch_row(), sizes.width);
        let args = vec![
            Arg::At(At(Buffer::Pixels, 0)),
            Arg::At(At(Buffer::Table, 0)),
            Arg::At(At(Buffer::Inner, 0)),
            Arg::U32(count(stride)),
            Arg::U32(count(sizes.tokens())),
            Arg::U32(1),
            Arg::U32(count(sizes.image_px)),
            Arg::U32(count(sizes.patch_px)),
        ];
        self.launch(Kernel::Patches, [count(rows), 1, 1], 256, args);
        self.linear(layout.patches, rows, (At(Buffer::Inner, 0), stride), (At(Buffer::Hidden, 0), width));
        let weight = |at: usize| Arg::At(At(Buffer::Weights, at));
        let norm = layout.pre_norm;
        let args = vec![
            Arg::At(At(Buffer::Hidden, 0)),
            weight(layout.positions),
            weight(layout.class),
            layout.patch_bias.map_or(Arg::Null, weight),
            norm.map_or(Arg::Null, |norm| weight(norm.gain)),
            norm.map_or(Arg::Null, |norm| weight(norm.bias)),
            Arg::At(At(Buffer::Residual, 0)),
            Arg::U32(count(rows)),
            Arg::U32(count(sizes.tokens())),
            Arg::F32(sizes.norm_eps),
        ];
        self.row_kernel(Kernel::Start, rows, args);
    }

    fn block(&mut self, block: &Block) {
        let (width, rows) = (self.sizes.width, self.rows());
        self.add_norm(Some(block.attention_norm), rows, 1);
        self.linear(block.qkv, rows, (At(Buffer::Hidden, 0), width), (At(Buffer::Wide, 0), 3 * width));
        self.attention(block.qkv.bias, self.sizes.tokens());
        self.behind_attention(block, rows, 1);
    }

    /// Keys and values of all tokens; the rest of the class tokens alone.
    fn class_block(&mut self, block: &Block) {
        let (width, rows, n_images, tokens) =
            (self.sizes.width, self.rows(), self.n_images, self.sizes.tokens());
        self.add_norm(Some(block.attention_norm), rows, 1);
        let queries = Linear { outputs: width, ..block.qkv };
        let rest = Linear { weight: block.qkv.weight + width * width, outputs: 2 * width, ..block.qkv };
        let hidden = At(Buffer::Hidden, 0);
        self.linear(rest, rows, (hidden, width), (At(Buffer::Wide, width), 3 * width));
        self.linear(queries, n_images, (hidden, tokens * width), (At(Buffer::Wide, 0), tokens * 3 * width));
        self.attention(block.qkv.bias, 1);
        self.behind_attention(block, n_images, tokens);
    }

    /// The output layer and the perceptron of `n_rows` rows, row `i` of which is row `i * step` of the stream.
    fn behind_attention(&mut self, block: &Block, n_rows: usize, step: usize) {
        let (width, inner) = (self.sizes.width, self.sizes.mlp_width);
        let (hidden, wide) = ((At(Buffer::Hidden, 0), width), (At(Buffer::Wide, 0), width));
        self.linear(block.out, n_rows, hidden, wide);
        self.pending = Some(block.out.bias);
        self.add_norm(Some(block.mlp_norm), n_rows, step);
        self.linear(block.rise, n_rows, hidden, (At(Buffer::Inner, 0), inner));
        self.activate(block.rise, n_rows);
        self.linear(block.fall, n_rows, (At(Buffer::Inner, 0), inner), wide);
        self.pending = Some(block.fall.bias);
    }

    fn project(&mut self) {
        let (sizes, n_images) = (self.sizes, self.n_images);
        self.add_norm(Some(self.layout.post_norm), n_images, sizes.tokens());
        let features = At(Buffer::Features, 0);
        self.linear(
            self.layout.projection,
            n_images,
            (At(Buffer::Hidden, 0), sizes.width),
            (features, sizes.projection),
        );
        let args = vec![Arg::At(features), Arg::U32(count(sizes.projection)), Arg::U32(count(n_images))];
        self.row_kernel(Kernel::UnitLength, n_images, args);
    }

    /// Adds what is pending to the stream.
    fn settle(&mut self) {
        if self.pending.is_some() {
            self.add_norm(None, self.rows(), 1);
        }
    }

    fn add_norm(&mut self, norm: Option<Norm>, n_rows: usize, step: usize) {
        let weight = |at: usize| Arg::At(At(Buffer::Weights, at));
        let pending = self.pending.take();
        let args = vec![
            Arg::At(At(Buffer::Residual, 0)),
            Arg::U32(count(step)),
            pending.map_or(Arg::Null, |_| Arg::At(At(Buffer::Wide, 0))),
            pending.map_or(Arg::Null, weight),
            norm.map_or(Arg::Null, |norm| weight(norm.gain)),
            norm.map_or(Arg::Null, |norm| weight(norm.bias)),
            Arg::At(At(Buffer::Hidden, 0)),
            Arg::U32(count(n_rows)),
            Arg::F32(self.sizes.norm_eps),
        ];
        self.row_kernel(Kernel::AddNorm, n_rows, args);
    }

    /// Of every image the first `n_queries` tokens attend to all.
    fn attention(&mut self, bias: usize, n_queries: usize) {
        let sizes = self.sizes;
        // A block of the f32 kernel has a thread for each query, of the others a warp for each 16.
        let block = if self.compute.kernel_type() == 0 { 64 } else { 128 };
        let grid = [count(n_queries.div_ceil(64)), count(sizes.heads), count(self.n_images)];
        let args = vec![
            Arg::At(At(Buffer::Wide, 0)),
            Arg::At(At(Buffer::Weights, bias)),
            Arg::At(At(Buffer::Hidden, 0)),
            Arg::U32(count(sizes.tokens())),
            Arg::U32(count(n_queries)),
            Arg::F32(1.0 / (sizes.head() as f32).sqrt()),
        ];
        self.launch(Kernel::Attention, grid, block, args);
    }

    fn activate(&mut self, layer: Linear, n_rows: usize) {
        let pieces = layer.outputs.div_ceil(128 * 8);
        let args = vec![
            Arg::At(At(Buffer::Inner, 0)),
            Arg::At(At(Buffer::Weights, layer.bias)),
            Arg::U32(count(layer.outputs)),
        ];
        self.launch(Kernel::Activate, [count(n_rows), count(pieces), 1], 128, args);
    }

    /// A kernel with a warp for each row.
    fn row_kernel(&mut self, kernel: Kernel, n_rows: usize, args: Vec<Arg>) {
        self.launch(kernel, [count(n_rows.div_ceil(4)), 1, 1], 128, args);
    }

    fn launch(&mut self, kernel: Kernel, grid: [u32; 3], block: u32, args: Vec<Arg>) {
        self.ops.push(Op::Launch { kernel, grid, block, args });
    }

    fn linear(&mut self, layer: Linear, n_rows: usize, x: (At, usize), y: (At, usize)) {
        let a = (At(Buffer::Weights, layer.weight), layer.inputs);
        self.ops.push(Op::Gemm(Gemm { m: layer.outputs, n: n_rows, k: layer.inputs, a, b: x, c: y }));
    }
}
