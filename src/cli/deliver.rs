//! Where a command writes a file or a folder: here, or below any URI that can be written to.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::opening::on_runtime;
use crate::error::{Exit, Problem, RunError};
use crate::settings::Settings;
use crate::store::Root;

/// Lets `make` write to `out`; where `out` is a URI, to a folder beside the caller whose files are then put below it.
///
/// That folder's name follows from `out`, so that a command that was cut short finds what it had done. It goes away with success.
///
/// # Errors
/// What `make` ends with; `S003`, `S008` a URI that cannot be written to, found before anything is made; store failures.
pub(super) fn deliver<T>(
    out: &Path,
    settings: &Settings,
    make: impl FnOnce(&Path) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let text = out.to_string_lossy();
    let text = text.trim_end_matches('/');
    let Some((folder, name)) = text.contains("://").then(|| text.rsplit_once('/')).flatten() else {
        return make(out);
    };
    if folder.ends_with('/') || folder.ends_with(':') {
        let what = "output: found a bucket, allowed a name below one";
        return Err(Problem::new("S003", Exit::Config, what).hint("write s3://bucket/folder/name").into());
    }
    let root = Root::open(folder, true, &settings.store)?;
    let mut beside = PathBuf::from(format!(".t3b-{}", &hex::encode(Sha256::digest(text))[..16]));
    fs::create_dir_all(&beside).map_err(|error| unwritable(&beside, &error))?;
    beside.push(name);
    let made = make(&beside)?;
    let files = files_of(&beside);
    on_runtime(settings, async {
        for file in &files {
            let below = file.strip_prefix(&beside).ok().filter(|rest| !rest.as_os_str().is_empty());
            let key =
                below.map_or_else(|| name.to_owned(), |rest| format!("{name}/{}", rest.to_string_lossy()));
            let bytes = fs::read(file).map_err(|error| unwritable(file, &error))?;
            root.write(&key, "output", bytes.into()).await.map_err(Problem::from)?;
        }
        Ok(())
    })?;
    // What is left would only be in the way.
    beside.pop();
    let _left_over = fs::remove_dir_all(&beside);
    Ok(made)
}

/// What a local file or folder that cannot be written is called.
pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("{}: cannot be written or read ({})", path.display(), error.kind());
    Problem::new("C007", Exit::Config, what).hint("make its folder, free its name, or choose another place")
}

/// A file itself, or every file below a folder.
fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}
