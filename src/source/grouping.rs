//! What belongs together: the manifest's column `group`, such as the patient of an image.

use std::collections::HashMap;

use super::fields::GROUP;
use super::manifest::{ManifestFile, manifest_hash};
use super::rows;
use crate::error::Problem;

/// The groups of a manifest file by its data rows, as numbers: the names stay in the file.
#[derive(Debug, Clone)]
pub struct Grouping {
    by_row: Vec<Option<u32>>,
    /// Keyed hash of the file, as a plan has it.
    pub hmac_sha256: String,
}

impl Grouping {
    /// Reads the column; the ending of its name decides the format, `secret` keys the hash as it keys pseudonyms. Blocks.
    ///
    /// # Errors
    /// `M002` a file without the column, and what makes it no manifest.
    pub fn read(file: &ManifestFile, secret: Option<&str>) -> Result<Self, Problem> {
        let (mut by_row, mut numbers) = (Vec::new(), HashMap::new());
        rows::read(&file.name, &file.spool, &mut |header, n, row| {
            if n == 0 {
                header.needs(GROUP)?;
            }
            by_row.push(row[GROUP].clone().map(|name| {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                *numbers.entry(name).or_insert(next)
            }));
            Ok(())
        })?;
        Ok(Self { by_row, hmac_sha256: manifest_hash(secret, file)? })
    }

    /// The group of a data row, counted from 0; `None` for a row without one.
    #[must_use]
    pub fn of(&self, manifest_row: u64) -> Option<u32> {
        *self.by_row.get(usize::try_from(manifest_row).ok()?)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_name_are_one_group_and_rows_without_are_none() {
        let file = |text: &[u8]| ManifestFile::of("m.csv", text).unwrap();
        let text = file(b"uri,Group\na,p1\nb,p2\nc,\nd,p1\n");
        let grouping = Grouping::read(&text, Some("k")).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|row| grouping.of(row)), [Some(0), Some(1), None, Some(0), None]);
        assert_ne!(grouping.hmac_sha256, Grouping::read(&text, Some("l")).unwrap().hmac_sha256);
        assert_eq!(Grouping::read(&file(b"uri\na\n"), None).unwrap_err().code, "M002");
    }
}
