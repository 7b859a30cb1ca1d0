//! What a killed process leaves of a half-written local file: `name#1`, which the client's own listings hide.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A half-written local file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Half-written files below `folder` that nobody has touched for `older_than`.
#[must_use]
pub fn leftovers(folder: &Path, older_than: Duration) -> Vec<Leftover> {
    let mut found = Vec::new();
    walk(folder, older_than, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, older_than: Duration, found: &mut Vec<Leftover>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Of the entry itself: a link is not followed out of the root.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            walk(&entry.path(), older_than, found);
        } else if is_half_written(&entry.file_name().to_string_lossy()) {
            let age = meta.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.unwrap_or_default() >= older_than {
                found.push(Leftover { path: entry.path(), bytes: meta.len() });
            }
        }
    }
}

fn is_half_written(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_names_are_half_written() {
        assert!(is_half_written("00001.ab.signals.parquet#1"));
        assert!(!is_half_written("00001.json") && !is_half_written("a#b") && !is_half_written("a#"));
    }
}
