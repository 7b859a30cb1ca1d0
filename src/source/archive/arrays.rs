//! Rows of an npz array as the `.npy` files they would be, and what an npz holds.

use super::RowContent;
use super::cut;
use crate::messages::Reason;
use crate::source::ranged::{ArchiveFault, Ranged};
use t3b_image::npz::{NpyHeader, Npz, NpzError, Rows};

/// Ending of the names of image arrays in MedMNIST's files: `train_images`, `val_images`, `test_images`.
const IMAGES: &str = "images";

/// One array, standing before one of its rows.
#[derive(Debug)]
pub(super) struct ArrayRows {
    rows: Rows<Ranged>,
    /// Of a file that holds one row.
    header: Vec<u8>,
    at: u64,
}

impl ArrayRows {
    pub(super) fn open(file: Ranged, entry: Option<&str>) -> Result<Self, ArchiveFault> {
        let npz = Npz::over(file).map_err(fault)?;
        let entry = match (entry, npz.arrays().as_slice()) {
            (Some(entry), _) => entry.to_owned(),
            (None, [only]) => only.clone(),
            (None, all) => {
                let detail = format!("{} arrays and no entry that names one", all.len());
                return Err(ArchiveFault::bytes(Reason::ArchiveEntryMissing, detail));
            }
        };
        let rows = npz.into_rows(&entry).map_err(fault)?;
        Ok(Self { header: row_header(rows.header()), rows, at: 0 })
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn row(&mut self, row: u64) -> Result<RowContent, ArchiveFault> {
        if row >= self.rows.header().n_rows() {
            let detail = format!("row {row} of {}", self.rows.header().n_rows());
            return Err(ArchiveFault::bytes(Reason::ArchiveEntryMissing, detail));
        }
        self.rows.skip(row - self.at).map_err(fault)?;
        let mut values = Vec::new();
        self.rows.next_into(&mut values).map_err(fault)?;
        self.at = row + 1;
        Ok(RowContent { bytes: [self.header.as_slice(), &values].concat().into(), label: None })
    }
}

fn row_header(array: &NpyHeader) -> Vec<u8> {
    NpyHeader { descr: array.descr.clone(), shape: array.shape[1..].to_vec() }.to_bytes()
}

/// An array of images, for a listing.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) struct Array {
    pub(in crate::source) n_rows: u64,
    /// Of one row as an `.npy` file.
    pub(in crate::source) row_bytes: u64,
}

/// The names of all arrays of an npz.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(in crate::source) fn array_names(file: &Ranged) -> Result<Vec<String>, ArchiveFault> {
    super::guarded(file, || Ok(Npz::over(file.clone()).map_err(fault)?.arrays()))
}

/// What stands before `images` in the name of an array of images; nothing where the name means something else.
pub(in crate::source) fn images_prefix(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(IMAGES.len())?;
    let (prefix, ending) = name.split_at_checked(at)?;
    ending.eq_ignore_ascii_case(IMAGES).then_some(prefix)
}

/// An array of 8-bit images of shape `(n, h, w)` or `(n, h, w, 1, 3 or 4)`.
///
/// # Errors
/// `archive_unsupported` with what was found and what is read, other `archive_*` reasons, and store failures.
pub(in crate::source) fn array(file: &Ranged, name: &str) -> Result<Array, ArchiveFault> {
    super::guarded(file, || {
        let npz = Npz::over(file.clone()).map_err(fault)?;
        let header = npz.clone().into_header(name).map_err(fault)?;
        let sides = header.shape.get(1..).unwrap_or_default();
        let is_images = matches!(sides, [_, _] | [_, _, 1 | 3 | 4]) && !sides.contains(&0);
        if header.descr != "|u1" || !is_images {
            let detail = format!(
                "images: found {}, read are uint8 of shape (n, h, w) or (n, h, w, 1, 3 or 4)",
                described(&header)
            );
            return Err(ArchiveFault::bytes(Reason::ArchiveUnsupported, detail));
        }
        let rows = npz.into_rows(name).map_err(fault)?;
        let values = rows.header().row_bytes().unwrap_or_default() as u64;
        Ok(Array { n_rows: header.n_rows(), row_bytes: row_header(&header).len() as u64 + values })
    })
}

