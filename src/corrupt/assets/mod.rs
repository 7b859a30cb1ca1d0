//! Pictures that two corruptions draw: stains and letters.
//!
//! The reference's pictures have their own licences and are never part of this crate; they can be loaded at
//! run time. Without them, pictures made here stand in, of like size and strength but not the same bytes.

mod glyphs;
mod stain_masks;
mod stroke_font;

use std::sync::Arc;

pub use glyphs::{Glyph, Glyphs};
pub use stain_masks::{StainMask, StainMasks};

/// The reference's pictures, as far as they could be loaded.
#[derive(Clone, Debug, Default)]
pub struct Assets {
    /// Stains for `stain_deposit`; `None` stands for [`StainMasks::procedural`].
    pub stain_masks: Option<Arc<StainMasks>>,
    /// Letters for `characters`; `None` stands for [`Glyphs::procedural`].
    pub glyphs: Option<Arc<Glyphs>>,
}

/// Why a picture file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AssetError {
    /// An array is missing from the archive.
    #[error("stain masks have no array `{key}`")]
    MissingArray {
        /// The name of the array.
        key: &'static str,
    },
    /// An array is not ten square masks of 64-bit zeros and ones.
    #[error("stain mask array `{key}`: {problem}")]
    BadArray {
        /// The name of the array.
        key: String,
        /// What was found.
        problem: &'static str,
    },
    /// A font line cannot be read.
    #[error("font line {line}: {problem}")]
    BadGlyph {
        /// Counted from 1.
        line: usize,
        /// What was found.
        problem: &'static str,
    },
}
