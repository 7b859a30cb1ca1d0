//! Schedules on the host, and what they are compared with.

pub(crate) mod host;
pub(crate) mod inputs;
pub(crate) mod reference;
