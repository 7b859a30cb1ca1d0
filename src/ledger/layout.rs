//! Where everything of a run lies below the output root.

use std::ops::Range;

use crate::error::{Exit, Problem, shown_place};
use crate::tables::Table;

/// Most bytes a receipt or plan may have.
pub(super) const MAX_JSON_BYTES: u64 = 64 << 20;

/// Where the records of withdrawn runs are.
pub(super) const DISCARDED: &str = "_t3b/discarded";

/// What a claim is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Scoring a partition.
    Partition,
    /// Publishing a span of partitions.
    Span,
}

/// Names of one run's objects, relative to the output root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    run_id: String,
}

impl Layout {
    /// The layout of run `run_id`.
    #[must_use]
    pub fn new(run_id: &str) -> Self {
        Self { run_id: run_id.to_owned() }
    }

    /// Our own folder; the leading underscore hides it from table readers.
    #[must_use]
    pub fn run(&self) -> String {
        format!("_t3b/runs/{}", self.run_id)
    }

    /// The frozen plan.
    #[must_use]
    pub fn plan(&self) -> String {
        format!("{}/plan.json", self.run())
    }

    /// When the run was completed, and what its row is.
    #[must_use]
    pub fn completion(&self) -> String {
        format!("{}/completed.json", self.run())
    }

    /// Folder of the receipts.
    #[must_use]
    pub fn receipts(&self) -> String {
        format!("{}/receipts", self.run())
    }

    /// The object that commits a partition.
    #[must_use]
    pub fn receipt(&self, partition: u32) -> String {
        format!("{}/{partition:05}.json", self.receipts())
    }

    /// Folder of the claims on partitions or spans.
    #[must_use]
    pub fn claims(&self, on: Claimed) -> String {
        match on {
            Claimed::Partition => format!("{}/claims", self.run()),
            Claimed::Span => format!("{}/publishing", self.run()),
        }
    }

    /// A claim on a partition or span; the number behind the last span stands for what is done once all of them are published.
    #[must_use]
    pub fn claim(&self, on: Claimed, number: u32, generation: u32) -> String {
        format!("{}/{number:05}.{generation}.json", self.claims(on))
    }

    /// The number and generation that a claim is of; `None` when `key` is no name of such a claim.
    #[must_use]
    pub fn claim_of(&self, on: Claimed, key: &str) -> Option<(u32, u32)> {
        let (number, generation) = key.rsplit('/').next()?.strip_suffix(".json")?.split_once('.')?;
        let (number, generation) = (number.parse().ok()?, generation.parse().ok()?);
        (self.claim(on, number, generation) == key).then_some((number, generation))
    }

    /// Whether `key` is the name of a claim.
    #[must_use]
    pub fn is_claim(&self, key: &str) -> bool {
        [Claimed::Partition, Claimed::Span].into_iter().any(|on| self.claim_of(on, key).is_some())
    }

    /// Folder of the records of published spans.
    #[must_use]
    pub fn spans(&self) -> String {
        format!("{}/spans", self.run())
    }

    /// The record of a published span.
    #[must_use]
    pub fn span(&self, span: u32) -> String {
        format!("{}/{span:05}.json", self.spans())
    }

    /// The span that a record is of; `None` when `key` is no name of a record.
    #[must_use]
    pub fn span_of(&self, key: &str) -> Option<u32> {
        let span = key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()?;
        (self.span(span) == key).then_some(span)
    }

    /// Folder of what attempts have staged.
    #[must_use]
    pub fn stage(&self) -> String {
        format!("{}/stage", self.run())
    }

    /// A staged table of one attempt at a partition; `nonce` makes the name unique.
    #[must_use]
    pub fn staged(&self, partition: u32, nonce: &str, table: Table) -> String {
        format!("{}/{partition:05}.{nonce}.{}.parquet", self.stage(), table.name())
    }

    /// Folder of a published table's parts.
    #[must_use]
    pub fn published(&self, table: &str, run_date: &str) -> String {
        format!("tables/{table}/run_date={run_date}/run_id={}", self.run_id)
    }

    /// One published part.
    #[must_use]
    pub fn part(&self, table: Table, run_date: &str, partition: u32) -> String {
        format!("{}/part-{partition:05}.parquet", self.published(table.name(), run_date))
    }

