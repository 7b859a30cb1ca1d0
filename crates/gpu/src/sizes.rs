//! What a tower is, and in which numbers it is computed.

/// The nonlinearity between the two linear layers of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `x * Phi(x)`.
    Gelu,
    /// `x * Phi(x)` with the tanh approximation of `Phi`.
    GeluTanh,
}

/// The sizes of an image tower whose class token is projected.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// Side of an image in pixels.
    pub image_px: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Whether the patch convolution has a bias.
    pub patch_bias: bool,
    /// Whether a norm stands before the first block.
    pub pre_norm: bool,
    /// Residual width, a multiple of `heads`.
    pub width: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Width between the two linear layers of a block.
    pub mlp_width: usize,
    /// Blocks.
    pub layers: usize,
    /// Between the two linear layers.
    pub activation: Activation,
    /// Added to the variance of a layer norm.
    pub norm_eps: f32,
    /// Values of a feature.
    pub projection: usize,
}

impl Sizes {
    /// Patches and the class token.
    #[must_use]
    pub fn tokens(&self) -> usize {
        (self.image_px / self.patch_px).pow(2) + 1
    }

    /// Width of an attention head.
    #[must_use]
    pub fn head(&self) -> usize {
        self.width / self.heads
    }

    /// Bytes of one image.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        self.image_px * self.image_px * 3
    }

    /// Values of a row of the patch embedding's product: a patch, padded so that rows start at whole vectors.
    #[must_use]
    pub fn patch_row(&self) -> usize {
        (3 * self.patch_px * self.patch_px).next_multiple_of(8)
    }

    /// Multiply-adds of one image's pass, as twice their number. Of the last block's patches only keys and values count.
    #[must_use]
    pub fn flop(&self) -> f64 {
        let (tokens, width, mlp) = (self.tokens() as f64, self.width as f64, self.mlp_width as f64);
        let patches = (tokens - 1.0) * 3.0 * (self.patch_px * self.patch_px) as f64 * width;
        let linear = 4.0 * width * width + 2.0 * width * mlp;
        let block = tokens * linear + 2.0 * tokens * tokens * width;
        let last =
            2.0 * tokens * width * width + 2.0 * width * width + 2.0 * width * mlp + 2.0 * tokens * width;
        2.0 * (patches + (self.layers as f64 - 1.0) * block + last + width * self.projection as f64)
    }
}

/// Numbers in which activations are kept and matrices multiplied. Sums, norms, softmax, the residual stream and features are
/// f32 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// f32 throughout.
    F32,
    /// f32, with the operands of matrix products rounded to the ten bits of mantissa that the matrix units take.
    Tf32,
    /// Half precision.
    F16,
    /// f32's range with seven bits of mantissa.
    Bf16,
}

impl Compute {
    /// All of them, the exact one first.
    pub const ALL: [Self; 4] = [Self::F32, Self::Tf32, Self::F16, Self::Bf16];

    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Number by which the kernels know the type of values.
    #[must_use]
    pub fn kernel_type(self) -> u32 {
        match self {
            Self::F32 | Self::Tf32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 2,
        }
    }
}
