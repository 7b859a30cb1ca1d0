//! Checking a published run: plan, receipts, row and tables against each other by content, and nothing more than them. Reads
//! format 1 too.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::compacting::groups;
use super::content::{Content, Cursor};
use super::copying::Run;
use super::known::planned;
use super::layout::Layout;
use super::parts::{Parts, has_lists};
use super::plan::Plan;
use super::published::{
    Completion, MAX_TABLE_BYTES, PublishedList, check_all_committed, is_published, read_completion,
    read_entry, read_receipts,
};
use super::receipt::{FileEntry, Receipt};
use super::runs::Totals;
use super::span::Span;
use crate::error::{Exit, Problem, RunError};
use crate::store::{Listed, Root};
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

/// Reads every object of a run and compares plan, receipts, row and tables with each other, span by span: of each it holds the
/// receipts and one partition's tables, or one group's where an object holds many.
///
/// # Errors
/// `R008` a run that is not published; `R020` a damaged plan or receipt, `V001` to `V003` and `V006` one for each changed, missing, extra or contradicting object;
/// store failures.
pub async fn verify(root: &Root, run_id: &str) -> Result<Verified, RunError> {
    let layout = Layout::new(run_id);
    let plan = planned(root, run_id).await?;
    check_all_committed(root, &layout, &plan).await?;
    if read_completion(root, &layout).await?.is_none() && !is_published(root, &plan).await? {
        let what = format!("run {run_id} is not published yet");
        return Err(Problem::new("R008", Exit::BadData, what)
            .hint("t3b finalize RUN_URI publishes it")
            .into());
    }
    let tables = Table::of_format(plan.format_version);
    let has_lists = has_lists(root, &layout, &plan).await?;
    let mut found = Found::new(root, &layout, &plan, tables, has_lists);
    let mut damaged = Vec::new();
    for span in 0..plan.n_spans() {
        match read_receipts(root, &layout, &plan, span).await {
            Ok(receipts) => found.span(span, &receipts).await?,
            Err(error) if error.exit() == Exit::BadData => damaged.extend(error.problems().to_vec()),
            Err(error) => return Err(error),
        }
    }
    if !damaged.is_empty() {
        // Everything else follows from receipts.
        return Err(RunError::all(damaged));
    }
    found.closing().await?;
    if !found.problems.is_empty() {
        return Err(RunError::all(found.problems));
    }
    let run_sha256 = found.hash().await?;
    Ok(Verified { n_objects: found.n_objects, n_rows: found.n_rows, run_sha256 })
}

/// What was found so far.
struct Found<'a> {
    run: Run<'a>,
    tables: &'static [Table],
    /// Whether the run has lists of its objects, and not records of spans.
    has_lists: bool,
    problems: Vec<Problem>,
    /// Partitions whose rows one object holds, where that is not one: first and behind the last.
    groups: BTreeSet<(u32, u32)>,
    /// Every published object, as it must be, of a run that has lists.
    files: Vec<FileEntry>,
    totals: Totals,
    n_objects: usize,
    n_rows: u64,
    /// Over the plan and the receipts.
    hash: Sha256,
    /// Hashes of the completion record and of the row.
    closing: [String; 2],
}

impl<'a> Found<'a> {
    fn new(
        root: &'a Root,
        layout: &'a Layout,
        plan: &'a Plan,
        tables: &'static [Table],
        has_lists: bool,
    ) -> Self {
        let mut hash = Sha256::new();
        let (format, plan_sha256) = (plan.format_version, &plan.plan_sha256);
        hash.update(format!("t3b run {format} {plan_sha256} {}\n", plan.spec_sha256));
        Self {
            run: Run { root, layout, plan },
            tables,
            has_lists,
            problems: Vec::new(),
            groups: BTreeSet::new(),
            files: Vec::new(),
            totals: Totals::default(),
            n_objects: 0,
            n_rows: 0,
            hash,
            closing: [String::new(), String::new()],
        }
    }

