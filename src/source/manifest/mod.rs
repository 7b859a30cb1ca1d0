//! The frozen, ordered list of samples: every row checked before anything is read, and none held behind its partition.
//!
//! A manifest file is copied, checked row by row and written as a list in a spool of this process; or the list was frozen before, in a
//! store, and is opened by its head alone.

mod aside;
mod checked;
mod columns;
mod file;
mod frozen;
mod list;
mod once;
mod pseudonyms;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use t3b_corrupt::Cell;

use super::fields::{AXIS, ENTRY, FRAME, INDEX, OFFSET, REFUSED, ROW};
use super::rows::Row;
use super::spool::unspooled;
use crate::error::Problem;
use crate::messages::{CellIdx, Sample};
pub use file::ManifestFile;
pub use frozen::{Frozen, is_frozen};
use list::List;

/// The manifest after filtering: in file order, rows that declare their cell behind the others, cell by cell.
#[derive(Debug)]
pub struct Manifest {
    /// Samples.
    pub n_samples: u64,
    /// Content hash of the manifest file, lower-case hex.
    pub sha256: String,
    /// Keyed hash of the manifest file, lower-case hex: names the manifest to whoever has the key, and to nobody else.
    pub hmac_sha256: String,
    /// Hash over all sample ids in order, lower-case hex: two runs with other pseudonym keys write other rows.
    pub ids_sha256: String,
    /// Whether a secret keys pseudonyms and `hmac_sha256`; otherwise the manifest's own content does.
    pub is_keyed: bool,
    /// Samples whose id was made of their place, not given by the manifest.
    pub n_pseudonyms: u64,
    /// Every cell that is scored: those the pipeline makes, then those that rows declare and it does not make.
    pub cells: Arc<[Cell]>,
    /// How many of `cells` the pipeline makes of each row without a cell of its own; 0 when there is no such row.
    pub n_made: usize,
    /// Which rows are in which cells.
    pub stretches: Vec<Stretch>,
    /// Samples that the manifest itself refuses, by the code of the reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Bytes of all samples, where each says how many it has.
    pub n_bytes: Option<u64>,
    /// What deserves a word and stops nothing.
    pub notes: Vec<String>,
    partition_size: u32,
    list: List,
}

/// Samples at consecutive rows that are in the same cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Row of the first, a multiple of the batch size.
    pub first_row: u64,
    /// Samples.
    pub n_samples: u64,
    /// The one cell that they are of; `None` where they are in every cell that the pipeline makes.
    pub declared: Option<CellIdx>,
}

impl Stretch {
    fn rows(&self) -> Range<u64> {
        self.first_row..self.first_row + self.n_samples
    }
}

/// How a manifest is read.
#[derive(Debug, Clone, Copy)]
pub struct ManifestRule<'a> {
    /// Class names in index order.
    pub labels: &'a [String],
    /// Keeps only rows of this split.
    pub split: Option<&'a str>,
    /// Secret that keys pseudonyms; `None` keys them by the manifest's own content.
    pub pseudonym_key: Option<&'a str>,
    /// The cells that the pipeline makes, in scoring order.
    pub cells: &'a [Cell],
    /// Samples of a batch; declared cells begin at its multiples.
    pub batch_size: u32,
    /// Rows of a partition, a multiple of the batch size.
    pub partition_size: u32,
    /// Does not look at the columns `corruption` and `severity`: what is corrupted already is corrupted again.
    pub ignores_declared: bool,
}

impl Manifest {
    /// Checks a manifest file row by row; the ending of its name decides the format. Blocks.
    ///
    /// Order: the format, the columns, the split filter, then row by row the key, the id, the label, the
    /// declared hash and size, then duplicates. Row numbers in messages count data rows of the file from 0. Labels that are no
    /// class are told together. Memory does not grow with the rows.
    ///
    /// # Errors
    /// `M001` to `M028`, see `docs/errors.md`; `C007` when its copy cannot be spooled. Messages never repeat a key.
    pub fn parse(file: &ManifestFile, rule: ManifestRule<'_>) -> Result<Self, Problem> {
        checked::parse(file, rule)
    }

    /// The samples at these rows, in order. Holds the partitions they are in, one after the other.
    ///
    /// # Errors
    /// `M033` when a frozen list is damaged; store failures.
    pub async fn samples(&self, rows: Range<u64>) -> Result<Vec<Sample>, Problem> {
        self.list.samples(rows.start..rows.end.min(self.end())).await
    }

    /// Gives every sample to `take`, in order, a partition at a time.
    ///
    /// # Errors
    /// As [`Manifest::samples`].
    pub async fn for_each(&self, mut take: impl FnMut(Sample)) -> Result<(), Problem> {
        for partition in self.partitions() {
            self.samples(partition.rows).await?.into_iter().for_each(&mut take);
        }
        Ok(())
    }

    /// Where the list is cut: the units of work, of commit and of distribution.
    #[must_use]
    pub fn partitions(&self) -> super::Partitions {
        super::Partitions::new(self.partition_size, self.end())
    }

    /// One past the last row.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.stretches.last().map_or(0, |stretch| stretch.rows().end)
    }

    /// (sample, cell) pairs.
    #[must_use]
    pub fn n_pairs(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.n_samples * self.n_cells_of(stretch)).sum()
    }

    fn n_cells_of(&self, stretch: &Stretch) -> u64 {
        if stretch.declared.is_some() { 1 } else { self.n_made as u64 }
    }

    /// Batches, over their cells, of the samples at rows that begin at a multiple of the batch size.
    #[must_use]
    pub fn n_batches(&self, rows: &Range<u64>, batch_size: u32) -> u64 {
        let batches = |stretch: &Stretch| {
            let n_within = stretch.rows().end.min(rows.end).saturating_sub(stretch.first_row.max(rows.start));
            n_within.div_ceil(u64::from(batch_size.max(1))) * self.n_cells_of(stretch)
        };
        self.stretches.iter().map(batches).sum()
    }
}

/// What no other row has: the uri, what it names within the object, the frame and the slice.
pub(super) fn place_of(uri: &str, row: &Row) -> String {
    let entry = row[ENTRY].as_deref();
    // Of two entries of one name, the listing refuses the second.
    let refused = row[OFFSET].as_deref().or(row[REFUSED].as_deref()).filter(|_| row[REFUSED].is_some());
    let [offset, row_of, frame, axis, index] = [OFFSET, ROW, FRAME, AXIS, INDEX].map(|n| row[n].as_deref());
    let within = [entry.or(offset), row_of, frame, axis, index, refused];
    within.into_iter().flatten().fold(uri.to_owned(), |place, within| format!("{place}\0{within}"))
}

/// The keyed hash by which a plan names its manifest file.
pub(super) fn manifest_hash(secret: Option<&str>, file: &ManifestFile) -> Result<String, Problem> {
    let hashed = || {
        let sha256 = pseudonyms::sha256(&file.spool)?;
        Ok(pseudonyms::Pseudonyms::new(secret, &file.spool)?.manifest_hash(&sha256))
    };
    hashed().map_err(|error: std::io::Error| unspooled(&error))
}

#[cfg(test)]
mod tests;
