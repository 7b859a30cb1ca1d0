//! From objects of a store to rows: loose images as they are, archives by what they hold.

use std::collections::HashMap;
use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use sha2::{Digest, Sha256};

use super::CatalogRule;
use super::row::Row;
use crate::error::{Exit, Problem};
use crate::flow::ordered::off_io;
use crate::messages::Reason;
use crate::source::archive::{ArchiveReader, Cell, Label, RowOf, arrays, labels, n_rows, settled};
use crate::source::ranged::Ranged;
use crate::source::shard::{self, entries};
use crate::store::{self, Object, Root, StoreError, listed_key};

/// Endings of names that are listed; what they hold is found out by content when they are scored.
pub(super) const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "tif", "tiff", "dcm", "dicom"];
/// Endings of archives.
pub(super) const ARCHIVES: [&str; 3] = ["tar", "npz", "parquet"];
/// Bytes of one ranged read while hashing or reading rows.
const RANGE_BYTES: u64 = 1 << 20;
/// More rows than any archive has; a hostile one could claim them for ever.
const MAX_ROWS: u64 = 10_000_000;
/// Images of one chunk that are read at once.
const READS: usize = 8;

/// The lower-case ending of a name.
pub(super) fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase()
}

fn is_image(name: &str) -> bool {
    IMAGES.contains(&ending(name).as_str())
}

/// The rows of some loose images, or of one archive.
///
/// # Errors
/// Store failures; `S004` when an object went away meanwhile.
pub(super) async fn rows_of(
    root: &Root,
    objects: Vec<store::Listed>,
    rule: CatalogRule,
) -> Result<Vec<Row>, Problem> {
    let rows = match objects.as_slice() {
        [archive] if ARCHIVES.contains(&ending(&archive.name).as_str()) => {
            let (root, archive) = (root.clone(), archive.clone());
            off_io(move || of_archive(&root, &archive.name, archive.size, rule)).await?
        }
        _ => objects.into_iter().map(loose).collect(),
    };
    let finished = stream::iter(rows).map(|row| finish(root, row, rule));
    finished.buffered(READS).try_collect().await
}

fn loose(image: store::Listed) -> Row {
    Row { uri: image.name, bytes: Some(image.size), ..Row::default() }
}

/// Adds what does not need the archive to be open.
async fn finish(root: &Root, mut row: Row, rule: CatalogRule) -> Result<Row, Problem> {
    let is_image = row.refused.is_none() && row.row.is_none();
    if rule.labels_from_folders && is_image && row.label_idx.is_none() {
        let path = row.entry.as_ref().unwrap_or(&row.uri);
        row.label = path.rsplit('/').nth(1).map(str::to_owned);
    }
    if rule.sha256 && row.sha256.is_none() && row.refused.is_none() {
        let start = row.offset.unwrap_or(0);
        let range = start..start + row.bytes.unwrap_or(0);
        match sha256(root, &listed_key(&row.uri), range).await? {
            Ok(hash) => row.sha256 = Some(hash),
            Err(reason) => row.refused = Some(reason),
        }
    }
    Ok(row)
}

/// The hash, or the reason why there is none.
async fn sha256(root: &Root, key: &Path, range: Range<u64>) -> Result<Result<String, Reason>, Problem> {
    let mut hash = Sha256::new();
    // Piece by piece: an entry may claim to be as large as its shard.
    for at in range.clone().step_by(RANGE_BYTES as usize) {
        let piece = at..range.end.min(at + RANGE_BYTES);
        match root.read_part(key, "image", piece, RANGE_BYTES).await? {
            Object::Bytes(piece) => hash.update(&piece),
            Object::Archived => return Ok(Err(Reason::ArchivedObject)),
            Object::Changed => return Ok(Err(Reason::SourceChanged)),
            _ => {
                let what = "an object went away while it was listed";
                return Err(Problem::new("S004", Exit::StoreIo, what).hint("run the same command again"));
            }
        }
    }
    Ok(Ok(hex::encode(hash.finalize())))
}

fn of_archive(root: &Root, uri: &str, size: u64, rule: CatalogRule) -> Result<Vec<Row>, StoreError> {
    let key = listed_key(uri);
    let file = |block| Ranged::new(root, &key, size, block);
    match ending(uri).as_str() {
        "tar" => Ok(of_shard(uri, entries(|| file(shard::BLOCK_BYTES))?)),
        "npz" => of_npz(uri, || file(RANGE_BYTES), rule),
        _ => of_table(uri, || file(RANGE_BYTES), rule),
    }
}

