//! Where the published objects of a table are named: in its list, or, of a run of several spans, in the spans' records.

use super::layout::Layout;
use super::plan::Plan;
use super::published::{MAX_TABLE_BYTES, PublishedList};
use super::receipt::FileEntry;
use super::span::Span;
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::Table;

/// The published objects of one table of a run, asked for span by span.
pub(crate) struct Parts<'a> {
    root: &'a Root,
    plan: &'a Plan,
    layout: Layout,
    table: Table,
    /// Where the run has one: each of its entries takes about 300 bytes.
    list: Option<Vec<FileEntry>>,
}

impl<'a> Parts<'a> {
    /// Reads the table's list, where the run has one.
    ///
    /// # Errors
    /// Store failures, `R007` an unreadable list.
    pub(crate) async fn open(root: &'a Root, plan: &'a Plan, table: Table) -> Result<Self, RunError> {
        let layout = Layout::new(&plan.run_id);
        let list = read_list(root, plan, table).await?.map(|list| list.files);
        Ok(Self { root, plan, layout, table, list })
    }

    /// The objects with the rows of a span's partitions, in their order, and all of them.
    ///
    /// # Errors
    /// Store failures, `V001` rows that no object is named for, `R020` a damaged record.
    pub(crate) async fn of_span(&self, span: u32) -> Result<Vec<FileEntry>, RunError> {
        let partitions = self.plan.span(span);
        let files = match &self.list {
            Some(list) => {
                let before = list.partition_point(|file| self.first(file) < partitions.start);
                let files = list[before..].iter().take_while(|file| self.first(file) < partitions.end);
                files.cloned().collect()
            }
            None => self.recorded(span).await?,
        };
        let mut next = partitions.start;
        for file in &files {
            let held = self.layout.partitions_of(self.table, &self.plan.run_date, &file.path);
            next = held.filter(|held| held.start == next).map_or(next, |held| held.end);
        }
        if next == partitions.end {
            return Ok(files);
        }
        let key = self.layout.part(self.table, &self.plan.run_date, next);
        Err(Problem::new("V001", Exit::BadData, format!("{key} is in no list of published objects"))
            .hint("run t3b verify; t3b finalize restores what is missing")
            .into())
    }

    /// The object with the rows of one partition.
    ///
    /// # Errors
    /// As [`Parts::of_span`].
    pub(crate) async fn holding(&self, partition: u32) -> Result<Option<FileEntry>, RunError> {
        let files = self.of_span(partition / self.plan.facts.span.max(1)).await?;
        let holds = |file: &FileEntry| {
            let held = self.layout.partitions_of(self.table, &self.plan.run_date, &file.path);
            held.is_some_and(|held| held.contains(&partition))
        };
        Ok(files.into_iter().find(holds))
    }

    /// Every object that is named, about 300 bytes each.
    ///
    /// # Errors
    /// Store failures, damaged records.
    pub(super) async fn all(self) -> Result<Vec<FileEntry>, RunError> {
        if let Some(list) = self.list {
            return Ok(list);
        }
        let mut all = Vec::new();
        for span in 0..self.plan.n_spans() {
            all.extend(self.recorded(span).await?);
        }
        Ok(all)
    }

    async fn recorded(&self, span: u32) -> Result<Vec<FileEntry>, RunError> {
        let found = Span::read(self.root, &self.layout, self.plan, span).await?;
        Ok(found.map(|(record, _)| record.of_table(self.table)).unwrap_or_default())
    }

    fn first(&self, file: &FileEntry) -> u32 {
        let held = self.layout.partitions_of(self.table, &self.plan.run_date, &file.path);
        held.map_or(u32::MAX, |held| held.start)
    }
}

/// The list of a table's published objects; `None` where the run has none.
///
/// # Errors
/// Store failures, `R007` an unreadable list.
pub(super) async fn read_list(
    root: &Root,
    plan: &Plan,
    table: Table,
) -> Result<Option<PublishedList>, RunError> {
    let layout = Layout::new(&plan.run_id);
    let key = match plan.format_version {
        1 => layout.success(table, &plan.run_date),
        _ => layout.published_list(table),
    };
    let found = root.read(&key, "list of a published table", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
    let unreadable =
        |_| Problem::new("R007", Exit::BadData, format!("{key} is unreadable")).hint("run t3b verify");
    Ok(found.map(|bytes| serde_json::from_slice(&bytes).map_err(unreadable)).transpose()?)
}

/// Whether the run has lists of its published objects, and not records of spans: it has one span, or an earlier program published it.
///
/// # Errors
/// Store failures.
pub(crate) async fn has_lists(root: &Root, layout: &Layout, plan: &Plan) -> Result<bool, RunError> {
    if plan.n_spans() <= 1 || plan.format_version == 1 {
        return Ok(true);
    }
    let key = object_store::path::Path::from(layout.published_list(Table::Predictions));
    Ok(root.size(&key, "list of a published table").await.map_err(Problem::from)?.is_some())
}
