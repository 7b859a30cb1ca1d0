//! The shipped tiny pair and the demo's pipeline file, embedded in the binary.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{ArchiveError, write_archive};
use super::{DEFAULT_IMAGES, DEFAULT_SEED};

const PIPELINE: &str = include_str!("../../pipelines/demo.toml");

/// Name below the demo folder, and content.
const FILES: [(&str, &[u8]); 6] = [
    ("models/generalist/config.json", include_bytes!("../../models/tiny/generalist/config.json")),
    ("models/generalist/merges.txt", include_bytes!("../../models/tiny/generalist/merges.txt")),
    ("models/generalist/model.safetensors", include_bytes!("../../models/tiny/generalist/model.safetensors")),
    ("models/expert/config.json", include_bytes!("../../models/tiny/expert/config.json")),
    ("models/expert/merges.txt", include_bytes!("../../models/tiny/expert/merges.txt")),
    ("models/expert/model.safetensors", include_bytes!("../../models/tiny/expert/model.safetensors")),
];

/// Writes the archive, the pair and `demo.toml` into `folder` and returns the pipeline file's path.
///
/// An existing `demo.toml` stays as it is: the user may have edited it.
///
/// # Errors
/// When the folder cannot be written.
pub fn prepare(folder: &Path) -> Result<PathBuf, ArchiveError> {
    write_archive(&folder.join("archive"), DEFAULT_SEED, DEFAULT_IMAGES)?;
    for (name, bytes) in FILES {
        write(&folder.join(name), bytes)?;
    }
    let pipeline = folder.join("demo.toml");
    if !pipeline.exists() {
        write(&pipeline, PIPELINE.as_bytes())?;
    }
    Ok(pipeline)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, bytes))
        .map_err(|source| ArchiveError::Write { path: path.to_path_buf(), source })
}
