//! Rows of the four partition tables, collected column by column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, StringDictionaryBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use t3b_corrupt::Cell;

use super::schema::Table;
use super::writer::Chunk;
use crate::merge::coefficient::is_heterogeneous;
use crate::merge::method::Method;
use crate::merge::statistics::{Running, quantile};
use crate::messages::{Member, Mixing, Prediction, Reject, Scored, Signal, Slot};

type Words = StringDictionaryBuilder<Int32Type>;

/// Names that rows refer to by index.
#[derive(Debug, Clone)]
pub struct Names {
    /// Class names in index order.
    pub classes: Arc<[String]>,
    /// Cells in scoring order.
    pub cells: Arc<[Cell]>,
    /// Samples of a full batch.
    pub batch_size: u32,
    /// Whether a batch is of one cell.
    pub mixing: Mixing,
}

impl Names {
    /// How `coefficients` names the cell of a batch: `mixed` and a number where it has none.
    fn batch_cell(&self, cell: usize) -> (&str, i32) {
        match self.mixing {
            Mixing::Pure => (&self.cells[cell].corruption, i32::from(self.cells[cell].severity)),
            Mixing::Mixed => ("mixed", i32::try_from(cell).unwrap_or(i32::MAX)),
        }
    }
}

/// Which sample in which cell and batch: the columns that `predictions` and `signals` share.
#[derive(Default)]
struct Position {
    sample_id: StringBuilder,
    manifest_row: Int64Builder,
    corruption: Words,
    severity: Int32Builder,
    batch: Int64Builder,
    pos_in_batch: Int16Builder,
}

impl Position {
    fn push(&mut self, member: &Member, slot: &Slot, names: &Names) {
        let (sample, cell) = (&member.sample, &names.cells[member.cell]);
        self.sample_id.append_value(&sample.id);
        self.manifest_row.append_value(signed(sample.row));
        self.corruption.append_value(&cell.corruption);
        self.severity.append_value(i32::from(cell.severity));
        self.batch.append_value(signed(slot.batch));
        let position = sample.row % u64::from(names.batch_size);
        self.pos_in_batch.append_value(i16::try_from(position).unwrap_or(i16::MAX));
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.sample_id.finish()),
            Arc::new(self.manifest_row.finish()),
            Arc::new(self.corruption.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(self.batch.finish()),
            Arc::new(self.pos_in_batch.finish()),
        ]
    }
}

/// Rows of `predictions`.
pub(crate) struct PredictionRows {
    position: Position,
    method: Words,
    label_idx: Int32Builder,
    label: Words,
    pred_idx: Int32Builder,
    pred: Words,
    pred_prob: Float32Builder,
    margin: Float32Builder,
    entropy_nats: Float32Builder,
    correct: BooleanBuilder,
    probs: Option<ListBuilder<Float32Builder>>,
    n_rows: usize,
}

impl PredictionRows {
    /// No rows yet; `probs` adds the list column.
    #[must_use]
    pub(crate) fn new(probs: bool) -> Self {
        let item = Field::new("item", DataType::Float32, false);
        Self {
            position: Position::default(),
            method: Words::new(),
            label_idx: Int32Builder::new(),
            label: Words::new(),
            pred_idx: Int32Builder::new(),
            pred: Words::new(),
            pred_prob: Float32Builder::new(),
            margin: Float32Builder::new(),
            entropy_nats: Float32Builder::new(),
            correct: BooleanBuilder::new(),
            probs: probs.then(|| ListBuilder::new(Float32Builder::new()).with_field(item)),
            n_rows: 0,
        }
    }

    /// Adds what `method` says of one member.
    pub(crate) fn push(
        &mut self,
        member: &Member,
        slot: &Slot,
        method: Method,
        said: &Prediction,
        names: &Names,
    ) {
        let class = |idx: u32| names.classes[idx as usize].as_str();
        let sample = &member.sample;
        self.position.push(member, slot, names);
        self.method.append_value(method.name());
        self.label_idx.append_option(sample.label_idx.map(narrow));
        self.label.append_option(sample.label_idx.map(class));
        self.pred_idx.append_value(narrow(said.pred_idx));
        self.pred.append_value(class(said.pred_idx));
        self.pred_prob.append_value(single(said.pred_prob));
        self.margin.append_value(single(said.margin));
        self.entropy_nats.append_value(single(said.entropy_nats));
        self.correct.append_option(sample.label_idx.map(|label| label == said.pred_idx));
        if let Some(probs) = &mut self.probs {
            probs.append_value(said.probs.iter().map(|&p| Some(single(p))));
        }
        self.n_rows += 1;
    }
}

