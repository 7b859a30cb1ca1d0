//! The sink stage: scored batches to a committed partition: encode, stage, commit by receipt.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use bytes::Bytes;

use crate::error::{Exit, Problem, RunError};
use crate::flow::meter::Meter;
use crate::flow::spans::{Attribute, Span};
use crate::flow::verdict::StageEnd;
use crate::ledger::{
    Diagnostics, Layout, Plan, Receipt, check_committed, check_nonfinite, check_stands, entry, nonce,
};
use crate::merge::method::Method;
use crate::messages::{Flow, Inlet, MethodScores, Reason, Reject, Scored, Seal};
use crate::store::Root;
use crate::tables::{
    BatchRow, Batches, CoefficientRow, Coefficients, FORMAT_VERSION, Names, Position, PredictionRow,
    Predictions, Quarantine, QuarantineRow, Rows, SignalRow, Signals, Table, TableWriter, features, probs,
};

/// What the sink needs to know.
#[derive(Debug, Clone)]
pub struct SinkRule {
    /// The frozen plan.
    pub plan: Plan,
    /// Names that rows refer to.
    pub names: Names,
    /// The method whose coefficients and correctness the run's diagnostics are about.
    pub primary: Method,
    /// Whether `predictions` has the class probabilities.
    pub probs: bool,
    /// Whether `signals` has the pretrained model's features.
    pub features: bool,
    /// Cells that the pipeline makes; what is rejected before them counts for each.
    pub n_made: usize,
    /// (sample, cell) pairs of the run.
    pub n_pairs: u64,
    /// Numerics class of the lane.
    pub device: String,
    /// Its canary.
    pub canary: String,
    /// Who this process is, for its receipts.
    pub worker: String,
}

/// Commits partition after partition, each on its seal and only when every sample is accounted for.
///
/// # Errors
/// Store failures, `B003` when a sample is lost or counted twice, `Torn` from the link.
pub async fn sink(
    rule: SinkRule,
    root: Root,
    mut inlet: Inlet<Scored>,
    meter: Meter,
) -> Result<(), StageEnd> {
    let mut open: Option<OpenPartition> = None;
    let mut n_nonfinite = 0;
    while let Some(message) = inlet.next().await? {
        if let Flow::Seal(seal) = message {
            let mut finished = open.take().map_or_else(|| OpenPartition::new(&rule), Ok)?;
            let spans = std::mem::take(&mut finished.spans);
            let partition = seal.partition;
            n_nonfinite += finished.n_nonfinite();
            check_nonfinite(n_nonfinite, rule.n_pairs)?;
            let is_ours = finished.commit(&rule, &root, seal).await.map_err(RunError::into_first)?;
            meter.open.close(partition, is_ours).await;
            if meter.spans.is_open() {
                meter.spans.push(partition_span(partition, spans));
            }
            meter.committed.fetch_add(1, Relaxed);
            meter.open_pairs.store(0, Relaxed);
            continue;
        }
        let partition = match &mut open {
            Some(partition) => partition,
            None => open.insert(OpenPartition::new(&rule)?),
        };
        match message {
            Flow::Item(scored) => {
                let n_pairs = scored.members.len() as u64;
                scored.signals.iter().for_each(|one| meter.found.signal(one.lambda_sample, one.js_nats));
                scored.rejects.iter().for_each(|reject| meter.found.quarantine(reject.reason.code()));
                if meter.spans.is_open() {
                    partition.spans.push(batch_span(&rule, &scored));
                }
                partition.add(&rule, scored)?;
                meter.pairs.fetch_add(n_pairs, Relaxed);
                meter.open_pairs.fetch_add(n_pairs, Relaxed);
            }
            Flow::Reject(reject) => {
                meter.found.quarantine(reject.reason.code());
                partition.rejects.push(reject);
            }
            Flow::Seal(_) => {}
        }
    }
    Ok(())
}

