//! Every night by itself: each object scored once for each content, whatever dies, comes late or is called twice.

/// One call, two calls at once, a withdrawn night, other settings, other keys.
mod calls;
/// What a night costs however old the archive is.
mod cost;
/// A month of nights on a bucket.
mod month;
/// An archive, a pipeline, a bucket and the days they live through.
mod ward;
