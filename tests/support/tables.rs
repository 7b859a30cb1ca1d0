//! Published tables as rows of text, read with the Arrow reader.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Columns of a table, all parts one after the other.
#[derive(PartialEq)]
pub struct Columns {
    columns: BTreeMap<String, Vec<ArrayRef>>,
    /// Number of rows.
    pub n_rows: usize,
}

/// Reads every part of a table below an output root.
pub fn table(root: &Path, name: &str) -> Columns {
    let folder = root.join("tables").join(name).join("run_date=2026-01-02/run_id=r");
    read(&folder)
}

/// Reads every Parquet file of a folder, in name order.
pub fn read(folder: &Path) -> Columns {
    let entries = std::fs::read_dir(folder).expect("a published table");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    files.sort();
    let mut columns = Columns { columns: BTreeMap::new(), n_rows: 0 };
    for file in files {
        let bytes = Bytes::from(std::fs::read(file).expect("readable"));
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("Parquet");
        for batch in reader {
            let batch = batch.expect("a batch");
            columns.n_rows += batch.num_rows();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                columns.columns.entry(field.name().clone()).or_default().push(column.clone());
            }
        }
    }
    columns
}

impl Columns {
    /// Names of its columns.
    pub fn names(&self) -> Vec<&str> {
        self.columns.keys().map(String::as_str).collect()
    }

    /// A column as text; empty where it is null.
    pub fn text(&self, name: &str) -> Vec<String> {
        let mut out = Vec::new();
        for column in self.columns.get(name).into_iter().flatten() {
            let column = cast(column, &DataType::Utf8).expect("castable to text");
            let column = column.as_string::<i32>();
            out.extend(
                (0..column.len()).map(|n| if column.is_null(n) { "" } else { column.value(n) }.to_owned()),
            );
        }
        assert_eq!(out.len(), self.n_rows, "column {name}");
        out
    }

    /// A column as numbers; NaN where it is null.
    pub fn number(&self, name: &str) -> Vec<f64> {
        let mut out = Vec::new();
        for column in self.columns.get(name).into_iter().flatten() {
            let column = cast(column, &DataType::Float64).expect("castable to a number");
            let column = column.as_primitive::<Float64Type>();
            out.extend((0..column.len()).map(|n| if column.is_null(n) { f64::NAN } else { column.value(n) }));
        }
        assert_eq!(out.len(), self.n_rows, "column {name}");
        out
    }
}