impl Chunk for PredictionRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn take(&mut self) -> RecordBatch {
        self.n_rows = 0;
        let mut columns = self.position.take();
        columns.extend([
            Arc::new(self.method.finish()) as ArrayRef,
            Arc::new(self.label_idx.finish()),
            Arc::new(self.label.finish()),
            Arc::new(self.pred_idx.finish()),
            Arc::new(self.pred.finish()),
            Arc::new(self.pred_prob.finish()),
            Arc::new(self.margin.finish()),
            Arc::new(self.entropy_nats.finish()),
            Arc::new(self.correct.finish()),
        ]);
        let with_probs = self.probs.is_some();
        columns.extend(self.probs.as_mut().map(|probs| Arc::new(probs.finish()) as ArrayRef));
        batch(Table::Predictions, with_probs, columns)
    }
}

/// Rows of `signals`.
#[derive(Default)]
pub(crate) struct SignalRows {
    position: Position,
    numbers: [Float64Builder; 4],
    agree: BooleanBuilder,
    n_rows: usize,
}

impl SignalRows {
    /// Adds what the parents say of one member together.
    pub(crate) fn push(&mut self, member: &Member, slot: &Slot, signal: &Signal, names: &Names) {
        self.position.push(member, slot, names);
        let numbers = [signal.js_nats, signal.lambda_sample, signal.pt_entropy_nats, signal.ft_entropy_nats];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.append_value(number);
        }
        self.agree.append_value(signal.agree);
        self.n_rows += 1;
    }
}

impl Chunk for SignalRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn take(&mut self) -> RecordBatch {
        self.n_rows = 0;
        let mut columns = self.position.take();
        columns.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.agree.finish()));
        batch(Table::Signals, false, columns)
    }
}

/// Rows of `coefficients`.
#[derive(Default)]
pub(crate) struct CoefficientRows {
    batch: Int64Builder,
    corruption: Words,
    severity: Int32Builder,
    first_row: Int64Builder,
    last_row: Int64Builder,
    counts: [Int32Builder; 3],
    numbers: [Float64Builder; 11],
    guards: [Int32Builder; 2],
    heterogeneous: BooleanBuilder,
    composition_sha256: StringBuilder,
    n_rows: usize,
}

impl CoefficientRows {
    /// Adds the summary of one batch; `merged_entropy_nats` are the primary method's.
    pub(crate) fn push(&mut self, scored: &Scored, primary: Method, lambda_range: f64, names: &Names) {
        let slot = &scored.slot;
        let (corruption, severity) = names.batch_cell(slot.cell);
        self.batch.append_value(signed(slot.batch));
        self.corruption.append_value(corruption);
        self.severity.append_value(severity);
        self.first_row.append_value(signed(slot.first_row));
        self.last_row.append_value(signed(slot.first_row + u64::from(slot.n_planned) - 1));
        let n_scored = i32::try_from(scored.members.len()).unwrap_or(i32::MAX);
        let n_planned = narrow(slot.n_planned);
        for (column, n) in self.counts.iter_mut().zip([n_planned, n_scored, n_planned - n_scored]) {
            column.append_value(n);
        }
        for (column, number) in self.numbers.iter_mut().zip(summary(scored, primary)) {
            column.append_option(number);
        }
        let moved = |step: i8| scored.signals.iter().filter(|signal| signal.guard == step).count();
        for (column, n) in self.guards.iter_mut().zip([moved(1), moved(-1)]) {
            column.append_value(i32::try_from(n).unwrap_or(i32::MAX));
        }
        let lambda: Vec<f64> = scored.signals.iter().map(|signal| signal.lambda_sample).collect();
        self.heterogeneous.append_value(is_heterogeneous(&lambda, lambda_range));
        self.composition_sha256.append_value(composition(&scored.members));
        self.n_rows += 1;
    }
}

