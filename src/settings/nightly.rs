//! `[nightly]`: what `t3b nightly` does around a run. No key here changes a row of a run; which images a night has follows from
//! what lies in the archive.

use std::path::Path;

use chrono::NaiveDate;
use serde_json::json;

use super::layers::Reader;
use crate::error::{Exit, Problem, quoted};
use crate::source::catalog::{Pick, Slices};

/// What `t3b nightly` does around a run.
#[derive(Debug, Clone)]
pub struct Nightly {
    /// Where a night's images are told.
    pub from: Incoming,
    /// Folder of a day below the root, for `chrono`'s `format`; `None`: the whole root is listed.
    pub folders: Option<String>,
    /// Folders of so many earlier days are looked into again.
    pub lookback_days: u32,
    /// Folder or URI of the frozen manifests.
    pub manifests: String,
    /// Whether what looks new is told from what was scored by its bytes, and each image is pinned.
    pub by_sha256: bool,
    /// Tables of nights this many days older than the newest are withdrawn; 0: none.
    pub keep_days: u32,
    /// Most earlier nights that a night is compared with.
    pub n_reference: usize,
    /// Nights before it are compared with no more; alarms from it on are taken for the new normal.
    pub reference_from: Option<NaiveDate>,
    /// A labelled run that calibrates estimates without labels.
    pub calibrate_from: Option<String>,
    /// Takes the folder that an image lies in as its label.
    pub labels_from_folders: bool,
    /// Column of labels in Parquet archives.
    pub label_column: Option<String>,
    /// Which pictures of DICOM and TIFF objects are listed.
    pub frames: Option<Pick>,
    /// Which slices of volumes are listed.
    pub slices: Option<Slices>,
}

/// Where a night's images are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// By listing `input.root`.
    Listing,
    /// By manifests that land below this folder or URI.
    Manifests(String),
}

impl Incoming {
    /// Its name in the settings.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Manifests(_) => "manifests",
        }
    }
}

impl Nightly {
    /// Reads and checks every key; problems stay in `reader`.
    pub(super) fn read(reader: &mut Reader, dir: &Path, input_root: &str) -> Self {
        let is_listing = reader.choice("nightly.from", ("listing", true), &[("manifests", false)]);
        let incoming = reader.opt_place("nightly.incoming", dir);
        Self {
            from: match (is_listing, incoming) {
                (true, _) => Incoming::Listing,
                (false, incoming) => Incoming::Manifests(incoming.unwrap_or_else(|| input_root.to_owned())),
            },
            folders: read_folders(reader),
            lookback_days: narrow(reader.whole("nightly.lookback_days", 0..=366)),
            manifests: reader.place("nightly.manifests", dir),
            by_sha256: reader.choice("nightly.identity", ("etag", false), &[("sha256", true)]),
            keep_days: narrow(reader.whole("nightly.keep", 0..=36_500)),
            n_reference: narrow(reader.whole("nightly.reference", 1..=366)) as usize,
            reference_from: read_date(reader, "nightly.reference_from"),
            calibrate_from: reader.opt_place("nightly.calibrate_from", dir),
            labels_from_folders: reader.switch("nightly.labels_from_folders"),
            label_column: reader.opt_text("nightly.label_column"),
            frames: reader.typed("nightly.frames", "all, first, middle or every:N", text(), |value| {
                value.as_str()?.parse().ok()
            }),
            slices: reader.typed("nightly.slices", "AXIS:WHICH, such as 2:middle", text(), |value| {
                value.as_str()?.parse().ok()
            }),
        }
    }
}

/// A folder for each day: every day another, and none that leaves the root.
fn read_folders(reader: &mut Reader) -> Option<String> {
    let template = reader.text("nightly.folders");
    if template.is_empty() {
        return None;
    }
    if is_folder_of_days(&template) {
        return Some(template);
    }
    let what = format!(
        "nightly.folders: found {}, allowed a relative folder with %Y, %m and %d, or %Y and %j, such as \"%Y/%m/%d\"",
        quoted(&template)
    );
    reader.problem(&["nightly.folders"], Problem::new("C001", Exit::Config, what));
    None
}

fn is_folder_of_days(template: &str) -> bool {
    let (mut asked, mut chars) = (String::new(), template.chars());
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('%', Some(kind @ ('Y' | 'm' | 'd' | 'j' | 'F'))) => asked.push(kind),
            ('%', _) => return false,
            (c, _) if c.is_control() => return false,
            _ => {}
        }
    }
    let has = |kinds: &str| kinds.chars().all(|kind| asked.contains(kind));
    let is_inside = template.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_inside && (has("F") || has("Ymd") || has("Yj"))
}

fn read_date(reader: &mut Reader, key: &str) -> Option<NaiveDate> {
    reader.typed(key, "a day, YYYY-MM-DD", text(), |value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()
    })
}

/// What a schema says of a text.
fn text() -> serde_json::Value {
    json!({ "type": "string" })
}

/// Every value read here is bounded below `u32::MAX`.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_one_day_and_inside_the_root() {
        for good in ["%Y/%m/%d", "in/%F", "%Y-%m-%d", "ward %Y%m%d", "%Y/%j"] {
            assert!(is_folder_of_days(good), "{good}");
        }
        for bad in
            ["", "%Y/%m", "%d", "/%F", "%F/", "../%F", "a//%F", "%F/%H", "%Q", "%", "x%%F", "./%F", "%F%s"]
        {
            assert!(!is_folder_of_days(bad), "{bad}");
        }
    }
}
