//! The files that hold the weights, in memory: one, or several with an index.
//!
//! Each is read once; what was hashed is what is parsed. None is ever mapped: a mapped file that someone truncates kills
//! the process with a signal.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::Dtype;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    error::{CheckpointFault, ModelError},
    files::{ADAPTER_WEIGHTS, Files, Weights},
    header,
};

/// Bound for an index, in bytes; one line per tensor.
const MAX_INDEX_BYTES: u64 = 4 << 20;

/// Whole weights files, in the order of their names.
#[derive(Debug)]
pub(super) struct Shards(Vec<Shard>);

#[derive(Debug)]
struct Shard {
    /// The tensors the index says it holds; `None` without an index.
    listed: Option<BTreeSet<String>>,
    bytes: Vec<u8>,
}

/// One tensor of a file.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Its values, little-endian, row-major.
    pub(super) bytes: &'a [u8],
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// The content of one file.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(vec![Shard { listed: None, bytes }])
    }

    /// Reads the weights, every file of at most `allowed` bytes.
    pub(super) fn read(files: &Files, weights: &Weights, allowed: u64) -> Result<Self, ModelError> {
        let index = match weights {
            Weights::Single(name) => return Ok(Self::of(files.read(name, allowed)?)),
            Weights::Adapter => return Ok(Self::of(files.read(ADAPTER_WEIGHTS, allowed)?)),
            Weights::Sharded(index) => index,
        };
        let refused = |what: &str| ModelError::from(CheckpointFault::Index(what.to_owned()));
        let index: Index = serde_json::from_slice(&files.read(index, MAX_INDEX_BYTES)?)
            .map_err(|_| refused("not the JSON of a weight_map"))?;
        let mut by_file = BTreeMap::<String, BTreeSet<String>>::new();
        for (tensor, file) in index.weight_map {
            if !Files::may_be_part(&file) {
                return Err(refused("a file name that leaves the folder, or is not safetensors"));
            }
            by_file.entry(file).or_default().insert(tensor);
        }
        let shard = |(file, listed): (String, _)| {
            Ok(Shard { bytes: files.read(&file, allowed)?, listed: Some(listed) })
        };
        Ok(Self(by_file.into_iter().map(shard).collect::<Result<_, ModelError>>()?))
    }

    /// Sha256 of all bytes, one file after the other, as 64 lower-case hex digits.
    pub(super) fn sha256(&self) -> String {
        let mut sha256 = Sha256::new();
        self.0.iter().for_each(|shard| sha256.update(&shard.bytes));
        hex::encode(sha256.finalize())
    }

    /// Every tensor of every file.
    ///
    /// # Errors
    /// As [`header::read`]; `W004` for a name in two files; `W003` when a file does not hold what the index says.
    pub(super) fn entries(&self) -> Result<Vec<Entry<'_>>, CheckpointFault> {
        let (mut entries, mut names) = (Vec::new(), BTreeSet::new());
        for shard in &self.0 {
            let header = header::read(&shard.bytes)?;
            let data = &shard.bytes[header.data_start..];
            let held: BTreeSet<String> = header.entries.iter().map(|(name, _)| name.clone()).collect();
            for (name, info) in header.entries {
                if !names.insert(name.clone()) {
                    return Err(CheckpointFault::Duplicate(name));
                }
                let bytes = &data[info.data_offsets.0..info.data_offsets.1];
                entries.push(Entry { name, dtype: info.dtype, shape: info.shape, bytes });
            }
            let astray = shard.listed.as_ref().and_then(|listed| listed.symmetric_difference(&held).next());
            if let Some(name) = astray {
                return Err(CheckpointFault::Index(format!(
                    "tensor '{}' is not where it says",
                    super::checkpoint_fault::shown(name)
                )));
            }
        }
        Ok(entries)
    }
}
