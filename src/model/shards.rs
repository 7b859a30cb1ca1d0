//! The files that hold the weights: one, or several with an index.
//!
//! Headers are read first. Then each file is read once, tensor by tensor, and hashed while it is read: what was hashed is what is parsed,
//! and no more than one tensor's bytes are in memory beside the values taken from them. None is ever mapped: a mapped file that someone
//! truncates kills the process with a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use safetensors::{Dtype, tensor::TensorInfo};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    checkpoint_fault::shown,
    error::{CheckpointFault, ModelError},
    files::{ADAPTER_WEIGHTS, Content, Files, Weights, unreadable},
    header,
};

/// Bound for an index, in bytes; one line per tensor.
const MAX_INDEX_BYTES: u64 = 4 << 20;

/// Weights files whose headers are read, in the order of their names.
#[derive(Debug)]
pub(super) struct Shards(Vec<Shard>);

#[derive(Debug)]
struct Shard {
    name: String,
    /// What the file begins with, read already.
    head: Vec<u8>,
    /// Names and places, in the order in which they lie in the file.
    entries: Vec<(String, TensorInfo)>,
    /// What is still to read.
    rest: Content,
}

/// What a header says of one tensor.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

/// One tensor of a small file.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Its values, little-endian, row-major.
    pub(super) bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// The content of one file.
    ///
    /// # Errors
    /// As [`header::read`].
    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, ModelError> {
        Ok(Self(vec![Shard::open("", Content::Memory(Cursor::new(bytes.into())))?]))
    }

    /// Opens the weights, every file of at most `allowed` bytes, and reads their headers.
    ///
    /// # Errors
    /// `W012` a file that cannot be read, `W002` a larger one; as [`header::read`]; `W004` for a name in two files; `W003` for an index
    /// that is none, or when a file does not hold what it says.
    pub(super) fn open(files: &Files, weights: &Weights, allowed: u64) -> Result<Self, ModelError> {
        let open = |name: &str| Shard::open(name, files.content(name, allowed)?);
        let index = match weights {
            Weights::Single(name) => return Ok(Self(vec![open(name)?])),
            Weights::Adapter => return Ok(Self(vec![open(ADAPTER_WEIGHTS)?])),
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
        let (mut shards, mut names) = (Vec::new(), BTreeSet::new());
        for (file, listed) in by_file {
            let shard = open(&file)?;
            let held: BTreeSet<String> = shard.entries.iter().map(|(name, _)| name.clone()).collect();
            if let Some(name) = held.intersection(&names).next() {
                return Err(CheckpointFault::Duplicate(name.clone()).into());
            }
            if let Some(name) = listed.symmetric_difference(&held).next() {
                return Err(refused(&format!("tensor '{}' is not where it says", shown(name))));
            }
            names.extend(held);
            shards.push(shard);
        }
        Ok(Self(shards))
    }

    /// Every tensor of every file, in the order in which they are read.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let all = self.0.iter().flat_map(|shard| &shard.entries);
        all.map(|(name, info)| Entry { name: name.clone(), dtype: info.dtype, shape: info.shape.clone() })
            .collect()
    }

    /// Reads the files and hands `take` the bytes of each tensor, by its place among the [entries](Self::entries): little-endian, row-major.
    /// Returns the sha256 of all files, one after the other, as 64 lower-case hex digits.
    ///
    /// # Errors
    /// `W012` when a file cannot be read on, or has become shorter; what `take` says.
    pub(super) fn read(
        self,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), ModelError>,
    ) -> Result<String, ModelError> {
        let (mut hash, mut place) = (Sha256::new(), 0);
        for Shard { name, head, entries, mut rest } in self.0 {
            hash.update(&head);
            let mut bytes = Vec::new();
            // They lie one behind the other, without a gap.
            for (_, info) in entries {
                bytes.resize(info.data_offsets.1 - info.data_offsets.0, 0);
                rest.read_exact(&mut bytes).map_err(|source| unreadable(&name, source))?;
                hash.update(&bytes);
                take(place, &bytes)?;
                place += 1;
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Every tensor with its bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn held(self) -> Result<Vec<Held>, ModelError> {
        let (entries, mut all) = (self.entries(), Vec::new());
        self.read(|_, bytes| {
            all.push(bytes.to_vec());
            Ok(())
        })?;
        let held = |(Entry { name, dtype, shape }, bytes)| Held { name, dtype, shape, bytes };
        Ok(entries.into_iter().zip(all).map(held).collect())
    }
}

impl Shard {
    fn open(name: &str, content: Content) -> Result<Self, ModelError> {
        let mut rest = content;
        let head = header::head(&mut rest).map_err(|source| unreadable(name, source))?;
        let entries = header::read(&head, rest.len())?;
        Ok(Self { name: name.to_owned(), head, entries, rest })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::{serialize, tensor::TensorView};

    use super::*;

    fn file() -> Vec<u8> {
        let bytes: Vec<u8> = (0..48).collect();
        let view = |from: usize| TensorView::new(Dtype::F32, vec![2, 3], &bytes[from..from + 24]).unwrap();
        serialize([("b", view(0)), ("a", view(24))], None).unwrap()
    }

    fn all(shards: Shards) -> (Vec<(usize, Vec<u8>)>, String) {
        let mut taken = Vec::new();
        let sha256 = shards.read(|place, bytes| {
            taken.push((place, bytes.to_vec()));
            Ok(())
        });
        (taken, sha256.unwrap())
    }

    #[test]
    fn a_file_in_a_folder_is_read_and_hashed_as_one_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors"), file()).unwrap();
        let files = Files::at(folder.path());
        let open =
            || Shards::open(&files, &Weights::Single("model.safetensors".to_owned()), 1 << 20).unwrap();
        let entries: Vec<(String, Vec<usize>)> =
            open().entries().into_iter().map(|entry| (entry.name, entry.shape)).collect();
        assert_eq!(entries.iter().map(|(_, shape)| shape).collect::<Vec<_>>(), [&[2, 3], &[2, 3]]);
        let (taken, sha256) = all(open());
        assert_eq!(sha256, hex::encode(Sha256::digest(file())));
        assert_eq!((taken, sha256), all(Shards::of(file()).unwrap()));
        let by_name = |held: Vec<Held>| -> BTreeMap<String, Vec<u8>> {
            held.into_iter().map(|held| (held.name, held.bytes)).collect()
        };
        let held = by_name(open().held().unwrap());
        assert_eq!((held["b"][0], held["a"][0]), (0, 24));
        assert_eq!(held, by_name(Shards::of(file()).unwrap().held().unwrap()));
    }

    #[test]
    fn a_file_that_becomes_shorter_behind_its_header_is_an_error_and_not_a_shorter_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, file()).unwrap();
        let files = Files::at(folder.path());
        let shards = Shards::open(&files, &Weights::Single("model.safetensors".to_owned()), 1 << 20).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(file().len() as u64 - 1).unwrap();
        let mut n_taken = 0;
        let ended = shards.read(|_, _| {
            n_taken += 1;
            Ok(())
        });
        assert_eq!((ended.unwrap_err().code(), n_taken), ("W012", 1));
    }
}
