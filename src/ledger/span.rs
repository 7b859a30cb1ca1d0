//! Spans: neighbouring partitions that are published together, and the record that says of one that it is done.
//!
//! A run of several spans is published span by span, by whoever has a hand free, and by the next one where that one dies. The
//! record of a span is created after its objects and holds all that is needed of it later: the last step reads records and no
//! receipts, so that it holds one span in memory however large the run is. A run of one span has no record: its lists say the same.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::diagnostics::Diagnostics;
use super::layout::{Layout, MAX_JSON_BYTES};
use super::plan::Plan;
use super::receipt::{FileEntry, Listed, Receipt};
use super::seal;
use crate::error::{Exit, Problem, RunError};
use crate::store::Root;
use crate::tables::Table;

impl Plan {
    /// Spans that its partitions make.
    pub(crate) fn n_spans(&self) -> u32 {
        self.n_partitions.div_ceil(self.facts.span.max(1))
    }

    /// The partitions of a span.
    pub(super) fn span(&self, span: u32) -> Range<u32> {
        let (size, end) = (self.facts.span.max(1), self.n_partitions);
        let start = span.saturating_mul(size).min(end);
        start..start.saturating_add(size).min(end)
    }
}

/// What receipts, or the records of spans, come to together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sums {
    pub(super) n_scored: u64,
    pub(super) n_quarantined: u64,
    pub(super) n_nonfinite: u64,
    pub(super) diagnostics: Diagnostics,
    /// Numerics class of the first partition.
    pub(super) device: Option<String>,
}

impl Sums {
    /// Of receipts in the order of partitions.
    pub(super) fn of(receipts: &[Receipt]) -> Self {
        receipts.iter().fold(Self::default(), |all, receipt| {
            all.then(&Self {
                n_scored: receipt.n_scored,
                n_quarantined: receipt.n_quarantined,
                n_nonfinite: receipt.n_nonfinite,
                diagnostics: receipt.diagnostics,
                device: Some(receipt.device.clone()),
            })
        })
    }

    /// Both together, this one first.
    pub(super) fn then(self, later: &Self) -> Self {
        Self {
            n_scored: self.n_scored + later.n_scored,
            n_quarantined: self.n_quarantined + later.n_quarantined,
            n_nonfinite: self.n_nonfinite + later.n_nonfinite,
            diagnostics: self.diagnostics.then(later.diagnostics),
            device: self.device.or_else(|| later.device.clone()),
        }
    }
}

/// Says of a span that its objects are published, and which they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    format_version: u32,
    /// Hash of the record's own text, with zeros in this place; empty until it is stored.
    span_sha256: String,
    /// The plan it follows.
    plan_sha256: String,
    span: u32,
    /// Hash over the hashes of its receipts, a line each.
    receipts_sha256: String,
    pub(super) sums: Sums,
    /// Published objects by first partition, and of a partition in [`Table::ALL`] order.
    pub(super) files: Vec<FileEntry>,
}

impl Span {
    /// The record of a span with these receipts and published objects.
    pub(super) fn of(plan: &Plan, span: u32, receipts: &[Receipt], files: Vec<FileEntry>) -> Self {
        let mut hash = Sha256::new();
        receipts.iter().for_each(|receipt| hash.update(format!("{}\n", receipt.receipt_sha256)));
        Self {
            format_version: plan.format_version,
            span_sha256: String::new(),
            plan_sha256: plan.plan_sha256.clone(),
            span,
            receipts_sha256: hex::encode(hash.finalize()),
            sums: Sums::of(receipts),
            files,
        }
    }

    /// Its text, as every publisher writes it.
    pub(super) fn text(&self) -> Bytes {
        let mut unsealed = self.clone();
        unsealed.span_sha256.clear();
        seal::sealed(&unsealed, "span_sha256").0.into()
    }

    /// Reads the record of a span; `None` when it is not published.
    ///
    /// # Errors
    /// Store failures; `R007` unreadable; `R020` damaged, or of another span or plan.
    pub(super) async fn read(
        root: &Root,
        layout: &Layout,
        plan: &Plan,
        span: u32,
    ) -> Result<Option<(Self, Bytes)>, RunError> {
        let object = format!("record of span {span}");
        let found = root.read(&layout.span(span), &object, MAX_JSON_BYTES).await.map_err(Problem::from)?;
        let Some(bytes) = found else { return Ok(None) };
        let hint = "delete it and run t3b finalize, which writes it again from the receipts";
        let text = seal::check(&bytes, "span_sha256", &object).map_err(|problem| problem.hint(hint))?;
        let unreadable =
            |_| Problem::new("R007", Exit::BadData, format!("{object} is unreadable")).hint(hint);
        let record: Self = serde_json::from_str(text).map_err(unreadable)?;
        if record.span != span || record.plan_sha256 != plan.plan_sha256 {
            let what = format!("{object} is that of another span or follows another plan");
            return Err(Problem::new("R020", Exit::BadData, what).hint(hint).into());
        }
        Ok(Some((record, bytes)))
    }

    /// Its published objects of one table.
    pub(super) fn of_table(self, table: Table) -> Vec<FileEntry> {
        self.files.into_iter().filter(|file| file.table == table.name()).collect()
    }
}

/// The spans of `n_spans` that have a record, from one listing.
///
/// # Errors
/// Store failures.
pub(super) async fn recorded(root: &Root, layout: &Layout, n_spans: u32) -> Result<Listed, RunError> {
    let of = |name: &str| layout.span_of(name).filter(|&span| span < n_spans);
    Listed::read(root, &layout.spans(), None, "records of spans", of).await
}