    /// One published object with the rows of many partitions.
    #[must_use]
    pub fn compacted(&self, table: Table, run_date: &str, partitions: &Range<u32>) -> String {
        let (first, last) = (partitions.start, partitions.end.saturating_sub(1));
        format!("{}/part-{first:05}-{last:05}.parquet", self.published(table.name(), run_date))
    }

    /// The partitions whose rows a published object of a table holds; `None` when `key` is no name of one.
    #[must_use]
    pub fn partitions_of(&self, table: Table, run_date: &str, key: &str) -> Option<Range<u32>> {
        let numbers = key.rsplit('/').next()?.strip_prefix("part-")?.strip_suffix(".parquet")?;
        let Some((first, last)) = numbers.split_once('-') else {
            let partition: u32 = numbers.parse().ok()?;
            return (self.part(table, run_date, partition) == key)
                .then_some(partition..partition.saturating_add(1));
        };
        let partitions = first.parse().ok()?..last.parse::<u32>().ok()?.checked_add(1)?;
        let is_one = !partitions.is_empty() && self.compacted(table, run_date, &partitions) == key;
        is_one.then_some(partitions)
    }

    /// The one row that makes a run visible.
    #[must_use]
    pub fn runs_row(&self, run_date: &str) -> String {
        format!("{}/run.parquet", self.published("runs", run_date))
    }

    /// The list of a table's published objects.
    #[must_use]
    pub fn published_list(&self, table: Table) -> String {
        format!("{}/published/{}.json", self.run(), table.name())
    }

    /// Where the run's walk through the Delta log of a table begins.
    #[must_use]
    pub fn delta_start(&self, table: &str) -> String {
        format!("{}/delta/{table}.json", self.run())
    }

    /// Whether `key` is such a name.
    #[must_use]
    pub fn is_delta_start(&self, key: &str) -> bool {
        Table::ALL.into_iter().map(Table::name).chain(["runs"]).any(|table| self.delta_start(table) == key)
    }

    /// Whether `key` is the name of an object that this program writes for the run, whatever is there.
    #[must_use]
    pub fn is_own(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().unwrap_or_default();
        let number = |text: &str| text.parse::<u32>().ok();
        let receipt = || Some(self.receipt(number(name.strip_suffix(".json")?)?) == key);
        let table = || {
            let mut parts = key.strip_prefix("tables/")?.splitn(4, '/');
            let (table, date) = (parts.next()?, parts.next()?.strip_prefix("run_date=")?);
            let attempt = || Some(is_nonce(name.strip_suffix(".parquet")?) && table == "attempts");
            let part = || Some(self.partitions_of(Table::from_name(table)?, date, key).is_some());
            let marker = || Some(self.success(Table::from_name(table)?, date) == key);
            let is_row = self.runs_row(date) == key;
            let in_folder = key == format!("{}/{name}", self.published(table, date));
            let is_known =
                is_row || part() == Some(true) || marker() == Some(true) || attempt() == Some(true);
            Some(in_folder && is_known && !date.is_empty())
        };
        let list = || Table::ALL.into_iter().any(|table| self.published_list(table) == key);
        key == self.plan()
            || key == self.completion()
            || list()
            || self.is_delta_start(key)
            || receipt() == Some(true)
            || self.staged_of(key).is_some()
            || self.is_claim(key)
            || self.span_of(key).is_some()
            || table() == Some(true)
    }

    /// The partition that a staged object is of; `None` when `key` is no name of a staged object.
    #[must_use]
    pub fn staged_of(&self, key: &str) -> Option<u32> {
        let mut parts = key.rsplit('/').next()?.split('.');
        let (partition, nonce, table) =
            (parts.next()?.parse().ok()?, parts.next()?, Table::from_name(parts.next()?)?);
        (is_nonce(nonce) && self.staged(partition, nonce, table) == key).then_some(partition)
    }

    /// The empty object that tells readers of folders that a table is complete. In format 1 it held the list.
    #[must_use]
    pub fn success(&self, table: Table, run_date: &str) -> String {
        format!("{}/_SUCCESS", self.published(table.name(), run_date))
    }
}

