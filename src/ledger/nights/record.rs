//! The record of one night: what it takes, frozen before anything is scored.

use serde::{Deserialize, Serialize};

use super::NightLayout;
use crate::error::{Exit, Problem, RunError};
use crate::ledger::layout::MAX_JSON_BYTES;
use crate::ledger::receipt::FileEntry;
use crate::ledger::seal;
use crate::store::{Created, Root};

/// Version of the records that this program writes.
const FORMAT_VERSION: u32 = 1;

/// A night that was scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastNight {
    /// Its day, `YYYY-MM-DD`.
    pub date: String,
    /// Whether it drifted from the nights before it.
    pub is_alarm: bool,
    /// Whether its tables were withdrawn by `nightly.keep`; its profile stays.
    pub is_retired: bool,
}

/// A frozen manifest, by what may be said of it: the file's name holds no name of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenManifest {
    /// Key below `nightly.manifests`.
    pub file: String,
    /// Keyed hash of its bytes, as `runs.manifest_hmac_sha256`.
    pub hmac_sha256: String,
    /// Its rows.
    pub n_rows: u64,
}

/// What a night takes of the folder of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenOf {
    /// The day, or `all` where the whole root is listed.
    pub day: String,
    /// Its entries.
    pub object: FileEntry,
}

/// One night as it was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NightRecord {
    /// Version of this object.
    pub format_version: u32,
    /// Hash of the record's own text, with zeros in this place; empty until it is stored.
    pub record_sha256: String,
    /// Place in the row of records, from 1.
    pub number: u64,
    /// Day of the night, `YYYY-MM-DD`.
    pub date: String,
    /// First and last day whose folders were looked into; `None` where the whole root was.
    pub window: Option<[String; 2]>,
    /// Changes with `T3B_PSEUDONYM_KEY`, and with what tells objects apart and days from each other.
    pub key_check: String,
    /// What is scored; `None` for a night with nothing new.
    pub manifest: Option<FrozenManifest>,
    /// What it takes, by day.
    pub taken: Vec<TakenOf>,
    /// Newest day of any record, this one's included.
    pub newest: String,
    /// Nights that were scored before this one, by day; not more than are compared with or may still be withdrawn.
    pub past: Vec<PastNight>,
}

impl NightRecord {
    /// The first record's place, and what no record says yet.
    #[must_use]
    pub fn new(number: u64, date: &str, key_check: &str) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            record_sha256: String::new(),
            number,
            date: date.to_owned(),
            window: None,
            key_check: key_check.to_owned(),
            manifest: None,
            taken: Vec::new(),
            newest: date.to_owned(),
            past: Vec::new(),
        }
    }

    /// Creates the record; `false` when another call took its number first.
    ///
    /// # Errors
    /// Store failures.
    pub async fn create(&self, root: &Root, layout: &NightLayout) -> Result<bool, RunError> {
        let (text, _) = seal::sealed(self, "record_sha256");
        let created = root.create(&layout.record(self.number), "record of a night", text.into()).await;
        Ok(created.map_err(Problem::from)? == Created::Ours)
    }
}

/// The record with that number.
///
/// # Errors
/// Store failures, `R007` unreadable or gone, `R020` damaged, `R005` of another format.
pub async fn read_record(root: &Root, layout: &NightLayout, number: u64) -> Result<NightRecord, RunError> {
    let unreadable = || {
        let what = format!("record {number} of the nights is unreadable or gone");
        Problem::new("R007", Exit::BadData, what).hint("restore the object from a copy")
    };
    let found = root.read(&layout.record(number), "record of a night", MAX_JSON_BYTES).await;
    let bytes = found.map_err(Problem::from)?.ok_or_else(unreadable)?;
    let text = seal::check(&bytes, "record_sha256", "the record of a night")?;
    let record: NightRecord = serde_json::from_str(text).map_err(|_| unreadable())?;
    if record.format_version != FORMAT_VERSION {
        let what = format!(
            "record {number} of the nights has format {}, this program reads {FORMAT_VERSION}",
            record.format_version
        );
        return Err(Problem::new("R005", Exit::Config, what).into());
    }
    if record.number != number {
        return Err(unreadable().into());
    }
    Ok(record)
}

/// The newest record; `None` before the first night.
///
/// # Errors
/// See [`read_record`].
pub async fn last_record(root: &Root, layout: &NightLayout) -> Result<Option<NightRecord>, RunError> {
    let listed = root.list(&layout.records(), "records of nights").await.map_err(Problem::from)?;
    let number = |key: &str| key.rsplit('/').next()?.strip_suffix(".json")?.parse::<u64>().ok();
    let newest = listed.iter().filter_map(|(key, _)| number(key)).max();
    match newest {
        Some(number) => read_record(root, layout, number).await.map(Some),
        None => Ok(None),
    }
}
