//! The text of the kernels. Each file says above a kernel what it reads and writes, and how its blocks and threads share that.

use crate::{Activation, Compute, Sizes};

/// One text: no file is included at run time, and no header of the toolkit is needed.
pub const SOURCE: &str = concat!(
    include_str!("../kernels/types.cuh"),
    include_str!("../kernels/patches.cu"),
    include_str!("../kernels/norm.cu"),
    include_str!("../kernels/elementwise.cu"),
    include_str!("../kernels/attention.cu"),
);

/// A kernel of [`SOURCE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Bytes to the rows of the patch embedding's product.
    Patches,
    /// The start of the residual stream.
    Start,
    /// A layer's output added to the stream, and the stream's norm.
    AddNorm,
    /// Attention.
    Attention,
    /// Bias and nonlinearity.
    Activate,
    /// Features to unit length.
    UnitLength,
    /// A merge of two sets of weights.
    Merge,
}

impl Kernel {
    /// All of them; a kernel's place is its number.
    pub const ALL: [Self; 7] = [
        Self::Patches,
        Self::Start,
        Self::AddNorm,
        Self::Attention,
        Self::Activate,
        Self::UnitLength,
        Self::Merge,
    ];

    /// Its name in the text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Patches => "patches",
            Self::Start => "start",
            Self::AddNorm => "add_norm",
            Self::Attention => "attention",
            Self::Activate => "activate",
            Self::UnitLength => "unit_length",
            Self::Merge => "merge",
        }
    }
}

/// The options with which the text becomes the kernels of a tower.
#[must_use]
pub fn options(sizes: &Sizes, compute: Compute) -> Vec<String> {
    let activation = match sizes.activation {
        Activation::QuickGelu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
    };
    vec![
        format!("-DT3B_TYPE={}", compute.kernel_type()),
        format!("-DT3B_WIDTH={}", sizes.width),
        format!("-DT3B_HEAD={}", sizes.head()),
        format!("-DT3B_ACT={activation}"),
    ]
}
