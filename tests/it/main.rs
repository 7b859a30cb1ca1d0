//! One binary, one module per fear.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "support modules are shared with benches")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tables.rs"]
mod tables;

/// Every sample is in exactly one of predictions and quarantine, once per cell and method.
mod conservation;
/// The method's numbers end to end: batch of one, constant coefficient, order of operations.
mod method;
/// A damaged image costs one row and moves no other sample.
mod poison;
/// No `config/` key changes a row.
mod invariance;
/// A run that died anywhere is resumed to the same bytes; a finished one is left alone.
mod resume;
/// Wrong settings are refused at once, all of them, with a hint and the documented exit code.
mod settings;
/// Every method, the sweeps, and the laws between methods.
mod experiments;
/// The shipped pair on real cells, read back by another engine.
mod bccd;
/// The same tables from an S3-compatible server.
mod s3;
/// Rules about the source text itself.
mod tidy;

/// Checkpoints that must be refused, each with its message.
mod checkpoints;
/// Architectures: named, from Hugging Face files, and refused.
mod architectures;
/// Logits and features against PyTorch.
mod clip;
/// Pixels against the CLIP processor.
mod normalise;
/// Token ids against the CLIP tokenizer.
mod prompts;
/// Coefficients and merges against an independent script.
mod merge_rules;
