//! One open archive for samples that come in its order, and what is known to be damaged in it.

use std::ops::Range;
use std::sync::Arc;

use object_store::path::Path;

use super::{Archive, RowContent, settled};
use crate::messages::Reason;
use crate::source::ranged::{ArchiveFault, Ranged};
use crate::store::StoreError;

/// Which row of which archive.
#[derive(Debug, Clone)]
pub(in crate::source) struct RowOf {
    pub(in crate::source) key: Path,
    /// Array or column.
    pub(in crate::source) entry: Option<Arc<str>>,
    pub(in crate::source) row: u64,
    /// Column of labels beside it, where it is not one of the usual names.
    pub(in crate::source) label_column: Option<Arc<str>>,
}

impl RowOf {
    fn is_beside(&self, other: &Self) -> bool {
        self.key == other.key && self.entry == other.entry
    }
}

/// Reads rows; keeps the last archive open, because the next row is most often behind the last one.
#[derive(Debug, Default)]
pub(in crate::source) struct ArchiveReader {
    open: Option<(RowOf, Archive)>,
    damage: Option<Damage>,
}

/// Rows that two readings found damaged alike.
#[derive(Debug)]
struct Damage {
    of: RowOf,
    rows: Range<u64>,
    reason: Reason,
    detail: String,
}

impl ArchiveReader {
    /// One row, or the reason code and detail why there is none. `file` opens the archive; not for I/O threads.
    ///
    /// # Errors
    /// When the store fails, or tells something else each time.
    pub(in crate::source) fn read(
        &mut self,
        file: impl Fn() -> Result<Ranged, ArchiveFault>,
        of: &RowOf,
    ) -> Result<Result<RowContent, (Reason, String)>, StoreError> {
        let known =
            self.damage.as_ref().filter(|known| known.of.is_beside(of) && known.rows.contains(&of.row));
        if let Some(known) = known {
            return Ok(Err((known.reason, known.detail.clone())));
        }
        let mut lost = 0..u64::MAX;
        let found = settled(|| {
            let kept =
                self.open.take().filter(|(open, archive)| open.is_beside(of) && archive.is_ahead(of.row));
            let mut archive = match kept {
                Some((_, archive)) => archive,
                None => Archive::open(file()?, of)?,
            };
            lost = archive.lost_with(of.row);
            let cell = archive.row(of.row)?;
            self.open = Some((of.clone(), archive));
            Ok(cell)
        })?;
        if let Err((reason, detail)) = &found {
            self.damage =
                Some(Damage { of: of.clone(), rows: lost, reason: *reason, detail: detail.clone() });
        }
        Ok(found)
    }
}
