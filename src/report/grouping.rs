//! Which samples of a run are resampled together.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::parts::each_batch;
use super::run_at::RunAt;
use crate::error::{Exit, Problem, RunError};
use crate::source::Grouping;
use crate::tables::Table;

/// The unit of each position of the frozen list: samples of one group share one, a sample without a group is one of its own.
///
/// # Errors
/// `E008` when none of `all` is of the run's manifest; store failures, damaged parts.
pub(super) async fn units(run: &RunAt, all: &[Grouping], n_positions: u64) -> Result<Vec<u32>, RunError> {
    let plan = &run.plan;
    let grouping = all.iter().find(|grouping| grouping.hmac_sha256 == plan.facts.manifest_hmac_sha256);
    let grouping = grouping.ok_or_else(|| {
        let what = format!("--groups: no file of those given is the manifest of run {}", plan.run_id);
        Problem::new("E008", Exit::Config, what)
            .hint("it is compared by its bytes, under the T3B_PSEUDONYM_KEY that the run had")
    })?;
    let n = usize::try_from(n_positions).unwrap_or(usize::MAX);
    let mut of_position: Vec<Option<u32>> = vec![None; n];
    each_batch(&run.root, plan, Table::Signals, &["sample_row", "manifest_row"], |batch| {
        let column = |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.values());
        let of_file = column("manifest_row")?;
        let positions = column("sample_row").unwrap_or(of_file);
        for (position, row) in positions.iter().zip(of_file) {
            *of_position.get_mut(usize::try_from(*position).ok()?)? = grouping.of(row.unsigned_abs());
        }
        Some(())
    })
    .await?;
    Ok(numbered(&of_position))
}

/// Numbers without gaps, in the order in which groups and lone samples first appear.
fn numbered(of_position: &[Option<u32>]) -> Vec<u32> {
    let (mut numbers, mut next) = (HashMap::new(), 0);
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let number = |group: &Option<u32>| match group {
        Some(group) => *numbers.entry(*group).or_insert_with(&mut fresh),
        None => fresh(),
    };
    of_position.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_no_gaps_whatever_the_file_holds_beside_the_run() {
        assert_eq!(numbered(&[Some(7), None, Some(3), Some(7), None]), [0, 1, 2, 0, 3]);
        assert!(numbered(&[]).is_empty());
    }
}
