//! Rows of an npz array as the `.npy` files they would be, and what an npz holds.

use super::{Cell, cut};
use crate::messages::Reason;
use crate::source::ranged::{Fault, Ranged};
use t3b_image::npz::{NpyHeader, Npz, NpzError, Rows};

/// Ending of the names of image arrays in MedMNIST's files: `train_images`, `val_images`, `test_images`.
const IMAGES: &str = "images";
/// More arrays of images than any data set has.
const MAX_ARRAYS: usize = 64;
/// Ending of the names of their labels.
const LABELS: &str = "labels";

/// One array, standing before one of its rows.
#[derive(Debug)]
pub(super) struct ArrayRows {
    rows: Rows<Ranged>,
    /// Of a file that holds one row.
    header: Vec<u8>,
    at: u64,
}

impl ArrayRows {
    pub(super) fn open(file: Ranged, entry: Option<&str>) -> Result<Self, Fault> {
        let npz = Npz::over(file).map_err(fault)?;
        let entry = match (entry, npz.arrays().as_slice()) {
            (Some(entry), _) => entry.to_owned(),
            (None, [only]) => only.clone(),
            (None, all) => {
                let detail = format!("{} arrays and no entry that names one", all.len());
                return Err(Fault::bytes(Reason::ArchiveEntryMissing, detail));
            }
        };
        let rows = npz.into_rows(&entry).map_err(fault)?;
        Ok(Self { header: row_header(rows.header()), rows, at: 0 })
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn row(&mut self, row: u64) -> Result<Cell, Fault> {
        if row >= self.rows.header().n_rows() {
            let detail = format!("row {row} of {}", self.rows.header().n_rows());
            return Err(Fault::bytes(Reason::ArchiveEntryMissing, detail));
        }
        self.rows.skip(row - self.at).map_err(fault)?;
        let mut values = Vec::new();
        self.rows.next_into(&mut values).map_err(fault)?;
        self.at = row + 1;
        Ok(Cell { bytes: [self.header.as_slice(), &values].concat().into(), label: None })
    }
}

fn row_header(array: &NpyHeader) -> Vec<u8> {
    NpyHeader { descr: array.descr.clone(), shape: array.shape[1..].to_vec() }.to_bytes()
}

/// An array of images, for a listing.
#[derive(Debug)]
pub(in crate::source) struct Array {
    pub(in crate::source) name: String,
    /// Name of the array of its labels.
    pub(in crate::source) labels: String,
    /// `train`, `val` or `test`; nothing where the array has no such prefix.
    pub(in crate::source) split: Option<String>,
    pub(in crate::source) n_rows: u64,
    /// Of one row as an `.npy` file.
    pub(in crate::source) row_bytes: u64,
}

/// The arrays of 8-bit images in an npz: `*images` of shape `(n, h, w)` or `(n, h, w, 3 or 4)`.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(in crate::source) fn arrays(file: &Ranged) -> Result<Vec<Array>, Fault> {
    let mut found = Vec::new();
    super::guarded(file, || {
        let npz = Npz::over(file.clone()).map_err(fault)?;
        for name in npz.arrays() {
            let Some(prefix) = name.strip_suffix(IMAGES) else { continue };
            let header = npz.clone().into_rows(&name).map_err(fault)?.header().clone();
            let sides = header.shape.get(1..).unwrap_or_default();
            let is_images = matches!(sides, [_, _] | [_, _, 1 | 3 | 4]) && !sides.contains(&0);
            if header.descr != "|u1" || !is_images {
                continue;
            }
            let values = header.row_bytes().unwrap_or_default() as u64;
            if found.len() == MAX_ARRAYS {
                let detail = format!("more than {MAX_ARRAYS} arrays of images");
                return Err(Fault::bytes(Reason::ArchiveExceedsLimit, detail));
            }
            let split = prefix.trim_end_matches('_');
            found.push(Array {
                labels: format!("{prefix}{LABELS}"),
                split: (!split.is_empty()).then(|| split.to_owned()),
                n_rows: header.n_rows(),
                row_bytes: row_header(&header).len() as u64 + values,
                name,
            });
        }
        Ok(())
    })?;
    Ok(found)
}

/// The class index of every row of an array of labels of shape `(n)` or `(n, 1)`; `None` where there are no such labels, or not
/// `n_rows`.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(in crate::source) fn labels(file: &Ranged, name: &str, n_rows: u64) -> Result<Option<Vec<i64>>, Fault> {
    super::guarded(file, || {
        let npz = Npz::over(file.clone()).map_err(fault)?;
        if !npz.arrays().iter().any(|array| array == name) {
            return Ok(None);
        }
        let mut rows = npz.into_rows(name).map_err(fault)?;
        let (kind, one) =
            (rows.header().descr.clone(), matches!(rows.header().shape.as_slice(), [_] | [_, 1]));
        let is_whole = kind.len() == 3 && matches!(kind.as_bytes()[1], b'u' | b'i');
        if !one || !is_whole {
            return Ok(None);
        }
        let (mut classes, mut row) = (Vec::new(), Vec::new());
        if rows.header().n_rows() != n_rows {
            return Ok(None);
        }
        // To the end, where the checksum is compared.
        while rows.next_into(&mut row).map_err(fault)? {
            let is_negative = kind.as_bytes()[1] == b'i' && row.last().is_some_and(|&byte| byte >= 0x80);
            let mut wide = [if is_negative { 0xff } else { 0 }; 8];
            wide[..row.len()].copy_from_slice(&row);
            classes.push(i64::from_le_bytes(wide));
        }
        Ok(Some(classes))
    })
}

fn fault(error: NpzError) -> Fault {
    match error {
        NpzError::Io(error) => cut(&error),
        // A zip is read from its end, so nothing of one that was cut can be found.
        NpzError::Zip(_) => Fault::bytes(Reason::ArchiveTruncated, "no table of contents: cut, or no zip"),
        NpzError::Missing { .. } => Fault::bytes(Reason::ArchiveEntryMissing, "no array of that name"),
        NpzError::Encrypted { .. } => Fault::bytes(Reason::ArchiveEncrypted, "the array is locked"),
        NpzError::Limit { found, allowed } => {
            Fault::bytes(Reason::ArchiveExceedsLimit, format!("found {found}, allowed {allowed}"))
        }
        NpzError::Compression { .. } => {
            Fault::bytes(Reason::ArchiveUnsupported, "neither stored nor deflated")
        }
        NpzError::BadHeader { problem, .. } => Fault::bytes(Reason::ArchiveUnsupported, problem),
        NpzError::Size { found, .. } => {
            Fault::bytes(Reason::ArchiveTruncated, format!("{found} rows than the shape says"))
        }
    }
}
