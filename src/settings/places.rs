//! Places that settings name: URIs as they are, paths against the folder of the file that names them.

use std::path::{Path, PathBuf};

/// A URI as it is; a path made absolute against the pipeline's folder.
pub(super) fn location(text: &str, dir: &Path) -> String {
    if text.is_empty() || text.contains("://") {
        return text.to_owned();
    }
    let joined = dir.join(text);
    let absolute = std::path::absolute(&joined).unwrap_or(joined);
    normal(&absolute).to_string_lossy().into_owned()
}

/// Resolves `.` and `..` by text, so that containment can be compared before the folders exist.
pub(super) fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
