//! Checking a published run against its receipts: every object, its bytes, and nothing more. Reads format 1 too.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::finalize::{
    MAX_TABLE_BYTES, PublishedList, check_bytes, no_such_run, read_completion, read_receipts,
};
use super::layout::Layout;
use super::plan::read_plan;
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::Table;

/// A run found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Objects whose bytes were checked.
    pub n_objects: usize,
    /// Their rows.
    pub n_rows: u64,
}

/// Reads every published object of a run and compares it with the receipts.
///
/// # Errors
/// One `V00x` problem per changed, missing or extra object; store failures.
pub async fn verify(root: &Root, run_id: &str) -> Result<Verified, RunError> {
    let layout = Layout::new(run_id);
    let plan = read_plan(root, &layout).await?.ok_or_else(|| no_such_run(run_id))?;
    let receipts = read_receipts(root, &layout, &plan).await?;
    let (mut problems, mut n_objects, mut n_rows) = (Vec::new(), 0, 0);
    for &table in Table::of_format(plan.format_version) {
        let marker = layout.success(table, &plan.run_date);
        let mut expected = BTreeSet::from([marker.clone()]);
        let mut files = Vec::new();
        for receipt in &receipts {
            let mut file = receipt.file(table)?.clone();
            file.path = layout.part(table, &plan.run_date, receipt.partition);
            match read(root, &file.path, "published table").await? {
                None => problems.push(damaged("V001", format!("{} is missing", file.path))),
                Some(bytes) if check_bytes(&file, &bytes).is_err() => {
                    problems.push(damaged("V002", format!("{} has changed", file.path)));
                }
                Some(_) => n_rows += file.rows,
            }
            n_objects += 1;
            expected.insert(file.path.clone());
            files.push(file);
        }
        let wanted = PublishedList { spec_sha256: plan.spec_sha256.clone(), files };
        let list = if plan.format_version == 1 { marker.clone() } else { layout.published_list(table) };
        match read(root, &list, "list of a published table")
            .await?
            .map(|bytes| serde_json::from_slice(&bytes))
        {
            None => problems.push(damaged("V001", format!("{list} is missing"))),
            Some(Ok(found)) if wanted == found => {}
            Some(_) => problems.push(damaged("V002", format!("{list} has changed"))),
        }
        n_objects += 1;
        if plan.format_version > 1 {
            match read(root, &marker, "success marker").await? {
                None => problems.push(damaged("V001", format!("{marker} is missing"))),
                Some(bytes) if bytes.is_empty() => {}
                Some(_) => problems.push(damaged("V002", format!("{marker} has changed"))),
            }
            n_objects += 1;
        }
        problems.extend(extra(root, &layout.published(table.name(), &plan.run_date), &expected).await?);
    }
    let row = BTreeSet::from([layout.runs_row(&plan.run_date)]);
    let key = layout.runs_row(&plan.run_date);
    let found = read(root, &key, "runs row").await?;
    match (found, read_completion(root, &layout).await?) {
        (None, _) => problems.push(damaged("V001", format!("{key} is missing"))),
        (Some(_), None) => problems.push(damaged("V001", format!("{} is missing", layout.completion()))),
        (Some(bytes), Some(completion)) if check_bytes(&completion.row, &bytes).is_err() => {
            problems.push(damaged("V002", format!("{key} has changed")));
        }
        _ => {}
    }
    problems.extend(extra(root, &layout.published("runs", &plan.run_date), &row).await?);
    if problems.is_empty() {
        Ok(Verified { n_objects: n_objects + 1, n_rows })
    } else {
        Err(RunError::all(problems))
    }
}

async fn read(root: &Root, key: &str, object: &str) -> Result<Option<Bytes>, RunError> {
    Ok(root.read(key, object, MAX_TABLE_BYTES).await.map_err(Problem::from)?)
}

fn damaged(code: &'static str, what: String) -> Problem {
    Problem::new(code, Exit::BadData, what).hint("t3b finalize restores missing objects from the staged ones")
}

async fn extra(root: &Root, folder: &str, expected: &BTreeSet<String>) -> Result<Vec<Problem>, RunError> {
    let found = root.list(folder, "published objects").await.map_err(Problem::from)?;
    let unknown = found.into_iter().filter(|(name, _)| !expected.contains(name));
    Ok(unknown.map(|(name, _)| damaged("V003", format!("{name} belongs to no receipt"))).collect())
}
