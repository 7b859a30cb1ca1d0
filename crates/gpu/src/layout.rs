//! Where every weight lies in one flat buffer: tensor behind tensor, row-major as they are stored, each at a multiple of
//! [`ALIGN`] values. Weights are unchanged, so an elementwise merge of two buffers is the buffer of the merged model.

use crate::Sizes;

/// Every tensor starts at a multiple of so many values.
pub const ALIGN: usize = 64;

/// A linear layer in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Start of the matrix, `[outputs, inputs]`.
    pub weight: usize,
    /// Start of the biases; the same as `weight` where the layer has none.
    pub bias: usize,
    /// Values of a row.
    pub inputs: usize,
    /// Rows.
    pub outputs: usize,
}

/// A layer norm in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Start of the gains.
    pub gain: usize,
    /// Start of the biases.
    pub bias: usize,
}

/// A block in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Before `qkv`.
    pub attention_norm: Norm,
    /// Queries, keys and values as one layer.
    pub qkv: Linear,
    /// Of what attention mixed.
    pub out: Linear,
    /// Before `rise`.
    pub mlp_norm: Norm,
    /// To the inner width.
    pub rise: Linear,
    /// And back.
    pub fall: Linear,
}

/// Values of one tensor on their way into the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    name: String,
    /// Start in the buffer.
    at: usize,
    n_rows: usize,
    /// Values of a row of the tensor.
    columns: usize,
    /// From a row to the next in the buffer; what is between is zeros.
    stride: usize,
}

/// The layout of a tower's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Start of the class embedding.
    pub class: usize,
    /// Start of the position embeddings.
    pub positions: usize,
    /// The patch convolution as a linear layer on padded patches; its bias is separate.
    pub patches: Linear,
    /// Start of its bias, where it has one.
    pub patch_bias: Option<usize>,
    /// Before the first block, where there is one.
    pub pre_norm: Option<Norm>,
    /// First to last.
    pub blocks: Vec<Block>,
    /// Of the class token behind the last block.
    pub post_norm: Norm,
    /// From there to a feature.
    pub projection: Linear,
    len: usize,
    pieces: Vec<Piece>,
}

impl Layout {
    /// Lays out the weights of a tower.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Self {
        let mut cursor = Cursor::default();
        let (width, embedding) = (sizes.width, |name: &str| format!("vision_model.embeddings.{name}"));
        let class = cursor.take(&embedding("class_embedding"), 1, width, width);
        let positions = cursor.take(&embedding("position_embedding.weight"), sizes.tokens(), width, width);
        let (patch, row) = (3 * sizes.patch_px.pow(2), sizes.patch_row());
        let weight = cursor.take(&embedding("patch_embedding.weight"), width, patch, row);
        let patches = Linear { weight, bias: weight, inputs: row, outputs: width };
        let patch_bias =
            sizes.patch_bias.then(|| cursor.take(&embedding("patch_embedding.bias"), 1, width, width));
        // The missing `e` is the name under which the weights were published.
        let pre_norm = sizes.pre_norm.then(|| cursor.norm("vision_model.pre_layrnorm", width));
        let blocks = (0..sizes.layers).map(|index| cursor.block(index, sizes)).collect();
        let post_norm = cursor.norm("vision_model.post_layernorm", width);
        let weight = cursor.take("visual_projection.weight", sizes.projection, width, width);
        let projection = Linear { weight, bias: weight, inputs: width, outputs: sizes.projection };
        let Cursor { next: len, pieces } = cursor;
        Self { class, positions, patches, patch_bias, pre_norm, blocks, post_norm, projection, len, pieces }
    }

    /// Values of the buffer, a multiple of [`ALIGN`].
    #[expect(clippy::len_without_is_empty, reason = "no tower is empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the buffer. `tensor` returns the values of a tensor, row-major, by its Hugging Face name.
    ///
    /// # Panics
    /// When a tensor has another number of values than the sizes say.
    #[must_use]
    pub fn pack<'a>(&self, tensor: impl Fn(&str) -> &'a [f32]) -> Vec<f32> {
        let mut buffer = vec![0.0; self.len];
        for piece in &self.pieces {
            let values = tensor(&piece.name);
            assert_eq!(values.len(), piece.n_rows * piece.columns, "values of {}", piece.name);
            let rows = buffer[piece.at..].chunks_mut(piece.stride);
            for (row, values) in rows.zip(values.chunks_exact(piece.columns)) {
                row[..values.len()].copy_from_slice(values);
            }
        }
        buffer
    }

    /// Names and values of the tensors it packs, in the order of the buffer.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, usize)> {
        self.pieces.iter().map(|piece| (piece.name.as_str(), piece.n_rows * piece.columns))
    }
}

/// Hands out the buffer from the front.
#[derive(Debug, Default)]
struct Cursor {
    next: usize,
    pieces: Vec<Piece>,
}

impl Cursor {
    /// Room for a tensor at the next aligned place.
    fn take(&mut self, name: &str, n_rows: usize, columns: usize, stride: usize) -> usize {
        let at = self.next;
        self.next = (at + n_rows * stride).next_multiple_of(ALIGN);
        self.pieces.push(Piece { name: name.to_owned(), at, n_rows, columns, stride });
        at
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        let gain = self.take(&format!("{name}.weight"), 1, width, width);
        Norm { gain, bias: self.take(&format!("{name}.bias"), 1, width, width) }
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        let weight = self.take(&format!("{name}.weight"), outputs, inputs, inputs);
        Linear { weight, bias: self.take(&format!("{name}.bias"), 1, outputs, outputs), inputs, outputs }
    }

    fn block(&mut self, index: usize, sizes: &Sizes) -> Block {
        let width = sizes.width;
        let name = |part: &str| format!("vision_model.encoder.layers.{index}.{part}");
        let attention_norm = self.norm(&name("layer_norm1"), width);
        // The three lie without a gap, so that they are one matrix.
        let qkv =
            self.stacked(["q_proj", "k_proj", "v_proj"].map(|of| name(&format!("self_attn.{of}"))), width);
        let out = self.linear(&name("self_attn.out_proj"), width, width);
        let mlp_norm = self.norm(&name("layer_norm2"), width);
        let rise = self.linear(&name("mlp.fc1"), width, sizes.mlp_width);
        let fall = self.linear(&name("mlp.fc2"), sizes.mlp_width, width);
        Block { attention_norm, qkv, out, mlp_norm, rise, fall }
    }

    fn stacked(&mut self, names: [String; 3], width: usize) -> Linear {
        let mut place = |ending: &str, n_rows: usize| {
            let start = self.next;
            for (third, name) in names.iter().enumerate() {
                let name = format!("{name}.{ending}");
                let at = start + third * n_rows * width;
                self.pieces.push(Piece { name, at, n_rows, columns: width, stride: width });
            }
            self.next = (start + 3 * n_rows * width).next_multiple_of(ALIGN);
            start
        };
        let weight = place("weight", width);
        Linear { weight, bias: place("bias", 1), inputs: width, outputs: 3 * width }
    }
}
