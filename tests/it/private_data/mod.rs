//! What identifies a patient stays with its owner.

/// Names, texts and secrets of the archive are seen nowhere.
mod private;
/// What a pseudonym is worth, as an attack; rights of what is written.
mod pseudonyms;

pub(crate) use private::unpacked;
