//! Rows of manifests that other programs put below a root, joined to one manifest.

use std::path::Path;

use futures::TryStreamExt;

use super::kinds::ending;
use super::objects::went_away;
use super::parts::{Parts, Totals};
use super::row::Row;
use super::tally::Tally;
use super::walk::{Found, walk_folders};
use super::wanted::{Choice, Seen};
use super::{Catalog, CatalogRule, listed};
use crate::error::Problem;
use crate::messages::Reason;
use crate::source::fields::{
    AXIS, BYTES, CORRUPTION, ENTRY, FOUND, FRAME, GROUP, INDEX, LABEL, LABEL_IDX, OFFSET, REFUSED, ROW,
    SAMPLE_ID, SEVERITY, SHA256, SPLIT, URI, whole,
};
use crate::source::manifest::{ManifestFile, place_of};
use crate::source::problems::bad;
use crate::source::rows;
use crate::store::Root;

/// Endings of manifests.
const ENDINGS: [&str; 5] = ["csv", "json", "jsonl", "ndjson", "parquet"];

/// One row of a manifest, as what tells it from other rows sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedRow {
    /// What no other image has: the uri, and where in its object it lies.
    pub place: String,
    /// Declared bytes; 0 where there are none.
    pub size: u64,
    /// Declared hash; empty where there is none.
    pub sha256: String,
}

/// The manifest of all rows that `wants` wants, of the manifests below `folders` of `incoming` that `choose` wants. Both are asked
/// in the order of the listing; `out` is a local file.
///
/// # Errors
/// `M022` when there is no row, what is wrong with a manifest, `C007` an `out` that cannot be written; store failures.
pub async fn catalog_of_manifests(
    incoming: &Root,
    folders: Vec<String>,
    out: &Path,
    mut choose: impl FnMut(Seen) -> Choice + Send,
    mut wants: impl FnMut(&Seen, &LandedRow) -> bool + Send,
) -> Result<Catalog, Problem> {
    let (parts, mut names, mut tally) = (Parts::beside(out)?, Vec::new(), Tally::default());
    let mut walk = walk_folders(incoming.clone(), folders);
    while let Some(found) = walk.try_next().await? {
        let seen = Seen::of(&found);
        let is_manifest = matches!(found, Found::Object(_)) && ENDINGS.contains(&ending(&seen.name).as_str());
        if !is_manifest {
            tally.leave_out("no manifests");
            continue;
        }
        if !choose(seen.clone()).await? {
            continue;
        }
        let file = ManifestFile::fetch(incoming, &seen.name).await?.ok_or_else(went_away)?;
        let mut wanted = Vec::new();
        rows::read(&file.name, &file.spool, &mut |header, n, row| {
            if n == 0 {
                header.needs(URI)?;
            }
            let (landed, row) = read_row(n, row)?;
            if wants(&seen, &landed) {
                wanted.push(row);
            }
            Ok(())
        })?;
        if !wanted.is_empty() {
            tally.n_archives += 1;
            let name = Parts::name(&[found], &CatalogRule::default());
            parts.write(&name, &wanted, &Tally::default())?;
            names.push(name);
        }
    }
    listed(incoming, Totals { tally, ..parts.join(&names, out)? })
}

/// A row as it is written again. What a run checks is checked when the joined manifest is read.
fn read_row(n: usize, row: &rows::Row) -> Result<(LandedRow, Row), Problem> {
    let text = |column: usize| row[column].clone();
    let number = |column: usize| {
        let wrong = || bad("M015", format!("row {n}: {} is no whole number", rows::COLUMNS[column]));
        row[column].as_deref().map(|text| whole(text).ok_or_else(wrong)).transpose()
    };
    let small = |column: usize| {
        let wrong = || bad("M023", format!("row {n}: {} is too large a number", rows::COLUMNS[column]));
        number(column)?.map(|number| u32::try_from(number).map_err(|_| wrong())).transpose()
    };
    let tiny = |column: usize| {
        let wrong = || bad("M023", format!("row {n}: {} is too large a number", rows::COLUMNS[column]));
        number(column)?.map(|number| u8::try_from(number).map_err(|_| wrong())).transpose()
    };
    let uri = text(URI).ok_or_else(|| bad("M002", format!("row {n}: uri is empty")))?;
    let unknown = || bad("M024", format!("row {n}: refused is none of the reasons of docs/errors.md"));
    let refused =
        row[REFUSED].as_deref().map(|code| Reason::from_code(code).ok_or_else(unknown)).transpose()?;
    let landed = LandedRow {
        place: place_of(&uri, row),
        size: number(BYTES)?.unwrap_or_default(),
        sha256: text(SHA256).unwrap_or_default().to_ascii_lowercase(),
    };
    let row = Row {
        uri,
        sample_id: text(SAMPLE_ID),
        entry: text(ENTRY),
        offset: number(OFFSET)?,
        row: number(ROW)?,
        bytes: number(BYTES)?,
        split: text(SPLIT),
        label: text(LABEL),
        label_idx: text(LABEL_IDX),
        sha256: text(SHA256),
        refused,
        found: text(FOUND),
        frame: small(FRAME)?,
        axis: tiny(AXIS)?,
        index: small(INDEX)?,
        corruption: text(CORRUPTION),
        severity: tiny(SEVERITY)?,
        group: text(GROUP),
    };
    Ok((landed, row))
}
