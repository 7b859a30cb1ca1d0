//! The published tables as Delta tables, where the pipeline asks for it: one log entry a run and table, created only.
//!
//! Entry n of a log is created only by who has met n - 1, so versions have no holes. A run must stand in a log once, whoever publishes
//! it and however often: the version that the first publisher would take is frozen in the run's own folder, and every publisher
//! walks the log from there. The first free version is taken by a create, so that two runs can never share one; a version that the
//! run already has ends the walk. That costs reads by the runs published meanwhile, never by the age of the archive.
//! Source: the Delta transaction log protocol, reader version 1, writer version 2.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layout::{Layout, MAX_JSON_BYTES};
use super::parts::Parts;
use super::plan::Plan;
use super::published::{MAX_TABLE_BYTES, read_completion};
use super::receipt::FileEntry;
use crate::error::{Exit, Problem, RunError};
use crate::store::{Created, Root};
use crate::tables::Table;

/// Versions that others may take while one run looks for its own.
const MOST_STEPS: u64 = 10_000;

/// Where the walk of a run through a log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    from_version: u64,
}

/// Adds every published object of a complete run to the log of its table. Repeats to the same log; the objects this call wrote.
///
/// # Errors
/// `R011` a log that does not take the run, `R007` a frozen start that cannot be read, and store failures.
pub(super) async fn add(root: &Root, layout: &Layout, plan: &Plan) -> Result<usize, RunError> {
    // There is a row, and so its record: this is called last.
    let Some((completion, _)) = read_completion(root, layout).await? else { return Ok(0) };
    let at_ms = completion.completed_at_us() / 1000;
    let mut n_written = 0;
    for name in tables() {
        // An entry is one object that names them all, about 350 bytes each.
        let files = match Table::from_name(name) {
            Some(table) => Parts::open(root, plan, table).await?.all().await?,
            None => vec![completion.row.clone()],
        };
        let entry = Entry { plan, name, at_ms, files };
        n_written += entry.append(root, layout).await?;
    }
    Ok(n_written)
}

/// Takes a run's objects out of the logs again, before they are deleted.
///
/// # Errors
/// As [`add`].
pub(super) async fn remove(root: &Root, plan: &Plan, layout: &Layout) -> Result<(), RunError> {
    let now_ms = chrono::Utc::now().timestamp_millis();
    for name in tables() {
        if read_start(root, &layout.delta_start(name)).await?.is_none() {
            continue;
        }
        let files = match Table::from_name(name) {
            Some(table) => Parts::open(root, plan, table).await?.all().await?,
            None => {
                read_completion(root, layout).await?.map(|(record, _)| vec![record.row]).unwrap_or_default()
            }
        };
        if files.is_empty() {
            continue;
        }
        let entry = Entry { plan, name, at_ms: now_ms, files };
        let body = entry.withdrawn();
        let from = next_version(root, name).await?;
        walk(root, name, from, |_| Ok(body.clone().into()), |_| false).await?;
    }
    Ok(())
}

/// Every table that has a log: those of partitions, and `runs`.
fn tables() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::name).chain(["runs"])
}

/// What one run adds to one log.
struct Entry<'a> {
    plan: &'a Plan,
    name: &'static str,
    /// Milliseconds since 1970 at which the run was completed.
    at_ms: i64,
    files: Vec<FileEntry>,
}

