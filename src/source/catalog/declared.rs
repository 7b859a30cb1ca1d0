//! Cells that an archive's name declares: the published files of MedMNIST-C and MediMeta-C.

use crate::source::cells::is_name;
use t3b_corrupt::Suite;

/// Severities of a published file of MedMNIST-C.
const SEVERITIES: u64 = 5;

/// What the name of an archive says of its rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) cells: Cells,
    /// `train`, `val` or `test`, where the folder is called so.
    pub(super) split: Option<String>,
}

/// Which cells the rows of an array are in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cells {
    /// The name says nothing: the pipeline makes the cells.
    Made,
    /// All in one.
    One(String, u8),
    /// As many rows at each severity, from 1 to 5.
    Ladder { corruption: String, n_each: u64 },
}

impl Cells {
    /// The cell of row `n`.
    pub(super) fn at(&self, n: u64) -> Option<(&str, u8)> {
        match self {
            Self::Made => None,
            Self::One(corruption, severity) => Some((corruption, *severity)),
            Self::Ladder { corruption, n_each } => {
                Some((corruption, u8::try_from(n / (*n_each).max(1) + 1).unwrap_or(u8::MAX)))
            }
        }
    }
}

/// Reads `<set>/<split>/<corruption>_severity_<k>.npz` (MediMeta-C) and `<set of MedMNIST>/<corruption>.npz` (MedMNIST-C: the array
/// `test_images`, all images at severity 1, then all at severity 2). `prefix` is what stands before `images` in the array's name.
pub(super) fn of_file(uri: &str, prefix: &str, n_rows: u64) -> Declared {
    let mut parts = uri.rsplit('/');
    let file = parts.next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let folder = parts.next().unwrap_or_default();
    let split = match folder.to_ascii_lowercase().as_str() {
        "train" => Some("train"),
        "val" | "valid" | "validation" => Some("val"),
        "test" => Some("test"),
        _ => None,
    };
    let cells = one(stem).or_else(|| ladder(folder, stem, prefix, n_rows)).unwrap_or(Cells::Made);
    Declared { cells, split: split.map(str::to_owned) }
}

fn one(stem: &str) -> Option<Cells> {
    let (corruption, severity) = stem.rsplit_once("_severity_")?;
    match severity.parse().ok()? {
        0 => Some(Cells::One("clean".to_owned(), 0)),
        severity @ 1..=5 if is_name(corruption) => Some(Cells::One(corruption.to_owned(), severity)),
        _ => None,
    }
}

fn ladder(folder: &str, stem: &str, prefix: &str, n_rows: u64) -> Option<Cells> {
    let set = folder.split_once('_').map_or(folder, |(set, _)| set);
    let suite = Suite::named(set).filter(|suite| suite.name().ends_with("mnist"))?;
    let is_published = prefix == "test_" && suite.entry(stem).is_some() && n_rows.is_multiple_of(SEVERITIES);
    is_published.then(|| Cells::Ladder { corruption: stem.to_owned(), n_each: n_rows / SEVERITIES })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_declare_their_cells() {
        let found = of_file("cxr/test/zoom_blur_severity_3.npz", "", 7);
        assert_eq!(found.cells.at(6), Some(("zoom_blur", 3)));
        assert_eq!(found.split.as_deref(), Some("test"));
        let found = of_file("bloodmnist/pixelate.npz", "test_", 10);
        assert_eq!(
            (found.cells.at(0), found.cells.at(1), found.cells.at(9)),
            (Some(("pixelate", 1)), Some(("pixelate", 1)), Some(("pixelate", 5)))
        );
        for (uri, prefix, n) in [
            ("bloodmnist/pixelate.npz", "train_", 10),
            ("bloodmnist/pixelate.npz", "test_", 11),
            ("bloodmnist/other.npz", "test_", 10),
            ("mine/pixelate.npz", "test_", 10),
            ("a/fog_severity_6.npz", "", 1),
            ("a/Fog Bank_severity_2.npz", "", 1),
        ] {
            assert_eq!(of_file(uri, prefix, n).cells, Cells::Made, "{uri}");
        }
        assert_eq!(of_file("a/x_severity_0.npz", "", 1).cells.at(0), Some(("clean", 0)));
    }
}
