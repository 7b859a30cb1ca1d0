//! The drawn demo archive: synthetic stained blood-smear crops with known labels.
//!
//! Everybody can run the whole job without patient data: [`write_archive`] fills a folder with PNG and
//! JPEG objects and the `manifest.csv` that lists them. The four classes and their order are those of the
//! BCCD crops, so the shipped tiny model pair scores both.
//!
//! The bytes are a function of the seed alone. The drawing uses only `+ - * /` and `sqrt`, which IEEE 754
//! defines exactly, and no `sin` or `exp` of a platform's maths library.

mod archive;
mod draw;
mod rng;
mod shape;
mod shipped;
mod slide;

pub use archive::{ArchiveError, ArchiveSummary, MANIFEST_FILE, write_archive};
pub use draw::{CellClass, draw_crop};
pub use shipped::prepare;

/// Seed of the archive that the documentation shows.
pub const DEFAULT_SEED: u64 = 2024;

/// Images in the archive that the documentation shows.
pub const DEFAULT_IMAGES: usize = 320;