    /// The published objects of one span, and its record.
    async fn span(&mut self, span: u32, receipts: &[Receipt]) -> Result<(), RunError> {
        let Run { root, layout, plan } = self.run;
        for receipt in receipts {
            self.hash.update(format!("receipt {} {}\n", receipt.partition, receipt.receipt_sha256));
        }
        let joined = self.groups_of(receipts).into_iter().map(range).filter(|_| plan.facts.compact);
        self.groups.extend(joined.map(|partitions| (partitions.start, partitions.end)));
        let record = match Span::read(root, layout, plan, span).await {
            _ if self.has_lists => None,
            Ok(record) => record,
            Err(error) if error.exit() == Exit::BadData => {
                self.problems.push(changed(&layout.span(span)));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let named = match &record {
            Some((record, _)) => record.files.clone(),
            None if plan.facts.compact => self.listed(span).await?,
            None => Vec::new(),
        };
        let mut files = Vec::new();
        for group in self.groups_of(receipts) {
            files.extend(self.group(group, &named).await?);
        }
        if self.has_lists {
            self.totals.add_receipts(receipts, &files);
            self.files.extend(files);
            return Ok(());
        }
        let wanted = Span::of(plan, span, receipts, files).text();
        self.same(&layout.span(span), &wanted).await?;
        if let Some((record, _)) = record {
            self.totals.add(&record.sums, &record.files);
        }
        Ok(())
    }

    /// What the lists of a run of compact objects say of a span: of those alone the bytes do not follow from receipts.
    async fn listed(&self, span: u32) -> Result<Vec<FileEntry>, RunError> {
        let mut named = Vec::new();
        for &table in self.tables {
            let parts = Parts::open(self.run.root, self.run.plan, table).await;
            match async { parts?.of_span(span).await }.await {
                Ok(files) => named.extend(files),
                // Named where the list is looked at.
                Err(error) if error.exit() == Exit::BadData => {}
                Err(error) => return Err(error),
            }
        }
        Ok(named)
    }

    /// Partitions whose rows are in one object of each table.
    fn groups_of<'r>(&self, receipts: &'r [Receipt]) -> Vec<&'r [Receipt]> {
        if self.run.plan.facts.compact { groups(receipts) } else { receipts.chunks(1).collect() }
    }

    /// The objects of one group: their bytes, and what their rows say of each other.
    async fn group(&mut self, group: &[Receipt], named: &[FileEntry]) -> Result<Vec<FileEntry>, RunError> {
        let Run { root, layout, plan } = self.run;
        let partitions = range(group);
        let (mut files, mut objects) = (Vec::new(), Vec::new());
        for &table in self.tables {
            let mut file = group[0].file(table)?.clone();
            if plan.facts.compact {
                let path = layout.compacted(table, &plan.run_date, &partitions);
                let known = named.iter().find(|file| file.path == path && file.table == table.name());
                let Some(known) = known else {
                    self.problems.push(missing(&path));
                    continue;
                };
                file = known.clone();
            } else {
                file.path = layout.part(table, &plan.run_date, partitions.start);
            }
            match read_entry(root, &file, "published table").await {
                Ok(Some(bytes)) => objects.push(bytes),
                Ok(None) => self.problems.push(missing(&file.path)),
                Err(problem) if problem.code == "R006" => self.problems.push(changed(&file.path)),
                Err(problem) => return Err(problem.into()),
            }
            self.n_rows += file.rows;
            self.n_objects += 1;
            files.push(file);
        }
        if objects.len() == self.tables.len() && plan.format_version > 1 {
            self.rows(group, &files, objects);
        }
        Ok(files)
    }

    /// What the rows of a group's objects say of each other, of the plan and of the receipts.
    fn rows(&mut self, group: &[Receipt], files: &[FileEntry], objects: Vec<Bytes>) {
        let plan = self.run.plan;
        let mut cursors = Vec::new();
        for (object, file) in objects.into_iter().zip(files) {
            let Some(cursor) = Cursor::open(object) else { return self.problems.push(changed(&file.path)) };
            cursors.push(cursor);
        }
        for receipt in group {
            let taken = Content::take(&mut cursors, receipt).ok_or("its tables cannot be read");
            if let Err(why) = taken.and_then(|content| content.check(plan, receipt)) {
                let what = format!("partition {}: {why}", receipt.partition);
                self.problems.push(damaged("V006", what));
            }
        }
        for (cursor, file) in cursors.iter_mut().zip(files) {
            let of_table =
                group.iter().flat_map(|receipt| &receipt.files).filter(|one| one.table == file.table);
            if !cursor.is_at_end() || of_table.map(|one| one.rows).sum::<u64>() != file.rows {
                let what = format!("{} has other rows than its receipts say", file.path);
                self.problems.push(damaged("V006", what));
            }
        }
    }

    /// What the run has once: lists, markers, the completion record, the row; and that nothing else is there.
    async fn closing(&mut self) -> Result<(), RunError> {
        let Run { layout, plan, .. } = self.run;
        for &table in self.tables {
            let marker = layout.success(table, &plan.run_date);
            if self.has_lists {
                let files = self.files.iter().filter(|file| file.table == table.name()).cloned().collect();
                let list = PublishedList { spec_sha256: plan.spec_sha256.clone(), files };
                let key =
                    if plan.format_version == 1 { marker.clone() } else { layout.published_list(table) };
                self.same(&key, &list.text()).await?;
            }
            if plan.format_version > 1 {
                self.same(&marker, &Bytes::new()).await?;
            }
        }
        self.row().await?;
        self.extra().await
    }