/// Sets without labels say so by a negative number.
fn class(index: i64) -> Option<String> {
    (index >= 0).then(|| index.to_string())
}

fn refused(uri: &str, reason: Reason) -> Row {
    Row { uri: uri.to_owned(), refused: Some(reason), ..Row::default() }
}

fn of_shard(uri: &str, entries: Vec<shard::ShardEntry>) -> Vec<Row> {
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let class = |entry: &shard::ShardEntry| Some((stem(entry.name.as_ref()?), entry.class.clone()?));
    let classes: HashMap<String, String> = entries.iter().filter_map(class).collect();
    let images = entries.into_iter().filter(|entry| entry.name.as_ref().is_none_or(|name| is_image(name)));
    let row = |entry: shard::ShardEntry| Row {
        uri: uri.to_owned(),
        offset: Some(entry.offset),
        bytes: Some(entry.bytes),
        label_idx: entry.name.as_ref().and_then(|name| classes.get(&stem(name)).cloned()),
        refused: entry.refused,
        entry: entry.name,
        ..Row::default()
    };
    images.map(row).collect()
}

fn of_npz(uri: &str, file: impl Fn() -> Ranged, rule: CatalogRule) -> Result<Vec<Row>, StoreError> {
    let found = match settled(|| arrays(&file()))? {
        Ok(found) => found,
        Err((reason, _)) => return Ok(vec![refused(uri, reason)]),
    };
    if found.iter().map(|array| array.n_rows).fold(0, u64::saturating_add) > MAX_ROWS {
        return Ok(vec![refused(uri, Reason::ArchiveExceedsLimit)]);
    }
    let mut rows = Vec::new();
    for array in found {
        let classes = match settled(|| labels(&file(), &array.labels, array.n_rows))? {
            Ok(classes) => classes,
            // Images without their labels would be scored and never judged.
            Err((reason, _)) => return Ok(vec![refused(uri, reason)]),
        };
        let class_of = |row: u64| {
            let classes = classes.as_ref()?;
            class(*classes.get(usize::try_from(row).ok()?)?)
        };
        let place = |row: u64| Row {
            uri: uri.to_owned(),
            entry: Some(array.name.clone()),
            row: Some(row),
            bytes: Some(array.row_bytes),
            split: array.split.clone(),
            label_idx: class_of(row),
            ..Row::default()
        };
        let start = rows.len();
        rows.extend((0..array.n_rows).map(place));
        if rule.sha256 {
            read_rows(&mut rows[start..], &file, |row, cell| row.sha256 = Some(hash(&cell)))?;
        }
    }
    Ok(rows)
}

/// Every image is read, for its size stands nowhere else.
fn of_table(uri: &str, file: impl Fn() -> Ranged, rule: CatalogRule) -> Result<Vec<Row>, StoreError> {
    let n_rows = match settled(|| n_rows(&file()))? {
        Ok(Some(n_rows)) if n_rows > MAX_ROWS => return Ok(vec![refused(uri, Reason::ArchiveExceedsLimit)]),
        Ok(Some(n_rows)) => n_rows,
        // A table of something else.
        Ok(None) => return Ok(Vec::new()),
        Err((reason, _)) => return Ok(vec![refused(uri, reason)]),
    };
    let place = |row: u64| Row { uri: uri.to_owned(), row: Some(row), ..Row::default() };
    let mut rows: Vec<Row> = (0..n_rows).map(place).collect();
    read_rows(&mut rows, &file, |row, cell| {
        row.bytes = Some(cell.bytes.len() as u64);
        row.sha256 = rule.sha256.then(|| hash(&cell));
        match cell.label {
            Some(Label::Index(index)) => row.label_idx = class(index),
            Some(Label::Name(name)) => row.label = Some(name),
            None => {}
        }
    })?;
    Ok(rows)
}

fn hash(cell: &Cell) -> String {
    hex::encode(Sha256::digest(&cell.bytes))
}

/// Hands every row what it holds, in order; those that cannot be read are refused.
fn read_rows(
    rows: &mut [Row],
    file: &impl Fn() -> Ranged,
    mut with: impl FnMut(&mut Row, Cell),
) -> Result<(), StoreError> {
    let mut reader = ArchiveReader::default();
    for row in rows {
        let of = RowOf {
            key: listed_key(&row.uri),
            entry: row.entry.as_deref().map(Into::into),
            row: row.row.unwrap_or_default(),
        };
        match reader.read(|| Ok(file()), &of)? {
            Ok(cell) => with(row, cell),
            Err((reason, _)) => row.refused = Some(reason),
        }
    }
    Ok(())
}