impl Entry<'_> {
    async fn append(&self, root: &Root, layout: &Layout) -> Result<usize, RunError> {
        let key = layout.delta_start(self.name);
        let mut n_written = 0;
        let start = match read_start(root, &key).await? {
            Some(start) => start,
            None => {
                let ours = Start { from_version: next_version(root, self.name).await? };
                let text = serde_json::to_vec(&ours).expect("a number has a JSON text");
                match root.create(&key, "start in a Delta log", text.into()).await.map_err(Problem::from)? {
                    Created::Ours => {
                        n_written += 1;
                        ours
                    }
                    Created::Exists(theirs) => parse_start(&theirs, &key)?,
                }
            }
        };
        // The schema is needed for the first entry of a log alone.
        let first = if start.from_version == 0 { Some(self.table(root).await?) } else { None };
        let mark = format!("{:?}", self.app());
        let body = |version| match (version, &first) {
            (0, Some(table)) => Ok(Bytes::from(format!("{table}{}", self.added()))),
            (0, None) => Err(Problem::new(
                "R011",
                Exit::BadData,
                format!("the Delta log of {} lost its beginning", self.name),
            )),
            _ => Ok(Bytes::from(self.added())),
        };
        let is_ours = |text: &str| text.contains(&mark);
        n_written += usize::from(walk(root, self.name, start.from_version, body, is_ours).await?);
        Ok(n_written)
    }

    /// Names this very plan: a run that was withdrawn and scored again is another.
    fn app(&self) -> String {
        format!("t3b/{}/{}", self.plan.run_id, self.plan.plan_sha256.get(..16).unwrap_or_default())
    }

    /// The path of an object below its table.
    fn path<'f>(&self, file: &'f FileEntry) -> &'f str {
        file.path.strip_prefix(&format!("tables/{}/", self.name)).unwrap_or(&file.path)
    }

    fn partition(&self) -> Value {
        json!({ "run_date": self.plan.run_date, "run_id": self.plan.run_id })
    }

    fn info(&self, operation: &str) -> String {
        let engine = format!("t3b {}", env!("CARGO_PKG_VERSION"));
        let info = json!({ "timestamp": self.at_ms, "operation": operation, "engineInfo": engine });
        format!("{}\n", json!({ "commitInfo": info }))
    }

    fn added(&self) -> String {
        let mut text = self.info("WRITE");
        let _ = writeln!(text, "{}", json!({ "txn": { "appId": self.app(), "version": 1 } }));
        for file in &self.files {
            let stats = json!({ "numRecords": file.rows }).to_string();
            let add = json!({
                "path": self.path(file), "partitionValues": self.partition(), "size": file.bytes,
                "modificationTime": self.at_ms, "dataChange": true, "stats": stats,
            });
            let _ = writeln!(text, "{}", json!({ "add": add }));
        }
        text
    }

    fn withdrawn(&self) -> String {
        let mut text = self.info("DELETE");
        for file in &self.files {
            let remove = json!({
                "path": self.path(file), "deletionTimestamp": self.at_ms, "dataChange": true,
                "extendedFileMetadata": true, "partitionValues": self.partition(), "size": file.bytes,
            });
            let _ = writeln!(text, "{}", json!({ "remove": remove }));
        }
        text
    }

    /// Protocol and schema, which the first entry of a log says.
    async fn table(&self, root: &Root) -> Result<String, RunError> {
        let missing = || Problem::new("V001", Exit::BadData, format!("the run has no part of {}", self.name));
        let part = self.files.first().ok_or_else(missing)?;
        let bytes = root.read(&part.path, "published table", MAX_TABLE_BYTES).await.map_err(Problem::from)?;
        let bytes = bytes.ok_or_else(missing)?;
        let unreadable = |_| Problem::new("V002", Exit::BadData, format!("{} has changed", part.path));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(unreadable)?;
        let schema = schema_string(reader.schema()).ok_or_else(|| {
            Problem::new("B005", Exit::Bug, format!("a column of {} has no Delta type", self.name))
        })?;
        let protocol = json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } });
        let meta = json!({ "metaData": {
            "id": self.table_id(), "name": format!("t3b_{}", self.name),
            "format": { "provider": "parquet", "options": {} }, "schemaString": schema,
            "partitionColumns": ["run_date", "run_id"], "configuration": {}, "createdTime": self.at_ms,
        } });
        Ok(format!("{protocol}\n{meta}\n"))
    }

    /// A UUID that follows from the first run of the table.
    fn table_id(&self) -> String {
        let digest = hex::encode(Sha256::digest(format!("delta {} {}", self.name, self.app())));
        let parts = [0..8, 8..12, 13..16, 17..20, 20..32].map(|range| digest.get(range).unwrap_or_default());
        format!("{}-{}-4{}-8{}-{}", parts[0], parts[1], parts[2], parts[3], parts[4])
    }
}