    /// The completion record and the row, which both follow from the receipts and the time that the record has.
    async fn row(&mut self) -> Result<(), RunError> {
        let Run { root, layout, plan } = self.run;
        let key = layout.runs_row(&plan.run_date);
        self.n_objects += 1;
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
            self.n_objects += 1;
            match read_entry(root, &record.row, "runs row").await {
                Ok(Some(_)) => {}
                Ok(None) => self.problems.push(missing(&key)),
                Err(problem) if problem.code == "R006" => self.problems.push(changed(&key)),
                Err(problem) => return Err(problem.into()),
            }
            return Ok(());
        }
        let (wanted, row) = Completion::at(record.completed_at_us(), plan, &self.totals)?;
        if wanted != bytes {
            self.problems.push(changed(&layout.completion()));
        }
        self.same(&key, &row).await
    }

    /// One object that has these bytes and no others.
    async fn same(&mut self, key: &str, wanted: &Bytes) -> Result<(), RunError> {
        self.n_objects += 1;
        let found = self.run.root.read(key, "object of the run", MAX_TABLE_BYTES).await;
        match found.map_err(Problem::from)? {
            None => self.problems.push(missing(key)),
            Some(found) if found != *wanted => self.problems.push(changed(key)),
            Some(_) => {}
        }
        Ok(())
    }

    /// Objects that belong to nothing: beside the published ones, and in our own folder.
    async fn extra(&mut self) -> Result<(), RunError> {
        let Run { layout, plan, .. } = self.run;
        for &table in self.tables {
            let marker = layout.success(table, &plan.run_date);
            let groups = std::mem::take(&mut self.groups);
            self.extra_in(&layout.published(table.name(), &plan.run_date), |name| {
                let held = layout.partitions_of(table, &plan.run_date, name);
                let is_part = held.is_some_and(|held| {
                    if plan.facts.compact {
                        let is_one = groups.contains(&(held.start, held.end));
                        return is_one && layout.compacted(table, &plan.run_date, &held) == name;
                    }
                    held.end <= plan.n_partitions && layout.part(table, &plan.run_date, held.start) == name
                });
                is_part || name == marker
            })
            .await?;
            self.groups = groups;
        }
        let row = layout.runs_row(&plan.run_date);
        self.extra_in(&layout.published("runs", &plan.run_date), |name| name == row).await?;
        let (has_lists, tables) = (self.has_lists, self.tables);
        let number = |name: &str| name.rsplit('/').next()?.strip_suffix(".json")?.parse::<u32>().ok();
        let is_receipt =
            |name: &str| number(name).is_some_and(|p| p < plan.n_partitions && layout.receipt(p) == name);
        let is_list = |name: &str| {
            plan.format_version > 1 && tables.iter().any(|&table| layout.published_list(table) == name)
        };
        // What attempts have staged and workers have claimed may lie there for ever.
        self.extra_in(&layout.run(), |name| {
            let is_once = name == layout.plan() || name == layout.completion();
            let is_named = if has_lists {
                is_list(name)
            } else {
                layout.span_of(name).is_some_and(|span| span < plan.n_spans())
            };
            let is_left = layout.staged_of(name).is_some() || layout.is_claim(name);
            is_once || is_named || is_left || is_receipt(name) || layout.is_delta_start(name)
        })
        .await
    }

    async fn extra_in(&mut self, folder: &str, is_own: impl Fn(&str) -> bool) -> Result<(), RunError> {
        let mut foreign = Vec::new();
        let see = |entry: Listed| foreign.extend(Some(entry.name).filter(|name| !is_own(name)));
        let listed = self.run.root.each_listed(folder, None, "objects of the run", see).await;
        listed.map_err(Problem::from)?;
        foreign.sort_unstable();
        for name in foreign {
            let what = format!("{name} belongs to no receipt");
            self.problems.push(damaged("V003", what).hint("nothing counts it; move it elsewhere"));
        }
        Ok(())
    }

    /// Over the plan, the receipts, every published object and what the run has once. Records of spans are read once more, for
    /// all receipts stand before all objects.
    async fn hash(&mut self) -> Result<String, RunError> {
        let Run { root, layout, plan } = self.run;
        let mut hash = std::mem::take(&mut self.hash);
        let mut add = |files: &[FileEntry]| {
            files
                .iter()
                .for_each(|file| hash.update(format!("{} {} {}\n", file.path, file.bytes, file.sha256)));
        };
        add(&self.files);
        for span in (0..plan.n_spans()).filter(|_| !self.has_lists) {
            let found = Span::read(root, layout, plan, span).await?;
            let (record, _) = found.ok_or_else(|| missing(&layout.span(span)))?;
            add(&record.files);
        }
        hash.update(format!("{}\n", self.closing.join(" ")));
        Ok(hex::encode(hash.finalize()))
    }
}

/// The partitions of neighbouring receipts.
fn range(group: &[Receipt]) -> Range<u32> {
    group[0].partition..group[group.len() - 1].partition + 1
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