/// Element type and shape in words.
fn described(header: &NpyHeader) -> String {
    let shape: Vec<String> = header.shape.iter().take(8).map(u64::to_string).collect();
    format!("{} of shape ({})", describe(&header.descr), shape.join(", "))
}

/// What [`array_names`] found, in words and without names: types and shapes of the first arrays.
///
/// # Errors
/// Store failures alone; an array that cannot be read is left out.
pub(in crate::source) fn described_arrays(file: &Ranged, names: &[String]) -> Result<String, ArchiveFault> {
    let mut found = Vec::new();
    for name in names.iter().take(2) {
        let header = super::guarded(file, || {
            Npz::over(file.clone()).and_then(|npz| npz.into_header(name)).map_err(fault)
        });
        match header {
            Ok(header) => found.push(described(&header)),
            Err(ArchiveFault::Store(error)) => return Err(ArchiveFault::Store(error)),
            Err(ArchiveFault::Bytes(..)) => {}
        }
    }
    let more = if names.len() > found.len() { " and others" } else { "" };
    Ok(format!("{} arrays, none named images: {}{more}", names.len(), found.join(", ")))
}

/// Opens an array of labels; `None` where there is none of that name.
///
/// # Errors
/// `archive_*` reasons, and store failures.
pub(super) fn open_labels(file: &Ranged, name: &str) -> Result<Option<Rows<Ranged>>, ArchiveFault> {
    let npz = Npz::over(file.clone()).map_err(fault)?;
    if !npz.arrays().iter().any(|array| array == name) {
        return Ok(None);
    }
    let header = npz.clone().into_header(name).map_err(fault)?;
    if header.row_bytes().is_err() {
        let detail = format!("labels: found {}, read are numbers and strings", described(&header));
        return Err(ArchiveFault::bytes(Reason::ArchiveUnsupported, detail));
    }
    npz.into_rows(name).map(Some).map_err(fault)
}

pub(super) fn fault(error: NpzError) -> ArchiveFault {
    match error {
        NpzError::Io(error) => cut(&error),
        // A zip is read from its end, so nothing of one that was cut can be found.
        NpzError::Zip(_) => {
            ArchiveFault::bytes(Reason::ArchiveTruncated, "no table of contents: cut, or no zip")
        }
        NpzError::Missing { .. } => ArchiveFault::bytes(Reason::ArchiveEntryMissing, "no array of that name"),
        NpzError::Encrypted { .. } => ArchiveFault::bytes(Reason::ArchiveEncrypted, "the array is locked"),
        NpzError::Limit { found, allowed } => {
            ArchiveFault::bytes(Reason::ArchiveExceedsLimit, format!("found {found}, allowed {allowed}"))
        }
        NpzError::Compression { .. } => ArchiveFault::bytes(
            Reason::ArchiveUnsupported,
            "neither stored nor deflated; numpy writes no other",
        ),
        NpzError::BadHeader { problem, .. } => ArchiveFault::bytes(Reason::ArchiveUnsupported, problem),
        NpzError::Size { found, .. } => {
            ArchiveFault::bytes(Reason::ArchiveTruncated, format!("{found} rows than the shape says"))
        }
    }
}

/// numpy's name of an element type in words.
fn describe(descr: &str) -> String {
    let (order, rest) = descr.split_at_checked(1).unwrap_or(("", descr));
    let (kind, size) = rest.split_at_checked(1).unwrap_or((rest, ""));
    let bits = size.parse::<u32>().unwrap_or_default().saturating_mul(8);
    let plain = match kind {
        "b" => "bool".to_owned(),
        "u" => format!("uint{bits}"),
        "i" => format!("int{bits}"),
        "f" => format!("float{bits}"),
        "c" => format!("complex{bits}"),
        "S" => "byte strings".to_owned(),
        "U" => "unicode strings".to_owned(),
        "O" => "objects, which are pickled,".to_owned(),
        _ => "another type".to_owned(),
    };
    if order == ">" { format!("big endian {plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_described_in_the_words_of_the_listing() {
        for descr in ["|u1", "<f4", ">u2", "|O", "<U5", "|S3", "<c16", "|b1", "<M8[ns]", "", "\u{e9}"] {
            let text = describe(descr);
            assert!(crate::source::words::are_ours(&text), "{descr}: {text}");
        }
        assert_eq!(describe(">u2"), "big endian uint16");
    }
}
