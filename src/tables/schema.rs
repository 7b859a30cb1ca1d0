//! The tables: static Arrow schemas, one place, versioned by [`FORMAT_VERSION`].
//!
//! Rules: signed integers only, no nanoseconds, no NaN, no column called `lambda`, units in names, strings
//! that repeat are dictionaries in memory and plain text in Parquet.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Version of the table schemas and of every object of the ledger.
pub const FORMAT_VERSION: u32 = 1;

/// Rows of one `RecordBatch`. Parquet bytes depend on it, so it is part of the format.
pub const CHUNK_ROWS: usize = 8192;

/// Rows of one row group; part of the format.
const ROW_GROUP_ROWS: usize = 131_072;

/// Which run a table belongs to, as its footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The run.
    pub run_id: String,
    /// Content hash of what the run computes.
    pub spec_sha256: String,
}

/// The tables that are written per partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per scored sample, cell and method.
    Predictions,
    /// One row per scored sample and cell.
    Signals,
    /// One row per batch and cell.
    Coefficients,
    /// One row per rejected sample, or per rejected (sample, cell).
    Quarantine,
}

impl Table {
    /// Every table, in the order in which a partition writes them.
    pub const ALL: [Self; 4] = [Self::Predictions, Self::Signals, Self::Coefficients, Self::Quarantine];

    /// Folder and metadata name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Signals => "signals",
            Self::Coefficients => "coefficients",
            Self::Quarantine => "quarantine",
        }
    }

    /// The table of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The table's schema; `probs` adds the class probabilities to predictions.
    #[must_use]
    pub fn schema(self, probs: bool) -> SchemaRef {
        let mut fields = match self {
            Self::Predictions => predictions(),
            Self::Signals => signals(),
            Self::Coefficients => coefficients(),
            Self::Quarantine => quarantine(),
        };
        if probs && self == Self::Predictions {
            fields.push(Field::new("probs", probs_type(), true));
        }
        Arc::new(Schema::new(fields))
    }
}

/// A list of 32-bit class probabilities.
pub(crate) fn probs_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float32, false)))
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn must(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

fn may(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn place() -> Vec<Field> {
    vec![
        must("sample_id", DataType::Utf8),
        must("manifest_row", DataType::Int64),
        must("corruption", dictionary()),
        must("severity", DataType::Int32),
        must("batch", DataType::Int64),
        must("pos_in_batch", DataType::Int16),
    ]
}

fn predictions() -> Vec<Field> {
    let mut fields = place();
    fields.extend([
        must("method", dictionary()),
        may("label_idx", DataType::Int32),
        may("label", dictionary()),
        must("pred_idx", DataType::Int32),
        must("pred", dictionary()),
        must("pred_prob", DataType::Float32),
        must("margin", DataType::Float32),
        must("entropy_nats", DataType::Float32),
        may("correct", DataType::Boolean),
    ]);
    fields
}

fn signals() -> Vec<Field> {
    let mut fields = place();
    fields.extend([
        must("js_nats", DataType::Float64),
        must("lambda_sample", DataType::Float64),
        must("pt_entropy_nats", DataType::Float64),
        must("ft_entropy_nats", DataType::Float64),
        must("agree", DataType::Boolean),
    ]);
    fields
}

fn coefficients() -> Vec<Field> {
    let mut fields = vec![
        must("batch", DataType::Int64),
        must("corruption", dictionary()),
        must("severity", DataType::Int32),
        must("first_manifest_row", DataType::Int64),
        must("last_manifest_row", DataType::Int64),
        must("n_planned", DataType::Int32),
        must("n_scored", DataType::Int32),
        must("n_quarantined", DataType::Int32),
    ];
    let numbers = [
        "lambda_batch",
        "lambda_std",
        "lambda_min",
        "lambda_max",
        "js_mean_nats",
        "js_p50_nats",
        "js_p95_nats",
        "pt_entropy_mean_nats",
        "ft_entropy_mean_nats",
        "merged_entropy_mean_nats",
        "agree_frac",
    ];
    fields.extend(numbers.map(|name| may(name, DataType::Float64)));
    fields.extend([
        must("guard_plus", DataType::Int32),
        must("guard_minus", DataType::Int32),
        must("heterogeneous", DataType::Boolean),
        must("composition_sha256", DataType::Utf8),
    ]);
    fields
}

fn quarantine() -> Vec<Field> {
    vec![
        must("sample_id", DataType::Utf8),
        must("manifest_row", DataType::Int64),
        may("corruption", dictionary()),
        may("severity", DataType::Int32),
        must("stage", dictionary()),
        must("reason_code", dictionary()),
        must("detail", DataType::Utf8),
        may("bytes", DataType::Int64),
        may("format_sniffed", dictionary()),
        may("declared_width_px", DataType::Int32),
        may("declared_height_px", DataType::Int32),
    ]
}

/// Writer properties and footer metadata; no time, no host, nothing that differs between attempts.
pub(crate) fn properties(table: &str, origin: &Origin) -> WriterProperties {
    let footer = [
        ("t3b.format_version", FORMAT_VERSION.to_string()),
        ("t3b.table", table.to_owned()),
        ("t3b.run_id", origin.run_id.clone()),
        ("t3b.spec_sha256", origin.spec_sha256.clone()),
        ("t3b.units", "entropies and divergences in nats; lambda is the weight on the expert".to_owned()),
    ];
    let footer = footer.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("t3b {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(1 << 20)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(footer.to_vec()));
    if table == Table::Predictions.name() {
        let id = ColumnPath::from("sample_id");
        properties = properties
            .set_column_bloom_filter_enabled(id.clone(), true)
            .set_column_bloom_filter_fpp(id.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(id, ROW_GROUP_ROWS as u64);
    }
    properties.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_has_a_reserved_name_or_an_unsigned_type() {
        for table in Table::ALL {
            for field in table.schema(true).fields() {
                assert_ne!(field.name(), "lambda");
                assert!(!field.data_type().is_unsigned_integer(), "{table:?}.{}", field.name());
            }
        }
    }
}
