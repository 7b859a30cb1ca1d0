//! Rules about the source text and where it comes from.

/// Where crates come from and under which licences.
mod supply;
/// Rules about the source text itself.
mod tidy;
