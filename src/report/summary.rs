//! The summary as Parquet: the small table that dashboards read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use t3b_report::SummarySet;

use crate::error::{Exit, Problem};

/// Encodes the lines of all sets; columns as `t3b_report::SUMMARY_COLUMNS`.
///
/// # Errors
/// `B005` when the encoder fails.
pub(super) fn summary_parquet(sets: &[SummarySet<'_>]) -> Result<Vec<u8>, Problem> {
    let mut texts: [StringBuilder; 9] = Default::default();
    let (mut severity, mut numbers) = (Int32Builder::new(), [(); 3].map(|()| Float64Builder::new()));
    let mut counts = [(); 2].map(|()| Int64Builder::new());
    for set in sets {
        let facts = &set.figures.facts;
        let tags = &facts.tags;
        for line in set.lines() {
            let named = [
                Some(facts.run_id.as_str()),
                Some(facts.run_date.as_str()),
                tags.modality.as_deref(),
                tags.dataset.as_deref(),
                tags.setting.as_deref(),
                tags.site.as_deref(),
                Some(line.method),
                line.corruption,
                Some(line.metric),
            ];
            texts.iter_mut().zip(named).for_each(|(column, value)| column.append_option(value));
            severity.append_option(line.severity.map(i32::from));
            numbers[0].append_value(line.value);
            numbers[1].append_option(line.ends.map(|ends| ends.0));
            numbers[2].append_option(line.ends.map(|ends| ends.1));
            counts[0].append_value(i64::try_from(line.n).unwrap_or(i64::MAX));
            counts[1].append_value(i64::try_from(line.n_excluded).unwrap_or(i64::MAX));
        }
    }
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut texts = texts.map(|mut column| Arc::new(column.finish()) as ArrayRef).into_iter();
    columns.extend(texts.by_ref().take(8));
    columns.push(Arc::new(severity.finish()));
    columns.extend(texts);
    columns.extend(numbers.map(|mut column| Arc::new(column.finish()) as ArrayRef));
    columns.extend(counts.map(|mut column| Arc::new(column.finish()) as ArrayRef));
    let must = ["run_id", "run_date", "method", "metric", "value", "n", "n_excluded"];
    let fields: Vec<Field> = t3b_report::SUMMARY_COLUMNS
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(*name, DataType::clone(column.data_type()), !must.contains(name)))
        .collect();
    encode(Arc::new(Schema::new(fields)), columns)
}

/// One table as Parquet bytes, the same for the same rows.
pub(super) fn encode(schema: Arc<Schema>, columns: Vec<ArrayRef>) -> Result<Vec<u8>, Problem> {
    let bug = |_| Problem::new("B005", Exit::Bug, "a row does not fit its schema");
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(bug)?;
    let properties = WriterProperties::builder()
        .set_created_by(format!("t3b {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}
