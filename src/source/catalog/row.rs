//! One row of a manifest that is being built, and its columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::messages::Reason;
use crate::source::words;

/// An image, or what stands in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) uri: String,
    pub(super) sample_id: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) offset: Option<u64>,
    pub(super) row: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) split: Option<String>,
    pub(super) label: Option<String>,
    pub(super) label_idx: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) refused: Option<Reason>,
    /// What was found where nothing can be scored, in the words of [`crate::source::words`].
    pub(super) found: Option<String>,
    pub(super) frame: Option<u32>,
    pub(super) axis: Option<u8>,
    pub(super) index: Option<u32>,
    pub(super) corruption: Option<String>,
    pub(super) severity: Option<u8>,
    pub(super) group: Option<String>,
}

impl Row {
    /// A row that stands for what cannot be scored.
    pub(super) fn refused(uri: &str, reason: Reason, found: &str) -> Self {
        let found = Some(words::only_ours(found).to_owned());
        Self { uri: uri.to_owned(), refused: Some(reason), found, ..Self::default() }
    }
}

const TEXT: DataType = DataType::Utf8;
const NUMBER: DataType = DataType::UInt64;
const COLUMNS: [(&str, DataType); 18] = [
    ("uri", TEXT),
    ("sample_id", TEXT),
    ("entry", TEXT),
    ("offset", NUMBER),
    ("row", NUMBER),
    ("bytes", NUMBER),
    ("split", TEXT),
    ("label", TEXT),
    ("label_idx", TEXT),
    ("sha256", TEXT),
    ("refused", TEXT),
    ("found", TEXT),
    ("frame", NUMBER),
    ("axis", NUMBER),
    ("index", NUMBER),
    ("corruption", TEXT),
    ("severity", NUMBER),
    ("group", TEXT),
];

/// Every column a built manifest may have.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(COLUMNS.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
}

/// The rows as columns of [`schema`].
pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let text = |field: fn(&Row) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(field).collect::<StringArray>())
    };
    let number = |field: fn(&Row) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(field).collect::<UInt64Array>())
    };
    let columns = vec![
        text(|row| Some(row.uri.as_str())),
        text(|row| row.sample_id.as_deref()),
        text(|row| row.entry.as_deref()),
        number(|row| row.offset),
        number(|row| row.row),
        number(|row| row.bytes),
        text(|row| row.split.as_deref()),
        text(|row| row.label.as_deref()),
        text(|row| row.label_idx.as_deref()),
        text(|row| row.sha256.as_deref()),
        text(|row| row.refused.map(Reason::code)),
        text(|row| row.found.as_deref()),
        number(|row| row.frame.map(u64::from)),
        number(|row| row.axis.map(u64::from)),
        number(|row| row.index.map(u64::from)),
        text(|row| row.corruption.as_deref()),
        number(|row| row.severity.map(u64::from)),
        text(|row| row.group.as_deref()),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns of one length and of the schema's types")
}
