//! A manifest made of what lies below a root: loose images and the entries of tar shards, in the order of their names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::shard;
use crate::error::{Exit, Problem};
use crate::store::{Object, Root};

/// Endings of names that are listed; what they hold is found out by content when they are scored.
const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "tif", "tiff", "dcm", "dicom"];
const SHARD: &str = "tar";
/// Bytes of one ranged read while hashing.
const RANGE_BYTES: u64 = 8 << 20;

/// What the manifest shall hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatalogRule {
    /// Takes the name of the folder that an image lies in as its `label`.
    pub labels_from_folders: bool,
    /// Reads every image and adds its `sha256`.
    pub sha256: bool,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    uri: String,
    entry: Option<String>,
    offset: Option<u64>,
    bytes: u64,
    label: Option<String>,
    label_idx: Option<String>,
    sha256: Option<String>,
}

/// Lists everything below `root` that can be scored.
///
/// The rows are held in memory, some hundred bytes each. Class indices of tar shards are read from `.cls` files beside the
/// images, as WebDataset writes them.
///
/// # Errors
/// `M021` a broken shard, `M022` when there is nothing to list; store failures.
pub fn catalog(root: &Root, runtime: &Handle, rule: CatalogRule) -> Result<Vec<Listed>, Problem> {
    let objects = runtime.block_on(root.list("", "archive"))?;
    let mut rows = Vec::new();
    for (uri, bytes) in objects {
        match ending(&uri).as_str() {
            SHARD => rows.extend(of_shard(root, runtime, &uri, bytes)?),
            image if IMAGES.contains(&image) => rows.push(Listed { uri, bytes, ..Listed::default() }),
            _ => {}
        }
    }
    if rows.is_empty() {
        let what = format!("no {} or {SHARD} below the root", IMAGES.join(", "));
        return Err(Problem::new("M022", Exit::BadData, what).hint("check the root"));
    }
    for (n, row) in rows.iter_mut().enumerate() {
        if rule.labels_from_folders && row.label_idx.is_none() {
            let path = row.entry.as_ref().unwrap_or(&row.uri);
            row.label = path.rsplit('/').nth(1).map(str::to_owned);
        }
        if rule.sha256 {
            row.sha256 = Some(sha256(root, runtime, n + 1, row)?);
        }
    }
    Ok(rows)
}

fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase()
}

fn of_shard(root: &Root, runtime: &Handle, uri: &str, size: u64) -> Result<Vec<Listed>, Problem> {
    let entries = shard::entries(root, runtime, uri, size)?;
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let classes: HashMap<String, &String> =
        entries.iter().filter_map(|entry| Some((stem(&entry.name), entry.class.as_ref()?))).collect();
    let images = entries.iter().filter(|entry| IMAGES.contains(&ending(&entry.name).as_str()));
    let rows = images.map(|entry| Listed {
        uri: uri.to_owned(),
        entry: Some(entry.name.clone()),
        offset: Some(entry.offset),
        bytes: entry.bytes,
        label_idx: classes.get(&stem(&entry.name)).map(|class| (*class).clone()),
        ..Listed::default()
    });
    Ok(rows.collect())
}

fn sha256(root: &Root, runtime: &Handle, n: usize, row: &Listed) -> Result<String, Problem> {
    let (key, object) = (Path::from(row.uri.as_str()), format!("image of row {n}"));
    let start = row.offset.unwrap_or(0);
    let (mut hash, end) = (Sha256::new(), start + row.bytes);
    // Piece by piece: an entry may claim to be as large as its shard.
    for at in (start..end).step_by(RANGE_BYTES as usize) {
        let read = root.read_part(&key, &object, at..end.min(at + RANGE_BYTES), RANGE_BYTES);
        let Object::Bytes(piece) = runtime.block_on(read)? else {
            let what = format!("the object of row {n} went away while it was listed");
            return Err(Problem::new("S004", Exit::StoreIo, what));
        };
        hash.update(&piece);
    }
    Ok(hex::encode(hash.finalize()))
}

/// The rows as a manifest file: Parquet, or CSV when `name` ends so. Columns that no row has are left out.
///
/// # Errors
/// `B005` when the encoder fails.
pub fn encoded(rows: &[Listed], name: &str) -> Result<Vec<u8>, Problem> {
    let text = |field: fn(&Listed) -> Option<&String>| {
        rows.iter().map(|row| field(row).cloned()).collect::<Vec<_>>()
    };
    let offsets: Vec<Option<u64>> = rows.iter().map(|row| row.offset).collect();
    let bytes: Vec<Option<u64>> = rows.iter().map(|row| Some(row.bytes)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("uri", Arc::new(StringArray::from(text(|row| Some(&row.uri))))),
        ("entry", Arc::new(StringArray::from(text(|row| row.entry.as_ref())))),
        ("offset", Arc::new(UInt64Array::from(offsets))),
        ("bytes", Arc::new(UInt64Array::from(bytes))),
        ("label", Arc::new(StringArray::from(text(|row| row.label.as_ref())))),
        ("label_idx", Arc::new(StringArray::from(text(|row| row.label_idx.as_ref())))),
        ("sha256", Arc::new(StringArray::from(text(|row| row.sha256.as_ref())))),
    ];
    let used: Vec<_> = columns.into_iter().filter(|(_, column)| column.null_count() < rows.len()).collect();
    let failed = || Problem::new("B005", Exit::Bug, "the manifest cannot be encoded");
    let done = if ending(name) == "csv" { as_csv(&used, rows.len()) } else { as_parquet(used) };
    done.ok_or_else(failed)
}

fn as_parquet(columns: Vec<(&str, ArrayRef)>) -> Option<Vec<u8>> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).ok()?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).ok()?;
    writer.write(&batch).ok()?;
    writer.into_inner().ok()
}

fn as_csv(columns: &[(&str, ArrayRef)], n_rows: usize) -> Option<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|(name, _)| *name)).ok()?;
    let texts = columns.iter().map(|(_, column)| arrow::compute::cast(column, &DataType::Utf8));
    let texts = texts.collect::<Result<Vec<_>, _>>().ok()?;
    let texts: Vec<&StringArray> = texts.iter().filter_map(|column| column.as_any().downcast_ref()).collect();
    for n in 0..n_rows {
        use arrow::array::Array;
        let fields = texts.iter().map(|column| if column.is_null(n) { "" } else { column.value(n) });
        writer.write_record(fields).ok()?;
    }
    writer.into_inner().ok()
}
