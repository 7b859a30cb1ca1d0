//! Checking a published run: plan, receipts, row and tables against each other by content, and nothing more than them. Reads
//! format 1 too.

use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::content::Content;
use super::known::planned;
use super::layout::Layout;
use super::plan::Plan;
use super::published::{
    Completion, MAX_TABLE_BYTES, PublishedList, is_published, read_completion, read_entry, read_receipts,
};
use super::receipt::{FileEntry, Receipt};
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::Table;

/// A run found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Objects whose bytes were checked.
    pub n_objects: usize,
    /// Their rows.
    pub n_rows: u64,
    /// Hash over the plan, every receipt and every published object: the same again means that nothing has changed, whoever
    /// wrote what is there.
    pub run_sha256: String,
}

/// Reads every object of a run and compares plan, receipts, row and tables with each other.
///
/// # Errors
/// `R008` a run that is not published; `R020` a damaged plan or receipt, `V001` to `V003` and `V006` one for each changed, missing, extra or contradicting object;
/// store failures.
pub async fn verify(root: &Root, run_id: &str) -> Result<Verified, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    let receipts = read_receipts(root, &layout, &plan).await?;
    if read_completion(root, &layout).await?.is_none() && !is_published(root, &plan).await? {
        let what = format!("run {run_id} is not published yet");
        return Err(Problem::new("R008", Exit::BadData, what)
            .hint("t3b finalize RUN_URI publishes it")
            .into());
    }
    let mut found = Found::default();
    let tables = Table::of_format(plan.format_version);
    for receipt in &receipts {
        found.partition(root, &layout, &plan, tables, receipt).await?;
    }
    for &table in tables {
        found.list(root, &layout, &plan, table).await?;
    }
    found.row(root, &layout, &plan, &receipts).await?;
    found.extra(root, &layout, &plan).await?;
    if !found.problems.is_empty() {
        return Err(RunError::all(found.problems));
    }
    let run_sha256 = found.hash(&plan, &receipts);
    Ok(Verified { n_objects: found.expected.len(), n_rows: found.n_rows, run_sha256 })
}

/// What was found so far.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    /// Names of every object that belongs to the published run.
    expected: BTreeSet<String>,
    /// Every published part, as it must be.
    files: Vec<FileEntry>,
    n_rows: u64,
    /// Hashes of the completion record and of the row.
    closing: [String; 2],
}

impl Found {
    /// The published tables of one partition.
    async fn partition(
        &mut self,
        root: &Root,
        layout: &Layout,
        plan: &Plan,
        tables: &[Table],
        receipt: &Receipt,
    ) -> Result<(), RunError> {
        let mut parts = Vec::new();
        for &table in tables {
            let mut file = receipt.file(table)?.clone();
            file.path = layout.part(table, &plan.run_date, receipt.partition);
            match read_entry(root, &file, "published table").await {
                Ok(Some(bytes)) => parts.push(bytes),
                Ok(None) => self.problems.push(missing(&file.path)),
                Err(problem) if problem.code == "R006" => self.problems.push(changed(&file.path)),
                Err(problem) => return Err(problem.into()),
            }
            self.n_rows += file.rows;
            self.expected.insert(file.path.clone());
            self.files.push(file);
        }
        if parts.len() < tables.len() || plan.format_version == 1 {
            return Ok(());
        }
        let checked = Content::read(&parts).ok_or("its tables cannot be read");
        if let Err(why) = checked.and_then(|content| content.check(plan, receipt)) {
            let what = format!("partition {}: {why}", receipt.partition);
            self.problems.push(damaged("V006", what));
        }
        Ok(())
    }

    /// The list of a table and its marker.
    async fn list(
        &mut self,
        root: &Root,
        layout: &Layout,
        plan: &Plan,
        table: Table,
    ) -> Result<(), RunError> {
        let files = self.files.iter().filter(|file| file.table == table.name()).cloned().collect();
        let wanted = PublishedList { spec_sha256: plan.spec_sha256.clone(), files };
        let bytes = serde_json::to_vec_pretty(&wanted).expect("a list of files has a JSON text");
        let marker = layout.success(table, &plan.run_date);
        let list = if plan.format_version == 1 { marker.clone() } else { layout.published_list(table) };
        self.same(root, &list, &bytes.into()).await?;
        if plan.format_version > 1 {
            self.same(root, &marker, &Bytes::new()).await?;
        }
        Ok(())
    }

