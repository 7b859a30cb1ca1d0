//! From a run's published tables to what a report is made of, in one pass over each table, part by part.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use t3b_report::{
    Attempt, CellSignals, Confidence, Row, RowError, Rows, SetFacts, SignalRow, Signals, Sums, Tags,
};
use t3b_stats::Calibrator;

use super::attempts::read_attempts;
use super::examples::Examples;
use super::parts::each_batch;
use super::worklist::{Said, Worklist};
use crate::error::{Exit, Problem, RunError};
use crate::ledger::Plan;
use crate::store::Root;
use crate::tables::Table;

/// Everything of one run that a report shows, but for its figures.
#[derive(Debug)]
pub struct RunTables {
    /// Labelled predictions.
    pub rows: Rows,
    /// What the parents say of each other, by cell.
    pub signals: Vec<CellSignals>,
    /// Quarantined pairs by reason, most first.
    pub quarantine: Vec<(String, u64)>,
    /// Samples whose parents are both sure and disagree, and how many were looked at.
    pub worklist: Worklist,
    /// Sums of the primary method's clean rows for an estimate without labels.
    pub unlabelled: Option<Sums>,
    /// The same of the predicted classes alone, for runs without the probabilities of the others.
    pub confidence: Confidence,
    /// Predicted classes of the primary method on clean images.
    pub class_counts: Vec<u64>,
    /// What the processes that worked on the run counted and timed.
    pub attempts: Vec<Attempt>,
    /// Samples worth showing.
    pub examples: Examples,
}

/// What a plan says of its set.
///
/// # Errors
/// `E001` a plan without methods or classes.
pub fn facts(plan: &Plan) -> Result<SetFacts, Problem> {
    let facts = &plan.facts;
    let mut methods = facts.methods.clone();
    methods.extend_from_slice(&facts.grid);
    if methods.is_empty() || facts.classes.len() < 2 {
        let what = format!("run {} has no methods or no classes in its plan", plan.run_id);
        return Err(Problem::new("E001", Exit::BadData, what));
    }
    let tag = |name: &str| facts.tags.get(name).cloned();
    Ok(SetFacts {
        run_id: plan.run_id.clone(),
        run_date: plan.run_date.clone(),
        tags: Tags {
            modality: tag("modality"),
            dataset: tag("dataset"),
            setting: tag("setting"),
            site: tag("site"),
        },
        primary: facts.primary_method.clone(),
        classes: facts.classes.clone(),
        methods,
        cells: plan.cells.clone(),
        n_samples: plan.n_samples,
        groups: plan.groups.iter().map(|group| (group.rows(), group.cells())).collect(),
        suite: facts.suite.clone(),
        batch_size: facts.batch_size,
    })
}

/// Reads a run's tables and checks that their rows are those the plan asks for. `grouping` gives the group of each position of the
/// frozen list, where samples belong together.
///
/// # Errors
/// Store failures, `V002` a damaged part, `E002` rows that are missing, too many or not in the plan.
pub async fn read(
    root: &Root,
    plan: &Plan,
    calibrator: Option<&Calibrator>,
    grouping: Option<Vec<u32>>,
) -> Result<RunTables, RunError> {
    let facts = facts(plan)?;
    let mut tables = RunTables {
        rows: Rows::new(facts.clone(), plan.facts.probs, grouping),
        signals: Vec::new(),
        quarantine: Vec::new(),
        worklist: Worklist::default(),
        unlabelled: None,
        confidence: Confidence::default(),
        class_counts: vec![0; facts.classes.len()],
        attempts: read_attempts(root, plan).await?,
        examples: Examples::default(),
    };
    tables.read_quarantine(root, plan).await?;
    tables.read_predictions(root, plan, calibrator).await?;
    tables.rows.check_coverage().map_err(|found| {
        let what = format!("run {} does not cover its plan: {found}", plan.run_id);
        Problem::new("E002", Exit::BadData, what)
            .hint("t3b verify names objects that are missing or too many")
    })?;
    tables.rows.sort();
    tables.signals = read_signals(root, plan, &facts).await?;
    Ok(tables)
}

/// The name of the column that holds a sample's position in the frozen list: format 1 calls it `manifest_row`.
fn position(batch: &RecordBatch) -> Option<&[i64]> {
    let column = batch.column_by_name("sample_row").or_else(|| batch.column_by_name("manifest_row"))?;
    Some(column.as_primitive_opt::<Int64Type>()?.values())
}

/// A column of repeated words as indices into a list of known ones; -1 for a word that is not on it.
struct Coded {
    codes: DictionaryArray<Int32Type>,
    known: Vec<i32>,
}

