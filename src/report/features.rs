//! Features of some of a run's clean images, picked at random by their positions.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type};

use super::parts::each_batch;
use super::run_at::RunAt;
use crate::error::RunError;
use crate::tables::Table;

/// Most rows of one side: enough for a discrepancy of a hundredth, and seconds of comparing.
const MAX_ROWS: usize = 2000;

/// One row as it is stored: its place in the order, and its values as hex digits of little-endian bytes.
pub(super) type StoredFeatures = (u64, u64, String);

/// Rows in a random order that depends on the run and their positions alone, so that neighbours in it are strangers: images of one folder
/// stand together in a manifest and are alike.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct FeatureSample {
    /// By a hash of run and position, and the run's.
    by_order: BTreeMap<(u64, u64), Vec<f32>>,
}

impl FeatureSample {
    /// Reads a run; `None` for one that keeps no features.
    ///
    /// # Errors
    /// Store failures, `V002` a damaged part.
    pub(super) async fn of(run: &RunAt) -> Result<Option<Self>, RunError> {
        if !run.plan.facts.features {
            return Ok(None);
        }
        let salt = run.plan.plan_sha256.bytes().fold(0, |salt, byte| mixed(salt ^ u64::from(byte)));
        let mut sample = Self::default();
        let columns = ["sample_row", "corruption", "features"];
        each_batch(&run.root, &run.plan, Table::Signals, &columns, |batch| {
            let positions = batch.column_by_name("sample_row")?.as_primitive_opt::<Int64Type>()?;
            let corruption = cast(batch.column_by_name("corruption")?, &DataType::Utf8).ok()?;
            let corruption = corruption.as_string_opt::<i32>()?;
            let features = batch.column_by_name("features")?.as_list_opt::<i32>()?;
            for n in (0..batch.num_rows()).filter(|&n| corruption.value(n) == "clean" && !features.is_null(n))
            {
                let row = features.value(n);
                let row = row.as_primitive_opt::<Float32Type>()?.values();
                sample.add((mixed(salt ^ positions.value(n).unsigned_abs()), salt), row);
            }
            Some(())
        })
        .await?;
        Ok(Some(sample))
    }

    /// Rows of both, as many as one side has at most.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.by_order.extend(other.by_order);
        while self.by_order.len() > MAX_ROWS {
            self.by_order.pop_last();
        }
        self
    }

    pub(super) fn into_rows(self) -> Vec<Vec<f32>> {
        self.by_order.into_values().collect()
    }

    /// The first `n` rows in a form that JSON holds to the bit.
    pub(super) fn stored(&self, n: usize) -> Vec<StoredFeatures> {
        let bytes = |row: &[f32]| row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let rows = self.by_order.iter().take(n);
        rows.map(|((order, salt), row)| (*order, *salt, hex::encode(bytes(row)))).collect()
    }

    /// What [`FeatureSample::stored`] gave; `None` for anything else.
    pub(super) fn from_stored(rows: &[StoredFeatures]) -> Option<Self> {
        let mut sample = Self::default();
        for (order, salt, digits) in rows {
            let bytes = hex::decode(digits).ok()?;
            let (values, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return None;
            }
            let row: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
            sample.add((*order, *salt), &row);
        }
        Some(sample)
    }

    fn add(&mut self, order: (u64, u64), features: &[f32]) {
        let is_last = self.by_order.last_key_value().is_some_and(|(last, _)| *last < order);
        if self.by_order.len() == MAX_ROWS && is_last {
            return;
        }
        self.by_order.insert(order, features.to_vec());
        if self.by_order.len() > MAX_ROWS {
            self.by_order.pop_last();
        }
    }
}

fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
