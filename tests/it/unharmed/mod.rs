//! Death, lies and full disks change no byte of the tables, and nothing is lost, half-visible or counted twice.

/// What a run says of itself and what keeps it honest: status, tidy, reproduce, numerics, stalls, verify.
mod care;
/// Every sample is in exactly one of predictions and quarantine, once per cell and method.
mod conservation;
/// Several workers, racing creates, and the controls that must be noticed.
mod contest;
/// Death and lies at every store operation, once and twice: resumed to the same bytes.
mod crash;
/// HTTP and S3 servers that lie: right bytes, quarantine or a store error, and no wrong row.
mod hostile_store;
/// No `config/` key changes a row.
mod invariance;
/// A network that delays, cuts, resets and lies, and a server the process is killed against.
mod network;
/// Objects that are archived, or change while they are read.
mod object_facts;
/// A closed or full output, and small limits of the system: the work is done and the code says the rest.
mod output;
/// A store or a folder that points elsewhere.
mod redirects;
/// A full disk; memory over a long run.
mod resources;
/// A run that died anywhere is resumed to the same bytes; a finished one is left alone.
mod resume;
/// Everything that decides is sealed: flips, swaps, copies, losses and foreign objects are named or change nothing.
pub(crate) mod sealed;
/// The binary under SIGKILL, SIGTERM and SIGSTOP at chosen store operations.
mod signals;
/// A store that asks for fewer requests gets fewer.
mod slow_down;
/// The same tables from every kind of store.
mod stores;