impl Chunk for CoefficientRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn take(&mut self) -> RecordBatch {
        self.n_rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.batch.finish()),
            Arc::new(self.corruption.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(self.first_row.finish()),
            Arc::new(self.last_row.finish()),
        ];
        columns.extend(self.counts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend(self.guards.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.heterogeneous.finish()));
        columns.push(Arc::new(self.composition_sha256.finish()));
        batch(Table::Coefficients, false, columns)
    }
}

/// Rows of `quarantine`.
#[derive(Default)]
pub(crate) struct QuarantineRows {
    sample_id: StringBuilder,
    manifest_row: Int64Builder,
    corruption: Words,
    severity: Int32Builder,
    words: [Words; 2],
    detail: StringBuilder,
    bytes: Int64Builder,
    format: Words,
    declared_px: [Int32Builder; 2],
    n_rows: usize,
}

impl QuarantineRows {
    /// Adds one rejected sample.
    pub(crate) fn push(&mut self, reject: &Reject, names: &Names) {
        let cell = reject.cell.map(|cell| &names.cells[cell]);
        self.sample_id.append_value(&reject.sample.id);
        self.manifest_row.append_value(signed(reject.sample.row));
        self.corruption.append_option(cell.map(|cell| &*cell.corruption));
        self.severity.append_option(cell.map(|cell| i32::from(cell.severity)));
        self.words[0].append_value(reject.stage.name());
        self.words[1].append_value(reject.reason.code());
        self.detail.append_value(&reject.detail);
        self.bytes.append_option(reject.size_bytes.map(signed));
        self.format.append_option(reject.format);
        let declared = reject.declared_px;
        self.declared_px[0].append_option(declared.map(|(width, _)| narrow(width)));
        self.declared_px[1].append_option(declared.map(|(_, height)| narrow(height)));
        self.n_rows += 1;
    }
}

impl Chunk for QuarantineRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn take(&mut self) -> RecordBatch {
        self.n_rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.sample_id.finish()),
            Arc::new(self.manifest_row.finish()),
            Arc::new(self.corruption.finish()),
            Arc::new(self.severity.finish()),
        ];
        columns.extend(self.words.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend([
            Arc::new(self.detail.finish()) as ArrayRef,
            Arc::new(self.bytes.finish()),
            Arc::new(self.format.finish()),
        ]);
        columns.extend(self.declared_px.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        batch(Table::Quarantine, false, columns)
    }
}

/// In the order of the `coefficients` schema; all `None` when nothing was scored.
fn summary(scored: &Scored, primary: Method) -> [Option<f64>; 11] {
    let column = |field: fn(&Signal) -> f64| scored.signals.iter().map(field).collect::<Vec<f64>>();
    let mean = |values: &[f64]| Running::of(values).mean();
    let (lambda, js) = (column(|s| s.lambda_sample), column(|s| s.js_nats));
    let merged = scored.predictions.iter().find(|(method, _)| *method == primary);
    let merged: Vec<f64> =
        merged.map(|(_, said)| said.iter().map(|p| p.entropy_nats).collect()).unwrap_or_default();
    [
        scored.lambda_batch,
        Running::of(&lambda).variance_population().map(f64::sqrt),
        lambda.iter().copied().reduce(f64::min),
        lambda.iter().copied().reduce(f64::max),
        mean(&js),
        quantile(&js, 0.5),
        quantile(&js, 0.95),
        mean(&column(|s| s.pt_entropy_nats)),
        mean(&column(|s| s.ft_entropy_nats)),
        mean(&merged),
        mean(&column(|s| f64::from(u8::from(s.agree)))),
    ]
}

/// Hash of the scored ids in order, so that two runs can be compared batch by batch.
fn composition(members: &[Member]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for member in members {
        hash.update(member.sample.id.as_bytes());
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}

fn batch(table: Table, probs: bool, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(table.schema(probs), columns).expect("the columns follow the table's schema")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn narrow(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "per-row columns are single precision by design")]
fn single(value: f64) -> f32 {
    value as f32
}