fn entry_key(table: &str, version: u64) -> String {
    format!("tables/{table}/_delta_log/{version:020}.json")
}

/// One past the newest version of a log.
async fn next_version(root: &Root, table: &str) -> Result<u64, RunError> {
    let folder = format!("tables/{table}/_delta_log");
    let listed = root.list(&folder, "Delta log").await.map_err(Problem::from)?;
    let version = |key: &str| key.rsplit('/').next()?.strip_suffix(".json")?.parse::<u64>().ok();
    Ok(listed.iter().filter_map(|(key, _)| version(key)).max().map_or(0, |newest| newest + 1))
}

/// Creates the first version from `from` on that nobody has; whether this call did, or one of them is already ours.
async fn walk(
    root: &Root,
    table: &str,
    from: u64,
    body: impl Fn(u64) -> Result<Bytes, Problem>,
    is_ours: impl Fn(&str) -> bool,
) -> Result<bool, RunError> {
    for version in from..from.saturating_add(MOST_STEPS) {
        let key = entry_key(table, version);
        // Looked at first: a create that is refused is a write to some stores' bills and limits.
        let found = root.read(&key, "entry of a Delta log", MAX_JSON_BYTES).await.map_err(Problem::from)?;
        let found = match found {
            Some(found) => found,
            None => match root
                .create(&key, "entry of a Delta log", body(version)?)
                .await
                .map_err(Problem::from)?
            {
                Created::Ours => return Ok(true),
                Created::Exists(found) => found,
            },
        };
        if is_ours(&String::from_utf8_lossy(&found)) {
            return Ok(false);
        }
    }
    let what = format!("the Delta log of {table} has {MOST_STEPS} newer versions and none is free");
    Err(Problem::new("R011", Exit::StoreIo, what)
        .hint("run t3b finalize again when fewer runs are being published")
        .into())
}

async fn read_start(root: &Root, key: &str) -> Result<Option<Start>, RunError> {
    let found = root.read(key, "start in a Delta log", MAX_JSON_BYTES).await.map_err(Problem::from)?;
    Ok(found.map(|bytes| parse_start(&bytes, key)).transpose()?)
}

fn parse_start(bytes: &Bytes, key: &str) -> Result<Start, Problem> {
    serde_json::from_slice(bytes).map_err(|_| {
        Problem::new("R007", Exit::BadData, format!("{key} is unreadable")).hint(
            "delete it when nobody publishes the run; t3b finalize then looks through the log from its end",
        )
    })
}

/// The schema as Delta writes it; partition columns last. `None` for a type that Delta lacks.
fn schema_string(schema: &Schema) -> Option<String> {
    let field = |field: &Field| {
        let kind = delta_type(field.data_type())?;
        Some(json!({ "name": field.name(), "type": kind, "nullable": true, "metadata": {} }))
    };
    let mut fields = schema.fields().iter().map(|one| field(one)).collect::<Option<Vec<_>>>()?;
    for name in ["run_date", "run_id"] {
        fields.push(json!({ "name": name, "type": "string", "nullable": true, "metadata": {} }));
    }
    Some(json!({ "type": "struct", "fields": fields }).to_string())
}

fn delta_type(kind: &DataType) -> Option<Value> {
    Some(match kind {
        DataType::Utf8 | DataType::Dictionary(..) => "string".into(),
        DataType::Int64 => "long".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int16 => "short".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "float".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::List(item) => {
            json!({ "type": "array", "elementType": delta_type(item.data_type())?, "containsNull": true })
        }
        _ => return None,
    })
}
