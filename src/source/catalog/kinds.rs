//! What an object is by its name.

/// Endings of images; what they hold is found out by content when they are scored.
pub(super) const IMAGES: [&str; 16] = [
    "png", "jpg", "jpeg", "tif", "tiff", "dcm", "dicom", "ima", "npy", "bmp", "webp", "gif", "pnm", "pgm",
    "ppm", "pbm",
];
/// Endings of archives.
pub(super) const ARCHIVES: [&str; 3] = ["tar", "npz", "parquet"];
/// Endings of compressed shards, in which no image can be read without what stands before it.
const PACKED: [&str; 10] =
    [".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4"];
/// Longest ending that is taken for one; what stands behind the last dot of a UID or a name is none.
const MAX_ENDING: usize = 8;

/// What an object is by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ObjectKind {
    /// Listed as it is.
    Image,
    /// A NIfTI volume, whose slices are listed where that is asked for.
    Volume,
    /// Listed by what it holds.
    Archive,
    /// A compressed shard: refused, with what to do.
    Packed,
    /// No ending that says anything: its first bytes are asked.
    Nameless,
    /// Something else, by its ending.
    Other(String),
}

/// The lower-case ending of a name.
pub(super) fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase()
}

/// What the object of that name is.
pub(super) fn kind(name: &str) -> ObjectKind {
    let base = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    if base.starts_with("._") {
        // The resource fork that macOS puts beside every file on foreign disks and into tars and zips.
        return ObjectKind::Other("macOS ._ files".to_owned());
    }
    if base == "dicomdir" {
        return ObjectKind::Other("DICOMDIR".to_owned());
    }
    if PACKED.iter().any(|packed| base.ends_with(packed)) {
        return ObjectKind::Packed;
    }
    let ending = ending(&base);
    match ending.as_str() {
        "nii" => ObjectKind::Volume,
        "gz" if base.ends_with(".nii.gz") => ObjectKind::Volume,
        ending if IMAGES.contains(&ending) => ObjectKind::Image,
        ending if ARCHIVES.contains(&ending) => ObjectKind::Archive,
        ending if is_ending(ending) => ObjectKind::Other(format!(".{ending}")),
        _ => ObjectKind::Nameless,
    }
}

/// Whether what stands behind a dot says what a file is.
fn is_ending(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (1..=MAX_ENDING).contains(&text.len()) && plain && text.chars().any(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let other = |text: &str| ObjectKind::Other(text.to_owned());
        for (name, wanted) in [
            ("a/B.PNG", ObjectKind::Image),
            ("x.ima", ObjectKind::Image),
            ("series/IM000001", ObjectKind::Nameless),
            ("1.2.840.113619.2.1", ObjectKind::Nameless),
            ("Dr. X/scan", ObjectKind::Nameless),
            ("v.nii.gz", ObjectKind::Volume),
            ("v.NII", ObjectKind::Volume),
            ("s.tar.gz", ObjectKind::Packed),
            ("s.TGZ", ObjectKind::Packed),
            ("s.tar", ObjectKind::Archive),
            ("x.gz", other(".gz")),
            ("__MACOSX/._a.png", other("macOS ._ files")),
            (".DS_Store", other(".ds_store")),
            ("d/DICOMDIR", other("DICOMDIR")),
            ("x.png.", ObjectKind::Nameless),
            ("x.\u{1b}[31m", ObjectKind::Nameless),
        ] {
            assert_eq!(kind(name), wanted, "{name}");
        }
    }
}