impl Coded {
    fn new(column: &ArrayRef, place: &dyn Fn(&str) -> Option<usize>) -> Option<Self> {
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let codes = cast(column, &kind).ok()?.as_dictionary_opt::<Int32Type>()?.clone();
        let words = codes.values().as_string_opt::<i32>()?.clone();
        let known =
            words.iter().map(|word| place(word.unwrap_or_default()).map_or(-1, |k| k as i32)).collect();
        Some(Self { codes, known })
    }

    fn at(&self, row: usize) -> Option<usize> {
        usize::try_from(self.known[self.codes.key(row)?]).ok()
    }
}

/// Places of (corruption, severity) by two columns.
struct Cells {
    corruption: Coded,
    names: Vec<String>,
    places: BTreeMap<(usize, i32), usize>,
}

impl Cells {
    fn new(batch: &RecordBatch, facts: &SetFacts) -> Option<Self> {
        let mut names: Vec<String> = Vec::new();
        let mut places = BTreeMap::new();
        for (cell, (corruption, severity)) in facts.cells.iter().enumerate() {
            let place = names.iter().position(|name| name == corruption).unwrap_or(names.len());
            if place == names.len() {
                names.push(corruption.clone());
            }
            places.insert((place, i32::from(*severity)), cell);
        }
        let column = batch.column_by_name("corruption")?;
        let corruption = Coded::new(column, &|word| names.iter().position(|name| name == word))?;
        Some(Self { corruption, names, places })
    }

    fn at(&self, row: usize, severity: i32) -> Option<usize> {
        debug_assert!(!self.names.is_empty());
        self.places.get(&(self.corruption.at(row)?, severity)).copied()
    }
}

impl RunTables {
    async fn read_quarantine(&mut self, root: &Root, plan: &Plan) -> Result<(), RunError> {
        let facts = self.rows.facts().clone();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        let mut wrong = None;
        let columns = ["sample_row", "manifest_row", "corruption", "severity", "reason_code"];
        each_batch(root, plan, Table::Quarantine, &columns, |batch| {
            let rows = position(batch)?;
            let cells = Cells::new(batch, &facts)?;
            let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?.clone();
            let reason = cast(batch.column_by_name("reason_code")?, &DataType::Utf8).ok()?;
            let reason = reason.as_string_opt::<i32>()?;
            for (n, sample) in rows.iter().enumerate() {
                let cell = if severity.is_null(n) { None } else { Some(cells.at(n, severity.value(n))) };
                let n_cells =
                    if cell.is_none() { facts.cells_of(sample.unsigned_abs()).len() as u64 } else { 1 };
                *reasons.entry(reason.value(n).to_owned()).or_default() += n_cells;
                let found = match cell {
                    Some(None) => Err(RowError::Unplanned { sample: sample.unsigned_abs() }),
                    Some(cell) => self.rows.quarantine(sample.unsigned_abs(), cell),
                    None => self.rows.quarantine(sample.unsigned_abs(), None),
                };
                wrong = wrong.take().or(found.err());
            }
            Some(())
        })
        .await?;
        self.quarantine = reasons.into_iter().collect();
        self.quarantine.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        wrong.map_or(Ok(()), |error| Err(unplanned(plan, &error).into()))
    }

    async fn read_predictions(
        &mut self,
        root: &Root,
        plan: &Plan,
        calibrator: Option<&Calibrator>,
    ) -> Result<(), RunError> {
        let facts = self.rows.facts().clone();
        let has_probs = plan.facts.probs;
        let mut columns = vec![
            "sample_id",
            "sample_row",
            "manifest_row",
            "corruption",
            "severity",
            "method",
            "label_idx",
            "pred_idx",
            "pred_prob",
        ];
        columns.extend(has_probs.then_some("probs"));
        let (clean, primary) = (facts.clean(), facts.method(&facts.primary));
        let parents = [facts.method("pretrained"), facts.method("expert")];
        let identity = Calibrator::identity(facts.classes.len());
        let calibrator = calibrator.unwrap_or(&identity);
        let n_clean = clean.map_or(0, |cell| facts.n_in(cell));
        let mut sums = has_probs.then(|| Sums::new(facts.classes.len(), n_clean));
        let mut wrong = None;
        each_batch(root, plan, Table::Predictions, &columns, |batch| {
            let samples = position(batch)?;
            let cells = Cells::new(batch, &facts)?;
            let method = Coded::new(batch.column_by_name("method")?, &|word| facts.method(word))?;
            let whole =
                |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<Int32Type>()?.clone());
            let (severity, label, pred) = (whole("severity")?, whole("label_idx")?, whole("pred_idx")?);
            let confidence = batch.column_by_name("pred_prob")?.as_primitive_opt::<Float32Type>()?.clone();
            let ids = batch.column_by_name("sample_id")?.as_string_opt::<i32>()?;
            let lists = match has_probs {
                true => Some(batch.column_by_name("probs")?.as_list_opt::<i32>()?),
                false => None,
            };
            let values = lists.map(|lists| lists.values().as_primitive_opt::<Float32Type>());
            for (n, sample) in samples.iter().enumerate() {
                let probs = lists.zip(values.flatten()).map(|(lists, values)| {
                    let offsets = lists.value_offsets();
                    &values.values()[offsets[n] as usize..offsets[n + 1] as usize]
                });
                let place = method.at(n).zip(cells.at(n, severity.value(n)));
                let Some((method, cell)) = place else {
                    wrong = wrong.take().or(Some(RowError::Unplanned { sample: sample.unsigned_abs() }));
                    continue;
                };
                let row = Row {
                    sample: sample.unsigned_abs(),
                    method,
                    cell,
                    label: (!label.is_null(n)).then(|| label.value(n).unsigned_abs()),
                    pred: pred.value(n).unsigned_abs(),
                    confidence: confidence.value(n),
                    probs,
                };
                if let Err(error) = self.rows.add(&row) {
                    wrong = wrong.take().or(Some(error));
                    continue;
                }
                if Some(cell) != clean {
                    continue;
                }
                if Some(method) == primary {
                    self.class_counts[row.pred as usize] += 1;
                    self.confidence.add(f64::from(row.confidence));
                    self.examples.add(&row);
                    if let (Some(sums), Some(probs)) = (&mut sums, probs) {
                        sums.push(row.pred as usize, probs, calibrator);
                    }
                }
                if let Some(parent) = parents.iter().position(|place| *place == Some(method)) {
                    let said = Said { pred: row.pred, confidence: row.confidence };
                    self.worklist.add(row.sample, ids.value(n), parent, said);
                }
            }
            Some(())
        })
        .await?;
        self.worklist.finish();
        self.unlabelled = sums;
        wrong.map_or(Ok(()), |error| Err(unplanned(plan, &error).into()))
    }
}