    /// The completion record and the row, which both follow from the receipts and the time that the record has.
    async fn row(
        &mut self,
        root: &Root,
        layout: &Layout,
        plan: &Plan,
        receipts: &[Receipt],
    ) -> Result<(), RunError> {
        let key = layout.runs_row(&plan.run_date);
        self.expected.extend([key.clone(), layout.completion()]);
        let record = match read_completion(root, layout).await {
            Ok(record) => record,
            Err(error) if error.exit() == Exit::BadData => {
                self.problems.push(changed(&layout.completion()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some((record, bytes)) = record else {
            self.problems.push(missing(&layout.completion()));
            return Ok(());
        };
        self.closing =
            [&bytes, &Bytes::from(record.row.sha256.clone())].map(|bytes| hex::encode(Sha256::digest(bytes)));
        if plan.format_version == 1 {
            // The row of format 1 is another program's; the record still says what its bytes are.
            match read_entry(root, &record.row, "runs row").await {
                Ok(Some(_)) => {}
                Ok(None) => self.problems.push(missing(&key)),
                Err(problem) if problem.code == "R006" => self.problems.push(changed(&key)),
                Err(problem) => return Err(problem.into()),
            }
            return Ok(());
        }
        let (wanted, row) = Completion::at(record.completed_at_us(), plan, receipts, &self.files)?;
        if wanted != bytes {
            self.problems.push(changed(&layout.completion()));
        }
        self.same(root, &key, &row).await
    }

    /// One object that has these bytes and no others.
    async fn same(&mut self, root: &Root, key: &str, wanted: &Bytes) -> Result<(), RunError> {
        self.expected.insert(key.to_owned());
        match root.read(key, "object of the run", MAX_TABLE_BYTES).await.map_err(Problem::from)? {
            None => self.problems.push(missing(key)),
            Some(found) if found != *wanted => self.problems.push(changed(key)),
            Some(_) => {}
        }
        Ok(())
    }

    /// Objects that belong to nothing: beside the published ones, and in our own folder.
    async fn extra(&mut self, root: &Root, layout: &Layout, plan: &Plan) -> Result<(), RunError> {
        let mut own: BTreeSet<String> = (0..plan.n_partitions).map(|p| layout.receipt(p)).collect();
        own.insert(layout.plan());
        for table in Table::of_format(plan.format_version).iter().map(|table| table.name()).chain(["runs"]) {
            let folder = layout.published(table, &plan.run_date);
            self.extra_in(root, &folder, |_| false).await?;
        }
        // What attempts have staged and workers have claimed may lie there for ever.
        self.extra_in(root, &layout.run(), |name| {
            let is_left = layout.staged_of(name).is_some() || layout.claim_of(name).is_some();
            own.contains(name) || is_left || layout.is_delta_start(name)
        })
        .await
    }

    async fn extra_in(
        &mut self,
        root: &Root,
        folder: &str,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<(), RunError> {
        for (name, _) in root.list(folder, "objects of the run").await.map_err(Problem::from)? {
            if !self.expected.contains(&name) && !is_own(&name) {
                let what = format!("{name} belongs to no receipt");
                self.problems.push(damaged("V003", what).hint("nothing counts it; move it elsewhere"));
            }
        }
        Ok(())
    }

    fn hash(&self, plan: &Plan, receipts: &[Receipt]) -> String {
        let mut hash = Sha256::new();
        let mut line = |text: String| {
            hash.update(text.as_bytes());
            hash.update(b"\n");
        };
        line(format!("t3b run {} {} {}", plan.format_version, plan.plan_sha256, plan.spec_sha256));
        receipts
            .iter()
            .for_each(|receipt| line(format!("receipt {} {}", receipt.partition, receipt.receipt_sha256)));
        self.files.iter().for_each(|file| line(format!("{} {} {}", file.path, file.bytes, file.sha256)));
        line(self.closing.join(" "));
        hex::encode(hash.finalize())
    }
}

/// Every published part of a table, as its list says; `None` where the run has no list.
///
/// # Errors
/// Store failures, `R007` an unreadable list.
pub(crate) async fn published_files(
    root: &Root,
    plan: &Plan,
    table: Table,
) -> Result<Option<Vec<FileEntry>>, RunError> {
    let layout = Layout::new(&plan.run_id);
    let key = match plan.format_version {
        1 => layout.success(table, &plan.run_date),
        _ => layout.published_list(table),
    };
    let found = root.read(&key, "list of a published table", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
    let Some(bytes) = found else { return Ok(None) };
    let unreadable =
        |_| Problem::new("R007", Exit::BadData, format!("{key} is unreadable")).hint("run t3b verify");
    let list: PublishedList = serde_json::from_slice(&bytes).map_err(unreadable)?;
    Ok(Some(list.files))
}

fn missing(key: &str) -> Problem {
    damaged("V001", format!("{key} is missing"))
}

fn changed(key: &str) -> Problem {
    damaged("V002", format!("{key} has changed"))
}

fn damaged(code: &'static str, what: String) -> Problem {
    Problem::new(code, Exit::BadData, what)
        .hint("t3b finalize restores missing objects from the staged ones; delete a changed one first")
}
