//! What the tables of a partition say of each other: the same samples, every pair once, the batches as they were composed.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use sha2::{Digest, Sha256};

use super::plan::Plan;
use super::receipt::Receipt;
use crate::tables::Table;

/// A sample in a cell.
type Pair = (i64, usize);

/// Rows of one table of one partition, read once.
struct Rows {
    batches: Vec<RecordBatch>,
}

/// A published object that is read from its front, the rows of one partition after the other.
pub(super) struct Cursor {
    reader: ParquetRecordBatchReader,
    /// Rows that were read and not taken.
    rest: Option<RecordBatch>,
}

impl Cursor {
    /// At the first row; `None` when it is no table.
    pub(super) fn open(bytes: Bytes) -> Option<Self> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()?;
        Some(Self { reader, rest: None })
    }

    /// The next `n_rows` rows, or as many as there are.
    fn take(&mut self, n_rows: u64) -> Option<Rows> {
        let (mut batches, mut n_left) = (Vec::new(), usize::try_from(n_rows).ok()?);
        while n_left > 0 {
            let batch = match self.rest.take() {
                Some(rest) => rest,
                None => match self.reader.next() {
                    Some(batch) => batch.ok()?,
                    None => break,
                },
            };
            let n_taken = batch.num_rows().min(n_left);
            self.rest =
                (n_taken < batch.num_rows()).then(|| batch.slice(n_taken, batch.num_rows() - n_taken));
            batches.push(batch.slice(0, n_taken));
            n_left -= n_taken;
        }
        Some(Rows { batches })
    }

    /// Whether no row is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.rest.is_none() && self.reader.next().is_none()
    }
}

impl Rows {
    fn len(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    fn numbers(&self, column: &str) -> Option<Vec<Option<i64>>> {
        let mut all = Vec::new();
        for batch in &self.batches {
            let column = cast(batch.column_by_name(column)?, &DataType::Int64).ok()?;
            all.extend(column.as_primitive_opt::<Int64Type>()?.iter());
        }
        Some(all)
    }

    fn texts(&self, column: &str) -> Option<Vec<Option<String>>> {
        let mut all = Vec::new();
        for batch in &self.batches {
            let column = cast(batch.column_by_name(column)?, &DataType::Utf8).ok()?;
            let column: &StringArray = column.as_string_opt()?;
            all.extend(column.iter().map(|text| text.map(str::to_owned)));
        }
        Some(all)
    }

    /// Sample and cell of every row; the cell is `None` where the row is about all of them.
    fn places(&self, plan: &Plan) -> Option<Vec<(i64, Option<usize>)>> {
        let cells: HashMap<(&str, i64), usize> = plan
            .cells
            .iter()
            .enumerate()
            .map(|(n, (name, level))| ((name.as_str(), i64::from(*level)), n))
            .collect();
        let (rows, names, levels) =
            (self.numbers("sample_row")?, self.texts("corruption")?, self.numbers("severity")?);
        let places =
            rows.into_iter().zip(names).zip(levels).map(|((row, name), level)| match (name, level) {
                (None, None) => Some((row?, None)),
                (Some(name), Some(level)) => Some((row?, Some(*cells.get(&(name.as_str(), level))?))),
                _ => None,
            });
        places.collect()
    }
}

/// The tables of one partition of a published run, in [`Table::ALL`] order.
pub(super) struct Content(Vec<Rows>);

impl Content {
    /// Takes the rows of the partition that `receipt` commits, the next in each of the objects; `None` when one cannot be read.
    pub(super) fn take(objects: &mut [Cursor], receipt: &Receipt) -> Option<Self> {
        let next = objects.iter_mut().zip(&receipt.files);
        next.map(|(object, file)| object.take(file.rows)).collect::<Option<_>>().map(Self)
    }

    fn of(&self, table: Table) -> Option<&Rows> {
        self.0.get(Table::ALL.iter().position(|known| *known == table)?)
    }

    /// Compares them with each other, with the plan and with the partition's receipt.
    ///
    /// # Errors
    /// What contradicts what.
    pub(super) fn check(&self, plan: &Plan, receipt: &Receipt) -> Result<(), &'static str> {
        for (rows, file) in self.0.iter().zip(&receipt.files) {
            if rows.len() != file.rows {
                return Err("the number of rows is not the receipt's");
            }
        }
        let scored = self.check_pairs(plan, receipt)?;
        self.check_predictions(plan, &scored)?;
        self.check_batches()
    }