fn unplanned(plan: &Plan, error: &RowError) -> Problem {
    let what = format!("run {}: {error}", plan.run_id);
    match error {
        RowError::Disk(_) => Problem::new("E003", Exit::StoreIo, what).hint("set TMPDIR to a disk with room"),
        _ => Problem::new("E002", Exit::BadData, what).hint("t3b verify names every damaged object"),
    }
}

async fn read_signals(root: &Root, plan: &Plan, facts: &SetFacts) -> Result<Vec<CellSignals>, RunError> {
    let mut cells: Vec<Signals> = facts.cells.iter().map(|_| Signals::new(facts.classes.len())).collect();
    let numbers = ["js_nats", "lambda_sample", "pt_entropy_nats", "ft_entropy_nats"];
    let columns = ["corruption", "severity", "batch", "agree"].into_iter().chain(numbers).collect::<Vec<_>>();
    each_batch(root, plan, Table::Signals, &columns, |batch| {
        let places = Cells::new(batch, facts)?;
        let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?.clone();
        let slot = batch.column_by_name("batch")?.as_primitive_opt::<Int64Type>()?.clone();
        let agree = batch.column_by_name("agree")?.as_boolean_opt()?;
        let mut values = [&[][..]; 4];
        for (place, name) in values.iter_mut().zip(numbers) {
            *place = batch.column_by_name(name)?.as_primitive_opt::<Float64Type>()?.values();
        }
        for n in 0..batch.num_rows() {
            let [js_nats, lambda, pt_entropy_nats, ft_entropy_nats] = values.map(|column| column[n]);
            let row = SignalRow {
                batch: slot.value(n),
                js_nats,
                lambda,
                pt_entropy_nats,
                ft_entropy_nats,
                agree: agree.value(n),
            };
            cells[places.at(n, severity.value(n))?].add(&row);
        }
        Some(())
    })
    .await?;
    Ok(cells.into_iter().map(Signals::finish).collect())
}

/// The parents' divergence by cell and sample; NaN where a sample was not scored.
///
/// # Errors
/// Store failures, `V002` damaged parts.
pub async fn divergences(root: &Root, plan: &Plan) -> Result<Vec<Vec<f64>>, RunError> {
    let facts = facts(plan)?;
    let n = usize::try_from(facts.n_positions()).unwrap_or(usize::MAX);
    let mut cells = vec![vec![f64::NAN; n]; facts.cells.len()];
    let columns = ["sample_row", "manifest_row", "corruption", "severity", "js_nats"];
    each_batch(root, plan, Table::Signals, &columns, |batch| {
        let (places, rows) = (Cells::new(batch, &facts)?, position(batch)?);
        let severity = batch.column_by_name("severity")?.as_primitive_opt::<Int32Type>()?.clone();
        let js = batch.column_by_name("js_nats")?.as_primitive_opt::<Float64Type>()?.values();
        for (row, sample) in rows.iter().enumerate() {
            *cells[places.at(row, severity.value(row))?].get_mut(usize::try_from(*sample).ok()?)? = js[row];
        }
        Some(())
    })
    .await?;
    Ok(cells)
}
