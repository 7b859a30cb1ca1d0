//! Pictures that two corruptions draw: stains and letters.
//!
//! The reference's pictures have their own licences and are never part of this crate; they can be loaded at
//! run time. Without them, pictures made here stand in, of like size and strength but not the same bytes.

mod glyphs;
mod stain_masks;
mod stroke_font;

use std::io;
use std::path::{Path, PathBuf};
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

impl Assets {
    /// Reads what a folder holds of `rowmand.jhf` (the letters) and `3.npy` with `4.npy` (the stains).
    ///
    /// # Errors
    /// When a file is there but cannot be read or parsed.
    pub fn from_dir(dir: &Path) -> Result<Self, AssetError> {
        let read = |name: &str| match std::fs::read(dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AssetError::Read { path: dir.join(name), source }),
        };
        let stain_masks = match (read("3.npy")?, read("4.npy")?) {
            (Some(small), Some(large)) => {
                let entries = [("3", small.as_slice()), ("4", large.as_slice())];
                Some(Arc::new(StainMasks::from_npy_entries(entries)?))
            }
            _ => None,
        };
        let glyphs = match read("rowmand.jhf")? {
            Some(bytes) => Some(Arc::new(Glyphs::from_jhf(&String::from_utf8_lossy(&bytes))?)),
            None => None,
        };
        Ok(Self { stain_masks, glyphs })
    }
}

/// Why a picture file was refused.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// A file is there but cannot be read.
    #[error("{}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
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
