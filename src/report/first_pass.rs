//! What an earlier run says of the whole set: the numbers that some rules need before the first sample.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::parts::each_batch;
use crate::error::RunError;
use crate::ledger::Plan;
use crate::store::Root;
use crate::tables::Table;

/// Most rows a whole-set rule is fitted on; longer runs are read at an even stride.
pub const MAX_ROWS: u64 = 1_000_000;

/// One row of an earlier run's signals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalRow {
    /// Divergence of the parents.
    pub js_nats: f64,
    /// The coefficient that run used.
    pub lambda_sample: f64,
    /// Entropy of the pretrained model.
    pub pt_entropy_nats: f64,
    /// Entropy of the expert.
    pub ft_entropy_nats: f64,
}

/// Every `ceil(n / MAX_ROWS)`-th row of a run's signals, in table order.
///
/// # Errors
/// Store failures, `V002` a part that is no table.
pub async fn signals(root: &Root, plan: &Plan) -> Result<Vec<SignalRow>, RunError> {
    let stride = stride(plan);
    let (mut rows, mut n) = (Vec::new(), 0);
    let columns = ["js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats"];
    each_batch(root, plan, Table::Signals, &columns, |batch| {
        let mut values = [&[][..]; 4];
        for (place, column) in values.iter_mut().zip(columns) {
            *place = batch.column_by_name(column)?.as_primitive_opt::<Float64Type>()?.values();
        }
        for row in 0..batch.num_rows() {
            if n % stride == 0 {
                let [js_nats, lambda_sample, pt_entropy_nats, ft_entropy_nats] =
                    values.map(|column| column[row]);
                rows.push(SignalRow { js_nats, lambda_sample, pt_entropy_nats, ft_entropy_nats });
            }
            n += 1;
        }
        Some(())
    })
    .await?;
    Ok(rows)
}

/// Class probabilities of both parents, at the stride of [`signals`] and in its order; `None` when the run has
/// no `probs` or did not score a parent.
///
/// # Errors
/// Store failures, `V002` a part that is no table.
pub async fn parent_probs(root: &Root, plan: &Plan) -> Result<Option<Vec<[Vec<f32>; 2]>>, RunError> {
    if !plan.facts.probs {
        return Ok(None);
    }
    let stride = stride(plan);
    let mut parents: [(u64, Vec<Vec<f32>>); 2] = Default::default();
    each_batch(root, plan, Table::Predictions, &["method", "probs"], |batch| {
        let method = texts(batch, "method")?;
        let probs = batch.column_by_name("probs")?.as_list_opt::<i32>()?;
        for (row, method) in method.iter().enumerate() {
            let parent = match method.as_str() {
                "pretrained" => &mut parents[0],
                "expert" => &mut parents[1],
                _ => continue,
            };
            if parent.0 % stride == 0 {
                parent.1.push(probs.value(row).as_primitive_opt::<Float32Type>()?.values().to_vec());
            }
            parent.0 += 1;
        }
        Some(())
    })
    .await?;
    let [(n_pt, pt), (n_ft, ft)] = parents;
    Ok((n_pt > 0 && n_pt == n_ft).then(|| pt.into_iter().zip(ft).map(|(pt, ft)| [pt, ft]).collect()))
}

fn stride(plan: &Plan) -> u64 {
    plan.n_pairs().div_ceil(MAX_ROWS).max(1)
}

fn texts(batch: &RecordBatch, name: &str) -> Option<Vec<String>> {
    let column = cast(batch.column_by_name(name)?, &DataType::Utf8).ok()?;
    Some(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}
