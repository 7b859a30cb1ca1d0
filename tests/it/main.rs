//! One binary; a folder per promise, a module per fear.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "support modules are shared with benches")]

#[path = "../support/azurite.rs"]
mod azurite;
#[path = "../support/bad_checkpoints.rs"]
mod bad_checkpoints;
#[path = "../support/bad_inputs.rs"]
mod bad_inputs;
#[path = "../support/canaries.rs"]
mod canaries;
#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/large.rs"]
mod large;
#[path = "../support/liar.rs"]
mod liar;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/peers.rs"]
mod peers;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/s3_server.rs"]
mod s3_server;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/signals.rs"]
mod signal;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tables.rs"]
mod tables;
#[path = "../fuzz/targets.rs"]
mod targets;
#[path = "../support/web.rs"]
mod web;

/// One run and many workers write what one worker writes.
mod beyond;
/// Any CLIP checkpoint loads as its authors meant it, or is refused by name.
mod checkpoints_as_found;
/// What is computed is what the references compute, to the bit where they allow it.
mod exact;
/// Rules about the source text and where it comes from.
mod house;
/// Whatever an archive holds is a row, and a bad item costs itself.
mod inputs;
/// Every night by itself: each object scored once for each content, whatever dies, comes late or is called twice.
mod nights;
/// What identifies a patient stays with its owner.
mod private_data;
/// Settings, messages, commands and tables say what they mean.
mod understood;
/// Death, lies and full disks change no byte of the tables, and nothing is lost, half-visible or counted twice.
mod unharmed;
/// Whoever is on call sees what a run does, in the forms of the field.
mod watched;
