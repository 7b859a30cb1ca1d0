//! Checked samples as columns of a table, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, PrimitiveArray, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use object_store::path::Path;
use t3b_decode::Slice;

use crate::messages::{Location, Reason, Sample};

/// Bytes of a SHA-256.
const N_HASH_BYTES: i32 = 32;

const COLUMNS: [(&str, DataType); 15] = [
    ("sample_row", DataType::UInt64),
    ("manifest_row", DataType::UInt64),
    ("sample_id", DataType::Utf8),
    ("uri", DataType::Utf8),
    ("label_idx", DataType::UInt32),
    ("sha256", DataType::FixedSizeBinary(N_HASH_BYTES)),
    ("bytes", DataType::UInt64),
    ("entry", DataType::Utf8),
    ("offset", DataType::UInt64),
    ("row", DataType::UInt64),
    ("refused", DataType::Utf8),
    ("frame", DataType::UInt32),
    ("axis", DataType::UInt32),
    ("index", DataType::UInt32),
    ("cell", DataType::UInt32),
];

/// The columns, named as in manifests; `entry` of a refused sample is what was found, `cell` the place of the declared one.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(COLUMNS.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
}

/// Samples as columns of [`schema`].
pub(super) fn to_batch(samples: &[Sample]) -> RecordBatch {
    let text = |field: fn(&Sample) -> Option<&str>| -> ArrayRef {
        Arc::new(samples.iter().map(field).collect::<StringArray>())
    };
    let long = |field: fn(&Sample) -> Option<u64>| -> ArrayRef {
        Arc::new(samples.iter().map(field).collect::<UInt64Array>())
    };
    let short = |field: fn(&Sample) -> Option<u32>| -> ArrayRef {
        Arc::new(samples.iter().map(field).collect::<UInt32Array>())
    };
    let columns = vec![
        long(|sample| Some(sample.row)),
        long(|sample| Some(sample.manifest_row)),
        text(|sample| Some(&sample.id)),
        text(|sample| Some(sample.key.as_ref())),
        short(|sample| sample.label_idx),
        hashes(samples),
        long(|sample| sample.size_bytes),
        text(|sample| match &sample.location {
            Location::Row { entry, .. } => entry.as_deref(),
            Location::Refused(_, found) => Some(found),
            Location::Whole | Location::Offset(_) => None,
        }),
        long(|sample| if let Location::Offset(at) = sample.location { Some(at) } else { None }),
        long(|sample| if let Location::Row { row, .. } = sample.location { Some(row) } else { None }),
        text(
            |sample| {
                if let Location::Refused(reason, _) = sample.location { Some(reason.code()) } else { None }
            },
        ),
        short(|sample| sample.frame),
        short(|sample| sample.slice.map(|slice| u32::from(slice.axis))),
        short(|sample| sample.slice.map(|slice| slice.index)),
        short(|sample| sample.declared.map(|cell| u32::try_from(cell).unwrap_or(u32::MAX))),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns of one length and of the schema's types")
}

fn hashes(samples: &[Sample]) -> ArrayRef {
    let mut hashes = FixedSizeBinaryBuilder::with_capacity(samples.len(), N_HASH_BYTES);
    for sample in samples {
        match &sample.sha256 {
            Some(hash) => hashes.append_value(hash).expect("a hash of 32 bytes"),
            None => hashes.append_null(),
        }
    }
    Arc::new(hashes.finish())
}

/// The samples of a batch; `None` where it is not one of [`to_batch`].
pub(super) fn of_batch(batch: &RecordBatch) -> Option<Vec<Sample>> {
    (batch.schema_ref().fields() == schema().fields()).then_some(())?;
    let columns = batch.columns();
    let text = |column: usize, n: usize| {
        let texts = columns[column].as_string::<i32>();
        (!texts.is_null(n)).then(|| texts.value(n))
    };
    let sample = |n: usize| {
        let (entry, refused) = (text(7, n), text(10, n));
        let location =
            match (refused, value::<UInt64Type>(&columns[8], n), value::<UInt64Type>(&columns[9], n)) {
                (Some(code), ..) => Location::Refused(Reason::from_code(code)?, entry?.into()),
                (None, Some(at), _) => Location::Offset(at),
                (None, None, Some(row)) => Location::Row { entry: entry.map(Arc::from), row },
                (None, None, None) => Location::Whole,
            };
        let hash = columns[5].as_fixed_size_binary();
        let axis = value::<UInt32Type>(&columns[12], n);
        Some(Sample {
            row: value::<UInt64Type>(&columns[0], n)?,
            manifest_row: value::<UInt64Type>(&columns[1], n)?,
            id: text(2, n)?.into(),
            key: Path::parse(text(3, n)?).ok()?,
            label_idx: value::<UInt32Type>(&columns[4], n),
            sha256: (!hash.is_null(n)).then(|| hash.value(n).try_into().ok()).flatten(),
            size_bytes: value::<UInt64Type>(&columns[6], n),
            location,
            frame: value::<UInt32Type>(&columns[11], n),
            slice: match axis {
                Some(axis) => Some(Slice {
                    axis: u8::try_from(axis).ok()?,
                    index: value::<UInt32Type>(&columns[13], n)?,
                }),
                None => None,
            },
            declared: value::<UInt32Type>(&columns[14], n).map(|cell| cell as usize),
        })
    };
    (0..batch.num_rows()).map(sample).collect()
}

fn value<T: ArrowPrimitiveType>(column: &ArrayRef, n: usize) -> Option<T::Native> {
    let values: &PrimitiveArray<T> = column.as_primitive();
    (!values.is_null(n)).then(|| values.value(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing;

    #[test]
    fn a_sample_of_every_kind_comes_back_as_it_was() {
        let whole = Sample { label_idx: Some(3), frame: Some(0), ..testing::sample() };
        let samples = vec![
            Sample { row: 9, manifest_row: 12, size_bytes: Some(7), sha256: Some([7; 32]), ..whole.clone() },
            Sample {
                location: Location::Offset(512),
                slice: Some(Slice { axis: 2, index: 40 }),
                ..whole.clone()
            },
            Sample { location: Location::Row { entry: None, row: 5 }, declared: Some(4), ..whole.clone() },
            Sample { location: Location::Row { entry: Some("images".into()), row: 0 }, ..whole.clone() },
            Sample {
                location: Location::Refused(Reason::EMPTY_OBJECT, "0 bytes".into()),
                key: Path::from("a?b\\c/\u{e9}#.png"),
                ..whole
            },
        ];
        assert_eq!(of_batch(&to_batch(&samples)).unwrap(), samples);
        let other = to_batch(&samples).project(&[0, 1]).unwrap();
        assert_eq!(of_batch(&other), None);
    }
}