fn is_nonce(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Splits `<root>/_t3b/runs/<run_id>` into root and run id.
#[must_use]
pub fn split_run_uri(uri: &str) -> Option<(&str, &str)> {
    let (root, run_id) = uri.trim_end_matches('/').rsplit_once("/_t3b/runs/")?;
    (!root.is_empty() && is_run_id(run_id)).then_some((root, run_id))
}

/// Root and run id of what has to be the URI of a run.
///
/// # Errors
/// `R009` when it is none.
pub fn run_of(uri: &str) -> Result<(&str, &str), Problem> {
    split_run_uri(uri).ok_or_else(|| {
        let what = format!("run URI: found {}, allowed <output root>/_t3b/runs/<run id>", shown_place(uri));
        Problem::new("R009", Exit::Usage, what).hint("t3b run prints it on its first line")
    })
}

/// Whether `text` can be a run id: it becomes part of object keys.
#[must_use]
pub fn is_run_id(text: &str) -> bool {
    text.len() <= 64 && text.get(..48.min(text.len())).is_some_and(is_name) && is_tail(text)
}

/// Whether `text` can be a run name or the stem of a run id: it becomes part of object keys.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 48 && text.starts_with(plain) && text.chars().all(|c| plain(c) || c == '_' || c == '-')
}

fn is_tail(text: &str) -> bool {
    text.chars().skip(48).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_our_own() {
        let (layout, nonce) = (Layout::new("t"), "0123456789abcdef0123456789abcdef");
        let date = "2026-01-02";
        for key in [
            layout.plan(),
            layout.completion(),
            layout.receipt(7),
            layout.receipt(123_456),
            layout.claim(Claimed::Partition, 7, 0),
            layout.claim(Claimed::Partition, 123_456, 12),
            layout.claim(Claimed::Span, 3, 1),
            layout.span(3),
            layout.compacted(Table::Signals, date, &(0..256)),
            layout.staged(3, nonce, Table::Signals),
            layout.part(Table::Batches, date, 2),
            layout.runs_row(date),
            layout.success(Table::Quarantine, date),
            layout.published_list(Table::Predictions),
            layout.delta_start("runs"),
            format!("{}/{nonce}.parquet", layout.published("attempts", date)),
        ] {
            assert!(layout.is_own(&key), "{key}");
        }
        for key in [
            "tables/photo",
            "_t3b/other",
            "_t3b/runs/t/a",
            "_t3b/runs/t/stage/x.png",
            "_t3b/runs/t/delta/attempts.json",
            "_t3b/runs/t/receipts/7.json",
            "_t3b/runs/t/receipts/old/00007.json",
            "_t3b/runs/t/claims/00007.json",
            "_t3b/runs/t/claims/00007.01.json",
            "_t3b/runs/t/publishing/7.0.json",
            "_t3b/runs/t/spans/7.json",
            "tables/signals/run_date=2026-01-02/run_id=t/part-00002-00001.parquet",
            "tables/signals/run_date=2026-01-02/run_id=t/part-00000-4294967295.parquet",
            "_t3b/runs/u/plan.json",
            "_t3b/runs/t/stage/00003.0123456789abcdef.signals.parquet",
            "tables/signals/run_date=2026-01-02/run_id=u/part-00001.parquet",
            "tables/signals/run_date=2026-01-02/run_id=t/deeper/part-00001.parquet",
            "tables/signals/run_date=2026-01-02/run_id=t/part-1.parquet",
        ] {
            assert!(!layout.is_own(key), "{key}");
        }
    }

    #[test]
    fn the_name_of_an_object_says_whose_rows_it_holds() {
        let (layout, date) = (Layout::new("t"), "2026-01-02");
        let of = |key: &str| layout.partitions_of(Table::Signals, date, key);
        assert_eq!(of(&layout.part(Table::Signals, date, 7)), Some(7..8));
        assert_eq!(of(&layout.compacted(Table::Signals, date, &(99_840..100_096))), Some(99_840..100_096));
        assert_eq!(of(&layout.part(Table::Batches, date, 7)), None, "of another table");
    }

    #[test]
    fn a_run_uri_names_its_root_and_run() {
        assert_eq!(split_run_uri("s3://b/out/_t3b/runs/night-1/"), Some(("s3://b/out", "night-1")));
        assert_eq!(split_run_uri("s3://b/out"), None);
        assert_eq!(split_run_uri("s3://b/out/_t3b/runs/a/b"), None);
    }
}