/// From the earliest beginning of a batch to its receipt. Batches come in their order, but of two that were scored side by side the
/// second may have begun first.
fn partition_span(partition: u32, parts: Vec<Span>) -> Span {
    let ended = SystemTime::now();
    Span {
        name: "partition",
        began: parts.iter().map(|part| part.began).min().unwrap_or(ended),
        ended,
        attributes: vec![("t3b.partition", Attribute::Count(partition.into()))],
        parts,
    }
}

fn batch_span(rule: &SinkRule, scored: &Scored) -> Span {
    let (corruption, severity) = rule.names.batch_cell(&scored.slot);
    let mut attributes = vec![
        ("t3b.batch", Attribute::Count(scored.slot.batch)),
        ("t3b.corruption", Attribute::Text(corruption.to_owned())),
        ("t3b.severity", Attribute::Count(u64::try_from(severity).unwrap_or_default())),
        ("t3b.n_scored", Attribute::Count(scored.members.len() as u64)),
    ];
    let main = scored.methods.iter().find(|scores| scores.method == rule.primary);
    let lambda = main.and_then(|scores| scores.merged_with).map(|with| with.lambda_mean);
    attributes.extend(lambda.map(|lambda| ("t3b.lambda", Attribute::Measure(lambda))));
    let (began, ended) = scored.scored;
    Span { name: "batch", began, ended, attributes, parts: Vec::new() }
}

/// The tables of the partition that is being written.
struct OpenPartition {
    predictions: TableWriter<Predictions>,
    signals: TableWriter<Signals>,
    batches: TableWriter<Batches>,
    coefficients: TableWriter<Coefficients>,
    quarantine: TableWriter<Quarantine>,
    rejects: Vec<Reject>,
    n_scored: Vec<u64>,
    diagnostics: Diagnostics,
    /// Its batches, where somebody traces the run.
    spans: Vec<Span>,
}

impl OpenPartition {
    fn new(rule: &SinkRule) -> Result<Self, Problem> {
        let origin = &rule.plan.origin();
        let mut predictions = Predictions::columns();
        predictions.push(probs(rule.probs));
        let mut signals = Signals::columns();
        signals.extend(rule.features.then(features));
        Ok(Self {
            predictions: TableWriter::new(Table::Predictions, predictions, origin)?,
            signals: TableWriter::new(Table::Signals, signals, origin)?,
            batches: TableWriter::new(Table::Batches, Batches::columns(), origin)?,
            coefficients: TableWriter::new(Table::Coefficients, Coefficients::columns(), origin)?,
            quarantine: TableWriter::new(Table::Quarantine, Quarantine::columns(), origin)?,
            rejects: Vec::new(),
            n_scored: vec![0; rule.names.cells.len()],
            diagnostics: Diagnostics::default(),
            spans: Vec::new(),
        })
    }

    fn add(&mut self, rule: &SinkRule, scored: Scored) -> Result<(), Problem> {
        let (slot, names) = (&scored.slot, &rule.names);
        for (n, member) in scored.members.iter().enumerate() {
            let at = Position { member, slot, names };
            for MethodScores { method, predictions, .. } in &scored.methods {
                self.predictions.push(&PredictionRow { at, method: *method, said: &predictions[n] })?;
            }
            self.n_scored[member.cell] += 1;
            let features = scored.features.as_ref().map(|all| all[n].as_slice());
            self.signals.push(&SignalRow { at, signal: &scored.signals[n], features })?;
        }
        self.batches.push(&BatchRow::of(&scored, names))?;
        for row in scored.methods.iter().filter_map(|scores| CoefficientRow::of(slot, scores, names)) {
            self.coefficients.push(&row)?;
        }
        self.diagnostics.push(&scored, rule.primary);
        self.rejects.extend(scored.rejects);
        Ok(())
    }

