//! The published objects of one span, from what its receipts name: a copy of each part, or many parts in one object.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::compacting::{Joined, groups};
use super::layout::Layout;
use super::plan::Plan;
use super::published::{differs, read_entry};
use super::receipt::{FileEntry, Receipt, entry};
use crate::error::{Exit, Problem, RunError};
use crate::flow::ordered::off_io;
use crate::store::{Created, Root};
use crate::tables::Table;

/// Parts that are copied at once: most of the time of each is the store's.
const AT_ONCE: usize = 16;
/// KiB of parts that are held at once; a larger one alone.
const IN_FLIGHT_KIB: u32 = 64 << 10;
/// Parts that are read ahead of the one that is joined.
const READ_AHEAD: usize = 4;

/// Where a run lies and what it is.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) root: &'a Root,
    pub(super) layout: &'a Layout,
    pub(super) plan: &'a Plan,
}

impl Run<'_> {
    /// Publishes what `receipts` name and says what is there then, by first partition and table. What is `known` to be published and is
    /// there is not made again. `created` gets the keys of what this call made, or may have made where it fails.
    ///
    /// # Errors
    /// `R006` other bytes than the receipts say, staged or published; store failures.
    pub(super) async fn copy(
        self,
        receipts: &[Receipt],
        known: &[FileEntry],
        created: &mut Vec<String>,
    ) -> Result<Vec<FileEntry>, RunError> {
        if self.plan.facts.compact {
            return self.join(receipts, known, created).await;
        }
        let mut wanted = Vec::new();
        for receipt in receipts {
            for table in Table::ALL {
                wanted.push((receipt.file(table)?, self.part(receipt.partition, table)));
            }
        }
        let (room, is_failed) = (Semaphore::new(IN_FLIGHT_KIB as usize), AtomicBool::new(false));
        let copies = wanted.iter().map(async |(staged, path)| {
            let kib = u32::try_from(staged.bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
            let _room = room.acquire_many(kib.min(IN_FLIGHT_KIB)).await;
            // What has begun is brought to its end, so that it is known; nothing new is begun.
            if is_failed.load(Relaxed) {
                return Ok(None);
            }
            let copied = self.copy_one(staged, path).await;
            is_failed.fetch_or(copied.is_err(), Relaxed);
            copied.map(Some)
        });
        let copied: Vec<_> = stream::iter(copies).buffered(AT_ONCE).collect().await;
        let mut files = Vec::with_capacity(wanted.len());
        let mut failed = None;
        for ((staged, path), copied) in wanted.into_iter().zip(copied) {
            // A create whose outcome stayed unknown may be there.
            if !matches!(copied, Ok(None | Some(false))) {
                created.push(path.clone());
            }
            failed = failed.or(copied.err());
            files.push(FileEntry { path, ..staged.clone() });
        }
        failed.map_or(Ok(files), Err)
    }

    fn part(&self, partition: u32, table: Table) -> String {
        self.layout.part(table, &self.plan.run_date, partition)
    }

    /// Copies one part; `false` where it was there.
    async fn copy_one(&self, staged: &FileEntry, path: &str) -> Result<bool, RunError> {
        let file = FileEntry { path: path.to_owned(), ..staged.clone() };
        let object = format!("published part of {}", file.table);
        if read_entry(self.root, &file, &object).await?.is_some() {
            return Ok(false);
        }
        let bytes = self.staged(staged).await?;
        self.create(path, &object, bytes).await
    }

    async fn staged(&self, staged: &FileEntry) -> Result<Bytes, Problem> {
        let partition = self.layout.staged_of(&staged.path).unwrap_or_default();
        let object = format!("staged {} of partition {partition}", staged.table);
        let bytes = read_entry(self.root, staged, &object).await?;
        bytes.ok_or_else(|| Problem::new("R006", Exit::StoreIo, format!("{object} is gone")))
    }

    /// Creates what every publisher writes with the same bytes.
    async fn create(&self, path: &str, object: &str, bytes: Bytes) -> Result<bool, RunError> {
        match self.root.create(path, object, bytes).await.map_err(Problem::from)? {
            Created::Ours => Ok(true),
            Created::Exists(_) => Err(differs(path).into()),
        }
    }

    /// [`Run::copy`] into objects of many parts, one after the other.
    async fn join(
        self,
        receipts: &[Receipt],
        known: &[FileEntry],
        created: &mut Vec<String>,
    ) -> Result<Vec<FileEntry>, RunError> {
        let mut files = Vec::new();
        for group in groups(receipts) {
            let (first, last) = (group[0].partition, group[group.len() - 1].partition);
            for table in Table::ALL {
                let path = self.layout.compacted(table, &self.plan.run_date, &(first..last + 1));
                let object = format!("published parts of {}", table.name());
                let known = known.iter().find(|file| file.path == path);
                if let Some(known) = known
                    && read_entry(self.root, known, &object).await?.is_some()
                {
                    files.push(known.clone());
                    continue;
                }
                let (bytes, n_rows) = self.joined(group, table).await?;
                let file = entry(table.name(), path.clone(), &bytes, n_rows);
                if known.is_some_and(|known| *known != file) {
                    return Err(differs(&path).into());
                }
                created.push(path.clone());
                self.create(&path, &object, bytes.into()).await?;
                files.push(file);
            }
        }
        Ok(files)
    }

    async fn joined(&self, group: &[Receipt], table: Table) -> Result<(Vec<u8>, u64), RunError> {
        let mut joined = Joined::new(table, self.plan.origin());
        let staged = group.iter().map(|receipt| receipt.file(table)).collect::<Result<Vec<_>, _>>()?;
        let mut parts = stream::iter(staged.into_iter().map(|file| self.staged(file))).buffered(READ_AHEAD);
        while let Some(part) = parts.try_next().await? {
            joined = off_io(move || joined.add(part)).await?;
        }
        Ok(off_io(move || joined.finish()).await?)
    }
}
