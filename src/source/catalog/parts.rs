//! What was listed so far, on disk beside the manifest, so that a listing that was cut short goes on where it stood.
//!
//! A part holds the rows of one chunk of objects and is named by a hash of their names, sizes and times, and of the rule. A
//! part that is there is a part of this listing, whoever wrote it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use sha2::{Digest, Sha256};

use super::CatalogRule;
use super::kinds::ending;
use super::row::{Row, batch, schema};
use super::tally::Tally;
use super::walk::Found;
use crate::error::{Exit, Problem};

/// The folder of the parts of one manifest.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    folder: PathBuf,
}

/// What was found, over all parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) n_rows: u64,
    /// Rows with a label.
    pub(super) n_labelled: u64,
    /// Rows of each reason to refuse them.
    pub(super) refused: Vec<(String, u64)>,
    /// What the objects are.
    pub(super) tally: Tally,
}

/// Where a part's [`Tally`] stands in its footer.
const TALLY: &str = "t3b.tally";

impl Parts {
    /// Makes `<out>.parts`, or finds it again.
    ///
    /// # Errors
    /// `C007` when the folder cannot be written.
    pub(super) fn beside(out: &Path) -> Result<Self, Problem> {
        let mut name = out.as_os_str().to_owned();
        name.push(".parts");
        let parts = Self { folder: name.into() };
        fs::create_dir_all(&parts.folder).map_err(|error| unwritable(&parts.folder, &error))?;
        Ok(parts)
    }

    /// The name of the part for these objects.
    pub(super) fn name(objects: &[Found], rule: &CatalogRule) -> String {
        let mut hash = Sha256::new_with_prefix(format!("{} {rule:?}", env!("CARGO_PKG_VERSION")));
        for object in objects {
            hash.update(format!("\0{}", object.identity()));
        }
        hex::encode(&hash.finalize()[..16])
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.parquet"))
    }

    /// Writes a part; it is there whole or not at all.
    ///
    /// # Errors
    /// `C007`.
    pub(super) fn write(&self, name: &str, rows: &[Row], tally: &Tally) -> Result<(), Problem> {
        let partial = self.folder.join(format!("{name}.partial"));
        let written = || -> io::Result<()> {
            let mut writer = ArrowWriter::try_new(File::create(&partial)?, schema(), None)?;
            writer.write(&batch(rows))?;
            writer.append_key_value_metadata(KeyValue::new(TALLY.to_owned(), serde_json::to_string(tally)?));
            writer.into_inner()?.sync_all()?;
            fs::rename(&partial, self.path(name))
        };
        written().map_err(|error| unwritable(&partial, &error))
    }

    fn read(&self, name: &str) -> io::Result<(Vec<RecordBatch>, Tally)> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(self.path(name))?)?;
        let pairs = builder.metadata().file_metadata().key_value_metadata();
        let tally =
            pairs.into_iter().flatten().find(|pair| pair.key == TALLY).and_then(|pair| pair.value.clone());
        let tally = serde_json::from_str(&tally.unwrap_or_default())?;
        let rows = builder.build()?.collect::<Result<_, _>>().map_err(io::Error::other)?;
        Ok((rows, tally))
    }

    /// Joins the named parts to the manifest, by its ending CSV or Parquet, and removes the folder. Columns that no row has
    /// are left out; nothing is written when there are no rows. One part is in memory at a time.
    ///
    /// # Errors
    /// `C007`.
    pub(super) fn join(self, names: &[String], out: &Path) -> Result<Totals, Problem> {
        let mut totals = Totals::default();
        let mut used = vec![false; schema().fields().len()];
        let mut joined = || -> io::Result<()> {
            for name in names {
                let (batches, tally) = self.read(name)?;
                totals.tally.add(&tally);
                for rows in batches {
                    for (used, column) in used.iter_mut().zip(rows.columns()) {
                        *used |= column.null_count() < rows.num_rows();
                    }
                    totals.add(&rows);
                }
            }
            if totals.n_rows == 0 {
                return fs::remove_dir_all(&self.folder);
            }
            let columns: Vec<usize> = (0..used.len()).filter(|&n| used[n]).collect();
            let mut partial = out.as_os_str().to_owned();
            partial.push(".partial");
            let mut writer =
                Writer::create(Path::new(&partial), ending(&out.to_string_lossy()) == "csv", &columns)?;
            for name in names {
                for rows in self.read(name)?.0 {
                    writer.write(&rows.project(&columns).map_err(io::Error::other)?)?;
                }
            }
            writer.finish()?;
            fs::rename(&partial, out)?;
            fs::remove_dir_all(&self.folder)
        };
        joined().map_err(|error| unwritable(out, &error))?;
        Ok(totals)
    }
}

impl Totals {
    fn add(&mut self, rows: &RecordBatch) {
        self.n_rows += rows.num_rows() as u64;
        let is_there =
            |name: &str, n: usize| rows.column_by_name(name).is_some_and(|column| !column.is_null(n));
        let is_labelled = |n: &usize| is_there("label", *n) || is_there("label_idx", *n);
        self.n_labelled += (0..rows.num_rows()).filter(is_labelled).count() as u64;
        let Some(reasons) = rows.column_by_name("refused").and_then(|column| column.as_string_opt::<i32>())
        else {
            return;
        };
        for reason in reasons.iter().flatten() {
            match self.refused.iter_mut().find(|(known, _)| known == reason) {
                Some((_, n)) => *n += 1,
                None => self.refused.push((reason.to_owned(), 1)),
            }
        }
    }
}

/// The manifest's file.
enum Writer {
    Csv(Box<csv::Writer<File>>),
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
}

impl Writer {
    fn create(path: &Path, as_csv: bool, columns: &[usize]) -> io::Result<Self> {
        let file = File::create(path)?;
        let schema: Schema = schema().project(columns).map_err(io::Error::other)?;
        if as_csv {
            let mut writer = csv::Writer::from_writer(file);
            writer.write_record(schema.fields().iter().map(|field| field.name()))?;
            return Ok(Self::Csv(Box::new(writer)));
        }
        let writer = ArrowWriter::try_new(BufWriter::new(file), Arc::new(schema), None)?;
        Ok(Self::Parquet(Box::new(writer)))
    }

    fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let writer = match self {
            Self::Parquet(writer) => return Ok(writer.write(rows)?),
            Self::Csv(writer) => writer,
        };
        let texts = rows.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        for n in 0..rows.num_rows() {
            let field = |column| {
                let texts = AsArray::as_string::<i32>(column);
                if texts.is_null(n) { "" } else { texts.value(n) }
            };
            writer.write_record(texts.iter().map(field))?;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Csv(writer) => {
                writer.into_inner().map_err(|error| io::Error::from(error.error().kind()))?
            }
            Self::Parquet(writer) => {
                let mut file = writer.into_inner()?;
                file.flush()?;
                file.into_inner().map_err(io::IntoInnerError::into_error)?
            }
        };
        file.sync_all()
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let what = format!("{}: cannot be written ({})", path.display(), error.kind());
    Problem::new("C007", Exit::Permission, what).hint("choose another --out")
}