    /// Every sample of the partition is in each of its cells once, and in no other: scored or quarantined.
    fn check_pairs(&self, plan: &Plan, receipt: &Receipt) -> Result<HashSet<Pair>, &'static str> {
        const WRONG: &str = "signals or quarantine cannot be read as the plan's";
        let (rows, coverage) = (plan.rows_of(receipt.partition), plan.coverage());
        let cells_of = |row: i64| match u64::try_from(row) {
            Ok(row) if rows.contains(&row) => coverage.cells_of(row),
            _ => 0..0,
        };
        let mut scored = HashSet::new();
        for (row, cell) in self.of(Table::Signals).and_then(|rows| rows.places(plan)).ok_or(WRONG)? {
            let cell = cell.ok_or(WRONG)?;
            if !cells_of(row).contains(&cell) || !scored.insert((row, cell)) {
                return Err(
                    "a sample is in signals twice, in a cell that is not its own, or of another partition",
                );
            }
        }
        let mut accounted = scored.clone();
        for (row, cell) in self.of(Table::Quarantine).and_then(|rows| rows.places(plan)).ok_or(WRONG)? {
            let own = cells_of(row);
            let mut cells = cell.map_or(own.clone(), |cell| cell..cell + 1);
            if own.is_empty() || !cells.all(|cell| own.contains(&cell) && accounted.insert((row, cell))) {
                return Err(
                    "a sample is in quarantine twice, scored too, in a cell that is not its own, or of another partition",
                );
            }
        }
        if accounted.len() as u64 != coverage.n_pairs(&rows) || scored.len() as u64 != receipt.n_scored {
            return Err("a sample is neither scored nor quarantined");
        }
        Ok(scored)
    }

    /// Every scored pair is predicted by every method once, under the id that signals have for it.
    fn check_predictions(&self, plan: &Plan, scored: &HashSet<Pair>) -> Result<(), &'static str> {
        const WRONG: &str = "predictions cannot be read as the plan's";
        let (signals, rows) =
            (self.of(Table::Signals).ok_or(WRONG)?, self.of(Table::Predictions).ok_or(WRONG)?);
        let ids = |rows: &Rows| -> Option<Vec<(i64, String)>> {
            let numbers = rows.numbers("sample_row")?.into_iter().collect::<Option<Vec<_>>>()?;
            let texts = rows.texts("sample_id")?.into_iter().collect::<Option<Vec<_>>>()?;
            Some(numbers.into_iter().zip(texts).collect())
        };
        let known: HashMap<i64, String> = ids(signals).ok_or(WRONG)?.into_iter().collect();
        if ids(rows).ok_or(WRONG)?.iter().any(|(row, id)| known.get(row) != Some(id)) {
            return Err("predictions name a sample otherwise than signals do");
        }
        let methods = rows.texts("method").ok_or(WRONG)?;
        let mut seen = HashSet::new();
        for ((row, cell), method) in rows.places(plan).ok_or(WRONG)?.into_iter().zip(methods) {
            let pair = (row, cell.ok_or(WRONG)?);
            let method = plan.facts.methods.iter().position(|known| Some(known) == method.as_ref());
            if !scored.contains(&pair) || !seen.insert((pair, method.ok_or(WRONG)?)) {
                return Err("a prediction is there twice, or of a pair that is not scored");
            }
        }
        if seen.len() == scored.len() * plan.facts.methods.len() {
            Ok(())
        } else {
            Err("a scored pair lacks a prediction")
        }
    }

    /// The batches are those that the signals were scored in, one after the other.
    fn check_batches(&self) -> Result<(), &'static str> {
        const WRONG: &str = "batches cannot be read";
        let (signals, batches) =
            (self.of(Table::Signals).ok_or(WRONG)?, self.of(Table::Batches).ok_or(WRONG)?);
        let ids = signals.texts("sample_id").ok_or(WRONG)?;
        let sizes = batches.numbers("n_scored").ok_or(WRONG)?;
        let hashes = batches.texts("composition_sha256").ok_or(WRONG)?;
        let mut at = 0;
        for (size, hash) in sizes.into_iter().zip(hashes) {
            let size = size.and_then(|size| usize::try_from(size).ok()).ok_or(WRONG)?;
            let members = ids.get(at..at + size).ok_or("batches have more samples than signals")?;
            let mut found = Sha256::new();
            for id in members.iter().flatten() {
                found.update(id.as_bytes());
                found.update(b"\n");
            }
            if hash != Some(hex::encode(found.finalize())) {
                return Err("a batch is of other samples than its composition says");
            }
            at += size;
        }
        if at == ids.len() { Ok(()) } else { Err("signals have more samples than batches") }
    }
}
