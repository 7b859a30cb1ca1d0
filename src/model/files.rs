//! The files of a checkpoint: which one holds the weights, and how each is read.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::error::{Fault, ModelError};

const WEIGHTS_FILE: &str = "model.safetensors";
const PICKLES: [&str; 6] = ["bin", "pt", "pth", "pkl", "pickle", "ckpt"];

/// The weights file that `path` means. A pickle is refused by name, before it is opened.
pub(super) fn weights_file(path: &Path) -> Result<PathBuf, ModelError> {
    let is_pickle = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        PICKLES.contains(&extension.to_ascii_lowercase().as_str())
    };
    if !path.is_dir() {
        return if is_pickle(path) { Err(Fault::Pickle.into()) } else { Ok(path.to_owned()) };
    }
    let weights = path.join(WEIGHTS_FILE);
    if !weights.exists() {
        let mut beside = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
        if beside.any(|entry| entry.is_ok_and(|entry| is_pickle(&entry.path()))) {
            return Err(Fault::Pickle.into());
        }
    }
    Ok(weights)
}

/// Reads a regular file of at most `allowed` bytes; a pipe or device of that name would never end.
pub(super) fn read(path: &Path, allowed: u64) -> Result<Vec<u8>, ModelError> {
    let io_fault = |source| ModelError::from(unreadable(path, source));
    let metadata = fs::metadata(path).map_err(io_fault)?;
    if !metadata.is_file() {
        return Err(io_fault(io::Error::from(io::ErrorKind::InvalidInput)));
    }
    if metadata.len() > allowed {
        return Err(Fault::TooLarge { file: file_name(path), bytes: metadata.len(), allowed }.into());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    let file = fs::File::open(path).map_err(io_fault)?;
    file.take(allowed).read_to_end(&mut bytes).map_err(io_fault)?;
    Ok(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> Fault {
    Fault::Unreadable { file: file_name(path), source }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the fault is that there is no such file.
pub(super) fn is_missing(error: &ModelError) -> bool {
    matches!(error.fault(), Fault::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
