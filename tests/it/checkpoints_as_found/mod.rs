//! Any CLIP checkpoint loads as its authors meant it, or is refused by name.

/// Architectures: named, from Hugging Face files, and refused.
mod architectures;
/// Checkpoints that must be refused, each with its message.
mod checkpoints;
/// Families, layouts and preprocessing against transformers and open_clip.
pub(crate) mod families;
/// Files as the field has them: each of a list of faults, right or refused by its key.
mod field;
/// Other programs' files: open_clip's names, shards, adapters, the image half alone.
pub(crate) mod layouts;
/// What is in memory of a pair, and what in a file.
mod memory;
/// Models from stores, class vectors from files, label files, `t3b models`.
mod models;
