//! Which tables there are, versioned by [`FORMAT_VERSION`], and how their Parquet is written.
//!
//! Rules for columns: signed integers only, no nanoseconds, no NaN, no column called `lambda`, units in names.

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Version of the table schemas and of every object of the ledger.
pub const FORMAT_VERSION: u32 = 2;

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
    Batches,
    /// One row per batch, cell and merging method.
    Coefficients,
    /// One row per rejected sample, or per rejected (sample, cell).
    Quarantine,
}

impl Table {
    /// Every table, in the order in which a partition writes them.
    pub const ALL: [Self; 5] =
        [Self::Predictions, Self::Signals, Self::Batches, Self::Coefficients, Self::Quarantine];

    /// The tables that a run of format `version` has: format 1 had no `batches`.
    #[must_use]
    pub fn of_format(version: u32) -> &'static [Self] {
        const FORMAT_1: [Table; 4] =
            [Table::Predictions, Table::Signals, Table::Coefficients, Table::Quarantine];
        if version == 1 { &FORMAT_1 } else { &Self::ALL }
    }

    /// Folder and metadata name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Signals => "signals",
            Self::Batches => "batches",
            Self::Coefficients => "coefficients",
            Self::Quarantine => "quarantine",
        }
    }

    /// The table of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
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
    use super::super::batches::Batches;
    use super::super::coefficients::Coefficients;
    use super::super::column::{Column, Rows};
    use super::super::predictions::{Predictions, probs};
    use super::super::quarantine::Quarantine;
    use super::super::signals::Signals;

    fn fields<T: Rows>(columns: &[Column<T>]) -> Vec<arrow::datatypes::Field> {
        columns.iter().map(Column::field).collect()
    }

    #[test]
    fn no_column_has_a_reserved_name_or_an_unsigned_type() {
        let mut all = fields(&Predictions::columns());
        all.extend(fields(&[probs(true)]));
        all.extend(fields(&Signals::columns()));
        all.extend(fields(&Batches::columns()));
        all.extend(fields(&Coefficients::columns()));
        all.extend(fields(&Quarantine::columns()));
        for field in all {
            assert_ne!(field.name(), "lambda");
            assert!(!field.data_type().is_unsigned_integer(), "{}", field.name());
        }
    }
}
