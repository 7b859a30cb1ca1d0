//! Whatever an archive holds is a row, and a bad item costs itself.

/// Images in npz and Parquet archives.
pub(crate) mod archives;
/// Archives that lie about what they hold.
mod archives_hostile;
/// Manifests of a few bytes that would cost gigabytes.
mod bounds;
/// A listing that was cut short, and a large one.
mod catalog;
/// Images that are corrupted already go into the cells they declare.
mod declared_cells;
/// `t3b decode`.
mod decode_command;
/// Real DICOM archives end to end.
mod dicom_run;
/// Archives as public bug reports have them.
mod field_archives;
/// Manifests as public bug reports have them.
mod field_manifests;
/// Inputs that fuzzing has found.
mod found;
mod frozen;
/// Every bad input of the list in one run: its own code, and no other row moves.
mod hostile_inputs;
/// An archive behind a web server: read, never written or listed.
mod http_root;
/// One odd name costs itself; whatever is listed adds up; a wrong root ends early.
mod names;
/// A damaged image costs one row and moves no other sample.
mod poison;
/// Tar shards: indexed once, read by range, the same predictions.
pub(crate) mod shards;
/// Slices of volumes by the columns of a manifest.
mod volumes;
/// Pictures that end the process they are decoded in.
mod worker;
