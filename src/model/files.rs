//! The files of a checkpoint: which ones hold the weights, and how each is read.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::error::{CheckpointFault, ModelError};

/// Weights files by their usual names, in the order in which they are looked for.
const WEIGHTS: [&str; 2] = ["model.safetensors", "open_clip_model.safetensors"];
/// Lists the files of weights that were written in several.
const INDEX: &str = "model.safetensors.index.json";
/// Says that a folder holds low-rank updates and not weights.
pub(super) const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The low-rank updates.
pub(super) const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// The same as older PEFT versions save it.
pub(super) const ADAPTER_PICKLE: &str = "adapter_model.bin";
const PICKLES: [&str; 6] = ["bin", "pt", "pth", "pkl", "pickle", "ckpt"];

/// A folder with a checkpoint, one weights file with what lies beside it, or the same fetched into memory.
#[derive(Debug, Clone)]
pub struct Files {
    place: Holder,
    /// The weights file, where the user named it and not the folder.
    named: Option<String>,
}

#[derive(Debug, Clone)]
enum Holder {
    Folder(PathBuf),
    Memory(BTreeMap<String, Bytes>),
}

/// A file to read once, from its beginning.
#[derive(Debug)]
pub(super) enum Content {
    /// Open, and how many bytes it has.
    File(fs::File, u64),
    /// In memory.
    Memory(Cursor<Bytes>),
}

impl Content {
    /// Bytes of the whole file.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(_, len) => *len,
            Self::Memory(bytes) => bytes.get_ref().len() as u64,
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }
}

/// What kind of weights the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Weights {
    /// One file.
    Single(String),
    /// Several, listed by this index.
    Sharded(String),
    /// Low-rank updates of another checkpoint.
    Adapter,
}

impl Files {
    /// A folder, or a weights file.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        if path.is_dir() {
            return Self { place: Holder::Folder(path.to_owned()), named: None };
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = file_name(path);
        // An adapter's weights mean what the configuration beside them says: its file names its folder.
        let is_adapter = name == ADAPTER_WEIGHTS && folder.join(ADAPTER_CONFIG).exists();
        Self { place: Holder::Folder(folder), named: (!is_adapter).then_some(name) }
    }

    /// Files that were read elsewhere, by name. `named` is the weights file, where the user named one.
    #[must_use]
    pub fn fetched(files: BTreeMap<String, Bytes>, named: Option<String>) -> Self {
        Self { place: Holder::Memory(files), named }
    }

    /// Whether a file of that name can be part of a checkpoint, so that it is worth fetching.
    #[must_use]
    pub fn may_be_part(name: &str) -> bool {
        let ends = [".safetensors", ".json", "merges.txt", "vocab.txt"];
        !name.contains('/') && ends.iter().any(|end| name.ends_with(end))
    }

    /// The weights that are meant. Pickles are refused by name, before they are opened.
    pub(super) fn weights(&self) -> Result<Weights, ModelError> {
        if let Some(name) = &self.named {
            return match name {
                name if is_pickle(name) => Err(CheckpointFault::Pickle.into()),
                name if name.ends_with(".index.json") => Ok(Weights::Sharded(name.clone())),
                name => Ok(Weights::Single(name.clone())),
            };
        }
        if self.has(ADAPTER_CONFIG) {
            let is_pickled = !self.has(ADAPTER_WEIGHTS) && self.has(ADAPTER_PICKLE);
            return if is_pickled { Err(CheckpointFault::Pickle.into()) } else { Ok(Weights::Adapter) };
        }
        if let Some(name) = WEIGHTS.into_iter().find(|name| self.has(name)) {
            return Ok(Weights::Single(name.to_owned()));
        }
        if self.has(INDEX) {
            return Ok(Weights::Sharded(INDEX.to_owned()));
        }
        let names = self.names()?;
        if names.iter().any(|name| is_pickle(name)) {
            Err(CheckpointFault::Pickle.into())
        } else {
            Ok(Weights::Single(WEIGHTS[0].to_owned()))
        }
    }

    /// Names of all files, in no order.
    pub(super) fn names(&self) -> Result<Vec<String>, ModelError> {
        let folder = match &self.place {
            Holder::Memory(files) => return Ok(files.keys().cloned().collect()),
            Holder::Folder(folder) => folder,
        };
        let entries = fs::read_dir(folder).map_err(|source| unreadable(&file_name(folder), source))?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect())
    }

    /// Whether there is a file of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        match &self.place {
            Holder::Folder(folder) => folder.join(name).exists(),
            Holder::Memory(files) => files.contains_key(name),
        }
    }

    /// A file of at most `allowed` bytes, to be read.
    pub(super) fn content(&self, name: &str, allowed: u64) -> Result<Content, ModelError> {
        match &self.place {
            Holder::Folder(folder) => {
                let (file, len) = open(&folder.join(name), allowed)?;
                Ok(Content::File(file, len))
            }
            Holder::Memory(files) => {
                let missing = || unreadable(name, io::Error::from(io::ErrorKind::NotFound));
                let bytes = files.get(name).ok_or_else(missing)?;
                check_size(name, bytes.len() as u64, allowed)?;
                Ok(Content::Memory(Cursor::new(bytes.clone())))
            }
        }
    }

    /// Reads a file of at most `allowed` bytes.
    pub(super) fn read(&self, name: &str, allowed: u64) -> Result<Vec<u8>, ModelError> {
        all(self.content(name, allowed)?, allowed).map_err(|source| unreadable(name, source).into())
    }

    /// As [`read`](Self::read), with `None` where there is no such file.
    pub(super) fn read_if_there(&self, name: &str, allowed: u64) -> Result<Option<Vec<u8>>, ModelError> {
        match self.read(name, allowed) {
            Err(error) if is_missing(&error) => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Whether a file of that name is a pickle, or an archive with one.
pub(super) fn is_pickle(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    PICKLES.contains(&extension.to_ascii_lowercase().as_str())
}

/// Reads a regular file of at most `allowed` bytes; a pipe or device of that name would never end.
///
/// # Errors
/// `W012` a file that cannot be read, `W002` a larger one.
pub(super) fn read(path: &Path, allowed: u64) -> Result<Vec<u8>, ModelError> {
    let (file, len) = open(path, allowed)?;
    all(Content::File(file, len), allowed).map_err(|source| unreadable(&file_name(path), source).into())
}

/// Opens a regular file of at most `allowed` bytes and says how many it has.
fn open(path: &Path, allowed: u64) -> Result<(fs::File, u64), ModelError> {
    let io_fault = |source| ModelError::from(unreadable(&file_name(path), source));
    let metadata = fs::metadata(path).map_err(io_fault)?;
    if !metadata.is_file() {
        return Err(io_fault(io::Error::from(io::ErrorKind::InvalidInput)));
    }
    check_size(&file_name(path), metadata.len(), allowed)?;
    Ok((fs::File::open(path).map_err(io_fault)?, metadata.len()))
}

fn all(content: Content, allowed: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(content.len() as usize);
    content.take(allowed).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_size(name: &str, bytes: u64, allowed: u64) -> Result<(), ModelError> {
    if bytes <= allowed {
        Ok(())
    } else {
        Err(CheckpointFault::TooLarge { file: name.to_owned(), bytes, allowed }.into())
    }
}

/// The fault of a file that cannot be read or written; only its name is told.
pub(super) fn unreadable(name: &str, source: io::Error) -> CheckpointFault {
    CheckpointFault::Unreadable { file: name.to_owned(), source }
}

/// The last segment of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_missing(error: &ModelError) -> bool {
    matches!(error.fault(), CheckpointFault::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