    fn n_nonfinite(&self) -> u64 {
        self.rejects.iter().filter(|reject| reject.reason == Reason::ModelNonfinite).count() as u64
    }

    /// Counts every (sample, cell) pair once: scored, or rejected in the cell, or rejected before it.
    fn check_conservation(&self, n_made: usize, seal: &Seal) -> Result<u64, Problem> {
        let before_cells = self.rejects.iter().filter(|reject| reject.cell.is_none()).count() as u64;
        let mut n_quarantined = 0;
        for (cell, n_scored) in self.n_scored.iter().enumerate() {
            let in_cell = self.rejects.iter().filter(|reject| reject.cell == Some(cell)).count() as u64;
            // Before the cells there were those that the pipeline makes alone.
            let before_cells = if cell < n_made { before_cells } else { 0 };
            let accounted = n_scored + in_cell + before_cells;
            let admitted = seal.n_by_cell.get(cell).copied().unwrap_or_default();
            if accounted != admitted {
                let what = format!(
                    "partition {}, cell {cell}: {accounted} samples accounted for, {admitted} admitted",
                    seal.partition
                );
                return Err(Problem::new("B003", Exit::Bug, what));
            }
            n_quarantined += in_cell + before_cells;
        }
        Ok(n_quarantined)
    }

    /// `false` when another worker had committed the partition first.
    async fn commit(mut self, rule: &SinkRule, root: &Root, seal: Seal) -> Result<bool, RunError> {
        let (n_quarantined, n_nonfinite) = (self.check_conservation(rule.n_made, &seal)?, self.n_nonfinite());
        self.rejects.sort_by_key(|reject| (reject.sample.row, reject.cell));
        for reject in &self.rejects {
            self.quarantine.push(&QuarantineRow { reject, names: &rule.names })?;
        }
        let tables = [
            (Table::Predictions, self.predictions.finish()),
            (Table::Signals, self.signals.finish()),
            (Table::Batches, self.batches.finish()),
            (Table::Coefficients, self.coefficients.finish()),
            (Table::Quarantine, self.quarantine.finish()),
        ];
        check_stands(root, &rule.plan).await?;
        let (layout, nonce) = (Layout::new(&rule.plan.run_id), nonce()?);
        let mut files = Vec::with_capacity(tables.len());
        for (table, finished) in tables {
            let (bytes, rows) = finished?;
            let path = layout.staged(seal.partition, &nonce, table);
            let object = format!("staged {} of partition {}", table.name(), seal.partition);
            files.push(entry(table.name(), path.clone(), &bytes, rows));
            root.write(&path, &object, Bytes::from(bytes)).await.map_err(Problem::from)?;
        }
        let receipt = Receipt {
            format_version: FORMAT_VERSION,
            receipt_sha256: String::new(),
            plan_sha256: rule.plan.plan_sha256.clone(),
            partition: seal.partition,
            nonce,
            worker: rule.worker.clone(),
            spec_sha256: rule.plan.spec_sha256.clone(),
            n_samples: seal.n_samples,
            n_scored: self.n_scored.iter().sum(),
            n_quarantined,
            diagnostics: self.diagnostics,
            device: rule.device.clone(),
            canary: rule.canary.clone(),
            n_nonfinite,
            files,
        };
        let is_ours = receipt.commit(root, &layout).await?;
        check_committed(root, &rule.plan, &receipt).await?;
        if !is_ours {
            tracing::info!(partition = seal.partition, "another worker committed this partition first");
        }
        Ok(is_ours)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_partition_began_with_whichever_of_its_batches_began_first() {
        let [early, late] = [1, 2].map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let batch = |began| Span { name: "batch", began, ended: late, attributes: vec![], parts: vec![] };
        let whole = partition_span(0, vec![batch(late), batch(early)]);
        assert_eq!((whole.began, whole.parts.len()), (early, 2));
        let empty = partition_span(0, vec![]);
        assert_eq!(empty.began, empty.ended);
    }
}
